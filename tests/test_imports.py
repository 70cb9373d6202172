"""What the quick verbs must not wait for."""

from __future__ import annotations

import subprocess
import sys

import pytest


def loaded(statement: str) -> set[str]:
    """Top-level and dotted modules that a fresh interpreter has after `statement`."""
    code = f"{statement}\nimport sys\nprint('\\n'.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_nothing_imports_scipy_stats() -> None:
    modules = loaded("from expci.cli import act, inspect, lifecycle, setup, trials")
    assert "scipy.special" in modules
    assert "scipy.stats" not in modules


@pytest.mark.parametrize("heavy", ["numpy", "pydantic", "yaml", "jinja2", "github"])
def test_the_trial_verb_is_light(heavy: str) -> None:
    assert heavy not in loaded("from expci.cli import cli, trials; import expci.app")

"""What the quick verbs must not wait for."""

from __future__ import annotations

import os
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import expci
from support.repositories import Repository

LIBRARIES = {"numpy", "scipy", "pydantic", "yaml", "msgspec", "jinja2", "github", "rich"}
STATISTICS = {"numpy", "scipy", "expci.core.kinds", "expci.core.planning.scenarios"}
RULES = "core.model.experiment"  # how a plan decides is for the pass to know
# Of the standard library, what a step of a job waits for longest and can do without.
SLOW = {"dataclasses", "inspect", "random", "secrets", "shutil", "tempfile"}
TRIALS = {"numpy", "scipy", "pydantic", "yaml", "jinja2", "github", "rich"}


@pytest.mark.slow
def test_nothing_imports_scipy_stats() -> None:
    parts = pkgutil.walk_packages(expci.__path__, "expci.")
    names = ", ".join(part.name for part in parts if part.name != "expci.__main__")
    code = f"import {names}, sys\nprint('\\n'.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    modules = set(done.stdout.split())
    assert "scipy.special._ufuncs" in modules
    assert "scipy.stats" not in modules


@pytest.mark.parametrize(
    ("verb", "waits_for", "without"),
    [
        (["--help"], "click", LIBRARIES | {"subprocess", "expci.app", "expci.core", "expci.flows"}),
        (["--version"], "click", LIBRARIES | {"subprocess", "expci.app", "expci.core"}),
        (["trial", "speed"], "expci.runner.lab.trial", TRIALS),
        (["assign", "speed"], "expci.runner.live.assign", TRIALS),
        (["record", "speed", "--arm", "a"], "expci.runner.record.record", TRIALS),
        (["create", "--help"], "click", LIBRARIES | {"expci.app"}),
        (["validate"], "pydantic", STATISTICS | {"jinja2", "github"}),
        (["start", "speed"], "expci.flows.verbs.start", STATISTICS | {"jinja2", "github"}),
        (["pause", "speed"], "expci.flows.verbs.lifecycle", STATISTICS | {"pydantic", "jinja2"}),
        (["status"], "jinja2", STATISTICS | {"pydantic", "github"}),
        (["auto"], "expci.flows.auto.auto", STATISTICS | {"github"}),  # nothing to analyse
    ],
)
def test_a_verb_imports_what_it_uses(
    repository: Repository, verb: list[str], waits_for: str, without: set[str]
) -> None:
    command = [sys.executable, "-X", "importtime", "-m", "expci", *verb]
    done = subprocess.run(command, cwd=repository.path, capture_output=True, text=True)
    lines = [line for line in done.stderr.splitlines() if line.startswith("import time:")]
    imported = {line.rpartition("|")[2].strip() for line in lines}
    assert waits_for in imported
    assert imported & without == set()


@pytest.mark.parametrize(
    ("verb", "part", "others"),
    [
        (["assign", "speed"], "live.assign", ("lab.trial", "record.record")),
        (["record", "speed", "--arm", "control"], "record.record", ("lab.trial", "live.assign")),
    ],
)
def test_a_step_of_a_job_imports_its_own_part(
    repository: Repository, verb: list[str], part: str, others: tuple[str, ...]
) -> None:
    command = [sys.executable, "-S", "-X", "importtime", "-m", "expci.runner", *verb]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    done = subprocess.run(
        command, cwd=repository.path, env=environment, capture_output=True, text=True
    )
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert f"expci.runner.{part}" in imported
    assert imported.isdisjoint(f"expci.runner.{other}" for other in others)
    assert imported & SLOW == set()


@pytest.mark.parametrize(
    ("verb", "part", "others"),
    [
        ("assign", "live.assign", ("runner.record.record", "runner.lab.session", RULES)),
        ("record", "record.record", ("runner.live.assign", "runner.lab.session", RULES)),
        ("lab-fetch", "eligibility", ("runner.live.assign", "runner.record.record")),
        ("validate", "actions.installation", ("runner.live.assign", "runner.record.record")),
    ],
)
def test_a_step_of_an_action_imports_its_own_part(
    repository: Repository, verb: str, part: str, others: tuple[str, ...]
) -> None:
    start = Path(__file__).parents[1] / ".github/actions/start.py"
    command = [sys.executable, "-I", "-S", "-X", "importtime", str(start), verb]
    environment = {**os.environ, "INPUT_EXPERIMENT": "speed", "INPUT_PYTHON": "/bin/false"}
    done = subprocess.run(
        command, cwd=repository.path, env=environment, capture_output=True, text=True
    )
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert f"expci.runner.{part}" in imported
    assert imported & {f"expci.{other}" for other in others} == set()

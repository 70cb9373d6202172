"""Handing values to the later steps of a GitHub Actions job, by the files it names.

https://docs.github.com/actions/reference/workflow-commands-for-github-actions
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from expci.store.git import bounded


def write(environment: Mapping[str, str], variable: str, values: Mapping[str, str]) -> str | None:
    """Append to the file that `variable` (GITHUB_OUTPUT or GITHUB_ENV) names, if any does.

    Returns a warning where that file cannot be written: what was done before stays done.
    """
    target = environment.get(variable)
    if not target or not values:
        return None
    try:
        entries = "".join(_entry(name, value) for name, value in values.items())
        bounded.append_file(Path(target), entries.encode())
    except OSError as error:
        return f"later steps do not see it: {variable} cannot be written ({error.strerror})"
    return None


def _entry(name: str, value: str) -> str:
    # A delimiter that nobody can foresee: a value cannot end its entry and start another.
    delimiter = f"expci-{os.urandom(16).hex()}"
    return f"{name}<<{delimiter}\n{value}\n{delimiter}\n"

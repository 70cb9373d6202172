"""Files that other tools write, by the name of their format: one reader each.

A reader is imported when a file of its format is read, so that a trial that names none waits
for none.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from expci.runner.formats.reading import ToolRuns

READERS: Mapping[str, str] = {
    "hyperfine": "hyperfine",
    "pytest-benchmark": "pytest_benchmark",
    "junit": "junit",
    "go-bench": "go_bench",
    "criterion": "criterion",
    "claude": "claude",
    "promptfoo": "promptfoo",
}


def read(name: str, data: bytes) -> ToolRuns:
    """Return the runs of a file of the format `name`. `InvalidRecord` for another file's shape."""
    runs: ToolRuns = import_module(f"expci.runner.formats.{READERS[name]}").read(data)
    return runs

"""Files that other tools write, by the name of their format: one reader each."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from expci.runner.formats import (
    claude,
    criterion,
    go_bench,
    hyperfine,
    junit,
    promptfoo,
    pytest_benchmark,
)
from expci.runner.formats.reading import ToolRuns

READERS: Mapping[str, Callable[[bytes], ToolRuns]] = {
    "hyperfine": hyperfine.read,
    "pytest-benchmark": pytest_benchmark.read,
    "junit": junit.read,
    "go-bench": go_bench.read,
    "criterion": criterion.read,
    "claude": claude.read,
    "promptfoo": promptfoo.read,
}

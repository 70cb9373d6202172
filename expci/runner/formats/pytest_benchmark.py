"""pytest-benchmark's `--benchmark-json`: the mean time of each benchmark, one run per file.

The rounds inside a benchmark share a process, so they are one observation and not many.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from expci.errors import InvalidRecord
from expci.runner.formats.reading import (
    Run,
    ToolRuns,
    distinct,
    finite_number,
    json_of,
    metric_name,
    shape,
)


def read(data: bytes) -> ToolRuns:
    """Return one run with a metric `NAME_s` per benchmark, in seconds."""
    document = json_of(data)
    benchmarks = document.get("benchmarks") if isinstance(document, dict) else None
    if not isinstance(benchmarks, list) or not benchmarks:
        raise InvalidRecord(f"no `benchmarks` of pytest-benchmark in it: {shape(document)}")
    if not all(isinstance(item, dict) for item in benchmarks):
        raise InvalidRecord("its `benchmarks` are not a list of objects")
    names = Counter(str(item.get("name")) for item in benchmarks)
    return ToolRuns([Run(distinct([_mean(item, names) for item in benchmarks]))])


def _mean(benchmark: Mapping[str, Any], names: Counter[str]) -> tuple[str, float]:
    stats = benchmark.get("stats")
    name = str(benchmark.get("name"))
    if names[name] > 1:  # the same name in two files
        name = str(benchmark.get("fullname"))
    mean = finite_number(stats.get("mean")) if isinstance(stats, dict) else None
    if mean is None:
        raise InvalidRecord(f"the benchmark {name[:60]!r} has no mean in `stats`")
    return metric_name(name, "s"), mean

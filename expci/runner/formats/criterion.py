"""Criterion.rs: `cargo criterion --message-format=json`, a `raw.csv`, or an `estimates.json`.

The first is the documented interface ("External Tools" in Criterion's book), the second the
stable file of `cargo bench`. A benchmark's samples share a process, so a file is one run.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from typing import Any

from expci.errors import InvalidRecord
from expci.runner.formats.reading import (
    Run,
    ToolRuns,
    distinct,
    finite_number,
    json_lines_of,
    json_of,
    metric_name,
    shape,
    text_of,
)

_RAW = ("group", "function", "value", "sample_measured_value", "unit", "iteration_count")


def read(data: bytes) -> ToolRuns:
    """Return one run with a metric `ID_UNIT` per benchmark: Criterion's typical estimate."""
    text = text_of(data)
    if text.startswith("group,"):
        return ToolRuns([Run(_raw(text))])
    messages = json_lines_of(text)
    if messages is not None and any("reason" in message for message in messages):
        return ToolRuns([Run(distinct(_benchmarks(messages)))])
    return ToolRuns([Run(_estimates(json_of(data)))])


def _benchmarks(messages: Sequence[Mapping[str, Any]]) -> list[tuple[str, float]]:
    complete = [item for item in messages if item.get("reason") == "benchmark-complete"]
    if not complete:
        reasons = sorted({str(item.get("reason"))[:30] for item in messages})
        raise InvalidRecord(f"no message `benchmark-complete` in it: {', '.join(reasons[:6])}")
    return [_benchmark(item) for item in complete]


def _benchmark(message: Mapping[str, Any]) -> tuple[str, float]:
    typical = message.get("typical", message.get("mean"))
    estimate = finite_number(typical.get("estimate")) if isinstance(typical, dict) else None
    if estimate is None or not isinstance(typical, dict):
        raise InvalidRecord(f"the benchmark {str(message.get('id'))[:60]!r} has no estimate")
    unit = str(typical.get("unit") or message.get("unit") or "ns")
    return metric_name(str(message.get("id")), unit), estimate


def _estimates(document: Any) -> dict[str, float]:
    """The slope, or where sampling was flat the mean, of a file that names no benchmark."""
    estimates = document if isinstance(document, dict) else {}
    typical = estimates.get("slope") or estimates.get("mean")
    value = finite_number(typical.get("point_estimate")) if isinstance(typical, dict) else None
    if value is None:
        raise InvalidRecord(f"no estimate of Criterion in it: {shape(document)}")
    return {"criterion_ns": value}


def _raw(text: str) -> dict[str, float]:
    """Each benchmark's time per iteration over all its samples."""
    rows = csv.DictReader(text.splitlines())
    if missing := [name for name in _RAW if name not in (rows.fieldnames or ())]:
        raise InvalidRecord(f"no column {missing[0]!r} of Criterion's raw.csv in it")
    measured: dict[str, float] = {}
    iterations: dict[str, float] = {}
    for row in rows:
        name = metric_name(*(row[key] or "" for key in ("group", "function", "value", "unit")))
        try:
            measured[name] = measured.get(name, 0.0) + float(row["sample_measured_value"])
            iterations[name] = iterations.get(name, 0.0) + float(row["iteration_count"])
        except (TypeError, ValueError) as error:
            raise InvalidRecord(f"line {rows.line_num} of raw.csv holds no sample") from error
    per_iteration = {
        name: finite_number(measured[name] / n) for name, n in iterations.items() if n > 0
    }
    if not per_iteration or None in per_iteration.values():
        raise InvalidRecord("no sample with iterations in raw.csv")
    return {name: value for name, value in per_iteration.items() if value is not None}

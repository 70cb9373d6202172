"""`go test -bench`: its text, or the JSON lines of `go test -json`.

A line holds a name, the iterations, and pairs of a value and a unit (the Go project's
"Proposal: Go Benchmark Data Format"). With `-count N` the N lines of a name are N runs.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from expci.core.model.trial import Status
from expci.errors import InvalidRecord
from expci.runner.formats.reading import (
    Run,
    ToolRuns,
    finite_number,
    json_lines_of,
    metric_name,
    shape,
    text_of,
)

_LINE = re.compile(r"Benchmark(\S*)\s+\d+\s+(\S.*)")
_UNITS = {"ns/op": "ns", "B/op": "bytes", "allocs/op": "allocs", "MB/s": "mb_per_s"}

Measured = tuple[str, dict[str, float]]


def read(data: bytes) -> ToolRuns:
    """Return one run per repetition, with the metrics `NAME_ns`, `NAME_bytes`, `NAME_allocs` …"""
    written = text_of(data)
    text = _output(written)
    measured = list(_measured(text))
    if not measured:
        raise InvalidRecord(
            f"no line of a benchmark in it: it begins {shape(written)}; run go test -bench=."
        )
    failed = re.search(r"^(FAIL\b|--- FAIL)", text, re.MULTILINE) is not None
    status: Status = "failed" if failed else "ok"
    return ToolRuns([Run(metrics, status) for metrics in _repetitions(_without_cpus(measured))])


def _output(text: str) -> str:
    """The text that the tests printed, also where `go test -json` wraps it."""
    events = json_lines_of(text) if text.lstrip().startswith("{") else None
    if events is None:
        return text
    return "".join(str(event.get("Output", "")) for event in events)


def _measured(text: str) -> Iterator[Measured]:
    for line in text.splitlines():
        match = _LINE.fullmatch(line.strip())
        values = match[2].split() if match else []
        if match and len(values) % 2 == 0:
            pairs = zip(values[::2], values[1::2], strict=True)
            yield match[1] or "Benchmark", {unit: _value(value) for value, unit in pairs}


def _value(text: str) -> float:
    try:
        value = finite_number(float(text))
    except ValueError:
        value = None
    if value is None:
        raise InvalidRecord(f"a benchmark's value is not a number: {text[:60]!r}")
    return value


def _without_cpus(measured: list[Measured]) -> list[Measured]:
    """Without the `-8` that Go appends to each name where it runs on eight processors."""
    ends = {match[0] if (match := re.search(r"-\d+$", name)) else "" for name, _ in measured}
    end = ends.pop() if len(ends) == 1 else ""
    return [(name.removesuffix(end), values) for name, values in measured]


def _repetitions(measured: list[Measured]) -> list[dict[str, float]]:
    """The k-th line of each name is of run k."""
    runs: list[dict[str, float]] = []
    lines: dict[str, int] = {}
    for name, values in measured:
        k = lines[name] = lines.get(name, -1) + 1
        runs += [{}] if k == len(runs) else []
        for unit, value in values.items():
            word = _UNITS.get(unit, unit.replace("/", "_per_"))
            runs[k][metric_name(name, word)] = value
    return runs

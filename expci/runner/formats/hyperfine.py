"""hyperfine's `--export-json`: each timed run of one command is a run.

The document is described in hyperfine's README, "Export results".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from expci.core.model.trial import Status
from expci.errors import InvalidRecord
from expci.runner.formats.reading import Run, ToolRuns, finite_number, json_of, numbers, shape

_SUMMARY = ("mean", "median", "min", "max", "user", "system")


def read(data: bytes) -> ToolRuns:
    """Return one run per entry of `times`. `InvalidRecord` for other files and several commands."""
    document = json_of(data)
    results = document.get("results") if isinstance(document, dict) else None
    if not isinstance(results, list) or not all(isinstance(item, dict) for item in results):
        raise InvalidRecord(f"no `results` of hyperfine in it: {shape(document)}")
    if len(results) != 1:
        commands = ", ".join(repr(str(item.get("command"))[:60]) for item in results[:5])
        raise InvalidRecord(
            f"it holds {len(results)} commands ({commands}), and a file is of one arm: export "
            "each arm's command to a file of its own"
        )
    return _reading(results[0])


def _reading(result: Mapping[str, Any]) -> ToolRuns:
    times = result.get("times")
    if not isinstance(times, list) or not times:
        raise InvalidRecord(
            f"no `times` of single runs in it: {shape(result)}; hyperfine writes them with "
            "--export-json"
        )
    codes, memory = (
        _as_long(result.get(key), times) for key in ("exit_codes", "memory_usage_byte")
    )
    runs = [_run(*one) for one in zip(times, codes, memory, strict=True)]
    summary = {f"hyperfine_{name}_s": result.get(name) for name in _SUMMARY}
    return ToolRuns(runs, numbers(summary))


def _as_long(values: Any, times: list[Any]) -> list[Any]:
    """Values of each run, where the version of hyperfine writes them; else nothing."""
    return values if isinstance(values, list) and len(values) == len(times) else [0] * len(times)


def _run(time: Any, code: Any, memory: Any) -> Run:
    seconds = finite_number(time)
    if seconds is None:
        raise InvalidRecord(f"a time in `times` is not a number: {shape(time)}")
    # A code of null is a run that a signal ended.
    status: Status = "ok" if code == 0 else "failed"
    megabytes = (finite_number(memory) or 0.0) / 1e6
    return Run({"duration_s": seconds, **({"max_rss_mb": megabytes} if megabytes else {})}, status)

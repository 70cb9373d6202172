"""Metrics that the measured work reports: the file `$EXPCI_METRICS` and `--metric`.

The file is written by whatever ran, so it is hostile: whatever is wrong with it costs
the metric, with a warning, and never the trial.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

from expci.core.model.trial import MEASURED
from expci.core.model.trial_reader import parse_metrics
from expci.errors import InvalidRecord, UsageError
from expci.runner import text_encoding

FILE_BYTES = 64 * 1024
MOST = 100 - len(MEASURED)  # a record holds at most 100 metrics

Warnings = tuple[str, ...]


def from_options(options: Iterable[str], *, built_in: bool) -> dict[str, float]:
    """`name=value` words of the command line. `UsageError` for what is no metric.

    `built_in` says whether they may name what expci measures where it runs the work itself.
    """
    values: dict[str, float] = {}
    for option in options:
        name, separator, text = option.partition("=")
        if not separator:
            raise UsageError(f"--metric {option!r}: write it as name=value, e.g. tokens=1520")
        if name in MEASURED and not built_in:
            raise UsageError(f"--metric {name}: expci measures {name} itself; use another name")
        try:
            values |= parse_metrics({name: _number(text)})
        except InvalidRecord as error:
            raise UsageError(f"--metric {option!r}: {error}") from error
    return values


def read_file(
    path: Path, room: int = MOST, wanted: Collection[str] = (), *, built_in: bool = False
) -> tuple[dict[str, float], Warnings]:
    """What the file holds: lines `name=value`, or one JSON object; and what was ignored.

    `room` is how many metrics the record can take; those that the plan names (`wanted`)
    go first. `built_in` as in `from_options`.
    """
    try:
        text = _read(path)
        content = _from_json(text) if text.lstrip().startswith("{") else _from_lines(text)
    except InvalidRecord as error:
        return {}, (f"the metrics file was ignored: {error}",)
    return accepted(content, room, wanted, built_in=built_in)


def accepted(
    content: Mapping[str, Any],
    room: int = MOST,
    wanted: Collection[str] = (),
    *,
    built_in: bool = False,
) -> tuple[dict[str, float], Warnings]:
    """Return the metrics that a record can take, and a warning for each that it cannot."""
    values: dict[str, float] = {}
    warnings = []
    for name, value in content.items():
        try:
            values |= _one(name, value, built_in)
        except InvalidRecord as error:
            warnings.append(f"a metric is ignored: {error}")
    if len(values) > room:
        warnings.append(f"{len(values) - room} metrics are ignored: at most {MOST} are kept")
        first = sorted(values, key=lambda name: name not in wanted)  # stable: the file's order
        values = {name: values[name] for name in first[: max(room, 0)]}
    return values, tuple(warnings)


def _one(name: str, value: Any, built_in: bool) -> dict[str, float]:
    if name in MEASURED and not built_in:
        raise InvalidRecord(f"{name} is measured by expci and cannot be set from the metrics file")
    return parse_metrics({name: value})


def _read(path: Path) -> str:
    try:
        # Neither a link that leads elsewhere nor a pipe that never ends.
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise InvalidRecord(f"it cannot be read ({error.strerror})") from error
    try:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise InvalidRecord("it is not a regular file")
        data = os.read(handle, FILE_BYTES + 1)
    finally:
        os.close(handle)
    if len(data) > FILE_BYTES:
        raise InvalidRecord(f"it is larger than {FILE_BYTES // 1024} KB")
    return text_encoding.decode(data)


def _from_json(text: str) -> Mapping[str, Any]:
    try:
        data = json.loads(text)  # NaN and Infinity become floats, each refused by its name
    except (ValueError, RecursionError) as error:
        raise InvalidRecord(f"it is not one JSON object: {error}") from error
    if not isinstance(data, dict):
        raise InvalidRecord("it is not one JSON object")
    return data


def _from_lines(text: str) -> Mapping[str, Any]:
    rows = (line.partition("=") for line in text.splitlines() if line.strip())
    return {name.strip(): _number(value) if equals else None for name, equals, value in rows}


def _number(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text.strip()[:60]

"""Records as the ledger holds them: checked when they entered it, only decoded when they are read.

Lines in expci's own form are decoded many at once, in a microsecond or two each; what is unlike
that, because another hand or an earlier version wrote it, is checked as what arrives is. Both
ways tell a record from none alike.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import fields
from datetime import date
from operator import attrgetter
from typing import Annotated, Any, ClassVar, Literal

import msgspec
from msgspec import Meta

from expci.core.model import limits
from expci.core.model.arm import ID_PATTERN
from expci.core.model.trial import (
    ARM_NAME,
    CONTEXT_KEY,
    METRIC_NAME,
    PLAN_ID,
    TRIAL_ID,
    WORD,
    Amendment,
    Arrival,
    Mode,
    Status,
    Trial,
)
from expci.core.model.trial_reader import parse_record
from expci.errors import InvalidRecord

PORTION = 4_000_000  # bytes that are decoded at once
Text = Annotated[str, Meta(min_length=1, max_length=limits.RECORD_TEXT_CHARACTERS)]
Number = Annotated[int, Meta(ge=0, lt=1 << 31)]
RecordId = Annotated[str, Meta(min_length=26, max_length=26)]
_FEW = Meta(max_length=limits.RECORD_ENTRIES)
_EXPERIMENT = re.compile(ID_PATTERN)
_IDS = re.compile(f"(?:{TRIAL_ID.pattern})*")
_CLOCKS = re.compile(r"(?:T(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]\.[0-9]{3}Z)*")
_ANY = msgspec.json.Decoder()


class TrialLine(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """A trial in expci's own form; none of its values came late."""

    v: Literal[1]
    id: RecordId
    experiment: str
    plan: str
    mode: Mode
    arm: str
    unit: Text
    started: str
    status: Status
    block: Text | None = None
    seq: Number = 0
    order: Number = 1
    attempt: Number = 1
    excluded: str | None = None
    metrics: Annotated[dict[str, float], _FEW] = {}
    covariates: Annotated[dict[str, float | Text], _FEW] = {}
    context: Annotated[dict[str, Text], _FEW] = {}
    late: ClassVar[Mapping[str, Arrival]] = {}


class _AmendmentLine(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    v: Literal[1]
    amendment: RecordId
    trial: RecordId
    experiment: str
    at: str
    metrics: Annotated[dict[str, float], _FEW] = {}


_TRIALS = msgspec.json.Decoder(TrialLine)
_AMENDMENTS = msgspec.json.Decoder(_AmendmentLine)
_VALUES = attrgetter(*(field.name for field in fields(Trial) if field.name != "late"))


def portions(data: bytes) -> Iterator[list[bytes]]:
    """The lines of a segment, some megabytes at a time."""
    start = 0
    while start < len(data):
        end = data.find(b"\n", start + PORTION) + 1 or len(data)
        yield data[start:end].splitlines()
        start = end


def read_trials(lines: Sequence[bytes]) -> list[TrialLine | Trial | None]:
    """The trials on lines of a segment; `None` for a line that is none (`expci fsck`)."""
    return _read(lines, _TRIALS, _are_trials, Trial)


def read_amendments(lines: Sequence[bytes]) -> list[Amendment | None]:
    """The amendments on lines of a segment; `None` for a line that is none (`expci fsck`)."""
    rows = _read(lines, _AMENDMENTS, _are_amendments, Amendment)
    return [
        Amendment(row.amendment, row.trial, row.experiment, row.at, row.metrics)
        if isinstance(row, _AmendmentLine)
        else row
        for row in rows
    ]


def as_trial(row: TrialLine | Trial) -> Trial:
    return row if isinstance(row, Trial) else Trial(*_VALUES(row))


def _read(lines: Sequence[bytes], decoder: Any, are_checked: Any, kind: type[Any]) -> list[Any]:
    """All at once where all are in expci's own form, else by halves down to those that are not."""
    data = b"\n".join(lines)
    try:
        rows = decoder.decode_lines(data)
        # A control character can only stand there escaped.
        if len(rows) == len(lines) and b"\\" not in data and are_checked(rows):
            return list(rows)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        pass
    if len(lines) < 2:
        return [_checked(line, kind) for line in lines]
    middle = len(lines) // 2
    halves = lines[:middle], lines[middle:]
    return [row for half in halves for row in _read(half, decoder, are_checked, kind)]


def _checked(line: bytes, kind: type[Any]) -> Any:
    try:
        data = _ANY.decode(line)
        record = parse_record(data) if isinstance(data, dict) else None
    except (InvalidRecord, msgspec.MsgspecError, UnicodeDecodeError):
        return None
    return record if isinstance(record, kind) else None


def _are_trials(rows: Sequence[TrialLine]) -> bool:
    return (
        _IDS.fullmatch("".join([row.id for row in rows])) is not None
        and _match(_EXPERIMENT, {row.experiment for row in rows})
        and _match(PLAN_ID, {row.plan for row in rows})
        and _match(ARM_NAME, {row.arm for row in rows})
        and _match(WORD, {row.excluded for row in rows if row.excluded is not None})
        and _match(METRIC_NAME, set().union(*[row.metrics for row in rows]))
        and _match(METRIC_NAME, set().union(*[row.covariates for row in rows]))
        and _match(CONTEXT_KEY, set().union(*[row.context for row in rows]))
        and _are_times([row.started for row in rows])
    )


def _are_amendments(rows: Sequence[_AmendmentLine]) -> bool:
    return (
        _IDS.fullmatch("".join([row.amendment + row.trial for row in rows])) is not None
        and _match(_EXPERIMENT, {row.experiment for row in rows})
        and _match(METRIC_NAME, set().union(*[row.metrics for row in rows]))
        and _are_times([row.at for row in rows])
    )


def _match(pattern: re.Pattern[str], words: Iterable[str]) -> bool:
    return all(map(pattern.fullmatch, words))


def _are_times(times: Sequence[str]) -> bool:
    """Whether all are written as expci writes a time: `2026-11-22T10:00:00.123Z`."""
    clocks = "".join([time[10:] for time in times])
    if len(clocks) != 14 * len(times) or _CLOCKS.fullmatch(clocks) is None:
        return False
    return all(map(_is_date, {time[:10] for time in times}))


def _is_date(text: str) -> bool:
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False

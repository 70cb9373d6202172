"""From records to columns: a part at a time, so that few records are there at once."""

from __future__ import annotations

import contextlib
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import chain
from operator import attrgetter
from typing import Any, Protocol

import numpy as np

from expci.core.dataset.factor import Factor, factor
from expci.core.dataset.joining import MOST_NAMES, ColumnsPart
from expci.core.dataset.late_values import ARRIVAL
from expci.core.dataset.moments import IntArray
from expci.core.dataset.trial_columns import TrialColumns
from expci.core.model import judge
from expci.core.model.trial import CONDITION, Arrival, parse_timestamp

# What an analysis asks of a trial's context, beside the conditions that runs state.
CONTEXT = frozenset({"run_id", "job", "leg", "source", "assignment", "cpu", judge.KEY})
_WHOLE: Mapping[str, Callable[[Any], int]] = {
    name: attrgetter(name) for name in ("order", "attempt")
}
_WORDS: Mapping[str, Callable[[Any], str | None]] = {
    name: attrgetter(name)
    for name in ("plan", "mode", "arm", "unit", "block", "status", "excluded")
}
Column = np.ndarray[Any, Any]
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FORM = np.frombuffer(b"0000-00-00T00:00:00.000Z", dtype=np.uint8)  # as `timestamp` writes it
_MARKS = (ord("0") > _FORM) | (ord("9") < _FORM)


class Recorded(Protocol):
    """What a record tells an analysis: a `Trial`, or a line of the ledger."""

    @property
    def id(self) -> str: ...
    @property
    def started(self) -> str: ...
    @property
    def metrics(self) -> Mapping[str, float]: ...
    @property
    def covariates(self) -> Mapping[str, float | str]: ...
    @property
    def context(self) -> Mapping[str, str]: ...
    @property
    def late(self) -> Mapping[str, Arrival]: ...


def trial_columns(trials: Sequence[Recorded]) -> TrialColumns:
    """Return the columns of `trials`.

    >>> from expci.core.model.trial import Trial
    >>> when = "2026-11-01T12:00:00Z"
    >>> trial = Trial("id", "e", "p", "lab", "control", "u", when, metrics={"score": 3.0})
    >>> columns = trial_columns([trial])
    >>> columns.arm.levels, columns.metric("score"), columns.started
    (('control',), array([3.]), array([1793534400000]))
    """
    return columns_part(trials).columns


def columns_part(lines: Sequence[Recorded | None]) -> ColumnsPart:
    """Return the columns of the records on these lines; `None` holds the place of what is none.

    >>> from support.analysis_samples import make_trial
    >>> part = columns_part([None, make_trial(1, "control", value=9.0)])
    >>> part.columns.position, part.lines, part.damaged
    (array([2]), 2, 1)
    """
    rows = [row for row in lines if row is not None]
    places = np.arange(1, 1 + len(lines), dtype=np.int64)
    if len(rows) < len(lines):
        places = places[[row is not None for row in lines]]
    columns: dict[str, Any] = {group: {} for group in ARRIVAL}
    columns |= {name: np.array([*map(of, rows)], dtype=np.int64) for name, of in _WHOLE.items()}
    columns |= {name: factor(map(of, rows)) for name, of in _WORDS.items()}
    if any(row.late for row in rows):
        for group, number in ARRIVAL.items():
            late = [{name: number(a) for name, a in row.late.items()} for row in rows]
            columns[group] = _numbers(late)
    covariates = [row.covariates for row in rows] if any(row.covariates for row in rows) else []
    whole = TrialColumns(
        position=places,
        id=np.array([row.id for row in rows], dtype=np.bytes_),
        started=milliseconds([row.started for row in rows]),
        metrics=_numbers([row.metrics for row in rows]),
        covariates=_numbers([_only(row, (int, float)) for row in covariates]),
        words=_words([_only(row, str) for row in covariates]),
        context=_words([_analysed(row.context) for row in rows]),
        **columns,
    )
    return ColumnsPart(whole, len(lines))


def is_analysed(key: str) -> bool:
    """Return whether an analysis asks for a key of a trial's context.

    >>> is_analysed("cpu"), is_analysed("context_model"), is_analysed("actor")
    (True, True, False)
    """
    return key in CONTEXT or key.startswith(CONDITION)


def _analysed(context: Mapping[str, str]) -> Mapping[str, str]:
    return {key: word for key, word in context.items() if is_analysed(key)}


def _numbers(rows: Sequence[Mapping[str, float]]) -> dict[str, Column]:
    """The numbers of each name; nan where a row has none."""
    return {
        name: np.array([row.get(name, math.nan) for row in rows], dtype=np.float64)
        for name in _names(rows)
    }


def _words(rows: Sequence[Mapping[str, str]]) -> dict[str, Factor]:
    return {name: factor(row.get(name) for row in rows) for name in _names(rows)}


def _names(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """The names in the rows; of too many the commonest."""
    names = set().union(*rows)
    if len(names) <= MOST_NAMES:
        return sorted(names)
    return [name for name, _ in Counter(chain.from_iterable(rows)).most_common(MOST_NAMES)]


def _only(row: Mapping[str, float | str], kind: type | tuple[type, ...]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if isinstance(value, kind)}


def milliseconds(times: Sequence[str]) -> IntArray:
    """Return milliseconds since 1970 of ISO 8601 times; in the form that expci writes, at once.

    >>> milliseconds(["1970-01-01T00:00:01.500Z"]), milliseconds(["1970-01-01T01:00:02+01:00"])
    (array([1500]), array([2000]))
    """
    written = written_milliseconds(times)
    if written is not None:
        return written
    ticks = ((parse_timestamp(time) - _EPOCH) // timedelta(milliseconds=1) for time in times)
    return np.fromiter(ticks, dtype=np.int64, count=len(times))


def written_milliseconds(times: Sequence[str]) -> IntArray | None:
    """Return milliseconds since 1970 of times as `timestamp` writes them; `None` where one is not.

    >>> written_milliseconds(["1970-01-01T00:00:01.500Z"])
    array([1500])
    >>> written_milliseconds(["1970-01-01T00:00:01Z"]) is None
    True
    """
    text = np.frombuffer("".join(times).encode(), dtype=np.uint8)
    if text.size != _FORM.size * len(times):
        return None
    rows = text.reshape(-1, _FORM.size)
    figures = rows[:, ~_MARKS]
    are_figures = bool(np.all((figures >= ord("0")) & (figures <= ord("9"))))
    if not are_figures or not np.all(rows[:, _MARKS] == _FORM[_MARKS]):
        return None
    if np.any(np.all(rows[:, :4] == ord("0"), axis=1)):
        return None  # no year that a calendar has
    digits = np.ascontiguousarray(rows[:, :-1]).view(f"S{_FORM.size - 1}").ravel()
    with contextlib.suppress(ValueError):
        return digits.astype("datetime64[ms]").astype(np.int64)
    return None

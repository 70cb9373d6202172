"""From records to columns, part after part, so that only one part's records are there at a time."""

from __future__ import annotations

import contextlib
import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import chain
from operator import attrgetter
from typing import Any, Protocol

import numpy as np

from expci.core.dataset.factor import NONE, Factor, Interning
from expci.core.dataset.moments import IntArray
from expci.core.dataset.trial_columns import TrialColumns
from expci.core.model import judge
from expci.core.model.trial import CONDITION, Arrival, parse_timestamp

# What an analysis asks of a trial's context, beside the conditions that runs state.
CONTEXT = frozenset({"run_id", "job", "leg", "source", "assignment", "cpu", judge.KEY})
_ARRIVAL: Mapping[str, Callable[[Arrival], float]] = {
    "late_written": lambda arrival: parse_timestamp(arrival.written).timestamp(),
    "late_number": lambda arrival: arrival.number,
    "late_after": lambda arrival: math.nan if arrival.trials is None else arrival.trials,
}
_WHOLE: Mapping[str, Callable[[Any], int]] = {
    name: attrgetter(name) for name in ("order", "attempt")
}
_WORDS: Mapping[str, Callable[[Any], str | None]] = {
    name: attrgetter(name)
    for name in ("plan", "mode", "arm", "unit", "block", "status", "excluded")
}
# Of one kind; records by the thousand with names of their own must not fill the memory.
_MOST_NAMES = 1000
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
    return columns_of_parts([trials])


def columns_of_parts(parts: Iterable[Sequence[Recorded | None]]) -> TrialColumns:
    """Return the columns of all parts; each is let go of before the next is asked for.

    `None` holds the place of what is no record: it has a position and no row.

    >>> from support.analysis_samples import make_trial
    >>> parts = [[make_trial(1, "control", value=9.0)], [make_trial(2, "treatment", value=8.0)]]
    >>> columns = columns_of_parts(parts)
    >>> columns.metric("duration_s"), columns.arm.levels
    (array([9., 8.]), ('control', 'treatment'))
    """
    making = _Making()
    for part in chain([()], parts):
        making.add(part)
    return making.columns()


class _Making:
    """Columns in the making: parts by group and name, with the row at which each begins."""

    def __init__(self) -> None:
        self._rows = self._lines = 0
        self._parts: dict[str, dict[str, list[tuple[int, Column]]]] = defaultdict(dict)
        self._interned: dict[tuple[str, str], Interning] = defaultdict(Interning)

    def add(self, lines: Sequence[Recorded | None]) -> None:
        part = [row for row in lines if row is not None]
        places = np.arange(self._lines + 1, self._lines + 1 + len(lines), dtype=np.int64)
        if len(part) < len(lines):
            places = places[[row is not None for row in lines]]
        self._put("rows", "position", places)
        self._lines += len(lines)
        self._put("rows", "id", np.array([row.id for row in part], dtype=np.bytes_))
        self._put("rows", "started", milliseconds([row.started for row in part]))
        for name, value in _WHOLE.items():
            self._put("rows", name, np.array([*map(value, part)], dtype=np.int64))
        for name, word in _WORDS.items():
            self._put_words("rows", name, [*map(word, part)])
        self._put_numbers("metrics", [row.metrics for row in part])
        context = [row.context for row in part]
        for name in _names(context):
            if name in CONTEXT or name.startswith(CONDITION):
                self._put_words("context", name, [row.get(name) for row in context])
        if any(row.late for row in part):
            for group, number in _ARRIVAL.items():
                late = [{name: number(a) for name, a in row.late.items()} for row in part]
                self._put_numbers(group, late)
        if any(row.covariates for row in part):
            self._add_covariates([row.covariates for row in part])
        self._rows += len(part)

    def _add_covariates(self, rows: Sequence[Mapping[str, float | str]]) -> None:
        self._put_numbers("covariates", [_only(row, (int, float)) for row in rows])
        words = [_only(row, str) for row in rows]
        for name in _names(words):
            self._put_words("words", name, [row.get(name) for row in words])

    def _put(self, group: str, name: str, values: Column) -> None:
        self._parts[group].setdefault(name, []).append((self._rows, values))

    def _put_words(self, group: str, name: str, words: Sequence[str | None]) -> None:
        self._put(group, name, self._interned[group, name].codes(words))

    def _put_numbers(self, group: str, rows: Sequence[Mapping[str, float]]) -> None:
        for name in _names(rows):
            self._put(group, name, np.array([row.get(name, math.nan) for row in rows], np.float64))

    def columns(self) -> TrialColumns:
        groups = ("metrics", *_ARRIVAL, "covariates", "words", "context")
        mappings: dict[str, Any] = {name: self._group(name) for name in groups}
        return TrialColumns(**self._group("rows"), **mappings)

    def _group(self, group: str) -> dict[str, Any]:
        parts = self._parts[group]
        names = sorted(parts, key=lambda name: -sum(values.size for _, values in parts[name]))
        return {name: self._whole(group, name) for name in names[:_MOST_NAMES]}

    def _whole(self, group: str, name: str) -> Column | Factor:
        """The parts as one column; what they leave out is missing."""
        parts, interned = self._parts[group][name], self._interned.get((group, name))
        column = np.zeros(self._rows, np.result_type(*(values for _, values in parts)))
        if group != "rows":
            column[:] = math.nan if interned is None else NONE
        for at, values in parts:
            column[at : at + values.size] = values
        return column if interned is None else Factor(column, interned.levels)


def _names(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """The names in the rows; of too many the commonest."""
    names = set().union(*rows)
    if len(names) <= _MOST_NAMES:
        return sorted(names)
    return [name for name, _ in Counter(chain.from_iterable(rows)).most_common(_MOST_NAMES)]


def _only(row: Mapping[str, float | str], kind: type | tuple[type, ...]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if isinstance(value, kind)}


def milliseconds(times: Sequence[str]) -> IntArray:
    """Return milliseconds since 1970 of ISO 8601 times; in the form that expci writes, at once.

    >>> milliseconds(["1970-01-01T00:00:01.500Z"]), milliseconds(["1970-01-01T01:00:02+01:00"])
    (array([1500]), array([2000]))
    """
    text = np.frombuffer("".join(times).encode(), dtype=np.uint8)
    if text.size == _FORM.size * len(times):
        rows = text.reshape(-1, _FORM.size)
        if np.all(rows[:, _MARKS] == _FORM[_MARKS]):
            with contextlib.suppress(ValueError):
                digits = np.ascontiguousarray(rows[:, :-1]).view(f"S{_FORM.size - 1}").ravel()
                return digits.astype("datetime64[ms]").astype(np.int64)
    ticks = ((parse_timestamp(time) - _EPOCH) // timedelta(milliseconds=1) for time in times)
    return np.fromiter(ticks, dtype=np.int64, count=len(times))

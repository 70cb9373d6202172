"""Columns of parts as those of the whole: numbers behind one another, words with common codes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from expci.core.dataset.factor import NONE, Factor, Interning
from expci.core.dataset.trial_columns import TrialColumns

# Of one kind; records by the thousand with names of their own must not fill the memory.
MOST_NAMES = 1000
Column = np.ndarray[Any, Any] | Factor


@dataclass(frozen=True)
class ColumnsPart:
    """Trials that follow one another, on `lines` lines: those that are no record have no row."""

    columns: TrialColumns
    lines: int

    @property
    def damaged(self) -> int:
        """How many of the lines are no records."""
        return self.lines - len(self.columns)


def joined_columns(parts: Sequence[ColumnsPart]) -> TrialColumns:
    """Return the columns of at least one part as one, with positions from 1 over all lines.

    >>> from expci.core.dataset.recorded import trial_columns
    >>> from support.analysis_samples import make_trial
    >>> runs = [make_trial(1, "control", value=9.0), make_trial(2, "treatment", value=8.0)]
    >>> whole = joined_columns([ColumnsPart(trial_columns([run]), lines=1) for run in runs])
    >>> whole.position, whole.metric("duration_s"), whole.arm.levels
    (array([1, 2]), array([9., 8.]), ('control', 'treatment'))
    """
    whole = [part.columns for part in parts]
    before = np.cumsum([0, *(part.lines for part in parts[:-1])])
    columns = {field.name: _field(field.name, whole) for field in fields(TrialColumns)}
    places = [part.position + lines for part, lines in zip(whole, before.tolist(), strict=True)]
    return TrialColumns(**columns | {"position": np.concatenate(places)})


def _field(name: str, parts: Sequence[TrialColumns]) -> Any:
    columns = [getattr(part, name) for part in parts]
    if isinstance(columns[0], Mapping):
        return _by_name(columns, [len(part) for part in parts])
    return _concatenated(columns)


def _by_name(groups: Sequence[Mapping[str, Column]], sizes: Sequence[int]) -> dict[str, Column]:
    """The columns of each name, missing where a part has none of it; of too many the commonest."""
    rows: dict[str, int] = {}
    for group, size in zip(groups, sizes, strict=True):
        rows |= {name: rows.get(name, 0) + size for name in group}
    names = sorted(rows, key=lambda name: -rows[name])[:MOST_NAMES]
    return {name: _concatenated([*_filled(name, groups, sizes)]) for name in names}


def _filled(
    name: str, groups: Sequence[Mapping[str, Column]], sizes: Sequence[int]
) -> Iterable[Column]:
    of_words = any(isinstance(group.get(name), Factor) for group in groups)
    for group, size in zip(groups, sizes, strict=True):
        if name in group:
            yield group[name]
        elif of_words:
            yield Factor(np.full(size, NONE, dtype=np.int32), ())
        else:
            yield np.full(size, math.nan)


def _concatenated(columns: Sequence[Any]) -> Column:
    if not isinstance(columns[0], Factor):
        return np.concatenate(columns)
    interning = Interning()
    codes = [interning.recoded(column) for column in columns]
    return Factor(np.concatenate(codes), interning.levels)

"""Whose values can be read from a source now: units whose time is over and that have none yet."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from expci.core.dataset.moments import BoolArray, IntArray
from expci.core.dataset.selection import Selection
from expci.core.dataset.trial_columns import TrialColumns
from expci.core.model.experiment import Metric
from expci.core.model.source import DueUnit, MetricSource, SourceReading

# Of one metric's request: engines take a query of a megabyte.
UNITS = 20_000
BYTES = 400_000
_LINE = 24  # bytes of a unit's two times


@dataclass(frozen=True)
class Due:
    """The `units` to ask for, those whose time ended first before the others.

    `both_arms` ran in several arms, which no value of the unit tells apart. `beyond` is the end of
    the first unit that there is no room for, `None` where all are in.
    """

    units: tuple[DueUnit, ...]
    both_arms: int
    beyond: int | None


@dataclass(frozen=True)
class JoinedUnits:
    """The counted trials at which a source's values of the units enter: the first of each unit.

    `rows` are rows of the ledger's trials, `end` the second at which the unit's time is over.
    """

    rows: IntArray
    begin: IntArray
    end: IntArray
    both_arms: int


def joined_units(selection: Selection, source: MetricSource) -> JoinedUnits:
    """Return the units that can be joined, in the ledger's order: those of a single arm.

    >>> from expci.core.dataset.recorded import trial_columns
    >>> from expci.core.dataset.selection import select
    >>> from support.analysis_samples import PLAN, make_trial
    >>> runs = [("ada", "control"), ("bob", "treatment"), ("ada", "control"), ("bob", "control")]
    >>> trials = [make_trial(n, arm, unit=unit) for n, (unit, arm) in enumerate(runs)]
    >>> selection = select(trial_columns(trials), PLAN, ("control", "treatment"))
    >>> source = MetricSource("warehouse", "orders", "user_id", "paid_at", 60.0, "amount")
    >>> joined = joined_units(selection, source)
    >>> joined.rows, joined.end - joined.begin, joined.both_arms
    (array([0]), array([60]), 1)
    """
    trials, counted = selection.trials, selection.counted
    unit, arm = trials.unit.codes[counted], trials.arm.codes[counted]
    codes, first, inverse = np.unique(unit, return_index=True, return_inverse=True)
    mixed = np.zeros(codes.size, dtype=np.bool_)
    mixed[inverse[arm != arm[first][inverse]]] = True
    rows = counted[np.sort(first[~mixed])]
    begin = trials.started[rows] // 1000
    return JoinedUnits(rows, begin, begin + int(source.window_s), int(mixed.sum()))


def due_units(metric: Metric, selection: Selection, now: int, reading: SourceReading) -> Due:
    """Return whose values of `metric` are due at the second `now`, after what `reading` tells.

    >>> from expci.core.dataset.recorded import trial_columns
    >>> from expci.core.dataset.selection import select
    >>> from support.analysis_samples import PLAN, make_trial
    >>> source = MetricSource("warehouse", "orders", "user_id", "paid_at", 60.0, "amount")
    >>> usd = Metric("usd", "primary", "mean", "increase", source=source)
    >>> trials = trial_columns([make_trial(0, "control", unit="ada")])
    >>> selection = select(trials, PLAN, ("control", "treatment"))
    >>> end = int(trials.seconds[0]) + 60
    >>> [len(due_units(usd, selection, at, SourceReading()).units) for at in (end - 1, end)]
    [0, 1]
    """
    if metric.source is None:
        raise ValueError(f"{metric.name} has no source")
    joined, trials = joined_units(selection, metric.source), selection.trials
    is_due = (joined.end <= now) & np.isnan(trials.metric(metric.name)[joined.rows])
    is_due &= _not_queried(joined, trials, reading)
    places = np.flatnonzero(is_due)
    places = places[np.argsort(joined.end[places], kind="stable")]
    words = trials.unit.words()
    units, room = list[DueUnit](), BYTES
    for place in places[:UNITS].tolist():
        row = int(joined.rows[place])
        unit = str(words[row])
        room -= len(unit.encode()) + _LINE
        if room < 0:
            break
        begin, end = int(joined.begin[place]), int(joined.end[place])
        units.append(DueUnit(bytes(trials.id[row]).decode(), unit, begin, end))
    left = places[len(units) :]
    return Due(tuple(units), joined.both_arms, int(joined.end[left[0]]) if left.size else None)


def _not_queried(joined: JoinedUnits, trials: TrialColumns, reading: SourceReading) -> BoolArray:
    """Units of which the source was not asked yet: their time ended later, or they came later."""
    came_later = trials.position[joined.rows] > reading.trials
    return np.asarray((joined.end > reading.through) | came_later)

"""Units along the ledger: the mean of each after every trial, and which runs make a pair."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from expci.core.dataset.factor import Codes
from expci.core.dataset.moments import BoolArray, FloatArray, IntArray, Moments, moments
from expci.core.dataset.trial_columns import TrialColumns


@dataclass(frozen=True)
class UnitPath:
    """The unit means of one arm, as they stood after each of its trials.

    One entry per trial with a value: its `position` in the ledger's order, its `unit`
    (numbered by first appearance), the unit's mean after it, and before it (nan: first).
    """

    position: IntArray
    unit: IntArray
    mean: FloatArray
    before: FloatArray

    @cached_property
    def first(self) -> BoolArray:
        """Whether a unit appears for the first time."""
        return np.isnan(self.before)

    @cached_property
    def final(self) -> FloatArray:
        """The unit means after the last trial, in order of first appearance."""
        means = np.empty(int(self.first.sum()))
        means[self.unit] = self.mean
        return means

    @cached_property
    def moments(self) -> Moments:
        """The moments of the unit means."""
        return moments(self.final)

    def up_to(self, units: int) -> UnitPath:
        """Only the first `units` units."""
        return self._only(self.unit < units)

    def before_position(self, position: int) -> UnitPath:
        """Only what was in the ledger before `position`."""
        return self._only(self.position < position)

    def _only(self, keep: BoolArray) -> UnitPath:
        return UnitPath(self.position[keep], self.unit[keep], self.mean[keep], self.before[keep])


def single_trials(values: FloatArray) -> UnitPath:
    """Return the path of units with one trial each, at successive positions.

    >>> single_trials(np.array([5.0, 7.0])).final
    array([5., 7.])
    """
    index = np.arange(values.size, dtype=np.int64)
    return UnitPath(index, index, values.astype(np.float64), np.full(values.size, np.nan))


def unit_path(mine: BoolArray, unit: IntArray, column: FloatArray) -> UnitPath:
    """Return the path of `column` over the rows `mine`; trials without a value leave no trace.

    Units are coded by small numbers from 0.

    >>> unit, column = np.array([8, 9, 8, 9]), np.array([1.0, 5.0, 2.0, np.nan])
    >>> path = unit_path(np.ones(4, dtype=np.bool_), unit, column)
    >>> path.mean, path.final  # unit 8 moves from 1 to 1.5
    (array([1. , 5. , 1.5]), array([1.5, 5. ]))
    """
    position = np.flatnonzero(mine & ~np.isnan(column))
    value, code = column[position], unit[position]
    if np.bincount(code).max(initial=0) <= 1:  # every unit has one trial
        number = np.arange(position.size, dtype=np.int64)
        return UnitPath(position, number, value, np.broadcast_to(np.nan, position.size))
    _, first, inverse = np.unique(code, return_index=True, return_inverse=True)
    number = np.argsort(np.argsort(first))[inverse].astype(np.int64)
    return UnitPath(position, number, *running_means(number, value))


def running_means(code: IntArray, value: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the mean of each unit after each of its trials, and before it (nan: its first).

    `code` numbers the units from 0. The k-th trials of all units are taken together, so
    that a unit whose value never changes keeps exactly that value.

    >>> running_means(np.array([0, 1, 0]), np.array([1.0, 5.0, 2.0]))
    (array([1. , 5. , 1.5]), array([nan, nan,  1.]))
    """
    after, before = value.astype(np.float64), np.full(value.size, np.nan)
    mean = np.zeros(int(code.max(initial=-1)) + 1)
    for count, rows in enumerate(_by_repeat(code)):
        old = mean[code[rows]]
        if count:
            before[rows] = old
            after[rows] = old + (value[rows] - old) / (count + 1)
        mean[code[rows]] = after[rows]
    return after, before


def _by_repeat(code: IntArray) -> list[IntArray]:
    """The rows of every unit's first trial, of every unit's second one, and so on."""
    repeat = repeats(code)
    rows = np.argsort(repeat, kind="stable")
    return np.split(rows, np.cumsum(np.bincount(repeat))[:-1])


def repeats(code: IntArray | Codes) -> IntArray:
    """Return how many rows of the same code precede each row.

    >>> repeats(np.array([7, 8, 7]))
    array([0, 0, 1])
    """
    order = np.argsort(code, kind="stable")
    grouped = code[order]
    starts = np.flatnonzero(np.concatenate([[True], grouped[1:] != grouped[:-1]]))
    sizes = np.diff(np.append(starts, code.size))
    repeat = np.empty(code.size, dtype=np.int64)
    repeat[order] = np.arange(code.size) - np.repeat(starts, sizes)
    return repeat


@dataclass(frozen=True)
class Pairs:
    """The pairs of one treatment with control, in the order they became complete.

    `control` and `treatment` are rows of the table; `treatment_first` is +1 or −1
    by which ran first, 0 where the records don't tell. `lone_control` and
    `lone_treatment` count runs whose partner is missing. `unit` codes what the pairs ran on,
    where something was run on several times (`None`: each pair is a unit of its own).
    """

    control: IntArray
    treatment: IntArray
    treatment_first: FloatArray
    lone_control: int
    lone_treatment: int
    unit: IntArray | None = None

    def only(self, chosen: BoolArray | IntArray | slice) -> Pairs:
        """Some of the pairs, or all in another order."""
        return Pairs(
            self.control[chosen],
            self.treatment[chosen],
            self.treatment_first[chosen],
            self.lone_control,
            self.lone_treatment,
            None if self.unit is None else self.unit[chosen],
        )

    def at_rows(self, row: IntArray) -> Pairs:
        """The pairs with row r of the table now at `row[r]`, in the order of completion there."""
        moved = replace(self, control=row[self.control], treatment=row[self.treatment])
        return moved.only(np.argsort(np.maximum(moved.control, moved.treatment)))


def unpaired_trials(trials: TrialColumns, arms: IntArray) -> int:
    """Return how many trials share a block with no trial of another arm, or name none.

    >>> from expci.core.dataset.recorded import trial_columns
    >>> from support.analysis_samples import in_pairs
    >>> trials = trial_columns(in_pairs([9.0, 9.0], [8.0, 7.0]))
    >>> arms = np.array([0, 1, 1, 0])
    >>> unpaired_trials(trials, arms), unpaired_trials(trials.take(np.arange(3)), arms[:3])
    (0, 1)
    """
    given = np.flatnonzero(trials.block.given)
    block, own = trials.block.codes[given].astype(np.int64), arms[given].astype(np.int64)
    most = int(own.max(initial=0)) + 1
    arms_in = np.bincount(np.unique(block * most + own) // most)
    return len(trials) - int(np.sum(arms_in[block] > 1))


def pairs_in_blocks(trials: TrialColumns, arms: IntArray, arm: int) -> Pairs:
    """Return the pairs: runs of one block; of several in one, the k-th run meets the k-th run.

    `arms` are the places of the trials' arms, `arm` that of the treatment.

    >>> from expci.core.dataset.recorded import trial_columns
    >>> from support.analysis_samples import in_pairs
    >>> trials = trial_columns(in_pairs([9.0, 9.0], [8.0, 7.0]))
    >>> pairs = pairs_in_blocks(trials, np.array([0, 1, 1, 0]), 1)
    >>> pairs.control, pairs.treatment, pairs.treatment_first  # the rows; +1: treatment ran first
    (array([0, 3]), array([1, 2]), array([-1.,  1.]))
    """
    rows = [np.flatnonzero((arms == own) & trials.block.given) for own in (0, arm)]
    blocks = [trials.block.codes[own] for own in rows]
    places = [block.astype(np.int64) * len(trials) + repeats(block) for block in blocks]
    _, first, second = np.intersect1d(places[0], places[1], assume_unique=True, return_indices=True)
    control, treatment = rows[0][first], rows[1][second]
    complete = np.argsort(np.maximum(control, treatment))
    control, treatment = control[complete], treatment[complete]
    order = np.sign(trials.order[control] - trials.order[treatment])
    began = np.sign(trials.started[control] - trials.started[treatment])
    lone = [int(np.sum(arms == own)) - control.size for own in (0, arm)]
    unit = trials.subject[control]
    return Pairs(
        control,
        treatment,
        np.where(order, order, began).astype(np.float64),
        lone[0],
        lone[1],
        unit if np.unique(unit).size < unit.size else None,
    )

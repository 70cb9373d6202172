"""The counted trials as columns: one row each, in the ledger's order."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from expci.core.dataset.moments import BoolArray, FloatArray, IntArray
from expci.core.dataset.unit_paths import (
    Pairs,
    UnitPath,
    is_on_a_unit,
    pairs_in_blocks,
    unit_path,
)
from expci.core.model.trial import Trial, parse_timestamp


@dataclass(frozen=True)
class TrialsTable:
    """The counted trials as columns, one row each, in the ledger's order.

    `arm` is the index among the arms (0 = control); `unit` codes what is analysed: a unit
    in an arm (in a paired design a pair that a CI job made among several is one of its own).
    `failed`: the work did not do its job. Other columns are made when first read, pairs once
    per arm.
    """

    trials: tuple[Trial, ...]
    arms: tuple[str, ...]
    paired: bool
    arm: IntArray
    unit: IntArray
    failed: BoolArray
    _pairs: dict[int, Pairs] = field(default_factory=dict, repr=False, compare=False)
    _metrics: dict[str, FloatArray] = field(default_factory=dict, repr=False, compare=False)

    def __len__(self) -> int:
        return len(self.trials)

    def metric(self, name: str) -> FloatArray:
        """What the trials report of a metric; nan where they report nothing."""
        if name not in self._metrics:
            self._metrics[name] = self._column(lambda trial: trial.metrics.get(name, math.nan))
        return self._metrics[name]

    @cached_property
    def late(self) -> tuple[int, ...]:
        """The rows with a metric that arrived after its trial."""
        return tuple(row for row, trial in enumerate(self.trials) if trial.late)

    @cached_property
    def worked(self) -> BoolArray:
        """Whether the run ended `ok`."""
        return np.array([trial.status == "ok" for trial in self.trials], dtype=np.bool_)

    @cached_property
    def timed_out(self) -> BoolArray:
        return np.array([trial.status == "timeout" for trial in self.trials], dtype=np.bool_)

    @cached_property
    def started(self) -> FloatArray:
        """The start of each trial in seconds since 1970."""
        return self._column(lambda trial: parse_timestamp(trial.started).timestamp())

    def _column(self, value: Callable[[Trial], float]) -> FloatArray:
        return np.fromiter(map(value, self.trials), dtype=np.float64, count=len(self.trials))

    def path(self, arm: int, column: FloatArray) -> UnitPath:
        """The unit means of `column` in one arm as they changed."""
        return unit_path(self.arm == arm, self.unit, column)

    def pairs(self, arm: int) -> Pairs:
        """The pairs of the arm with index `arm` and control."""
        if arm not in self._pairs:
            self._pairs[arm] = pairs_in_blocks(self.trials, self.arm, arm)
        return self._pairs[arm]

    def with_pairs_of(self, other: TrialsTable, row: IntArray) -> TrialsTable:
        """The table with the pairs of `other`, whose rows are the rows `row` of this one."""
        pairs = {arm: other.pairs(arm).at_rows(row) for arm in range(1, len(self.arms))}
        return replace(self, _pairs=pairs)


def trials_table(trials: tuple[Trial, ...], arms: tuple[str, ...], paired: bool) -> TrialsTable:
    """The columns of `trials`; every arm of a trial is one of `arms`, control the first."""
    codes: dict[tuple[str, str], int] = {}
    unit = [codes.setdefault((_unit(trial, paired), trial.arm), len(codes)) for trial in trials]
    number = {arm: index for index, arm in enumerate(arms)}
    return TrialsTable(
        trials,
        arms,
        paired,
        np.array([number[trial.arm] for trial in trials], dtype=np.int64),
        np.array(unit, dtype=np.int64),
        np.array([_failed(trial) for trial in trials], dtype=np.bool_),
    )


def _unit(trial: Trial, paired: bool) -> str:
    return trial.unit if not paired or is_on_a_unit(trial) else trial.id


def pilot_table(pilot: Sequence[Trial], arms: tuple[str, ...], paired: bool) -> TrialsTable:
    """The trials of a pilot that tell what runs are like, whatever plan they were made for."""
    usable = tuple(
        trial
        for trial in pilot
        if trial.arm in arms
        and trial.excluded is None
        and trial.status not in ("cancelled", "error")
    )
    return trials_table(usable, arms, paired)


def _failed(trial: Trial) -> bool:
    if trial.status in ("failed", "lost"):
        return True
    return trial.status == "ok" and trial.metrics.get("success") == 0

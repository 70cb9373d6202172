"""The counted trials of one look, each with its arm and the unit that is analysed."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from expci.core.dataset.moments import BoolArray, FloatArray, IntArray
from expci.core.dataset.trial_columns import TrialColumns
from expci.core.dataset.unit_paths import Pairs, UnitPath, pairs_in_blocks, unit_path


@dataclass(frozen=True)
class TrialsTable:
    """The counted trials, one row each, in the ledger's order.

    `arm` is the index among the arms (0 = control); `unit` codes what is analysed: a unit
    in an arm (in a paired design a pair that a CI job ran among several is one of its own).
    Pairs and paths are made when first read, and kept.
    """

    trials: TrialColumns
    arms: tuple[str, ...]
    paired: bool
    arm: IntArray
    unit: IntArray
    _pairs: dict[int, Pairs] = field(default_factory=dict, repr=False, compare=False)
    _paths: dict[tuple[int, int], tuple[FloatArray, UnitPath]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )  # anew in a copy, whose units may be others

    def __len__(self) -> int:
        return int(self.arm.size)

    def metric(self, name: str) -> FloatArray:
        """What the trials report of a metric; nan where they report nothing."""
        return self.trials.metric(name)

    @cached_property
    def worked(self) -> BoolArray:
        """Whether the run ended `ok`."""
        return self.trials.status.is_any("ok")

    @cached_property
    def failed(self) -> BoolArray:
        """Whether the work did not do its job."""
        unsuccessful = self.worked & (self.metric("success") == 0)
        return np.asarray(self.trials.status.is_any("failed", "lost") | unsuccessful)

    @cached_property
    def timed_out(self) -> BoolArray:
        return self.trials.status.is_any("timeout")

    def path(self, arm: int, column: FloatArray) -> UnitPath:
        """The unit means of `column` in one arm as they changed, once for each column."""
        key = arm, id(column)  # which no other column has for as long as this one is kept
        if key not in self._paths:
            self._paths[key] = column, unit_path(self.arm == arm, self.unit, column)
        return self._paths[key][1]

    def pairs(self, arm: int) -> Pairs:
        """The pairs of the arm with index `arm` and control."""
        if arm not in self._pairs:
            self._pairs[arm] = pairs_in_blocks(self.trials, self.arm, arm)
        return self._pairs[arm]

    def with_pairs_of(self, other: TrialsTable, row: IntArray) -> TrialsTable:
        """The table with the pairs of `other`, whose rows are the rows `row` of this one."""
        pairs = {arm: other.pairs(arm).at_rows(row) for arm in range(1, len(self.arms))}
        return replace(self, _pairs=pairs)


def trials_table(trials: TrialColumns, arms: tuple[str, ...], paired: bool) -> TrialsTable:
    """Return the table of `trials`; every arm of a trial is one of `arms`, control the first.

    >>> from expci.core.dataset.recorded import trial_columns
    >>> from support.analysis_samples import alternating
    >>> trials = trial_columns(alternating([9.0], [8.0]))
    >>> table = trials_table(trials, ("control", "treatment"), False)
    >>> table.arm, table.metric("duration_s")
    (array([0, 1]), array([9., 8.]))
    """
    arm = trials.arm.among(arms)
    unit = trials.subject if paired else trials.unit.codes.astype(np.int64)
    return TrialsTable(trials, arms, paired, arm, unit * len(arms) + arm)


def pilot_table(pilot: TrialColumns, arms: tuple[str, ...], paired: bool) -> TrialsTable:
    """Return the trials of a pilot that tell what runs are like, whatever plan they belong to.

    >>> from expci.core.dataset.recorded import trial_columns
    >>> from support.analysis_samples import make_trial
    >>> runs = [make_trial(1, "control", plan="b"), make_trial(2, "control", status="cancelled")]
    >>> len(pilot_table(trial_columns(runs), ("control", "treatment"), False))
    1
    """
    ended = ~pilot.excluded.given & ~pilot.status.is_any("cancelled", "error")
    usable = np.flatnonzero(ended & pilot.arm.is_any(*arms))
    return trials_table(pilot.take(usable), arms, paired)

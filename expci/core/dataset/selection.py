"""Which trials count: those of one plan, sorted by what they count for, in the ledger's order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from expci.core.dataset.factor import NONE, Factor, joint_codes
from expci.core.dataset.moments import BoolArray, IntArray
from expci.core.dataset.trial_columns import TrialColumns
from expci.core.model.trial import CI_RECORDS

NOT_EXPOSED = "not_exposed"
_REASONS = ("other_plan", "other_arm", "before_promotion", "reported_late", "rerun")
_GONE = ("cancelled", "error")


@dataclass(frozen=True)
class Selection:
    """All trials, each with the reason why it is not analysed (none: it is).

    The properties are rows. `assigned` are all that were given an arm and took part: those that
    count and the cancelled and erroneous ones. `reruns` are later attempts of a job for a unit
    that has an earlier one; `changed` ran where the varied files were others than the plan's
    base. `excluded` counts everything that is not analysed by reason.
    """

    trials: TrialColumns
    reason: Factor

    @property
    def counted(self) -> IntArray:
        return np.flatnonzero(~self.reason.given)

    @property
    def assigned(self) -> IntArray:
        return np.flatnonzero(~self.reason.given | self.reason.is_any(*_GONE))

    @property
    def reruns(self) -> IntArray:
        return np.flatnonzero(self.reason.is_any("rerun"))

    @property
    def not_exposed(self) -> IntArray:
        return np.flatnonzero(self.reason.is_any(NOT_EXPOSED))

    @property
    def changed(self) -> IntArray:
        return np.flatnonzero(self.reason.is_any("file_changed"))

    @property
    def excluded(self) -> Mapping[str, int]:
        numbers = np.bincount(self.reason.codes + 1, minlength=len(self.reason.levels) + 1)[1:]
        named = zip(self.reason.levels, numbers.tolist(), strict=True)
        return dict(sorted((reason, number) for reason, number in named if number))


def select(
    trials: TrialColumns, plan: str, arms: Sequence[str], since: datetime | None = None
) -> Selection:
    """Sort `trials` (in the ledger's order); `since` drops what started earlier.

    >>> from expci.core.dataset.recorded import trial_columns
    >>> from support.analysis_samples import PLAN, make_trial
    >>> other_arm, other_plan = make_trial(2, "gone"), make_trial(3, "control", plan="b")
    >>> trials = trial_columns([make_trial(1, "control"), other_arm, other_plan])
    >>> selection = select(trials, PLAN, ("control", "treatment"))
    >>> selection.counted, selection.excluded
    (array([0]), {'other_arm': 1, 'other_plan': 1})
    """
    own, inferred = trials.plan.is_any(plan), is_inferred(trials)
    late = inferred & _is_reported(trials, own & ~inferred) if inferred.any() else inferred
    levels = tuple(dict.fromkeys((*_REASONS, *_GONE, *trials.excluded.levels)))
    start = -np.inf if since is None else since.timestamp()
    reasons = (  # the first that applies
        (~own, levels.index("other_plan")),
        (~trials.arm.is_any(*arms), levels.index("other_arm")),
        (trials.seconds < start, levels.index("before_promotion")),
        (trials.excluded.given, trials.excluded.among(levels)),
        # The run's own record, whenever it came, is what counts.
        (late, levels.index("reported_late")),
        (_is_rerun(trials, own), levels.index("rerun")),
        (trials.status.is_any(*_GONE), trials.status.among(levels)),
    )
    where, codes = zip(*reasons, strict=True)
    reason = np.select(where, codes, NONE).astype(np.int32)
    return Selection(trials, Factor(reason, levels))


def is_inferred(trials: TrialColumns) -> BoolArray:
    """Return where a trial comes from the CI's records, because the run itself was silent.

    >>> from expci.core.dataset.recorded import trial_columns
    >>> from support.analysis_samples import make_trial
    >>> by_records = make_trial(1, "control", status="cancelled", context={"source": CI_RECORDS})
    >>> own = make_trial(2, "control", status="cancelled")
    >>> is_inferred(trial_columns([by_records, own]))
    array([ True, False])
    """
    by_records = trials.stated("source").is_any(CI_RECORDS)
    return trials.status.is_any("lost") | (trials.status.is_any("cancelled") & by_records)


def _is_reported(trials: TrialColumns, reporting: BoolArray) -> BoolArray:
    """Where the run of a trial is among those that reported for themselves."""
    runs = joint_codes(trials.unit.codes, trials.stated("run_id").codes)
    return np.isin(runs, runs[reporting])


def _is_rerun(trials: TrialColumns, own: BoolArray) -> BoolArray:
    """Where a job's earlier attempt for the same unit is there."""
    if trials.attempt.min(initial=1) == trials.attempt.max(initial=1):
        return np.zeros(len(trials), dtype=np.bool_)
    lowest = np.full(len(trials), np.iinfo(np.int64).max)
    np.minimum.at(lowest, trials.job[own], trials.attempt[own])
    return trials.attempt > lowest[trials.job]

"""What one look at an experiment starts from, its trials aside."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from expci.core.model.experiment import CONTROL, Experiment, PlanRules
from expci.core.model.source import SourceReading


@dataclass(frozen=True)
class Look:
    """Everything about one look except the trials.

    `at` and `started`, from when its time runs, are aware. `sample_size` is per arm as computed at
    the start; the plan's own goes before it. While watching, `promoted` is when the change was
    merged and `promoted_arm` which one: only trials started from then on count, and only harm is
    decided; `holdback` is the share of units that keep the old content. `change_sizes` are
    how many paths and variables each treatment changes, where known. `refused` are records
    that were not taken, by the code of the reason and the arm ("" where that is not known).
    `dropped` says since when a treatment is out; none is while watching. `runs_a_month` is how
    often what it changes runs by the CI's records, where they tell. `sources` is what is on record
    of reading metrics from databases.
    """

    experiment: Experiment
    plan: str
    ledger: str
    state: str
    at: datetime
    started: datetime
    extra_days: float = 0
    extra_trials: int = 0
    sample_size: int | None = None
    promoted: datetime | None = None
    promoted_arm: str | None = None
    version: str = ""
    holdback: float | None = None
    change_sizes: Mapping[str, int] = field(default_factory=dict)
    refused: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    dropped: Mapping[str, datetime] = field(default_factory=dict)
    runs_a_month: float | None = None
    sources: Mapping[str, SourceReading] = field(default_factory=dict)

    @property
    def watching(self) -> bool:
        return self.promoted is not None

    @property
    def arms(self) -> tuple[str, ...]:
        """Control first; while watching only the promoted arm beside it."""
        names = [arm.name for arm in self.experiment.treatments]
        if self.watching and self.promoted_arm is not None:
            names = [self.promoted_arm]
        return (CONTROL, *names)

    @property
    def weights(self) -> Mapping[str, float] | None:
        """The weight of each arm; `None` while watching without a holdback."""
        if not self.watching:
            stated = self.experiment.assignment.weights
            return {arm: stated.get(arm, 1.0) for arm in self.arms}
        own = self.holdback
        holdback = own if own is not None else self.experiment.decision.holdback
        if holdback is None or not 0 < holdback < 1:
            return None
        return {CONTROL: holdback, self.arms[-1]: 1 - holdback}

    @property
    def rules(self) -> PlanRules:
        """The plan's; its looks were planned for trials before a promotion, not for the watch.

        There every look counts, so the estimate beside the evidence is that of all trials.
        """
        rules = self.experiment.effective_rules
        if not self.watching:
            return rules
        return replace(rules, inference="anytime", planned_harm=0.0)

    @property
    def arms_left(self) -> int:
        return len(self.arms) - len(self.dropped)

    @property
    def deadline(self) -> datetime:
        days = self.experiment.plan.max_days + self.extra_days
        return self.started + timedelta(days=days)

    @property
    def must_end(self) -> datetime | None:
        """The deadline; `None` while watching, which ends on its own."""
        return None if self.watching else self.deadline

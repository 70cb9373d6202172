"""What every trust check looks at, and the comparisons that several of them make."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Literal

import numpy as np

from expci.core.dataset.dataset import Dataset
from expci.core.dataset.metric_columns import MetricColumn
from expci.core.dataset.moments import BoolArray, FloatArray, IntArray, moments
from expci.core.dataset.selection import Selection
from expci.core.dataset.trial_columns import TrialColumns
from expci.core.dataset.trials_table import TrialsTable
from expci.core.dataset.unit_paths import single_trials
from expci.core.model import limits
from expci.core.model.experiment import CONTROL, Experiment
from expci.core.model.results import Check
from expci.core.model.source import SourceReading
from expci.core.statistics import betting, classical, t_mixture

ALARM = limits.ALARM

Status = Literal["ok", "warning", "failed", "unknown"]
_URGENCY: Mapping[str, int] = {"failed": 0, "warning": 1, "unknown": 2, "ok": 3}


@dataclass(frozen=True)
class CheckInputs:
    """What the checks read. `weights` by arm, the time of the look and when it must end;
    `None` where unknown. `dropped` is since when a treatment is out, `sources` what is on
    record of reading metrics from databases.
    """

    data: Dataset
    weights: Mapping[str, float] | None
    at: datetime | None = None
    deadline: datetime | None = None
    dropped: Mapping[str, datetime] = field(default_factory=dict)
    sources: Mapping[str, SourceReading] = field(default_factory=dict)

    @property
    def experiment(self) -> Experiment:
        return self.data.experiment

    @property
    def selection(self) -> Selection:
        return self.data.selection

    @property
    def table(self) -> TrialsTable:
        return self.data.table

    @cached_property
    def assigned(self) -> TrialColumns:
        """The trials that were given an arm and took part."""
        return self.selection.trials.take(self.selection.assigned)

    @cached_property
    def assigned_arm(self) -> IntArray:
        """The place of the arm of each of them."""
        return self.assigned.arm.among(self.arms)

    @property
    def columns(self) -> Mapping[str, MetricColumn]:
        return self.data.columns

    @property
    def arms(self) -> tuple[str, ...]:
        return self.data.arms

    def block_sizes(self, treatment: str) -> tuple[int, int]:
        """Units of control and of `treatment` in a block that the weights make."""
        if self.weights is None or self.table.paired:
            return 1, 1
        return betting.block_sizes(self.weights[CONTROL], self.weights[treatment])

    @property
    def remaining(self) -> list[int]:
        """The places of the arms that are still in the experiment: control's first."""
        return [index for index, arm in enumerate(self.arms) if arm not in self.dropped]


def rates_by_arm(
    name: str,
    inputs: CheckInputs,
    arm: IntArray,
    hit: BoolArray,
    bad: Status,
    words: str,
) -> Check:
    """Check whether one share holds in all arms: treatments against control, by Bonferroni.

    `arm` are the places of the trials' arms, `hit` whether each counts for the share. In blocks
    by weight: a share that changes over time, alike in all arms, is no difference.

    >>> from support.analysis_samples import alternating
    >>> from support.examples import check_inputs
    >>> inputs = check_inputs(alternating([10.0] * 30, [10.0] * 30))
    >>> lost = inputs.assigned_arm == 1
    >>> check = rates_by_arm("attrition", inputs, inputs.assigned_arm, lost, "failed", "lost")
    >>> check.status, check.detail
    ('failed', 'lost: 0 of 30 in control, 30 of 30 in treatment')
    """
    shares = [hit[arm == index].astype(np.float64) for index in range(len(inputs.arms))]
    paths = [single_trials(share) for share in shares]
    tested = [
        betting.differing_rates(paths[0], path, inputs.block_sizes(treatment))
        for path, treatment in zip(paths[1:], inputs.arms[1:], strict=True)
    ]
    p_values = [p for p in tested if p is not None]
    detail = ", ".join(
        f"{int(p.mean.sum())} of {p.mean.size} in {a}"
        for p, a in zip(paths, inputs.arms, strict=True)
    )
    if not p_values:
        return Check(name, "unknown", None, f"{words}: {detail}")
    p_value = min(1.0, min(p_values) * len(p_values))
    return Check(name, bad if p_value <= ALARM else "ok", p_value, f"{words}: {detail}")


def two_groups(a: FloatArray, b: FloatArray) -> float | None:
    """Return log E that two groups' means differ, as of now; `None` under five or constant.

    >>> slow, fast = np.array([5.0, 6, 5, 6, 5, 6]), np.array([1.0, 2, 1, 2, 1, 2])
    >>> two_groups(slow, fast) > 0, two_groups(slow, slow) > 0, two_groups(slow, fast[:3])
    (True, False, None)
    """
    difference = classical.welch_difference(moments(a), moments(b))
    if difference is None or min(a.size, b.size) < 5:
        return None
    n_e = a.size * b.size / (a.size + b.size)
    return float(t_mixture.log_e_value(difference.t, difference.df, n_e))


def worst(checks: Sequence[Check]) -> Check | None:
    """Return the check that needs attention first; `None` without any.

    >>> worst([Check("quiet", "ok"), Check("exposure", "failed"), Check("overdue", "warning")]).name
    'exposure'
    """
    return min(checks, key=lambda c: (_URGENCY[c.status], c.p_value or 0.0), default=None)

"""One look at one experiment, as it comes from the analysis: results, checks and time."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property

import numpy as np

from expci.core import number_format
from expci.core.decision.numbers import (
    BoolArray,
    DurationGuard,
    FloatArray,
    Improvement,
    LookNumbers,
)
from expci.core.decision.table import TRUST
from expci.core.model.budget import BudgetUse
from expci.core.model.experiment import CONTROL, Experiment, Metric
from expci.core.model.results import CaseResult, Check, Comparison, Interval, MetricResult

_PASSED = {"ok": 1.0, "warning": 1.0, "failed": 0.0, "unknown": np.nan}


@dataclass(frozen=True)
class Safeguard:
    """What the win of one treatment on a duration must hold against, already computed.

    `saving` is the arithmetic difference, positive where better; `p_value`, `low` (worse
    end of the improvement's interval) and `is_exact` are with failures ranked last;
    `failures` are the failed runs of control and of the treatment.
    """

    saving: float | None
    p_value: float | None
    low: float | None
    failures: tuple[int, int]
    is_exact: bool = False


@dataclass(frozen=True)
class DecisionInput:
    """Everything that one decision and its wording depend on.

    `units` are analysed units per treatment (the smaller of the two arms; pairs), `trials`
    the counted trials of all arms. `minimum_harm` is the smallest harm that would be detected.
    `dropped` are the treatments that left before. `change_sizes` are how many paths and
    variables each treatment changes, where known. `budget` is what was spent of it. `sizes` and
    `must_pass` are as in `LookNumbers`, of the `cases` that were visited. In `queried` units of the
    smallest arm no guardrail's database is awaited (`None`: none is in one).
    """

    experiment: Experiment
    metrics: Sequence[MetricResult]
    checks: Sequence[Check]
    units: Mapping[str, int]
    target: int | None
    at: datetime
    deadline: datetime
    safeguards: Mapping[str, Safeguard]
    trials: int
    paired: bool
    watching: bool = False
    minimum_harm: float | None = None
    change_sizes: Mapping[str, int] = field(default_factory=dict)
    dropped: Collection[str] = ()
    budget: BudgetUse | None = None
    sizes: Mapping[str, int] = field(default_factory=dict)
    must_pass: Mapping[str, float | None] = field(default_factory=dict)
    cases: Sequence[CaseResult] = ()
    queried: int | None = None
    measured_sizes: Mapping[str, int] = field(default_factory=dict)

    def size(self, arm: str) -> int:
        """What counts against `min_trials` and the sample size."""
        return self.sizes.get(arm, self.units[arm])

    @property
    def remaining(self) -> tuple[str, ...]:
        """The treatments that are still in the experiment."""
        return tuple(arm for arm in self.units if arm not in self.dropped)

    def result(self, name: str) -> MetricResult:
        return next(metric for metric in self.metrics if metric.name == name)

    def comparison(self, name: str, arm: str) -> Comparison:
        return next(c for c in self.result(name).comparisons if c.arm == arm)

    def metric(self, name: str) -> Metric:
        return next(metric for metric in self.experiment.metrics if metric.name == name)

    @property
    def per_arm(self) -> int:
        return min((self.size(arm) for arm in self.remaining), default=0)

    @property
    def unit(self) -> str:
        return "pairs" if self.paired else "trials per arm"

    def counted(self, number: float) -> str:
        """`1 pair`, `12 trials per arm`."""
        singular = "pair" if self.paired else "trial per arm"
        return number_format.count(number, singular, self.unit)

    @cached_property
    def numbers(self) -> LookNumbers:
        """The same as one row with one look."""
        names = {metric.name for metric in self.metrics}
        judged = (self.experiment.primary, *self.experiment.guardrails)
        return LookNumbers(
            experiment=self.experiment,
            evidence={
                (metric.name, arm): self._evidence(metric.name, arm)
                for metric in judged
                if metric.name in names
                for arm in self.units
            },
            units={arm: number(units) for arm, units in self.units.items()},
            sizes={arm: number(size) for arm, size in self.sizes.items()},
            must_pass={arm: number(answer) for arm, answer in self.must_pass.items()},
            measured=number(self.measured),
            target=np.nan if self.target is None else self.target,
            counted=number(self.trials),
            overdue=np.array([[self.at >= self.deadline]]),
            checks={c.name: number(_PASSED[c.status]) for c in self.checks if c.name in TRUST},
            paired=self.paired,
            watching=self.watching,
            change_sizes=self.change_sizes,
            dropped={arm: np.array([[arm in self.dropped]]) for arm in self.units},
            spent=None if self.budget is None else np.array([[self.budget.is_spent]]),
        )

    @property
    def measured(self) -> int:
        """Units of the smallest arm with a value of the primary metric; in pairs, the pairs.

        Of those with a guardrail in a database no more than were asked for.
        """
        if self.paired:
            sizes = (self.measured_sizes.get(arm, self.size(arm)) for arm in self.remaining)
            return min(sizes, default=0)
        arms = self.result(self.experiment.primary.name).arms
        units = [arms[name].n for name in (CONTROL, *self.remaining) if name in arms]
        return min([*units, *([] if self.queried is None else [self.queried])], default=0)

    def _evidence(self, name: str, arm: str) -> OneLook:
        result, comparison = self.result(name), self.comparison(name, arm)
        raw, better = comparison.evidence.p_value, 1 if result.direction == "increase" else -1
        guard = self.safeguards.get(arm) if result.role == "primary" else None
        return OneLook(
            p_value=number(raw if comparison.holm_p_value is None else comparison.holm_p_value),
            harm_p_value=number(comparison.evidence.harm_p_value),
            relative=_improvement(comparison.improvement, comparison.interval, 1),
            absolute=_improvement(comparison.difference, comparison.difference_interval, better),
            relative_error=number(comparison.improvement_error),
            absolute_error=number(comparison.difference_error),
            no_loss_odds=number(comparison.no_loss_odds),
            units=number(min(result.arms[CONTROL].n, result.arms[arm].n)),
            futile=np.array([[bool(comparison.evidence.futile)]]),
            exact=np.array([[comparison.evidence.is_exact]]),
            guard=None if guard is None else _guard(guard),
        )


@dataclass(frozen=True)
class OneLook:
    """A `TreatmentEvidence` of one experiment at one look."""

    p_value: FloatArray
    harm_p_value: FloatArray
    relative: Improvement
    absolute: Improvement
    relative_error: FloatArray
    absolute_error: FloatArray
    no_loss_odds: FloatArray
    units: FloatArray
    futile: BoolArray
    exact: BoolArray
    guard: DurationGuard | None


def number(value: float | None) -> FloatArray:
    """Return a number as one row with one look; NaN for `None`.

    >>> number(0.5), number(None)
    (array([[0.5]]), array([[nan]]))
    """
    return np.array([[np.nan if value is None else value]], dtype=np.float64)


def scalar(value: FloatArray) -> float | None:
    """Return the number of one row with one look; `None` where it is undefined.

    >>> scalar(np.array([[0.5]])), scalar(np.array([[np.nan]]))
    (0.5, None)
    """
    only = float(value[0, 0])
    return only if np.isfinite(only) else None


def _improvement(estimate: float | None, interval: Interval | None, better: int) -> Improvement:
    low, high = interval or (None, None)
    if better > 0:
        return Improvement(number(estimate), number(low), number(high))
    return Improvement(-number(estimate), -number(high), -number(low))


def _guard(safeguard: Safeguard) -> DurationGuard:
    return DurationGuard(
        saving=number(safeguard.saving),
        p_value=number(safeguard.p_value),
        low=number(safeguard.low),
        exact=np.array([[safeguard.is_exact]]),
    )

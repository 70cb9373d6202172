"""The numbers that decide: arrays `[experiments, looks]`, NaN where a number is undefined.

The decision table reads nothing else. A real experiment is one row with one look.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from expci.core.decision.thresholds import MINIMUM_UNITS, harm_level
from expci.core.model.experiment import Experiment, Limit, Metric

BoolArray = NDArray[np.bool_]
FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Improvement:
    """An effect on one scale, signed so that positive is better, and its interval.

    An undefined end is NaN or infinite, an empty interval is open on both sides.
    """

    estimate: FloatArray
    low: FloatArray
    high: FloatArray


@dataclass(frozen=True)
class DurationGuard:
    """What the win of one treatment on a duration must hold against besides its evidence.

    `saving` is the arithmetic difference, positive where better; `p_value`, `low` (worse
    end of the relative improvement) and `exact` are with failures ranked last.
    """

    saving: FloatArray
    p_value: FloatArray
    low: FloatArray
    exact: BoolArray


class TreatmentEvidence(Protocol):
    """One treatment against control on one metric.

    `p_value` is adjusted over the treatments on the primary metric, `harm_p_value` is
    one-sided. `relative` is in shares of control's value, `absolute` in the metric's unit
    (points for proportions). `units` are those with a value in the smaller of the two arms;
    `futile` is where the plan's futility bound was crossed, `exact` where no value ever varies: the
    estimate is the effect, without a p-value. `relative_error` and `absolute_error` are the
    standard errors of the two estimates, as of one look; `no_loss_odds` how many times as likely
    the data are without a loss as with twice the limit, where the kind knows better than by these.
    """

    @property
    def p_value(self) -> FloatArray: ...
    @property
    def harm_p_value(self) -> FloatArray: ...
    @property
    def relative(self) -> Improvement: ...
    @property
    def absolute(self) -> Improvement: ...
    @property
    def relative_error(self) -> FloatArray: ...
    @property
    def absolute_error(self) -> FloatArray: ...
    @property
    def no_loss_odds(self) -> FloatArray: ...
    @property
    def units(self) -> FloatArray: ...
    @property
    def futile(self) -> BoolArray: ...
    @property
    def exact(self) -> BoolArray: ...
    @property
    def guard(self) -> DurationGuard | None: ...


@dataclass(frozen=True)
class LookNumbers:
    """All that decides, of every experiment at every look.

    `evidence` is by metric and treatment; a guardrail without evidence cannot object.
    `units` are analysed units of each treatment (of the smaller arm; pairs), `measured`
    those of the smallest arm that have a value of the primary metric. `checks` hold for
    each trust check 1 where it passed and 0 where it failed. `change_sizes` are how many
    paths and variables each treatment changes, where known. `dropped` is where a treatment
    left the experiment before. `spent` is where the budget is used up, `None` without one.
    `sizes` are what counts against `min_trials` and the sample size where that is not `units`: the
    pairs, where one case is visited again and again. `must_pass` is by treatment 1 where it breaks
    no case that it must not, else 0.
    """

    experiment: Experiment
    evidence: Mapping[tuple[str, str], TreatmentEvidence]
    units: Mapping[str, FloatArray]
    measured: FloatArray
    target: float
    counted: FloatArray
    overdue: BoolArray
    checks: Mapping[str, FloatArray]
    paired: bool
    watching: bool = False
    change_sizes: Mapping[str, int] = field(default_factory=dict)
    dropped: Mapping[str, BoolArray] = field(default_factory=dict)
    spent: BoolArray | None = None
    sizes: Mapping[str, FloatArray] = field(default_factory=dict)
    must_pass: Mapping[str, FloatArray] = field(default_factory=dict)

    def size(self, arm: str) -> FloatArray:
        """Return what counts against `min_trials` and the sample size."""
        return self.sizes.get(arm, self.units[arm])

    @property
    def treatments(self) -> tuple[str, ...]:
        return tuple(self.units)

    def remains(self, arm: str) -> BoolArray:
        """Return where a treatment is still in the experiment."""
        out = self.dropped.get(arm)
        return np.ones(self.counted.shape, dtype=np.bool_) if out is None else ~out

    @property
    def per_arm(self) -> FloatArray:
        """The size of the treatment that has fewest, of those that remain."""
        sizes = [np.where(self.remains(arm), self.size(arm), np.inf) for arm in self.units]
        return np.asarray(np.minimum.reduce(sizes))

    @property
    def alpha(self) -> float:
        return self.experiment.effective_rules.alpha

    @property
    def harm_level(self) -> float:
        return harm_level(self.experiment, len(self.units))

    @property
    def minimum_units(self) -> int:
        """Units per arm (pairs) under which nothing is decided."""
        return MINIMUM_UNITS["paired" if self.paired else "randomized"]

    @property
    def judged(self) -> tuple[Metric, ...]:
        """The primary metric, then the guardrails that have evidence."""
        return (self.experiment.primary, *self.guardrails)

    @property
    def guardrails(self) -> tuple[Metric, ...]:
        with_evidence = {name for name, _ in self.evidence}
        return tuple(m for m in self.experiment.guardrails if m.name in with_evidence)

    def improvement(self, metric: Metric, arm: str, limit: Limit) -> Improvement:
        """Return the effect in the terms of `limit`; a proportion's is always in points."""
        evidence = self.evidence[metric.name, arm]
        return evidence.relative if _is_relative(metric, limit) else evidence.absolute

    def error(self, metric: Metric, arm: str, limit: Limit) -> FloatArray:
        """Return the standard error of that effect, in the same terms."""
        evidence = self.evidence[metric.name, arm]
        return evidence.relative_error if _is_relative(metric, limit) else evidence.absolute_error


def _is_relative(metric: Metric, limit: Limit) -> bool:
    return limit.relative and not metric.traits.is_share

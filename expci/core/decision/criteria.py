"""What a decision is made of: the situation, the limits, and the criteria of a win.

Nothing here is computed from trials; each criterion keeps the numbers it was judged by.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from expci.core import number_format
from expci.core.model.experiment import CONTROL, Experiment, Limit, Metric
from expci.core.model.results import Check, Comparison, Criterion, MetricResult

DEFAULT_REGRESSION = Limit(0.10, True)
PROPORTION_REGRESSION = Limit(0.05, False)


UNSTEADY = (
    "the interval is empty: the effect was not the same over the whole time, so no single effect "
    "fits all looks and this comparison cannot win any more"
)

# One failure in twenty is 5 points though 0.95 − 1 is a little less in binary.
ROUNDING = 1e-9


@dataclass(frozen=True)
class Guard:
    """What the win of one treatment on a duration must hold against, already computed.

    `saving` is the arithmetic difference, positive where better; `p_value` and `cautious`
    (worse end of the improvement's interval) are with failures ranked last.
    """

    saving: float | None
    p_value: float | None
    cautious: float | None
    failures: tuple[int, int]


@dataclass(frozen=True)
class Situation:
    """All that decides. `units` are analysed units per treatment (the smaller of the two
    arms; pairs), `minimum_units` those under which nothing is decided. `change_sizes`
    are how many paths and variables each treatment changes, where known.
    """

    experiment: Experiment
    alpha: float
    metrics: Sequence[MetricResult]
    checks: Sequence[Check]
    units: Mapping[str, int]
    minimum_units: int
    target: int | None
    at: datetime
    deadline: datetime
    guards: Mapping[str, Guard]
    watching: bool = False
    minimum_harm: float | None = None
    trials: int = 0
    paired: bool = False
    change_sizes: Mapping[str, int] = field(default_factory=dict)

    @property
    def treatments(self) -> tuple[str, ...]:
        return tuple(self.units)

    @property
    def unit(self) -> str:
        return "pairs" if self.paired else "trials per arm"

    @property
    def per_arm(self) -> int:
        return min(self.units.values(), default=0)

    @property
    def min_trials(self) -> int:
        """No promotion before; the sample size if that is smaller."""
        plan = self.experiment.plan
        if plan.sample_size is None:
            return plan.min_trials
        return min(plan.min_trials, plan.sample_size)

    def spec(self, name: str) -> Metric | None:
        return next((m for m in self.experiment.metrics if m.name == name), None)

    def of(self, metric: MetricResult, arm: str) -> Comparison | None:
        return next((c for c in metric.comparisons if c.arm == arm), None)

    @property
    def primary(self) -> MetricResult:
        return next(metric for metric in self.metrics if metric.role == "primary")

    @property
    def guardrails(self) -> tuple[MetricResult, ...]:
        return tuple(metric for metric in self.metrics if metric.role == "guardrail")


def regression_limit(metric: Metric) -> Limit:
    """What may be lost at most: stated, or 10 % (5 points for proportions)."""
    if metric.max_regression is not None:
        return metric.max_regression
    return PROPORTION_REGRESSION if metric.kind == "proportion" else DEFAULT_REGRESSION


def promotion_threshold(experiment: Experiment) -> Limit:
    """The estimate needed: `promote_at`, half of `minimum_effect`, or anything above 0."""
    if experiment.decision.promote_at is not None:
        return experiment.decision.promote_at
    effect = experiment.primary.minimum_effect
    if effect is not None:
        return Limit(effect.value / 2, effect.relative)
    return Limit(0.0, experiment.primary.kind == "duration")


@dataclass(frozen=True)
class Standing:
    """An improvement and its interval in the terms of a limit: a share, or the unit."""

    estimate: float | None
    low: float | None
    high: float | None


def standing_of(metric: MetricResult, found: Comparison, limit: Limit) -> Standing:
    if limit.relative and metric.kind != "proportion":
        low, high = found.interval or (None, None)
        return Standing(found.improvement, low, high)
    ends = found.difference_interval or (None, None)
    if metric.direction == "increase":
        return Standing(found.difference, *ends)
    low, high = (None if end is None else -end for end in reversed(ends))
    return Standing(None if found.difference is None else -found.difference, low, high)


def measured_units(metric: MetricResult, arm: str) -> int:
    """Units of the smaller of the two arms that have this metric."""
    return min(metric.arms[CONTROL].n, metric.arms[arm].n)


def win_criteria(s: Situation, arm: str) -> list[Criterion]:
    """What the promotion of `arm` needs, one by one."""
    found = s.of(s.primary, arm)
    needed = max(s.min_trials, s.minimum_units)
    units = s.units.get(arm, 0)
    criteria = [
        Criterion(
            f"promote {arm}: enough trials", units >= needed, f"{units} {s.unit}, needs {needed}"
        )
    ]
    if found is None:
        return [*criteria, Criterion(f"promote {arm}: evidence", None, "not compared yet")]
    criteria += [evidence_criterion(s, found), _large_enough(s, found)]
    criteria += [_within(s, metric, arm) for metric in s.guardrails]
    if s.primary.kind == "duration":
        criteria += _duration_criteria(s, arm)
    return criteria


def adjusted_p_value(found: Comparison) -> float | None:
    return found.evidence.p_value if found.holm_p_value is None else found.holm_p_value


def evidence_criterion(s: Situation, found: Comparison) -> Criterion:
    rule, p_value = f"promote {found.arm}: evidence", adjusted_p_value(found)
    if p_value is None:
        return Criterion(rule, None, "no evidence yet" + because(found))
    detail = f"p {in_words(p_value)}, needs {in_words(s.alpha)} or less"
    if p_value > s.alpha:
        return Criterion(rule, False, detail)
    side = _better_side(s.primary, found)
    if not side and UNSTEADY in found.notes:
        detail += f"; but {UNSTEADY}"
    elif not side:
        detail += "; but the interval does not say that it is better"
    return Criterion(rule, side, detail)


def _better_side(metric: MetricResult, found: Comparison) -> bool:
    """Whether the interval lies on the better side of 0: evidence has a direction."""
    relative = Limit(0.0, True)
    standing = standing_of(metric, found, relative)
    if standing.low is None:  # no relative interval: the one in the unit tells as much
        standing = standing_of(metric, found, Limit(0.0, False))
    return standing.low is not None and standing.low >= 0


def _large_enough(s: Situation, found: Comparison) -> Criterion:
    threshold = promotion_threshold(s.experiment)
    estimate = standing_of(s.primary, found, threshold).estimate
    rule = f"promote {found.arm}: effect"
    needed = amount(threshold.value, s.primary, threshold)
    if estimate is None:
        return Criterion(rule, None, f"no estimate yet, needs {needed}" + because_unknown(found))
    met = estimate >= threshold.value and estimate > 0
    detail = f"{amount(estimate, s.primary, threshold)}, needs {needed} or more"
    return Criterion(rule, met, detail)


def _within(s: Situation, metric: MetricResult, arm: str) -> Criterion:
    rule, found, spec = f"promote {arm}: guardrail {metric.name}", s.of(metric, arm), None
    spec = s.spec(metric.name)
    if found is None or spec is None:
        return Criterion(rule, None, "not compared yet")
    limit = regression_limit(spec)
    standing = standing_of(metric, found, limit)
    value, what = (
        (standing.low, "interval's worse end")
        if spec.non_inferior
        else (
            standing.estimate,
            "estimate",
        )
    )
    allowed = amount(-abs(limit.value), metric, limit)
    if value is None:
        return Criterion(rule, None, f"no {what} yet, allowed {allowed}" + because_unknown(found))
    detail = f"{what} {amount(value, metric, limit)}, allowed {allowed}"
    return Criterion(rule, value >= -abs(limit.value) - ROUNDING, detail)


def _duration_criteria(s: Situation, arm: str) -> list[Criterion]:
    guard = s.guards.get(arm)
    mean, last = f"promote {arm}: arithmetic mean", f"promote {arm}: failures ranked last"
    if guard is None:
        return [Criterion(mean, None, "not known yet"), Criterion(last, None, "not known yet")]
    saving = guard.saving
    better = None if saving is None else saving > 0
    failures = f"{guard.failures[1]} failed runs in {arm}, {guard.failures[0]} in control"
    holds = None
    if guard.p_value is not None and guard.cautious is not None:
        holds = guard.p_value <= s.alpha and guard.cautious >= 0
    elif guard.p_value is not None:
        holds = False
    return [
        Criterion(mean, better, f"saves {number(saving)} per run on average"),
        Criterion(last, holds, f"p {in_words(guard.p_value)} with them last; {failures}"),
    ]


def because(found: Comparison) -> str:
    """Why there is no evidence: what the weighing noted first."""
    return f": {found.notes[0]}" if found.notes else ""


def because_unknown(found: Comparison) -> str:
    """Why there is no estimate: a refused relative change says so itself."""
    refused = [note for note in found.notes if note.startswith("no relative change")]
    return f": {refused[0]}" if refused else because(found)


def in_words(value: float | None) -> str:
    """A p-value or a level."""
    return number_format.bare_p_value(value)


def number(value: float | None) -> str:
    return number_format.number(value)


def amount(value: float | None, metric: MetricResult, limit: Limit) -> str:
    """An improvement in words: per cent, points, or the metric's unit; signed."""
    return number_format.improvement(value, metric.name, metric.kind, limit.relative)


def size(value: float | None, metric: MetricResult, limit: Limit) -> str:
    """An amount that the sentence around it gives a direction."""
    return number_format.improvement(value, metric.name, metric.kind, limit.relative, sign=False)

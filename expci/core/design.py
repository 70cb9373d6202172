"""How many trials a plan needs, what it can see, and how long it takes.

Planning formulas; the decision itself is `decision`'s. Heavy imports are made where they
are used, so that reading a plan stays quick.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from expci.core.model import CONTROL, Baseline, Experiment, Limit, Metric, PlanRules
from expci.core.trials import Trial

if TYPE_CHECKING:
    from expci.core.observation import Frame

# The t-mixture e-process needs 1.6 to 1.85 times the fixed sample for a power of 80 %.
FACTORS = {"anytime": 1.7, "group-sequential": 1.05, "fixed": 1.0}
_LARGEST = 10_000_000
HOPELESS = 0.6  # under this power, trials are wasted


@dataclass(frozen=True)
class Spread:
    """What control looks like: mean and sd per unit, in the metric's unit.

    `log_sd` is the sd of the logarithms (durations), `difference_sd` that of pair
    differences on the scale of analysis; `None` where not measured.
    """

    mean: float
    sd: float
    log_sd: float | None = None
    difference_sd: float | None = None

    @property
    def cv(self) -> float | None:
        return self.sd / abs(self.mean) if self.mean else None


def required_sample_size(
    metric: Metric,
    plan: PlanRules,
    design: str,
    baseline: Baseline | Spread,
    weights: tuple[float, float] = (1.0, 1.0),
) -> int | None:
    """Units of the smaller arm (pairs if `paired`) to see `minimum_effect` with `plan.power`.

    The fixed sample of the two-sided t test (Cohen 1988), times what looking at every
    trial costs. `None` where no effect is planned, nothing varies, or the effect cannot
    be (100 % off a duration).
    """
    spread = _as_spread(baseline)
    effect, sd = planned_effect(metric, spread), scale_sd(metric, spread, design)
    if not effect or not sd:
        return None
    fixed = fixed_sample_size(
        effect / sd, plan.alpha, plan.power, one_sample=_pairs(metric, design)
    )
    if fixed is None:
        return None
    ratio = max(weights) / min(weights) if min(weights) > 0 else 1.0
    allocation = 1.0 if _pairs(metric, design) else (1 + ratio) / (2 * ratio)
    return math.ceil(fixed * FACTORS[plan.inference] * allocation - 1e-9)


def _as_spread(baseline: Baseline | Spread) -> Spread:
    return baseline if isinstance(baseline, Spread) else Spread(baseline.mean, baseline.sd)


def _pairs(metric: Metric, design: str) -> bool:
    return design == "paired" and metric.kind != "proportion"


def planned_effect(metric: Metric, spread: Spread) -> float | None:
    """`minimum_effect` on the scale of analysis: log ratio, unit, or share of successes."""
    if metric.minimum_effect is None:
        return None
    return effect_on_scale(metric, metric.minimum_effect, spread)


def effect_on_scale(metric: Metric, limit: Limit, spread: Spread) -> float | None:
    """The size of `limit` where the metric is analysed; positive, `None` where impossible."""
    if metric.kind == "proportion":
        return abs(limit.value) or None
    if metric.kind != "duration":
        return abs(limit.value * (spread.mean if limit.relative else 1.0)) or None
    share = abs(limit.value) if limit.relative else _share(limit.value, spread.mean)
    if metric.direction == "increase":
        return math.log1p(share) or None
    return -math.log1p(-share) or None if share < 1 else None


def _share(value: float, mean: float) -> float:
    return abs(value / mean) if mean else 0.0


def scale_sd(metric: Metric, spread: Spread, design: str) -> float | None:
    """The sd of a unit (of a pair difference if `paired`) on the scale of analysis.

    Without measured pairs a pair is taken to gain nothing: √2 times the unit's sd.
    """
    if _pairs(metric, design) and spread.difference_sd is not None:
        return spread.difference_sd
    sd: float | None = spread.sd
    if metric.kind == "duration":
        sd = spread.log_sd
        if sd is None:  # of a lognormal with that mean and sd
            sd = math.sqrt(math.log1p((spread.cv or 0.0) ** 2))
    elif metric.kind == "proportion":
        sd = _proportion_sd(metric, spread)
    return sd * math.sqrt(2) if _pairs(metric, design) and sd is not None else sd


def _proportion_sd(metric: Metric, spread: Spread) -> float:
    """Root of the mean variance of both arms, at control's rate and at the hoped-for one."""
    better = 1 if metric.direction == "increase" else -1
    effect = metric.minimum_effect.value if metric.minimum_effect else 0.0
    rates = (spread.mean, min(1.0, max(0.0, spread.mean + better * effect)))
    return math.sqrt(sum(rate * (1 - rate) for rate in rates) / 2)


def fixed_sample_size(d: float, alpha: float, power: float, one_sample: bool = False) -> int | None:
    """Units per arm (pairs) for a fixed two-sided t test to see a standardised effect d.

    By the noncentral t: 64 per arm at d = 0.5, power 0.8, alpha 0.05 (Cohen 1988, table 2.4.1).
    """
    from expci.core import estimate

    test = estimate.one_sample_power if one_sample else estimate.two_sample_power
    low, high = 2, 4
    while (test(d, 1.0, high, alpha) or 0.0) < power:
        low, high = high, high * 2
        if high > _LARGEST:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        enough = (test(d, 1.0, middle, alpha) or 0.0) >= power
        low, high = (low, middle) if enough else (middle, high)
    return low if (test(d, 1.0, low, alpha) or 0.0) >= power else high


def planned_power(
    metric: Metric, plan: PlanRules, design: str, baseline: Baseline | Spread, units: float
) -> float | None:
    """Power to see `minimum_effect` with `units` per arm: the fixed test's on units/factor."""
    from expci.core import estimate

    spread = _as_spread(baseline)
    effect, sd = planned_effect(metric, spread), scale_sd(metric, spread, design)
    if not effect or not sd:
        return None
    test = estimate.one_sample_power if _pairs(metric, design) else estimate.two_sample_power
    return test(effect, sd, units / FACTORS[plan.inference], plan.alpha)


def detectable_effect(
    metric: Metric,
    design: str,
    baseline: Baseline | Spread,
    units: float,
    alpha: float,
    power: float,
    factor: float = FACTORS["anytime"],
    worse: bool = False,
) -> float | None:
    """The smallest change that `units` per arm show with `power`; `worse` asks for harm.

    A share of control's mean; for proportions, in points. `None` where nothing varies.
    """
    from expci.core import estimate

    spread = _as_spread(baseline)
    sd = scale_sd(metric, spread, design)
    test = estimate.one_sample_power if _pairs(metric, design) else estimate.two_sample_power
    if not sd or units / factor < 2 or not (spread.mean or metric.kind == "duration"):
        return None
    low, high = 0.0, 1.0
    while (test(high, 1.0, units / factor, alpha) or 0.0) < power and high < 1e6:
        high *= 2
    for _ in range(60):
        middle = (low + high) / 2
        enough = (test(middle, 1.0, units / factor, alpha) or 0.0) >= power
        low, high = (low, middle) if enough else (middle, high)
    if metric.kind == "proportion":
        return min(1.0, high * sd)
    if metric.kind != "duration":
        return high * sd / abs(spread.mean)
    grows = (metric.direction == "increase") != worse
    change = high * sd
    return math.expm1(min(change, 700.0)) if grows else -math.expm1(-change)


def measured_spread(
    metric: Metric, table: Frame, timeout_s: float, units: int | None = None
) -> Spread | None:
    """Control's spread over its first `units` units (pairs), in the ledger's order.

    `None` before there are so many, under two, or where the kind is not planned with.
    """
    import numpy as np

    from expci.core import observation
    from expci.core.summary import moments

    column = observation.values(metric, table, timeout_s)
    control = observation.path(table, 0, column.value).final
    found = moments(control[:units])
    if found.sd is None or (units is not None and control.size < units):
        return None
    log_sd = moments(np.log(control[:units])).sd if metric.kind == "duration" else None
    if not table.paired or metric.kind == "proportion":
        return Spread(found.mean, found.sd, log_sd)
    differences = _pair_differences(metric, table, column.last)
    if units is not None and (differences is None or differences[0] < units):
        return None
    return Spread(found.mean, found.sd, log_sd, _difference_sd(metric, table, column.last, units))


def _pair_differences(metric: Metric, table: Frame, column: Any) -> tuple[int, Any, Any] | None:
    import numpy as np

    from expci.core import observation

    if len(table.arms) < 2:
        return None
    found = observation.pairs(table, 1)
    scaled = np.log(column) if metric.kind == "duration" else column
    difference = scaled[found.treatment] - scaled[found.control]
    keep = ~np.isnan(difference)
    return int(keep.sum()), difference[keep], found.treatment_first[keep]


def _difference_sd(metric: Metric, table: Frame, column: Any, units: int | None) -> float | None:
    from expci.core import estimate

    found = _pair_differences(metric, table, column)
    if found is None:
        return None
    fit = estimate.order_adjusted(found[1][:units], found[2][:units])
    if fit is None:
        return None
    return fit.residual_sd


@dataclass(frozen=True, kw_only=True)
class PlanReport:
    """The `expci.plan/1` document; `None` where nothing tells."""

    schema: str = "expci.plan/1"
    experiment: str
    sample_size: dict[str, Any]
    minimum_detectable_effect: float | None
    power: float | None
    trials_per_day: float | None
    expected_days: float | None
    operating_characteristics: tuple[dict[str, Any], ...] = ()
    advice: tuple[str, ...] = ()


def plan_report(
    experiment: Experiment, pilot: Sequence[Trial], trials_per_day: float | None
) -> PlanReport:
    """What this plan needs and can see, from a pilot or the stated baseline of its primary."""
    spread, basis = _pilot_spread(experiment, pilot)
    metric, rules = experiment.primary, effective_rules(experiment)
    design = experiment.assignment.design
    needed = (
        None
        if spread is None
        else required_sample_size(metric, rules, design, spread, arm_weights(experiment))
    )
    size = rules.sample_size or (None if needed is None else max(needed, rules.min_trials))
    days = _expected_days(experiment, size, trials_per_day)
    power = seen = None
    if spread is not None and size is not None:
        power = planned_power(metric, rules, design, spread, size)
        factor = FACTORS[rules.inference]
        seen = detectable_effect(metric, design, spread, size, rules.alpha, rules.power, factor)
    return PlanReport(
        experiment=experiment.id,
        sample_size={"per_arm": size, "needed": needed, "basis": basis},
        minimum_detectable_effect=seen,
        power=power,
        trials_per_day=trials_per_day,
        expected_days=days,
        advice=_advice(experiment, spread, size, needed, power, days),
    )


def effective_rules(experiment: Experiment) -> PlanRules:
    """The plan's rules with the alpha that is used: `risk: high` tests at 0.01 or less."""
    from dataclasses import replace

    if experiment.risk != "high":
        return experiment.plan
    return replace(experiment.plan, alpha=min(experiment.plan.alpha, 0.01))


def arm_weights(experiment: Experiment) -> tuple[float, float]:
    """Control's weight and the smallest treatment's; equal where none is stated."""
    weights = experiment.assignment.weights
    treatments = [weights.get(arm.name, 1.0) for arm in experiment.treatments]
    return weights.get(CONTROL, 1.0), min(treatments, default=1.0)


def _pilot_spread(experiment: Experiment, pilot: Sequence[Trial]) -> tuple[Spread | None, str]:
    stated = experiment.primary.baseline
    if pilot:
        from expci.core import observation

        names = tuple(arm.name for arm in experiment.arms)
        usable = tuple(
            trial
            for trial in pilot
            if trial.arm in names
            and trial.excluded is None
            and trial.status not in ("cancelled", "error")
        )
        paired = experiment.assignment.design == "paired"
        table = observation.frame(usable, names, paired)
        found = measured_spread(experiment.primary, table, experiment.timeout_s)
        if found is not None:
            return found, "pilot"
    if stated is not None:
        return Spread(stated.mean, stated.sd), "baseline"
    return None, "unknown"


def _expected_days(experiment: Experiment, size: int | None, rate: float | None) -> float | None:
    if size is None or not rate:
        return None
    return size * len(experiment.arms) / rate


def _advice(
    experiment: Experiment,
    spread: Spread | None,
    size: int | None,
    needed: int | None,
    power: float | None,
    days: float | None,
) -> tuple[str, ...]:
    unit = "pairs" if experiment.assignment.design == "paired" else "trials per arm"
    advice = []
    if experiment.primary.minimum_effect is None:
        advice.append("No minimum_effect is stated, so no sample size can be computed.")
    elif spread is None:
        advice.append(
            "Nothing tells how much the metric varies: record a pilot or state a baseline."
        )
    if power is not None and power < HOPELESS and size and needed:
        advice.append(_hopeless(experiment, spread, size, needed, power, unit))
    if days is not None and days > experiment.plan.max_days:
        advice.append(
            f"At the present rate {size} {unit} take {days:.0f} days, and the plan ends after "
            f"{experiment.plan.max_days:g}: raise max_days, or plan for a larger effect."
        )
    if experiment.plan.inference == "group-sequential":
        advice.append("inference: group-sequential is not available in this version.")
    if experiment.primary.kind not in ("duration", "mean", "proportion"):
        advice.append(f"kind: {experiment.primary.kind} is not available in this version.")
    return tuple(advice)


def _hopeless(
    experiment: Experiment,
    spread: Spread | None,
    size: int,
    needed: int,
    power: float,
    unit: str,
) -> str:
    cv = spread.cv if spread is not None else None
    varies = "" if cv is None else f" when single runs vary by {100 * cv:.0f} %"
    effect = str(experiment.primary.minimum_effect)
    words = (
        f"{size} {unit} can hardly see {effect}{varies}: power {100 * power:.0f} %. "
        f"It takes {needed}"
    )
    if experiment.assignment.design == "paired":
        return words + "."
    return words + ", or the paired design, if both arms can run in one job."

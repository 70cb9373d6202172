"""How many units a plan needs, and what so many can see: the formulas of planning.

Numbers come from the fixed t test (Cohen 1988) times what looking at every trial costs.
Heavy imports stand where they are used, so that reading a plan stays quick.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

from expci.core.model import limits
from expci.core.model.experiment import Baseline, Limit, Metric, PlanRules

# The t-mixture e-process needs 1.6 to 1.85 times the fixed sample for a power of 80 %.
FACTORS = {"anytime": limits.SAMPLE_SIZE_FACTOR, "group-sequential": 1.05, "fixed": 1.0}
_LARGEST = 10_000_000


def looks_cost(metric: Metric, plan: PlanRules) -> float:
    """Return the sample, as a multiple of the fixed one, that looking in the plan's mode needs.

    >>> cost = Metric("cost", "primary", "mean", "decrease")
    >>> looks_cost(cost, PlanRules(inference="fixed"))
    1.0
    """
    if plan.inference == "group-sequential":
        from expci.core.statistics import group_sequential

        return group_sequential.inflation(
            plan.looks, plan.alpha, plan.power, plan.spending, plan.rho, plan.reserve
        )
    if plan.inference == "anytime":
        tuned = metric.role == "primary" and plan.planned_effect is not None
        return limits.TUNED_FACTOR if tuned else metric.traits.anytime_factor
    return FACTORS[plan.inference]


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
    """Return the units that see `minimum_effect` with `plan.power`.

    Of the smaller arm (pairs if `paired`).
    The fixed sample of the two-sided t test (Cohen 1988), times what looking at every
    trial costs. `None` where no effect is planned, nothing varies, or the effect cannot
    be (100 % off a duration).

    >>> score = Metric("score", "primary", "mean", "increase", minimum_effect=Limit(1.0, False))
    >>> plan = PlanRules(inference="fixed", alpha=0.05, power=0.8)
    >>> required_sample_size(score, plan, "randomized", Baseline(mean=50.0, sd=2.0))
    64
    """
    spread = as_spread(metric, baseline)
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
    return math.ceil(fixed * looks_cost(metric, plan) * allocation - 1e-9)


def as_spread(metric: Metric, baseline: Baseline | Spread) -> Spread:
    """Return a stated baseline as though it had been measured: what one unit adds to the error.

    A quantile's error is √(q(1 − q))/f(x_q) per unit, f the density (Serfling 1980, 2.3.3): of a
    normal distribution with that sd, 1.25 sd for the median and 1.71 sd for the 0.9 quantile.

    >>> median = Metric("time", "primary", "quantile", "decrease", quantile=0.5)
    >>> round(as_spread(median, Baseline(mean=10.0, sd=2.0)).sd, 2)
    2.51
    """
    if isinstance(baseline, Spread):
        return baseline
    if metric.traits.control is not None:  # it never varies: the treatment's sd is the pair's
        return Spread(baseline.mean, baseline.sd, difference_sd=baseline.sd)
    if metric.quantile is None:
        return Spread(baseline.mean, baseline.sd)
    q, normal = metric.quantile, NormalDist()
    factor = math.sqrt(q * (1 - q)) / normal.pdf(normal.inv_cdf(q))
    return Spread(baseline.mean, baseline.sd * factor)


def _pairs(metric: Metric, design: str) -> bool:
    return design == "paired" and metric.traits.pairing != "never"


def planned_effect(metric: Metric, spread: Spread) -> float | None:
    """Return `minimum_effect` on the scale of analysis: log ratio, unit, or share of successes.

    `None` where no effect is planned or it is impossible.

    >>> cost = Metric("cost", "primary", "mean", "decrease", minimum_effect=Limit(0.1, True))
    >>> planned_effect(cost, Spread(mean=40.0, sd=5.0))
    4.0
    """
    if metric.minimum_effect is None:
        return None
    return effect_on_scale(metric, metric.minimum_effect, spread)


def effect_on_scale(metric: Metric, limit: Limit, spread: Spread) -> float | None:
    """Return the size of `limit` where the metric is analysed; positive, `None` where impossible.

    >>> time = Metric("duration_s", "primary", "duration", "decrease")
    >>> round(effect_on_scale(time, Limit(0.2, True), Spread(40.0, 5.0)) or 0.0, 3)  # −log 0.8
    0.223
    """
    if metric.traits.is_share:
        return abs(limit.value) or None
    if not metric.traits.is_logarithmic:
        return abs(limit.value * (spread.mean if limit.relative else 1.0)) or None
    share = abs(limit.value) if limit.relative else _share(limit.value, spread.mean)
    if metric.direction == "increase":
        return math.log1p(share) or None
    return -math.log1p(-share) or None if share < 1 else None


def _share(value: float, mean: float) -> float:
    return abs(value / mean) if mean else 0.0


def scale_sd(metric: Metric, spread: Spread, design: str) -> float | None:
    """Return the sd of a unit (of a pair difference if `paired`) on the scale of analysis.

    Without measured pairs a pair is taken to gain nothing: √2 times the unit's sd.

    >>> cost = Metric("cost", "primary", "mean", "decrease")
    >>> scale_sd(cost, Spread(40.0, 5.0), "randomized"), scale_sd(cost, Spread(40.0, 5.0), "paired")
    (5.0, 7.0710678118654755)
    """
    if _pairs(metric, design) and spread.difference_sd is not None:
        return spread.difference_sd
    sd: float | None = spread.sd
    if metric.traits.is_logarithmic:
        sd = spread.log_sd
        if sd is None:  # of a lognormal with that mean and sd
            sd = math.sqrt(math.log1p((spread.cv or 0.0) ** 2))
    elif metric.traits.is_share:
        sd = _proportion_sd(metric, spread)
    return sd * math.sqrt(2) if _pairs(metric, design) and sd is not None else sd


def _proportion_sd(metric: Metric, spread: Spread) -> float:
    """Root of the mean variance of both arms, at control's rate and at the hoped-for one."""
    better = 1 if metric.direction == "increase" else -1
    effect = metric.minimum_effect.value if metric.minimum_effect else 0.0
    rates = (spread.mean, min(1.0, max(0.0, spread.mean + better * effect)))
    return math.sqrt(sum(rate * (1 - rate) for rate in rates) / 2)


def fixed_sample_size(d: float, alpha: float, power: float, one_sample: bool = False) -> int | None:
    """Return units per arm (pairs) for a fixed two-sided t test to see a standardised effect d.

    By the noncentral t; `None` beyond ten million.

    >>> fixed_sample_size(0.5, 0.05, 0.8)  # Cohen (1988), table 2.4.1
    64
    """
    from expci.core.statistics import classical

    test = classical.one_sample_power if one_sample else classical.two_sample_power
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
    """Return the power to see `minimum_effect` with `units` per arm.

    The fixed test's on units/factor; `None` where no effect is planned or nothing varies.

    >>> score = Metric("score", "primary", "mean", "increase", minimum_effect=Limit(1.0, False))
    >>> plan = PlanRules(inference="fixed")
    >>> round(planned_power(score, plan, "randomized", Baseline(50.0, 2.0), 64) or 0.0, 2)
    0.8
    """
    from expci.core.statistics import classical

    spread = as_spread(metric, baseline)
    effect, sd = planned_effect(metric, spread), scale_sd(metric, spread, design)
    if not effect or not sd:
        return None
    test = classical.one_sample_power if _pairs(metric, design) else classical.two_sample_power
    return test(effect, sd, units / looks_cost(metric, plan), plan.alpha)


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
    """Return the smallest change that `units` per arm show with `power`; `worse` asks for harm.

    A share of control's mean; for proportions, in points. `None` where nothing varies.

    >>> score = Metric("score", "primary", "mean", "increase")
    >>> control = Baseline(mean=50.0, sd=2.0)
    >>> size = detectable_effect(score, "randomized", control, 64, 0.05, 0.8, factor=1.0)
    >>> round(size or 0.0, 3)  # half of the sd of 2
    0.02
    """
    from expci.core.statistics import classical

    spread = as_spread(metric, baseline)
    sd = scale_sd(metric, spread, design)
    test = classical.one_sample_power if _pairs(metric, design) else classical.two_sample_power
    if not sd or units / factor < 2 or not (spread.mean or metric.traits.is_logarithmic):
        return None
    low, high = 0.0, 1.0
    while (test(high, 1.0, units / factor, alpha) or 0.0) < power and high < 1e6:
        high *= 2
    for _ in range(60):
        middle = (low + high) / 2
        enough = (test(middle, 1.0, units / factor, alpha) or 0.0) >= power
        low, high = (low, middle) if enough else (middle, high)
    if metric.traits.is_share:
        return min(1.0, high * sd)
    if not metric.traits.is_logarithmic:
        return high * sd / abs(spread.mean)
    grows = (metric.direction == "increase") != worse
    change = high * sd
    return math.expm1(min(change, 700.0)) if grows else -math.expm1(-change)

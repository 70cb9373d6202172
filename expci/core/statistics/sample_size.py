"""How many units a plan needs, and what so many can see: the formulas of planning.

Numbers come from the fixed t test (Cohen 1988) times what looking at every trial costs.
Heavy imports stand where they are used, so that reading a plan stays quick.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

from expci.core.model import limits
from expci.core.model.experiment import Baseline, Limit, Metric, PlanRules

if TYPE_CHECKING:
    from expci.core.dataset.trials_table import TrialsTable

# The t-mixture e-process needs 1.6 to 1.85 times the fixed sample for a power of 80 %.
FACTORS = {"anytime": limits.SAMPLE_SIZE_FACTOR, "group-sequential": 1.05, "fixed": 1.0}
_EXACT_QUANTILE = 2.4  # the exact test of quantiles bets on counts alone
_LARGEST = 10_000_000


def looks_cost(metric: Metric, plan: PlanRules) -> float:
    """The sample as a multiple of the fixed one that looking in the plan's mode needs."""
    if plan.inference == "group-sequential":
        from expci.core.statistics import group_sequential

        return group_sequential.inflation(
            plan.looks, plan.alpha, plan.power, plan.spending, plan.rho
        )
    if plan.inference == "anytime" and metric.kind == "quantile":
        return _EXACT_QUANTILE
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
    """Units of the smaller arm (pairs if `paired`) to see `minimum_effect` with `plan.power`.

    The fixed sample of the two-sided t test (Cohen 1988), times what looking at every
    trial costs. `None` where no effect is planned, nothing varies, or the effect cannot
    be (100 % off a duration).
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
    """A stated baseline as though it had been measured: what one unit adds to the error.

    A quantile's error is √(q(1 − q))/f(x_q) per unit, f the density (Serfling 1980, 2.3.3): of a
    normal distribution with that sd, 1.25 sd for the median and 1.71 sd for the 0.9 quantile.
    """
    if isinstance(baseline, Spread):
        return baseline
    if metric.kind != "quantile":
        return Spread(baseline.mean, baseline.sd)
    q, normal = metric.quantile or 0.5, NormalDist()
    factor = math.sqrt(q * (1 - q)) / normal.pdf(normal.inv_cdf(q))
    return Spread(baseline.mean, baseline.sd * factor)


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
    """Power to see `minimum_effect` with `units` per arm: the fixed test's on units/factor."""
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
    """The smallest change that `units` per arm show with `power`; `worse` asks for harm.

    A share of control's mean; for proportions, in points. `None` where nothing varies.
    """
    from expci.core.statistics import classical

    spread = as_spread(metric, baseline)
    sd = scale_sd(metric, spread, design)
    test = classical.one_sample_power if _pairs(metric, design) else classical.two_sample_power
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
    metric: Metric, table: TrialsTable, timeout_s: float, units: int | None = None
) -> Spread | None:
    """Control's spread over its first `units` units (pairs), in the ledger's order.

    `None` before there are so many, under two, or where the kind is not planned with.
    """
    import numpy as np

    from expci.core.dataset.metric_columns import metric_column
    from expci.core.dataset.moments import moments

    column = metric_column(metric, table, timeout_s)
    control = table.path(0, column.value).final
    if units is not None and control.size < units:
        return None
    if metric.kind in ("ratio", "rank", "quantile"):
        return _other_spread(metric, table, column.value, units)
    arm = moments(control[:units])
    if arm.sd is None:
        return None
    log_sd = moments(np.log(control[:units])).sd if metric.kind == "duration" else None
    if not table.paired and metric.adjust_by:
        return _adjusted_spread(
            metric,
            table,
            column.value,
            Spread(arm.mean, arm.sd, log_sd),
            units,
        )
    if not table.paired or metric.kind == "proportion":
        return Spread(arm.mean, arm.sd, log_sd)
    differences = _pair_differences(metric, table, column.last)
    if units is not None and (differences is None or differences[0] < units):
        return None
    return Spread(
        arm.mean,
        arm.sd,
        log_sd,
        _difference_sd(metric, table, column.last, units),
    )


def _adjusted_spread(
    metric: Metric, table: TrialsTable, column: Any, plain: Spread, units: int | None
) -> Spread:
    """What the covariates of the plan leave of control's spread."""
    import numpy as np

    from expci.core.dataset.unit_history import covariate_names
    from expci.core.statistics import ancova

    scaled = np.log(column) if metric.kind == "duration" else column
    names = covariate_names(metric)
    share = ancova.unexplained(table, scaled, names, units or scaled.size)
    factor = math.sqrt(share)
    log_sd = None if plain.log_sd is None else plain.log_sd * factor
    return Spread(plain.mean, plain.sd * factor, log_sd)


def _other_spread(
    metric: Metric, table: TrialsTable, column: Any, units: int | None
) -> Spread | None:
    """Control's value and the sd of one unit that gives its estimate's error, by kind.

    A ratio by the delta method; ranks by the median and the normal's quartiles; a quantile
    by its order statistics.
    """
    import numpy as np

    from expci.core.statistics import quantile, ratio

    apart = _other_pairs(metric, table, column, units)
    if metric.kind == "ratio":
        bottom = table.metric(metric.denominator or "")
        pair = [table.path(0, x).final for x in _both(column, bottom)]
        if units is not None and pair[0].size < units:
            return None
        return _spread(ratio.one_arm(pair[0][:units], pair[1][:units]), apart)
    control = table.path(0, column).final[:units]
    if control.size < 2:
        return None
    if metric.kind == "rank":
        low, middle, high = (float(x) for x in np.quantile(control, [0.25, 0.5, 0.75]))
        return _spread((middle, (high - low) / 1.3489795), apart)
    q = metric.quantile or 0.5
    error, value = quantile.error(control, q), quantile.value(control, q)
    if error is None or value is None:
        return None
    return _spread((value, error * math.sqrt(control.size)), apart)


def _spread(stated: tuple[float, float] | None, apart: float | None) -> Spread | None:
    if stated is None or not all(math.isfinite(number) for number in stated) or stated[1] <= 0:
        return None
    return Spread(*stated, difference_sd=apart)


def _other_pairs(
    metric: Metric, table: TrialsTable, column: Any, units: int | None
) -> float | None:
    """The sd of one pair that gives the error of the kind's estimate over all pairs.

    The kind's own standard error times √pairs: what the arms share is gone from it.
    """
    from expci.core.statistics import quantile, ratio, signed_rank, t_statistic
    from expci.core.statistics.two_arms import sample

    if not table.paired or len(table.arms) < 2:
        return None
    now: Any
    pairs = sample(table, 1, column, True)
    pairs = pairs if units is None else pairs.first(units)
    if pairs.n < 2:
        return None
    if metric.kind == "ratio":
        below = table.metric(metric.denominator or "")
        fractions = ratio.Fractions(*(sample(table, 1, x, True) for x in _both(column, below)))
        now = t_statistic.t_snapshot(fractions.until(pairs.n).looks())
    elif metric.kind == "rank":
        now = signed_rank.one_look(pairs)
    else:
        now = quantile.one_look(pairs, metric.quantile or 0.5)
    if now is None:
        return None
    sd = now.error * math.sqrt(pairs.n)
    return sd if 0 < sd < math.inf else None


def _both(top: Any, bottom: Any) -> tuple[Any, Any]:
    """Two columns with the gaps of either."""
    import numpy as np

    gap = np.isnan(top) | np.isnan(bottom)
    return np.where(gap, np.nan, top), np.where(gap, np.nan, bottom)


def _pair_differences(
    metric: Metric, table: TrialsTable, column: Any
) -> tuple[int, Any, Any] | None:
    import numpy as np

    from expci.core.statistics.two_arms import sample

    if len(table.arms) < 2:
        return None
    scaled = np.log(column) if metric.kind == "duration" else column
    units = sample(table, 1, scaled, True)
    if units.pairs is None:
        return None
    control, treatment = units.pair_values()
    return units.n, treatment - control, units.pairs.treatment_first


def _difference_sd(
    metric: Metric, table: TrialsTable, column: Any, units: int | None
) -> float | None:
    from expci.core.statistics import classical

    differences = _pair_differences(metric, table, column)
    if differences is None:
        return None
    fit = classical.order_adjusted(differences[1][:units], differences[2][:units])
    if fit is None:
        return None
    return fit.residual_sd

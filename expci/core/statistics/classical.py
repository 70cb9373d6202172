"""Classical estimates: what one look at the data would say if it were the only one.

None of these decides anything (the evidence of `sequential` does); they are reported,
and the sample size is planned with them. `scipy.special` only: `scipy.stats` takes a
second to import.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from expci.core.dataset.moments import FloatArray, Moments
from expci.core.model.results import Interval, Paired, Welch
from expci.core.special_functions import special


def _t_p_value(t: float, df: float) -> float:
    """Two-sided p-value of Student's t."""
    return float(2.0 * special.stdtr(df, -abs(t)))


def _t_quantile(df: float, probability: float) -> float:
    return float(special.stdtrit(df, probability))


@dataclass(frozen=True)
class Difference:
    """Treatment − control: the estimate, its standard error and degrees of freedom.

    `residual_sd` is the sd of single pair differences, where pairs were compared.
    """

    estimate: float
    error: float
    df: float
    residual_sd: float | None = None

    def interval(self, level: float) -> tuple[float, float]:
        margin = _t_quantile(self.df, 0.5 + level / 2) * self.error
        return self.estimate - margin, self.estimate + margin

    @property
    def t(self) -> float:
        return self.estimate / self.error

    @property
    def p_value(self) -> float:
        return _t_p_value(self.t, self.df)


def welch_difference(control: Moments, treatment: Moments) -> Difference | None:
    """Return the difference of means without assuming equal variances.

    Welch (1947), df by Satterthwaite (1946). `None` under two values in an arm, without any
    variance, or beyond a 64-bit float.

    >>> three, four = Moments(n=3, mean=10.0, m2=6.0), Moments(n=4, mean=12.0, m2=12.0)
    >>> gap = welch_difference(three, four)  # √(3/3 + 4/4)
    >>> (gap.estimate, round(gap.error, 3), round(gap.df, 2)) if gap else None
    (2.0, 1.414, 4.8)
    """
    a, b = control.squared_error, treatment.squared_error
    if a is None or b is None or a + b <= 0:
        return None
    share = a / (a + b)  # scale-free, so that neither tiny nor huge variances overflow
    df = 1 / (share**2 / (control.n - 1) + (1 - share) ** 2 / (treatment.n - 1))
    difference = Difference(treatment.mean - control.mean, math.sqrt(a + b), df)
    return (
        difference if math.isfinite(difference.estimate) and math.isfinite(difference.t) else None
    )


def welch(control: Moments, treatment: Moments, level: float) -> Welch | None:
    """Return Welch's test of treatment − control; `None` when it cannot be computed.

    >>> three, four = Moments(n=3, mean=10.0, m2=6.0), Moments(n=4, mean=12.0, m2=12.0)
    >>> test = welch(three, four, 0.95)
    >>> (round(test.t or 0.0, 3), round(test.p_value or 0.0, 3)) if test else None
    (1.414, 0.219)
    """
    difference = welch_difference(control, treatment)
    if difference is None:
        return None
    return Welch(difference.t, difference.df, difference.p_value, difference.interval(level))


def cohens_d(control: Moments, treatment: Moments) -> float | None:
    """Return the difference in pooled standard deviations (Cohen 1988, 2.5.1-2).

    `None` under two values in an arm or without variance.

    >>> cohens_d(Moments(n=3, mean=10.0, m2=8.0), Moments(n=3, mean=11.0, m2=8.0))
    0.5
    """
    if control.variance is None or treatment.variance is None:
        return None
    pooled = (control.m2 + treatment.m2) / (control.n + treatment.n - 2)
    if not 0 < pooled < math.inf:
        return None
    return (treatment.mean - control.mean) / math.sqrt(pooled)


def hedges_g(d: float | None, df: float) -> float | None:
    """Return Cohen's d without its small-sample bias (Hedges 1981).

    J = Γ(df/2)/(√(df/2) Γ((df−1)/2)) times d; `None` under two degrees of freedom.

    >>> round(hedges_g(1.0, 10) or 0.0, 4)
    0.9227
    """
    if d is None or df < 2:
        return None
    log_j = math.lgamma(df / 2) - math.lgamma((df - 1) / 2) - 0.5 * math.log(df / 2)
    return d * math.exp(log_j)


def effect_size_word(d: float | None) -> str | None:
    """Return Cohen's (1988) word for |d|: small from 0.2, medium from 0.5, large from 0.8.

    >>> effect_size_word(-0.6)
    'medium'
    """
    if d is None:
        return None
    bounds = ((0.2, "negligible"), (0.5, "small"), (0.8, "medium"))
    return next((word for bound, word in bounds if abs(d) < bound), "large")


def t_test_power(noncentrality: float, df: float, alpha: float) -> float | None:
    """Return the power of the two-sided t test at that noncentrality (Cohen 1988, 12.2).

    `None` where it is unknown: no degrees of freedom, or beyond a 64-bit float.

    >>> round(t_test_power(0.5 * math.sqrt(64 / 2), 126, 0.05) or 0.0, 2)  # table 2.3.5
    0.8
    """
    if df <= 0 or not math.isfinite(noncentrality):
        return None
    critical = _t_quantile(df, 1 - alpha / 2)
    size = abs(noncentrality)
    if size > critical + 20:
        return 1.0
    below = float(special.nctdtr(df, size, critical))
    far = float(special.nctdtr(df, size, -critical))
    # scipy gives nan for some far tails that no 64-bit float can tell from 0
    power = 1 - below + (far if math.isfinite(far) else 0.0)
    return power if math.isfinite(power) else None


def two_sample_power(effect: float, sd: float, n: float, alpha: float) -> float | None:
    """Return the power of the fixed two-sample t test, `effect` and `sd` in one unit.

    `n` are units per arm; `None` under two or without spread.

    >>> round(two_sample_power(0.5, 1.0, 64, 0.05) or 0.0, 2)  # Cohen (1988), table 2.3.5
    0.8
    """
    if sd <= 0 or n < 2:
        return None
    return t_test_power(effect / sd * math.sqrt(n / 2), 2 * n - 2, alpha)


def one_sample_power(effect: float, sd: float, n: float, alpha: float) -> float | None:
    """Return the power of the fixed one-sample t test on `n` pair differences with that `sd`.

    `None` under two or without spread.

    >>> round(one_sample_power(0.5, 1.0, 34, 0.05) or 0.0, 2)  # R: power.t.test(type = "paired")
    0.81
    """
    if sd <= 0 or n < 2:
        return None
    return t_test_power(effect / sd * math.sqrt(n), n - 1, alpha)


def paired_test(difference: ArrayLike, position: ArrayLike, level: float) -> Paired | None:
    """Return the paired t test, freed of the position in the pair by regression.

    `difference` holds treatment − control per pair; `position` +1 where treatment ran
    first, −1 where control did, 0 where unknown. The intercept is the effect, the slope
    half of what running first does (Jones & Kenward 2014, section 2.3). One order only:
    the plain paired t, df = n − 1. `None` under two pairs or without variance.

    >>> test = paired_test([3.0, 1.0, 4.0, 2.0], [1, -1, 1, -1], 0.95)  # means 3.5 and 1.5
    >>> (test.order_effect, test.df, round(test.t, 2)) if test else None  # 2.5 / (√½ / √4)
    (1.0, 2, 7.07)
    """
    d = np.asarray(difference, dtype=np.float64)
    x = np.asarray(position, dtype=np.float64)
    fit = _order_regression(d, x)
    if fit is None:
        return None
    effect, slope, slope_error = fit
    interval: Interval = effect.interval(level)
    order_p = None
    if slope is not None and slope_error:
        order_p = _t_p_value(slope / slope_error, effect.df)
    return Paired(int(d.size), effect.t, effect.df, effect.p_value, interval, slope, order_p)


def order_adjusted(difference: FloatArray, position: FloatArray) -> Difference | None:
    """Return the effect of `paired_test` as estimate, standard error and degrees of freedom.

    >>> effect = order_adjusted(np.array([3.0, 1.0, 4.0, 2.0]), np.array([1.0, -1.0, 1.0, -1.0]))
    >>> (effect.estimate, round(effect.error, 4), effect.df) if effect else None
    (2.5, 0.3536, 2)
    """
    fit = _order_regression(difference, position)
    return None if fit is None else fit[0]


_ALIKE = 1e-9  # what rounding leaves of positions that are the same on average


def order_adjusted_mean(difference: FloatArray, position: FloatArray) -> float | None:
    """Return the mean pair difference at balanced order; also where its error is unknown.

    `None` without pairs.

    >>> order_adjusted_mean(np.array([3.0, 3.0, 1.0]), np.array([1.0, 1.0, -1.0]))
    2.0
    """
    if not difference.size:
        return None
    slope = _slope(difference, position)
    return float(np.mean(difference) - (slope or 0.0) * np.mean(position))


def _slope(d: FloatArray, x: FloatArray) -> float | None:
    spread = float(np.sum((x - x.mean()) ** 2)) if x.size else 0.0
    if spread <= _ALIKE or d.size < 3:
        return None
    return float(np.sum((x - x.mean()) * (d - d.mean()))) / spread


def _order_regression(
    d: FloatArray, x: FloatArray
) -> tuple[Difference, float | None, float | None] | None:
    n, slope = d.size, _slope(d, x)
    df = n - 1 if slope is None else n - 2
    if df < 1 or d.min() == d.max():
        return None
    center = float(x.mean())
    fitted = d.mean() + (slope or 0.0) * (x - center)
    with np.errstate(over="ignore"):
        residual = float(np.sum((d - fitted) ** 2)) / df
        # What rounding leaves of an exact fit is no variance.
        noise = float((16 * np.finfo(float).eps * np.max(np.abs(d))) ** 2)
    if not noise < residual < math.inf:
        return None
    spread = float(np.sum((x - center) ** 2))
    leverage = 0.0 if slope is None else center**2 / spread
    error = math.sqrt(residual * (1 / n + leverage))
    estimate = float(d.mean()) - (slope or 0.0) * center
    effect = Difference(estimate, error, df, math.sqrt(residual))
    return effect, slope, None if slope is None else math.sqrt(residual / spread)


def fieller(
    control: FloatArray,
    difference: FloatArray,
    control_variance: FloatArray,
    difference_variance: FloatArray,
    covariance: FloatArray,
    critical: FloatArray,
) -> tuple[FloatArray, FloatArray]:
    """Return the limits of difference/control (Fieller 1954), elementwise.

    Variances and covariance are of the control's mean and of the difference of means;
    `critical` multiplies the standard error. With the critical value of a confidence
    sequence they exclude 0 exactly when the sequence for the difference does. Open (±inf)
    where the control mean may be 0.

    >>> sure, one, two = np.array([0.0]), np.array([1.0]), np.array([2.0])
    >>> fieller(np.array([10.0]), one, sure, one, sure, two)  # (1 ± 2)/10, were control known
    (array([-0.1]), array([0.3]))
    """
    with np.errstate(all="ignore"):
        k = critical * critical
        a = control * control - k * control_variance
        b = difference * control - k * covariance
        inner = difference_variance * control**2 + control_variance * difference**2
        inner = inner - 2 * covariance * control * difference
        inner = inner - k * (control_variance * difference_variance - covariance**2)
        root = np.sqrt(np.maximum(k * inner, 0.0))
        bounded = np.isfinite(k) & (a > 0) & np.isfinite(root)
        low = np.where(bounded, (b - root) / a, -np.inf)
        high = np.where(bounded, (b + root) / a, np.inf)
    return low, high

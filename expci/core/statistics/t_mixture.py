"""Evidence for means that holds at every look: the t-mixture e-process.

The standardised effect is given a normal prior with variance g under the alternative;
the likelihood ratio of Student's t then has a closed form. With n_e = n_A n_B/(n_A + n_B),
r = 1/(1 + g n_e) and ν degrees of freedom

    log E = ½ log r + (ν+1)/2 · [log(1 + t²/ν) − log(1 + r t²/ν)]

(Lindon, Ham, Tingley & Bojinov, arXiv:2210.08589; Grünwald, de Heide & Koolen 2024). Under
no effect E has mean at most 1 at every stopping time, so P(E ever >= 1/alpha) <= alpha
(Ville 1939). Exact for normal data with equal variances; with Welch's t and df it rests on
simulation. It is evaluated after every trial in the ledger's order: a late, early or
repeated look changes nothing. Everything is in logarithms; nothing overflows.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from expci.core.dataset.moments import BoolArray, FloatArray, IntArray
from expci.core.dataset.unit_paths import UnitPath
from expci.core.statistics.classical import fieller

SCALE = 0.5  # g where no effect size is planned: the standardised effect ~ N(0, 0.5)
_EPSILON = float(np.finfo(np.float64).eps)


def log_e_value(t: ArrayLike, df: ArrayLike, n_e: ArrayLike, scale: float = SCALE) -> FloatArray:
    """log E of the two-sided t-mixture, elementwise. Finite for infinite t."""
    t, df = np.asarray(t, dtype=np.float64), np.asarray(df, dtype=np.float64)
    r = 1.0 / (1.0 + scale * np.asarray(n_e, dtype=np.float64))
    with np.errstate(over="ignore"):
        x = t * t / df
    # log(1+x) − log(1+rx), rearranged so that x = inf has its limit −log r
    return np.asarray(0.5 * np.log(r) - 0.5 * (df + 1) * np.log(r + (1 - r) / (1 + x)))


def log_e_value_positive(
    t: ArrayLike, df: ArrayLike, n_e: ArrayLike, scale: float = SCALE
) -> FloatArray:
    """log E against "the effect is not positive": the half-normal mixture, elementwise.

    Given t, the two-sided mixture's posterior puts T(ν+1)(t √((1−r)(ν+1)/(ν + r t²))) on
    positive effects, so the mixture over them alone is twice that times E. It grows with
    t, and lowering every treatment value lowers t on each path: so its validity at zero
    effect carries over to every negative effect.
    """
    t, df = np.asarray(t, dtype=np.float64), np.asarray(df, dtype=np.float64)
    r = 1.0 / (1.0 + scale * np.asarray(n_e, dtype=np.float64))
    with np.errstate(over="ignore", divide="ignore"):
        size = np.sqrt((1 - r) * (df + 1) / (df / (t * t) + r))
        posterior = special.stdtr(df + 1, np.sign(t) * size)
        return np.asarray(log_e_value(t, df, n_e, scale) + np.log(2 * posterior))


def critical_value(df: ArrayLike, n_e: ArrayLike, alpha: float, scale: float = SCALE) -> FloatArray:
    """The |t| at which E = 1/alpha: the confidence sequence's multiplier; inf where none is.

    sqrt(ν(1−q)/(q−r)) with q = (r alpha²)^(1/(ν+1)) (Lindon et al., as above).
    """
    df = np.asarray(df, dtype=np.float64)
    r = 1.0 / (1.0 + scale * np.asarray(n_e, dtype=np.float64))
    q = np.exp((np.log(r) + 2 * math.log(alpha)) / (df + 1))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(q > r, np.sqrt(df * (1 - q) / (q - r)), np.inf)


@dataclass(frozen=True)
class Sequence:
    """What all looks so far add up to.

    `log_e_value` is the largest so far, `p_value` = min(1, 1/E). `interval` is the
    intersection of the intervals of all looks, in the values' unit; it excludes 0 exactly
    when `p_value` <= alpha. `relative` is the same as a share of the control's mean. An
    interval whose ends are crossed is empty: the effect was not the same all the time.
    """

    looks: int
    log_e_value: float | None
    p_value: float
    harm_log_e_value: float | None
    harm_p_value: float
    interval: tuple[float, float]
    relative: tuple[float, float]


@dataclass(frozen=True)
class Rules:
    """How a sequence is weighed: `harm` is +1 where larger is worse, −1 where smaller is.

    No evidence is taken before `start` units per arm (or pairs).
    """

    alpha: float
    harm: int
    start: int
    scale: float = SCALE


def p_value_of(log_e: float) -> float:
    return math.exp(-max(log_e, 0.0))


@dataclass(frozen=True)
class Looks:
    """The statistics after every trial, arrays of one length, in units of `scale`.

    `n` is the smaller arm's; an entry that is not `valid` has no variance to go by.
    """

    n: FloatArray

    difference: FloatArray
    error: FloatArray
    df: FloatArray
    n_e: FloatArray
    control: FloatArray
    control_variance: FloatArray
    covariance: FloatArray  # of the control's mean and the difference
    valid: BoolArray
    scale: float


def two_sample(control: UnitPath, treatment: UnitPath) -> Looks | None:
    """Treatment − control by Welch's t after every trial; `None` where nothing varies."""
    timeline = np.sort(np.concatenate([control.position, treatment.position]))
    center = [float(np.median(p.mean)) if p.mean.size else 0.0 for p in (control, treatment)]
    with np.errstate(over="ignore"):
        spread = [
            float(np.max(np.abs(p.mean - c), initial=0.0))
            for p, c in zip((control, treatment), center, strict=True)
        ]
    scale = max(spread)
    if not 0 < scale < math.inf:
        return None
    a = _running(control, timeline, center[0], scale)
    b = _running(treatment, timeline, center[1], scale)
    return _welch_looks(a, b, center, scale)


_Running = tuple[FloatArray, FloatArray, FloatArray]  # n, mean about the center, m2


def _running(values: UnitPath, timeline: IntArray, center: float, scale: float) -> _Running:
    """Sums about a center inside the data don't cancel; what rounding leaves counts as 0."""
    z = (values.mean - center) / scale
    old = np.where(values.first, 0.0, (values.before - center) / scale)
    n, s = np.cumsum(values.first.astype(np.float64)), np.cumsum(z - old)
    q = np.cumsum(z * z - old * old)
    at = np.searchsorted(values.position, timeline, side="right")
    n, s, q = (np.concatenate([[0.0], column])[at] for column in (n, s, q))
    mean = s / np.maximum(n, 1)
    m2 = q - n * mean * mean
    return n, mean, np.where(m2 <= 16 * _EPSILON * np.maximum(n, 1), 0.0, m2)


def _welch_looks(a: _Running, b: _Running, center: list[float], scale: float) -> Looks:
    (n_a, mean_a, m2_a), (n_b, mean_b, m2_b) = a, b
    with np.errstate(divide="ignore", invalid="ignore"):
        v_a, v_b = m2_a / (n_a * (n_a - 1)), m2_b / (n_b * (n_b - 1))
        share = v_a / (v_a + v_b)
        df = 1 / (share**2 / (n_a - 1) + (1 - share) ** 2 / (n_b - 1))
        n_e = n_a * n_b / (n_a + n_b)
        n = np.minimum(n_a, n_b)
        valid = (n >= 2) & (v_a + v_b > 0)
        difference = mean_b - mean_a + (center[1] - center[0]) / scale
        error = np.sqrt(v_a + v_b)
    control = mean_a + center[0] / scale
    return Looks(n, difference, error, df, n_e, control, v_a, -v_a, valid, scale)


def paired(control: FloatArray, treatment: FloatArray, position: FloatArray) -> Looks | None:
    """Treatment − control after every pair, freed of the position in the pair.

    The intercept of differences regressed on `position` (±1, 0 unknown): df = n − 2 and
    1/n_e = 1/n + x̄²/Sxx once both orders are present, else the one-sample t with n − 1.
    """
    if not control.size:
        return None
    center = float(np.median(control)), float(np.median(treatment))
    with np.errstate(over="ignore"):
        c, t = control - center[0], treatment - center[1]
        scale = float(max(np.max(np.abs(c)), np.max(np.abs(t))))
    if not 0 < scale < math.inf:
        return None
    return _paired_looks(c / scale, t / scale, position, center, scale)


def _paired_looks(
    c: FloatArray,
    t: FloatArray,
    x: FloatArray,
    center: tuple[float, float],
    scale: float,
) -> Looks:
    n = np.arange(1, c.size + 1, dtype=np.float64)
    d = t - c
    mean_x, mean_c, mean_d = (np.cumsum(v) / n for v in (x, c, d))
    sxx = np.cumsum(x * x) - n * mean_x**2
    both = sxx > 1e-9
    df = np.where(both, n - 2, n - 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        lever = np.where(both, mean_x / sxx, 0.0)
        leverage = 1 / n + lever * mean_x
        sxc, sxd = (np.cumsum(x * v) - mean_x * np.cumsum(v) for v in (c, d))

        def error(u: FloatArray, v: FloatArray, sxu: FloatArray, sxv: FloatArray) -> FloatArray:
            rest = np.cumsum(u * v) - np.cumsum(u) * np.cumsum(v) / n
            rest = rest - np.where(both, sxu * sxv / sxx, 0.0)
            return np.asarray(rest * leverage / df)

        variance = error(d, d, sxd, sxd)
        noise = 64 * _EPSILON * n * leverage / np.maximum(df, 1)
        valid = (df >= 1) & (variance > noise)
        return Looks(
            n=n,
            difference=mean_d - lever * sxd + (center[1] - center[0]) / scale,
            error=np.sqrt(np.maximum(variance, 0)),
            df=df,
            n_e=1 / leverage,
            control=mean_c - lever * sxc + center[0] / scale,
            control_variance=error(c, c, sxc, sxc),
            covariance=error(c, d, sxc, sxd),
            valid=valid,
            scale=scale,
        )


def weigh(looks: Looks, rules: Rules) -> Sequence | None:
    """The running maximum of the evidence and the running intersection of the intervals.

    `None` before `rules.start` units.
    """
    at = np.flatnonzero(looks.valid & (looks.n >= rules.start))
    if not at.size:
        return None
    df, n_e = looks.df[at], looks.n_e[at]
    t = looks.difference[at] / looks.error[at]
    log_e = float(np.max(log_e_value(t, df, n_e, rules.scale)))
    harm = float(np.max(log_e_value_positive(rules.harm * t, df, n_e, rules.scale)))
    interval, relative = intervals(looks, at, critical_value(df, n_e, rules.alpha, rules.scale))
    return Sequence(
        int(at.size), log_e, p_value_of(log_e), harm, p_value_of(harm), interval, relative
    )


_Interval = tuple[float, float]


def intervals(looks: Looks, at: IntArray, critical: FloatArray) -> tuple[_Interval, _Interval]:
    """The intersection over the looks `at`: of the difference, and as a share of control."""
    difference, error = looks.difference[at], looks.error[at]
    low, high = difference - critical * error, difference + critical * error
    relative_low, relative_high = fieller(
        looks.control[at],
        difference,
        looks.control_variance[at],
        error * error,
        looks.covariance[at],
        critical,
    )
    return (
        (float(low.max()) * looks.scale, float(high.min()) * looks.scale),
        (float(relative_low.max()), float(relative_high.min())),
    )

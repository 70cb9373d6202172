"""The t-mixture whose effects lie around the planned one: a second-order moment prior.

Before a trial the standardised effect has the density δ⁴/(3g²) · N(δ; 0, g) (Johnson & Rossell
2010), nothing at 0 and most at ±2√g; g is a quarter of the square of the planned effect, so that
it is most at that. Given σ the posterior of δ under N(0, g) is normal, and 1/σ² a gamma variable;
the fourth moment under it over that under the prior turns the e-value of the normal mixture
(`t_mixture`) into this one. With r = 1/(1 + g n_e), ν degrees of freedom and
y = (1 − r) t²/(ν + r t²)

    log E = 5/2 log r + (ν+1)/2 · log(1 + y) + log(1 + 2(ν+1) y + (ν+1)(ν+3) y²/3)

It is a likelihood ratio of t as the normal mixture is, so it holds at every look for the same
reason (Pérez-Ortiz, Lardy, de Heide & Grünwald 2024). Mean trials at the planned effect are within
6 % of the growth-rate optimal ±δ (`docs/calibration.md`). Elementwise.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from expci.core.dataset.moments import FloatArray
from expci.core.special_functions import special

_STEPS = 12


def variance_around(effect: float) -> float:
    """Return g for a planned standardised effect: where the prior is largest.

    >>> variance_around(1.0)
    0.25
    """
    return effect * effect / 4


def log_e_value(t: ArrayLike, df: ArrayLike, n_e: ArrayLike, variance: float) -> FloatArray:
    """Return log E of the two-sided mixture; finite for infinite t.

    >>> np.exp(log_e_value([0.0, 4.0], df=30, n_e=12, variance=0.25)).round(3)[0]  # r is ¼: ¼^2.5
    np.float64(0.031)
    """
    t, df = np.asarray(t, dtype=np.float64), np.asarray(df, dtype=np.float64)
    r = 1.0 / (1.0 + variance * np.asarray(n_e, dtype=np.float64))
    with np.errstate(over="ignore", divide="ignore"):
        y = (1 - r) / (df / (t * t) + r)
    return np.asarray(2.5 * np.log(r) + _growth(np.log1p(y), df)[0])


def log_e_value_positive(
    t: ArrayLike, df: ArrayLike, n_e: ArrayLike, variance: float
) -> FloatArray:
    """Return log E against "the effect is not positive": the mixture over positive effects alone.

    Twice the fourth moment of the posterior on positive effects over that of the prior. With
    κ = ν + 1 and s = √y, a gamma variable's moments turn the normal distribution functions into
    Student's, T_κ(s√κ), and the densities into powers of 1 + y. Where t is negative it is that
    at 0: under 1, so no evidence either.

    >>> both, one = (log(6.0, 30, 12, 0.25) for log in (log_e_value, log_e_value_positive))
    >>> round(float(np.exp(one - both)), 3)
    2.0
    """
    t, df = np.maximum(t, 0.0), np.asarray(df, dtype=np.float64)
    r = 1.0 / (1.0 + variance * np.asarray(n_e, dtype=np.float64))
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        y, k = (1 - r) / (df / (t * t) + r), df + 1
        s, log_1y = np.sqrt(y), np.log1p(y)
        below = [special.stdtr(k + 2 * i, s * np.sqrt(k + 2 * i)) for i in range(3)]
        whole = 3 * below[0] + 6 * k * y * below[1] + k * (k + 2) * y * y * below[2]
        half = np.sqrt(2.0) * np.exp(special.gammaln((k + 1) / 2) - special.gammaln(k / 2))
        odd = half * (5 * s + (k + 1) * s * y / (1 + y)) / np.sqrt(2 * math.pi)
        moment = whole + odd * np.exp(-(k + 1) / 2 * log_1y)
        log_e = 2.5 * np.log(r) + k / 2 * log_1y + np.log(2 * moment / 3)
    return np.asarray(log_e)


def critical_value(df: ArrayLike, n_e: ArrayLike, alpha: float, variance: float) -> FloatArray:
    """Return the |t| at which E = 1/alpha; inf where none is.

    By Newton's method in log(1 + y) from above, where that of the normal mixture lies; the growth
    is nearly linear there.

    >>> t = critical_value(df=30, n_e=12, alpha=0.05, variance=0.25)
    >>> round(float(np.exp(log_e_value(t, 30, 12, 0.25))), 6)
    20.0
    """
    df = np.asarray(df, dtype=np.float64)
    r = 1.0 / (1.0 + variance * np.asarray(n_e, dtype=np.float64))
    least = -math.log(alpha) - 2.5 * np.log(r)
    w = 2 * least / (df + 1)
    for _ in range(_STEPS):
        growth, slope = _growth(w, df)
        w = np.maximum(w - (growth - least) / slope, 1e-12)
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        y = np.expm1(w)
        return np.where(y < (1 - r) / r, np.sqrt(df * y / ((1 - r) - r * y)), np.inf)


def _growth(w: FloatArray, df: FloatArray) -> tuple[FloatArray, FloatArray]:
    """What grows with t in log E at w = log(1 + y), and its slope there."""
    with np.errstate(over="ignore", invalid="ignore"):
        y = np.expm1(np.minimum(w, 300.0))
        once, twice = 2 * (df + 1), (df + 1) * (df + 3) / 3
        polynomial = 1 + once * y + twice * y * y
        slope = (df + 1) / 2 + (once + 2 * twice * y) * (1 + y) / polynomial
    return (df + 1) / 2 * w + np.log(polynomial), slope

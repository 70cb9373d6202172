"""Ratios of means in many experiments at once: the delta method of `ratio` in arrays."""

from __future__ import annotations

import numpy as np

from expci.core.dataset.moments import FloatArray, IntArray
from expci.core.statistics.t_mixture import Looks

_EPSILON = float(np.finfo(np.float64).eps)


def two_sample(arm: IntArray, top: FloatArray, bottom: FloatArray, treatment: int) -> Looks:
    """Treatment − control of the ratios after every trial; values [experiments, trials]."""
    (n_a, r_a, v_a), (n_b, r_b, v_b) = (
        _one_arm((arm == index) & ~np.isnan(top + bottom), top, bottom) for index in (0, treatment)
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        share = v_a / (v_a + v_b)
        df = 1 / (share**2 / (n_a - 1) + (1 - share) ** 2 / (n_b - 1))
        difference, error = r_b - r_a, np.sqrt(v_a + v_b)
        n_e = n_a * n_b / (n_a + n_b)
    n = np.minimum(n_a, n_b)
    valid = (n >= 2) & np.isfinite(difference) & np.isfinite(df) & (error > 0)
    return Looks(n, difference, error, df, n_e, r_a, v_a, -v_a, valid, 1.0)


def _one_arm(
    mine: np.ndarray, top: FloatArray, bottom: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """n, ratio and its squared error after every trial."""
    n = np.cumsum(mine.astype(np.float64), axis=1)
    (mean_y, mean_x), cross = _running([top, bottom], mine, n)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = mean_y / mean_x
        spread = cross[0, 0] - 2 * ratio * cross[0, 1] + ratio**2 * cross[1, 1]
        variance = spread / mean_x**2 / (n * (n - 1))
        return n, ratio, np.where(variance > 64 * _EPSILON * ratio**2, variance, 0.0)


def _running(
    columns: list[FloatArray], mine: np.ndarray, n: FloatArray
) -> tuple[list[FloatArray], dict[tuple[int, int], FloatArray]]:
    """Running means and cross products about them, by column."""
    size, counts = np.maximum(n, 1), np.maximum(n[:, -1:], 1)
    centers = [np.where(mine, c, 0.0).sum(axis=1, keepdims=True) / counts for c in columns]
    z = [np.where(mine, c - center, 0.0) for c, center in zip(columns, centers, strict=True)]
    sums = [np.cumsum(column, axis=1) for column in z]
    cross = {
        (i, j): np.cumsum(z[i] * z[j], axis=1) - sums[i] * sums[j] / size
        for i in range(len(z))
        for j in range(i, len(z))
    }
    return [s / size + center for s, center in zip(sums, centers, strict=True)], cross


def paired(top: tuple[FloatArray, FloatArray], bottom: tuple[FloatArray, FloatArray]) -> Looks:
    """The same for pairs [experiments, pairs], (control, treatment); all four means covary."""
    columns = [top[0], bottom[0], top[1], bottom[1]]
    there = ~np.isnan(sum(columns, np.zeros(top[0].shape)))
    n = np.cumsum(there.astype(np.float64), axis=1)
    mean, cross = _running(columns, there, n)
    with np.errstate(divide="ignore", invalid="ignore"):
        control, treatment = mean[0] / mean[1], mean[2] / mean[3]
        c = [1 / mean[1], -control / mean[1], None, None]
        t = [None, None, 1 / mean[3], -treatment / mean[3]]
        size = n * (n - 1)
        v_c, v_t, both = (_quadratic(a, cross, b) / size for a, b in ((c, c), (t, t), (c, t)))
        variance = v_c + v_t - 2 * both
        noise = 64 * _EPSILON * (control**2 + treatment**2)
        valid = (n >= 2) & (variance > noise) & np.isfinite(control) & np.isfinite(treatment)
        return Looks(
            n=n,
            difference=treatment - control,
            error=np.sqrt(np.maximum(variance, 0.0)),
            df=n - 1,
            n_e=n,
            control=control,
            control_variance=v_c,
            covariance=both - v_c,
            valid=valid,
            scale=1.0,
        )


_Gradient = list[FloatArray | None]


def _quadratic(
    left: _Gradient, cross: dict[tuple[int, int], FloatArray], right: _Gradient
) -> FloatArray:
    parts = [
        a * b * cross[min(i, j), max(i, j)]
        for i, a in enumerate(left)
        for j, b in enumerate(right)
        if a is not None and b is not None
    ]
    return np.asarray(sum(parts[1:], parts[0]))

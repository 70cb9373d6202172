"""Sums that every estimate starts from: n, mean and centred second moment.

A sum of squares cancels (1e8 ± 0.1 has no variance left in it), so the second moment is
kept about the mean, and parts are merged by the formula of Chan, Golub & LeVeque (1983).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from expci.core.model.results import ArmSummary

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]


@dataclass(frozen=True)
class Moments:
    """n values' mean and sum of squared deviations from it, in the unit and unit²."""

    n: int = 0
    mean: float = 0.0
    m2: float = 0.0

    @property
    def variance(self) -> float | None:
        """The unbiased variance; `None` under two values or beyond a 64-bit float."""
        if self.n < 2 or not math.isfinite(self.m2):
            return None
        return self.m2 / (self.n - 1)

    @property
    def sd(self) -> float | None:
        variance = self.variance
        return None if variance is None else math.sqrt(variance)

    @property
    def squared_error(self) -> float | None:
        """The squared standard error of the mean."""
        variance = self.variance
        return None if variance is None else variance / self.n

    def __add__(self, other: Moments) -> Moments:
        """Both samples together (Chan, Golub & LeVeque 1983, eq. 2.1)."""
        if not self.n or not other.n:
            return other if other.n else self
        n = self.n + other.n
        delta = other.mean - self.mean
        mean = self.mean + delta * other.n / n
        m2 = self.m2 + other.m2 + delta * delta * self.n * other.n / n
        return Moments(n, mean, m2)


def moments(values: ArrayLike) -> Moments:
    """Return n, mean and second moment of finite values.

    In two passes, the second corrected for the first's rounding.

    >>> moments([1.0, 2.0, 6.0])
    Moments(n=3, mean=3.0, m2=14.0)
    """
    array = np.asarray(values, dtype=np.float64).ravel()
    if not array.size:
        return Moments()
    if array.min() == array.max():
        return Moments(int(array.size), float(array[0]), 0.0)
    with np.errstate(over="ignore", invalid="ignore"):
        rough = float(np.mean(array / array.size) * array.size)
        deviation = array - rough
        rest = float(np.mean(deviation))
        m2 = float(np.sum(deviation * deviation) - array.size * rest * rest)
    return Moments(int(array.size), rough + rest, math.inf if math.isnan(m2) else max(m2, 0.0))


def arm_summary(values: Sequence[float] | FloatArray) -> ArmSummary:
    """Return n, mean, sd and range of the analysed units of one arm.

    >>> arm_summary([1.0, 2.0, 3.0])
    ArmSummary(n=3, mean=2.0, sd=1.0, min=1.0, max=3.0)
    """
    array = np.asarray(values, dtype=np.float64)
    if not array.size:
        return ArmSummary(0, None, None, None, None)
    summary = moments(array)
    return ArmSummary(summary.n, summary.mean, summary.sd, float(array.min()), float(array.max()))

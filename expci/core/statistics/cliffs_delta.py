"""Cliff's delta: how much more often a treatment's value is the larger one of two."""

from __future__ import annotations

import math

import numpy as np

from expci.core.dataset.moments import FloatArray
from expci.core.special_functions import special

# |delta| as a word: Romano, Kromrey, Coraggio & Skowronek (2006)
_WORDS = ((0.147, "negligible"), (0.33, "small"), (0.474, "medium"))


def cliffs_delta(control: FloatArray, treatment: FloatArray) -> float | None:
    """Return P(treatment > control) − P(treatment < control) (Cliff 1993, eq. 1), −1 to 1.

    `None` where an arm has no values.

    >>> cliffs_delta(np.array([1.0, 2.0]), np.array([2.0, 3.0]))  # three of four pairs, one tie
    0.75
    """
    if not control.size or not treatment.size:
        return None
    return float(np.mean(_dominance(treatment, control)))


def _dominance(mine: FloatArray, others: FloatArray) -> FloatArray:
    """For each value: share of the others that it exceeds − share that exceeds it."""
    order = np.sort(others)
    below, upto = np.searchsorted(order, mine, "left"), np.searchsorted(order, mine, "right")
    return np.asarray((below + upto - others.size) / others.size)


def interval(
    control: FloatArray, treatment: FloatArray, level: float
) -> tuple[float, float] | None:
    """Return the asymmetric interval of Feng & Cliff (2004, eq. 9), as if this were the only look.

    The variance is Cliff's (1993, eq. 13) unbiased one, not under 1/(nm). `None` under two
    values in an arm.

    >>> low, high = interval(np.arange(20.0), np.arange(20.0) + 5, 0.95) or (0.0, 0.0)
    >>> round(low, 2), round(high, 2)  # about a delta of 0.44
    (0.09, 0.69)
    """
    delta = cliffs_delta(control, treatment)
    m, n = control.size, treatment.size
    if delta is None or min(m, n) < 2:
        return None
    rows, columns = _dominance(treatment, control), -_dominance(control, treatment)
    between = float(np.sum((rows - delta) ** 2)), float(np.sum((columns - delta) ** 2))
    single = m * n * (_squares(control, treatment) - delta**2)
    variance = m * m * between[0] + n * n * between[1] - single
    variance = max(variance / (m * n * (m - 1) * (n - 1)), (1 - delta**2) / (m * n - 1))
    z = -float(special.ndtri((1 - level) / 2))
    root = z * math.sqrt(variance) * math.sqrt((1 - delta**2) ** 2 + z * z * variance)
    scale = 1 - delta**2 + z * z * variance
    if scale <= 0:
        return delta, delta
    return (
        max(-1.0, (delta - delta**3 - root) / scale),
        min(1.0, (delta - delta**3 + root) / scale),
    )


def _squares(control: FloatArray, treatment: FloatArray) -> float:
    """Mean square of the single dominances: the share of pairs that are not tied."""
    order = np.sort(control)
    ties = np.searchsorted(order, treatment, "right") - np.searchsorted(order, treatment, "left")
    return 1 - float(np.mean(ties)) / control.size


def word(delta: float | None) -> str | None:
    """Return Romano et al.'s (2006) word for |delta|; `None` of none.

    >>> word(-0.4)
    'medium'
    """
    if delta is None:
        return None
    return next((name for bound, name in _WORDS if abs(delta) < bound), "large")

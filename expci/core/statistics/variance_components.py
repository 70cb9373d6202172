"""How much of the variance of repeated values lies between what they were measured on."""

from __future__ import annotations

import numpy as np

from expci.core.dataset.moments import FloatArray, IntArray


def variance_components(value: FloatArray, group: IntArray) -> tuple[float, float] | None:
    """Return the variance between and within groups; `None` under two, or without a repeat.

    Method of moments of the one-way random model (Searle, Casella & McCulloch 1992, section 3.6):
    the variance between is at least 0.

    >>> variance_components(np.array([1.0, 1.0, 3.0, 3.0]), np.array([0, 0, 1, 1]))
    (2.0, 0.0)
    """
    _, code = np.unique(group, return_inverse=True)
    counts = np.bincount(code).astype(np.float64)
    groups, total = counts.size, value.size
    if groups < 2 or total <= groups:
        return None
    means = np.bincount(code, weights=value) / counts
    within = float(np.sum((value - means[code]) ** 2)) / (total - groups)
    between = float(np.sum(counts * (means - value.mean()) ** 2)) / (groups - 1)
    size = (total - float(np.sum(counts**2)) / total) / (groups - 1)
    return max(0.0, (between - within) / size), within


def share_between(value: FloatArray, group: IntArray) -> float | None:
    """Return the share of the variance that is between groups; `None` where nothing tells it.

    >>> share_between(np.array([1.0, 1.0, 3.0, 3.0]), np.array([0, 0, 1, 1]))
    1.0
    """
    parts = variance_components(value, group)
    if parts is None or not sum(parts):
        return None
    return parts[0] / sum(parts)

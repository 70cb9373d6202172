"""P-values of several tests, adjusted together: [tests, …]. A missing one (nan) counts as 1 and
stays missing."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from expci.core.dataset.moments import FloatArray, IntArray


def holm(p_values: ArrayLike) -> FloatArray:
    """Adjust so that any false finding has probability alpha at most (Holm 1979).

    >>> holm([0.01, 0.04, np.nan])
    array([0.03, 0.08,  nan])
    """
    given = np.asarray(p_values, dtype=np.float64)
    count = given.shape[0]
    if count < 2:
        return given
    order, ordered = _sorted(given)
    factors = np.arange(count, 0, -1).reshape(-1, *([1] * (given.ndim - 1)))
    return _unsorted(given, order, np.maximum.accumulate(np.minimum(ordered * factors, 1.0)))


def benjamini_hochberg(p_values: ArrayLike) -> FloatArray:
    """Adjust so that the share of false findings is alpha at most on average.

    Benjamini & Hochberg (1995), for independent or positively dependent tests.

    >>> benjamini_hochberg([0.01, 0.04, 0.02])
    array([0.03, 0.04, 0.03])
    """
    given = np.asarray(p_values, dtype=np.float64)
    count = given.shape[0]
    if not count:
        return given
    order, ordered = _sorted(given)
    ranks = np.arange(1, count + 1).reshape(-1, *([1] * (given.ndim - 1)))
    scaled = np.minimum(ordered * count / ranks, 1.0)
    return _unsorted(given, order, np.minimum.accumulate(scaled[::-1])[::-1])


def _sorted(given: FloatArray) -> tuple[IntArray, FloatArray]:
    p_values = np.where(np.isnan(given), 1.0, given)
    order = np.argsort(p_values, axis=0, kind="stable")
    return order, np.take_along_axis(p_values, order, axis=0)


def _unsorted(given: FloatArray, order: IntArray, adjusted: FloatArray) -> FloatArray:
    in_order = np.empty_like(given)
    np.put_along_axis(in_order, order, adjusted, axis=0)
    return np.where(np.isnan(given), np.nan, in_order)

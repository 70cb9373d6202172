"""Did a series change somewhere? Evidence that holds at every look, whatever the place.

For a change after the k-th value, the t-mixture of the values before against those after
is an e-process; so is the mean over all k with weights 1/(k (k + 1)) (Shin, Ramdas & Rinaldo 2024
average e-processes over starting points in this way). Exact for normal values.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from expci.core.dataset.moments import FloatArray
from expci.core.special_functions import log_sum_exp
from expci.core.statistics import t_mixture

_LEAST = 5  # values on either side of a change


@dataclass(frozen=True)
class ChangePoint:
    """The most likely place: after `index` values, with the means on both sides."""

    log_e_value: float
    index: int
    before: float
    after: float


def change_point(values: FloatArray) -> ChangePoint | None:
    """Return the evidence that a series' mean changed once; `None` where too short or constant.

    Under ten values are too short. The means are in the values' unit.

    >>> change = change_point(np.array([1.0, 2.0] * 6 + [6.0, 7.0] * 6))
    >>> (change.index, round(change.before, 2), round(change.after, 2)) if change else None
    (12, 1.5, 6.5)
    """
    n = values.size
    if n < 2 * _LEAST:
        return None
    with np.errstate(over="ignore"):
        center = float(np.median(values))
        scale = float(np.max(np.abs(values - center)))
    if not 0 < scale < math.inf:
        return None
    z = (values - center) / scale
    k = np.arange(_LEAST, n - _LEAST + 1)
    total, squares = np.cumsum(z), float(np.sum(z * z))
    before, after = total[k - 1] / k, (total[-1] - total[k - 1]) / (n - k)
    n_e = k * (n - k) / n
    rest = squares - k * before**2 - (n - k) * after**2
    noise = 64 * np.finfo(np.float64).eps * n
    error = np.sqrt(np.maximum(rest, noise) / (n - 2) / n_e)
    log_e = t_mixture.log_e_value((after - before) / error, n - 2.0, n_e)
    weight = 1 / (np.arange(1, n) * np.arange(2, n + 1.0))
    at_k = weight[k - 1]
    # What has not begun to bet holds its stake of 1.
    unchanged = math.log(max(1 - float(np.sum(at_k)), 1e-300))
    whole = float(log_sum_exp(np.append(log_e + np.log(at_k), unchanged)))
    best = int(np.argmax(log_e + np.log(at_k)))
    unscaled = (center + scale * float(side[best]) for side in (before, after))
    return ChangePoint(whole, int(k[best]), *unscaled)

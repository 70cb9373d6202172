"""Running means and covariances of several columns of one arm's units."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from expci.core.dataset.moments import FloatArray, IntArray
from expci.core.dataset.unit_paths import UnitPath


def joint_moments(
    paths: Sequence[UnitPath], timeline: IntArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return n, means [moments, columns] and cross products about them [moments, columns, columns].

    `paths` are columns of the same units, so their positions are the same; `timeline` are
    the moments (positions in the ledger) at which the sums are wanted.

    >>> from expci.core.dataset.unit_paths import single_trials
    >>> columns = single_trials(np.array([1.0, 3.0])), single_trials(np.array([5.0, 9.0]))
    >>> n, mean, cross = joint_moments(columns, np.array([1]))
    >>> n, mean, cross
    (array([2.]), array([[2., 7.]]), array([[[2., 4.],
            [4., 8.]]]))
    """
    center = np.array([float(np.median(p.mean)) if p.mean.size else 0.0 for p in paths])
    new = np.stack([p.mean for p in paths], axis=1) - center
    before = np.stack([p.before for p in paths], axis=1) - center
    old = np.where(np.isnan(before), 0.0, before)
    n = np.cumsum(paths[0].first.astype(np.float64))
    with np.errstate(over="ignore", invalid="ignore"):
        total = np.cumsum(new - old, axis=0)
        cross = np.cumsum(new[:, :, None] * new[:, None, :] - old[:, :, None] * old[:, None, :], 0)
    at = np.searchsorted(paths[0].position, timeline, side="right")
    n, total, cross = (
        np.concatenate([np.zeros((1, *column.shape[1:])), column])[at]
        for column in (n, total, cross)
    )
    size = np.maximum(n, 1)
    mean = total / size[:, None]
    with np.errstate(over="ignore", invalid="ignore"):
        cross = cross - size[:, None, None] * mean[:, :, None] * mean[:, None, :]
    return n, mean + center, cross

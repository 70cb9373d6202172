"""Simulated values of one metric: what control does, by pilot or baseline, and an effect on it.

A pilot is resampled row by row, so that metrics and failures keep their company; on the
scale of analysis each value gets a little noise and is shrunk back, so that mean and sd
stay those of the pilot (Silverman & Young 1987, "The bootstrap: to smooth or not to
smooth?"). Without a pilot a stated baseline stands for it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from expci.core.dataset.moments import FloatArray, IntArray, moments
from expci.core.dataset.trials_table import TrialsTable
from expci.core.kinds.spreads import pair_differences
from expci.core.model.experiment import Limit, Metric
from expci.core.statistics.classical import order_adjusted

LEAST_ROWS = 3


@dataclass(frozen=True)
class ControlValues:
    """One metric of control on the scale of analysis: logs of durations, else as it is.

    `z` are the pilot's values, standardised, nan for none; empty: what the kind draws by `mean`
    and `sd` alone. `pairs` are the standardised differences within the pilot's pairs, `pair_sd`
    their sd. A ratio is its units' linearised shares in it (`ratio.one_arm`), with the pilot's
    denominators in `bottom`. `center` is what a relative effect refers to, where that is not the
    mean.
    """

    mean: float
    sd: float
    z: FloatArray
    pairs: FloatArray | None = None
    pair_sd: float = 0.0
    bottom: FloatArray | None = None
    center: float | None = None


@dataclass(frozen=True)
class Draw:
    """One metric's values are to be drawn, [experiments, trials].

    `effect` is the improvement in the first treatment, `row` the pilot's row of each trial,
    `block` the trials of a block in a paired design (else 1), `drawn` the columns so far.
    """

    metric: Metric
    control: ControlValues
    effect: Limit | None
    arm: IntArray
    row: IntArray
    block: int
    drawn: Mapping[str, FloatArray]
    rng: np.random.Generator


def normal(metric: Metric) -> ControlValues | None:
    """Return the stated baseline as a normal distribution.

    >>> from expci.core.model.experiment import Baseline
    >>> score = Metric("score", "primary", "mean", "increase", baseline=Baseline(5.0, 2.0))
    >>> values = normal(score)
    >>> values.mean, values.sd, values.z.size
    (5.0, 2.0, 0)
    """
    baseline = metric.baseline
    return None if baseline is None else ControlValues(baseline.mean, baseline.sd, np.empty(0))


def rows_of_control(table: TrialsTable, column: FloatArray) -> FloatArray | None:
    """Return control's values, nan for none; `None` where they are too few or do not vary.

    >>> from support.examples import contrast_of
    >>> score = Metric("score", "primary", "mean", "increase")
    >>> contrast = contrast_of(score, [4.0, np.nan, 6.0, 8.0], [7.0] * 4)
    >>> rows_of_control(contrast.table, contrast.column.value)
    array([ 4., nan,  6.,  8.])
    """
    column = column[table.arm == 0]
    there = column[~np.isnan(column)]
    return column if there.size >= LEAST_ROWS and moments(there).sd is not None else None


def standardised(table: TrialsTable, column: FloatArray) -> ControlValues | None:
    """Return the pilot's values to be resampled with noise, and in pairs its differences.

    >>> from support.examples import contrast_of
    >>> score = Metric("score", "primary", "mean", "increase")
    >>> contrast = contrast_of(score, [4.0, 4.0, 8.0, 8.0], [7.0] * 4)
    >>> values = standardised(contrast.table, contrast.column.value)
    >>> values.mean, values.z
    (6.0, array([-1., -1.,  1.,  1.]))
    """
    control = rows_of_control(table, column)
    if control is None:
        return None
    summary = moments(control[~np.isnan(control)])
    spread = math.sqrt(summary.m2 / summary.n) or 1.0
    values = ControlValues(summary.mean, summary.sd or 0.0, (control - summary.mean) / spread)
    return _with_pairs(values, table, column) if table.paired else values


def _with_pairs(values: ControlValues, table: TrialsTable, column: FloatArray) -> ControlValues:
    differences = pair_differences(table, column)
    if differences is None or differences[0].size < LEAST_ROWS:
        return values
    fit, summary = order_adjusted(*differences), moments(differences[0])
    if fit is None or fit.residual_sd is None or not summary.m2:
        return values
    z = (differences[0] - summary.mean) / math.sqrt(summary.m2 / summary.n)
    return replace(values, pairs=z, pair_sd=fit.residual_sd)


def shift(draw: Draw) -> float:
    """Return what the treatment adds in the unit: the effect, signed.

    >>> from expci.core.model.experiment import Baseline
    >>> from support.examples import drawing
    >>> cost = Metric("usd", "primary", "mean", "decrease", baseline=Baseline(8.0, 2.0))
    >>> shift(drawing(cost, normal(cost), Limit(0.25, relative=True)))
    -2.0
    """
    if draw.effect is None:
        return 0.0
    better = 1 if draw.metric.direction == "increase" else -1
    center = draw.control.mean if draw.control.center is None else draw.control.center
    return better * draw.effect.value * (abs(center) if draw.effect.relative else 1.0)


def shifted(draw: Draw, change: float) -> FloatArray:
    """Return values on the scale of analysis, `change` added to those of the first treatment.

    >>> from expci.core.model.experiment import Baseline
    >>> from support.examples import drawing
    >>> score = Metric("score", "primary", "mean", "increase", baseline=Baseline(5.0, 0.0))
    >>> values = shifted(drawing(score, normal(score), None), 1.0)
    >>> float(values[0, 0]), float(values[0, -1])  # of control, and of the treatment
    (5.0, 6.0)
    """
    column = _on_scale(draw)
    column[draw.arm == 1] += change
    return column


def _on_scale(draw: Draw) -> FloatArray:
    control, row, rng = draw.control, draw.row, draw.rng
    if not control.z.size:
        return control.mean + control.sd * rng.standard_normal(row.shape)
    if draw.block == 1 or control.pairs is None:
        return control.mean + control.sd * _resampled(control.z, row, rng)
    shape = (row.shape[0], -1, draw.block)
    first = _resampled(control.z, row.reshape(shape)[..., 0], rng)
    base = np.repeat(control.mean + control.sd * first, draw.block, axis=1)
    index = rng.integers(0, control.pairs.size, row.shape)
    apart = control.pair_sd * _resampled(control.pairs, index, rng)
    return np.asarray(base + np.where(draw.arm > 0, apart, 0.0))


def without_gaps(column: FloatArray, row: IntArray, rng: np.random.Generator) -> FloatArray:
    """Return the rows of a pilot's column; a row without a value takes that of another by chance.

    >>> row, rng = np.array([[0, 1, 1]]), np.random.default_rng(1)
    >>> without_gaps(np.array([5.0, np.nan]), row, rng)
    array([[5., 5., 5.]])
    """
    values = column[row]
    missing = np.isnan(values)
    if missing.any():
        there = column[~np.isnan(column)]
        values[missing] = there[rng.integers(0, there.size, int(missing.sum()))]
    return values


def _resampled(z: FloatArray, row: IntArray, rng: np.random.Generator) -> FloatArray:
    """Rows of z with noise of width h, shrunk so that the variance stays 1."""
    values = without_gaps(z, row, rng)
    width = 0.9 * int(np.sum(~np.isnan(z))) ** -0.2
    return np.asarray((values + width * rng.standard_normal(row.shape)) / math.sqrt(1 + width**2))

"""Simulated values of one metric: what control does, by pilot or baseline, and an effect on it.

A pilot is resampled row by row, so that the metrics and failures of a trial stay together; on the
scale of analysis each value gets a little noise and is shrunk back, so that mean and sd
stay those of the pilot (Silverman & Young 1987, "The bootstrap: to smooth or not to
smooth?"). Without a pilot a stated baseline stands for it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from expci.core.dataset.moments import FloatArray, IntArray, moments
from expci.core.dataset.trials_table import TrialsTable
from expci.core.kinds.spreads import run_pairs
from expci.core.model import limits
from expci.core.model.experiment import Limit, Metric
from expci.core.statistics.classical import order_adjusted
from expci.core.statistics.two_arms import Visits
from expci.core.statistics.variance_components import share_between

LEAST_ROWS = 3
T = TypeVar("T", np.float64, np.int64)


@dataclass(frozen=True)
class ControlValues:
    """One metric of control on the scale of analysis: logs of durations, else as it is.

    `z` are the pilot's values, standardised, nan for none; empty: what the kind draws by `mean`
    and `sd` alone. `pairs` are the standardised differences within the pilot's pairs, `pair_sd`
    their sd. A ratio is its units' linearised shares in it (`ratio.one_arm`), with the pilot's
    denominators in `bottom`. `center` is what a relative effect refers to, where that is not the
    mean. Of the variance of differences `case_share` is between cases, of that of control's
    values `level_share`.
    """

    mean: float
    sd: float
    z: FloatArray
    pairs: FloatArray | None = None
    pair_sd: float = 0.0
    bottom: FloatArray | None = None
    center: float | None = None
    case_share: float = limits.CASE_SHARE
    level_share: float = limits.CASE_SHARE


@dataclass(frozen=True)
class CaseVisits:
    """Which of so many cases each trial runs on: `case` is [experiments, trials]."""

    case: IntArray
    cases: int

    def blend(self, own: FloatArray, of_cases: FloatArray, share: float) -> FloatArray:
        """Each trial's own draw with that of its case: a share of the variance is the case's.

        Both have mean 0; `of_cases` is [experiments, cases].
        """
        case = np.take_along_axis(of_cases, self.case, axis=1)
        return np.asarray(math.sqrt(1 - share) * own + math.sqrt(share) * case)

    def copied(
        self, own: NDArray[T], of_cases: NDArray[T], share: float, rng: np.random.Generator
    ) -> NDArray[T]:
        """Each trial's own draw, or by chance its case's: two visits correlate by `share`."""
        case = np.take_along_axis(of_cases, self.case, axis=1)
        return np.where(rng.random(own.shape) < math.sqrt(share), case, own)


@dataclass(frozen=True)
class Draw:
    """One metric's values are to be drawn, [experiments, trials].

    `effect` is the improvement in the first treatment, `row` the pilot's row of each trial,
    `block` the trials of a block in a paired design (else 1), `drawn` the columns so far.
    `visits` are there where the trials run on cases.
    """

    metric: Metric
    control: ControlValues
    effect: Limit | None
    arm: IntArray
    row: IntArray
    block: int
    drawn: Mapping[str, FloatArray]
    rng: np.random.Generator
    visits: CaseVisits | None = None

    def uniform(self) -> FloatArray:
        """A number from 0 to 1 for each trial; those of one case and arm go together."""
        own = self.rng.random(self.row.shape)
        if self.visits is None:
            return own
        by_arm, share = in_arms(self.visits, self.arm), self.control.case_share
        of_cases = self.rng.random((len(own), by_arm.cases))
        return by_arm.copied(own, of_cases, share, self.rng)


def in_arms(visits: CaseVisits, arm: IntArray) -> CaseVisits:
    """Return the visits with each case under each arm for a case of its own.

    >>> in_arms(CaseVisits(np.array([[0, 0, 1, 1]]), 2), np.array([[0, 1, 1, 0]])).case
    array([[0, 1, 3, 2]])
    """
    arms = int(arm.max(initial=0)) + 1
    return CaseVisits(visits.case * arms + arm, visits.cases * arms)


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
    pairs = run_pairs(table, column)
    if pairs is None or pairs.control.size < LEAST_ROWS:
        return values
    difference = pairs.treatment - pairs.control
    fit, summary = order_adjusted(difference, pairs.pairs.treatment_first), moments(difference)
    if fit is None or fit.residual_sd is None or not summary.m2:
        return values
    z = (difference - summary.mean) / math.sqrt(summary.m2 / summary.n)
    return with_case_shares(replace(values, pairs=z, pair_sd=fit.residual_sd), pairs)


def with_case_shares(values: ControlValues, pairs: Visits | None) -> ControlValues:
    """Return them with what a pilot's pairs tell of the cases; as they are where it tells nothing.

    >>> with_case_shares(ControlValues(5.0, 2.0, np.empty(0)), None).case_share
    0.2
    """
    if pairs is None or pairs.pairs.unit is None:
        return values
    apart = share_between(pairs.treatment - pairs.control, pairs.pairs.unit)
    level = share_between(pairs.control, pairs.pairs.unit)
    return replace(
        values,
        case_share=values.case_share if apart is None else apart,
        level_share=values.level_share if level is None else level,
    )


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
    control, row, visits = draw.control, draw.row, draw.visits
    if draw.block == 1 or control.pairs is None:
        by_arm = None if visits is None else in_arms(visits, draw.arm)
        noise = _standard(control.z, row, by_arm, control.case_share, draw.rng)
        return np.asarray(control.mean + control.sd * noise)
    first = row[:, :: draw.block]
    of_blocks = None if visits is None else CaseVisits(visits.case[:, :: draw.block], visits.cases)
    noise = _standard(control.z, first, of_blocks, control.level_share, draw.rng)
    base = np.repeat(control.mean + control.sd * noise, draw.block, axis=1)
    index = draw.rng.integers(0, control.pairs.size, row.shape)
    by_arm = None if visits is None else in_arms(visits, draw.arm)
    noise = _standard(control.pairs, index, by_arm, control.case_share, draw.rng)
    return np.asarray(base + np.where(draw.arm > 0, control.pair_sd * noise, 0.0))


def _standard(
    z: FloatArray, row: IntArray, visits: CaseVisits | None, share: float, rng: np.random.Generator
) -> FloatArray:
    """Draws with mean 0 and variance 1, `share` of it the case's: rows of z, normal without any."""

    def drawn(rows: IntArray) -> FloatArray:
        return _resampled(z, rows, rng) if z.size else rng.standard_normal(rows.shape)

    own = drawn(row)
    if visits is None or not share:
        return own
    size = (len(row), visits.cases)
    return visits.blend(own, drawn(rng.integers(0, max(1, z.size), size)), share)


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

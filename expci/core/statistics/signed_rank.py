"""Evidence by ranks, for heavy tails: betting on the signs of differences, larger ones more.

Under no effect the two runs of a block (a pair, or the k-th unit of each arm as they
arrive) are exchangeable, so their difference is symmetric about 0: its sign is a fair
coin whatever its size is and whatever came before. With R the rank of |d| among all up
to then (a sequential rank, Reynolds 1975), the normal score a = Φ⁻¹((1 + R/(n+1))/2) and
the sign s, each factor

    2 / (1 + exp(−2 λ s a))

has mean 1, so the products and their average over fixed λ > 0 are test martingales: exact at
every n and every stopping time, with no assumption on the distribution (Ramdas, Ruf, Larsson
& Koolen 2020 on symmetric e-processes). For normal differences λ plays the standardised
effect and the factor is the likelihood ratio given |d|. The evidence falls as a shift δ is
taken off the differences (s R is a sum over Walsh averages above δ, Hodges & Lehmann 1963), so its
inversion is an interval for the shift.

Where the weights are unequal a block holds one unit of the smaller arm and as many of the larger
one as the weights say, so that its units stay neighbours in time. Under no effect each of its
units is as likely as the others to be the one of the smaller arm, whatever the values are, so

    exp(λ a₀) / mean over the block's units of exp(λ aᵢ)

has mean 1: a₀ is the score of that unit, aᵢ of each, s a of its distance to the median of the
others. With one unit of each arm it is the factor above.
"""

from __future__ import annotations

import bisect
import math
from dataclasses import dataclass

import numpy as np

from expci.core.dataset.moments import FloatArray, IntArray
from expci.core.dataset.unit_paths import UnitPath
from expci.core.special_functions import log_sum_exp, special
from expci.core.statistics.outcome import Words
from expci.core.statistics.row_by_row import (
    Look,
    RowByRow,
    RowEvidence,
    Sizes,
    UnitsRow,
    as_shares,
)
from expci.core.statistics.statistic import RowEnds
from expci.core.statistics.t_mixture import Rules
from expci.core.statistics.two_arms import Sample

BETS = np.array([0.1, 0.2, 0.35, 0.5, 0.75, 1.0, 1.5, 2.5])
WORDS = Words("signed ranks", "signed-rank test")
PAIRWISE = Words("signed ranks", "Mann-Whitney test")
_MOST_DIFFERENCES = 2_000_000  # beyond it the estimate of the shift uses every k-th value
_HALVINGS = 48
_NUDGE = 1e-9
RELATIVE = "relative interval: the shift over control's median, whose own error is ignored"


def completion(control: UnitPath, treatment: UnitPath, sizes: Sizes) -> IntArray:
    """Return the position at which each block became complete; blocks by first appearance of units.

    `sizes` are the units of control and of treatment in a block.

    >>> from expci.core.dataset.unit_paths import unit_path
    >>> arm, index = np.array([0, 0, 1, 0, 1]), np.arange(5)
    >>> control, treatment = (unit_path(arm == k, index, np.ones(5)) for k in (0, 1))
    >>> completion(control, treatment, (1, 1))
    array([2, 4])
    """
    last = [
        p.position[p.first][size - 1 :: size]
        for p, size in zip((control, treatment), sizes, strict=True)
    ]
    count = min(positions.size for positions in last)
    return np.maximum(last[0][:count], last[1][:count])


def block_gaps(control: UnitPath, treatment: UnitPath, sizes: Sizes = (1, 1)) -> FloatArray:
    """Return treatment − control within each block, [blocks, pairs of one unit with each other].

    In the order in which blocks became complete. Each unit counts with its mean when the block
    was complete: what it reports later changes no evidence. Where more units of an arm have come
    than the weights say, its later ones wait.

    >>> from expci.core.dataset.unit_paths import single_trials
    >>> values = [1.0, 2.0, 4.0], [5.0, 9.0, 6.0]
    >>> control, treatment = (single_trials(np.array(arm)) for arm in values)
    >>> block_gaps(control, treatment).tolist()
    [[4.0], [7.0], [2.0]]
    """
    complete = completion(control, treatment, sizes)
    values = [
        _at_completion(p, np.repeat(complete, size)).reshape(-1, size)
        for p, size in zip((control, treatment), sizes, strict=True)
    ]
    return np.asarray((values[1] - values[0])[np.argsort(complete, kind="stable")])


def _at_completion(values: UnitPath, complete: IntArray) -> FloatArray:
    """The mean of each unit when its block was complete: `complete` by unit."""
    at_completion = np.empty(complete.size)
    counts = values.unit < complete.size
    position, unit, mean = values.position[counts], values.unit[counts], values.mean[counts]
    in_time = position <= complete[unit]
    at_completion[unit[in_time]] = mean[in_time]  # the last of a unit's means stands
    return at_completion


def signed_scores(distances: FloatArray) -> FloatArray:
    """Return sign times normal score of the sequential rank of |distance|, [blocks, units].

    A block's distances are ranked among those of all blocks up to it.

    >>> signed_scores(np.array([[3.0], [-5.0]])).round(2)  # the ¾ and the ⅚ quantile of a normal
    array([[ 0.67],
           [-0.97]])
    """
    sizes: list[float] = []
    ranks = np.empty(distances.shape)
    for index, row in enumerate(np.abs(distances).tolist()):
        for size in row:
            bisect.insort(sizes, size)
        ranks[index] = [bisect.bisect_right(sizes, size) for size in row]
    blocks, units = distances.shape
    total = units * (np.arange(blocks) + 2)
    return np.asarray(np.sign(distances) * special.ndtri((1 + ranks / total[:, None]) / 2))


def log_e_exceeds(gaps: FloatArray, shift: float) -> FloatArray:
    """Return log E against "the centre is at most `shift`" after every block of `gaps`.

    >>> np.exp(log_e_exceeds(np.ones((5, 1)), 0.0)).round(1)  # at most 2, 4, 8, 16 and 32
    array([ 1.4,  2.3,  3.9,  7. , 12.7])
    """
    if not gaps.size:
        return np.empty(0)
    if gaps.shape[1] == 1:
        product = 2 * BETS * signed_scores(gaps - shift)
        return _log_e(math.log(2) - np.logaddexp(0.0, -product))
    scores = signed_scores(_distances(gaps - shift))
    bets = BETS[:, None, None] * scores
    mean = log_sum_exp(bets, axis=2) - math.log(scores.shape[1])
    return _log_e((bets[:, :, 0] - mean).T)


def _log_e(factors: FloatArray) -> FloatArray:
    """log of the mean over the bets of their products, from log factors [blocks, bets]."""
    total = np.cumsum(factors, axis=0)
    return np.asarray(log_sum_exp(total, axis=1) - math.log(BETS.size))


def _distances(gaps: FloatArray) -> FloatArray:
    """Each unit of a block to the median of the others, [blocks, units], the single one first."""
    units = np.column_stack([np.zeros(len(gaps)), -gaps])
    return np.stack(
        [
            units[:, k] - np.median(np.delete(units, k, axis=1), axis=1)
            for k in range(units.shape[1])
        ],
        axis=1,
    )


def running_log_e(gaps: FloatArray, shift: float, start: int) -> FloatArray:
    """Return the largest log E so far that the centre is above `shift`; −inf before `start` blocks.

    >>> running_log_e(np.array([[1.0], [1.0], [-1.0]]), 0.0, 2).round(2)
    array([-inf, 0.83, 0.83])
    """
    return np.maximum.accumulate(_from_start(gaps, shift, start))


def _from_start(gaps: FloatArray, shift: float, start: int) -> FloatArray:
    log_e = log_e_exceeds(gaps, shift)
    log_e[: start - 1] = -np.inf
    return log_e


def lower_end(gaps: FloatArray, rules: Rules) -> float:
    """Return the largest shift that is refuted as too small; the evidence falls with the shift.

    At alpha/2, in the values' unit; −inf where none is refuted.

    >>> gaps = np.tile([[9.0], [11.0]], (20, 1))
    >>> round(lower_end(gaps, Rules(alpha=0.05, harm=1, start=5)), 1)
    9.0
    """
    threshold = -math.log(rules.alpha / 2)

    def refuted(shift: float) -> bool:
        return bool(running_log_e(gaps, shift, rules.start)[-1] >= threshold)

    spread = float(np.ptp(gaps)) or abs(float(gaps.flat[0])) or 1.0
    low, high = float(gaps.min()) - spread, float(gaps.max())
    if not math.isfinite(low) or not refuted(low):
        return -math.inf
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if refuted(middle) else (low, middle)
    return 0.0 if low < 0 and refuted(0.0) else low


class RankTest(RowByRow):
    """The shift of one arm against the other by ranks, [experiments, looks].

    Both one-sided tests, each at alpha/2; with `bounds` the interval's ends are only evaluated on
    that grid (improvements, by row), without them as they stand at the last look.
    """

    def row_evidence(self, row: UnitsRow) -> RowEvidence:
        gaps, start = _gaps_of(row.units, row.sizes), self.rules.start
        if len(gaps) < start or not np.any(gaps):
            return row.nothing()
        sides = _from_start(gaps, 0.0, start), _from_start(-gaps, 0.0, start)
        ends = self._now(gaps) if row.bounds is None else self._on_grid(gaps, row)
        return row.spread(row.complete, sides, *ends)

    def _now(self, gaps: FloatArray) -> tuple[FloatArray, FloatArray]:
        low, high = lower_end(gaps, self.rules), -lower_end(-gaps, self.rules)
        return np.full(len(gaps), low), np.full(len(gaps), high)

    def _on_grid(self, gaps: FloatArray, row: UnitsRow) -> tuple[FloatArray, FloatArray]:
        """Ends are set a little beyond the bound that they pass: where exactly is not computed."""
        better, grid = -self.rules.harm, row.bounds or ()
        threshold, start, d = (
            -math.log(self.rules.alpha / 2),
            self.rules.start,
            better * gaps,
        )
        low, high = np.full(len(d), -math.inf), np.full(len(d), math.inf)
        for bound in grid:  # ascending: a higher bound that is refuted stands
            passed = running_log_e(d, bound, start) >= threshold
            low = np.where(passed, bound + _NUDGE * abs(bound), low)
        for bound in reversed(grid):
            passed = running_log_e(-d, -bound, start) >= threshold
            high = np.where(passed, np.nextafter(bound - _NUDGE * abs(bound), -np.inf), high)
        return (low, high) if better > 0 else (-high, -low)

    def row_share(self, row: UnitsRow) -> float | None:
        """Relative ends refer to control's median, as if that had no error."""
        return control_median(row.units)

    def row_look(self, units: Sample) -> Look | None:
        return one_look(units)


@dataclass(frozen=True)
class _Ranks:
    """MetricColumn of one look: both arms', or the differences of pairs."""

    control: FloatArray
    treatment: FloatArray
    paired: bool


def _gaps_of(units: Sample, sizes: Sizes = (1, 1)) -> FloatArray:
    """Treatment − control within blocks of these sizes, or of pairs [pairs, 1]."""
    if units.pairs is None:
        return block_gaps(units.control, units.treatment, sizes)
    control, treatment = units.pair_values()
    return np.asarray(treatment - control)[:, None]


def _values(units: Sample) -> _Ranks:
    if units.pairs is None:
        return _Ranks(units.control.final, units.treatment.final, False)
    return _Ranks(*units.pair_values(), True)


def control_median(units: Sample) -> float | None:
    """Return the median of control's units (of those in a pair); `None` without any.

    >>> from expci.core.dataset.unit_paths import single_trials
    >>> arms = [single_trials(np.array(values)) for values in ([3.0, 1.0, 8.0], [5.0])]
    >>> control_median(Sample(*arms))
    3.0
    """
    values = _values(units).control
    return float(np.median(values)) if values.size else None


def shift(units: Sample) -> float | None:
    """Return the Hodges-Lehmann estimate: median of all treatment − control, or of Walsh averages.

    In the values' unit (Hodges & Lehmann 1963); `None` where an arm has no units.

    >>> from expci.core.dataset.unit_paths import single_trials
    >>> arms = [single_trials(np.array(values)) for values in ([1.0, 2.0, 99.0], [6.0, 7.0, 8.0])]
    >>> shift(Sample(*arms))  # of −93, −92, −91, 4, 5, 5, 6, 6 and 7
    5.0
    """
    ranks = _values(units)
    if not min(ranks.control.size, ranks.treatment.size):
        return None
    return float(np.median(_candidates(ranks)))


def shift_of(control: FloatArray, treatment: FloatArray, paired: bool) -> float:
    """Return the same of plain values; of pairs in the same order.

    >>> shift_of(np.array([1.0, 2.0, 3.0]), np.array([2.0, 4.0, 7.0]), paired=True)
    2.25
    """
    return float(np.median(_candidates(_Ranks(control, treatment, paired))))


def _candidates(values: _Ranks) -> FloatArray:
    """The differences (Walsh averages of pairs) whose order statistics are the interval's ends."""
    if values.paired:
        d = thinned(values.treatment - values.control, math.isqrt(_MOST_DIFFERENCES))
        return np.asarray((d[:, None] + d)[np.triu_indices(d.size)] / 2)
    most = math.isqrt(_MOST_DIFFERENCES)
    control, treatment = thinned(values.control, most), thinned(values.treatment, most)
    return np.asarray(treatment[:, None] - control).ravel()


def thinned(values: FloatArray, most: int) -> FloatArray:
    """Return evenly spaced order statistics where there are too many values for all pairs.

    >>> thinned(np.array([4.0, 0.0, 3.0, 1.0, 2.0]), 3)
    array([0., 2., 4.])
    """
    if values.size <= most:
        return values
    return np.sort(values)[np.linspace(0, values.size - 1, most).astype(np.int64)]


def one_look(units: Sample) -> Look | None:
    """Return the rank test of one look by its normal approximation, with corrections for ties.

    Wilcoxon's signed ranks for pairs, Mann & Whitney's for two samples (Hollander & Wolfe 1999,
    3.1 and 4.1), with the continuity correction, as R's `wilcox.test` has it; the ends are order
    statistics of the differences. `None` where nothing can be ranked.

    >>> from expci.core.dataset.unit_paths import single_trials
    >>> look = one_look(Sample(*(single_trials(np.arange(8.0) + up) for up in (0, 4.5))))
    >>> round(look.z, 2) if look else None  # U = 58 of 64: (26 − ½)/√(8 · 8 · 17/12)
    2.68
    """
    values = _values(units)
    arms = values.control, values.treatment
    z = _signed_rank_z(values) if values.paired else mann_whitney_z(*arms)
    if z is None:
        return None
    differences, median = np.sort(_candidates(values)), control_median(units)

    def ends(critical: float) -> tuple[RowEnds, RowEnds]:
        interval = _order_statistics(values, differences, critical)
        return interval, as_shares(interval, median)

    return Look(z, ends)


def mann_whitney_z(control: FloatArray, treatment: FloatArray) -> float | None:
    """Return Mann & Whitney's test as a normal deviate, positive where treatment is larger.

    With corrections for ties and continuity; `None` under two values an arm or without variance.

    >>> round(mann_whitney_z(np.array([1.0, 2.0, 3.0]), np.array([4.0, 5.0, 6.0])) or 0.0, 3)
    1.746
    """
    m, n = control.size, treatment.size
    if min(m, n) < 2:
        return None
    order = np.sort(control)
    wins = np.searchsorted(order, treatment, "left").sum()
    ties = np.searchsorted(order, treatment, "right").sum() - wins
    _, counts = np.unique(np.concatenate([order, treatment]), return_counts=True)
    total = m + n
    correction = float(np.sum(counts.astype(float) ** 3 - counts)) / (total * (total - 1))
    variance = m * n / 12 * (total + 1 - correction)
    if variance <= 0:
        return None
    return _continued(float(wins + ties / 2 - m * n / 2), 0.5) / math.sqrt(variance)


def _continued(deviation: float, half: float) -> float:
    """Half a step nearer to 0: what a normal deviate owes to whole numbers."""
    return math.copysign(max(abs(deviation) - half, 0.0), deviation)


def _signed_rank_z(values: _Ranks) -> float | None:
    d = values.treatment - values.control
    d = d[d != 0]
    if d.size < 2:
        return None
    _, inverse, counts = np.unique(np.abs(d), return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    # The sum of signed ranks moves in steps of two: half of one is 1.
    return _continued(float(np.sum(np.sign(d) * ranks)), 1.0) / math.sqrt(float(np.sum(ranks**2)))


def _order_statistics(values: _Ranks, differences: FloatArray, critical: float) -> RowEnds:
    m, n = values.control.size, values.treatment.size
    sd = (
        math.sqrt(m * (m + 1) * (2 * m + 1) / 24)
        if values.paired
        else math.sqrt(m * n * (m + n + 1) / 12)
    )
    full = m * (m + 1) / 2 if values.paired else float(m * n)
    share = (full / 2 - critical * sd - 0.5) / full  # thinned differences keep their share
    index = math.floor(share * differences.size)
    if index < 1:
        return -math.inf, math.inf
    return float(differences[index - 1]), float(differences[-index])

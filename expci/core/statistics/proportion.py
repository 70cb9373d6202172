"""Proportions of two arms: the safe 2 × 2 test at every look, Agresti-Caffo at planned ones.

Also what is reported beside the evidence: the log odds ratio, and the flat prior's chance
that the treatment is better.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Self

import numpy as np

from expci.core.dataset.moments import BoolArray, FloatArray, moments
from expci.core.dataset.unit_paths import UnitPath
from expci.core.model.experiment import Metric
from expci.core.special_functions import special
from expci.core.statistics import betting, classical
from expci.core.statistics.bets import USUAL, Bets, planned_bets
from expci.core.statistics.betting import Blocks
from expci.core.statistics.no_loss import no_loss_odds
from expci.core.statistics.outcome import Words
from expci.core.statistics.planned_looks import PlannedLooks
from expci.core.statistics.sample_size import Spread, scale_sd
from expci.core.statistics.t_mixture import Ends, Rules
from expci.core.statistics.terms import Terms
from expci.core.statistics.two_arms import Sample

WORDS = Words("safe 2x2", "Agresti-Caffo", "no block of units of both arms is complete")
_POINTS = 2001


@dataclass(frozen=True)
class SafeTest:
    """Both arms' shares of successes as evidence, [experiments, looks].

    `counts` are each arm's units and `totals` their sums at each look; `blocks` those of the
    safe test. `bounds` are the improvements that its interval is compared with, where it is only
    evaluated on that grid; without them it is evaluated at the last look.
    """

    rules: Rules
    counts: tuple[FloatArray, FloatArray]
    totals: tuple[FloatArray, FloatArray]
    blocks: Blocks
    bounds: tuple[float, ...] | None = None

    @property
    def n(self) -> FloatArray:
        return np.minimum(*self.counts)

    @property
    def difference(self) -> FloatArray:
        """Treatment − control of the shares; nan before a unit of each."""
        with np.errstate(divide="ignore", invalid="ignore"):
            control, treatment = (t / n for t, n in zip(self.totals, self.counts, strict=True))
        return np.asarray(treatment - control)

    @property
    def error(self) -> FloatArray:
        """Agresti & Caffo's standard error of the difference, as of one look."""
        return np.where(self.n > 0, agresti_caffo(self.counts, self.totals)[2], np.nan)

    def no_loss_odds(self, limit: float) -> FloatArray:
        """Return how many times as likely the data are without a loss, at every look."""
        return no_loss_odds(self.counts, self.totals, limit, -int(self.rules.harm))

    @cached_property
    def _sides(self) -> tuple[FloatArray, FloatArray]:
        """The largest log E so far that the treatment's share is larger, and smaller."""
        return betting.exceeds(self.blocks, 0.0), betting.exceeds(self.blocks.mirrored(), 0.0)

    @property
    def _harm(self) -> Blocks:
        """Larger where the treatment does harm; no bet on harm is tuned to the hoped-for effect."""
        usual = replace(self.blocks, bets=USUAL)
        return usual if self.rules.harm > 0 else usual.mirrored()

    def at_level(self, alpha: float) -> Self:
        return replace(self, rules=replace(self.rules, alpha=alpha))

    def log_e(self) -> FloatArray:
        """½ max(E of "larger", E of "smaller"): p <= alpha exactly when the interval, alpha/2 on
        each side, excludes 0."""
        return np.asarray(np.maximum(*self._sides) - math.log(2))

    def log_e_now(self) -> FloatArray:
        sides = self.blocks, self.blocks.mirrored()
        up, down = (betting.exceeds_now(blocks, 0.0)[:, -1] for blocks in sides)
        return np.asarray(np.maximum(up, down) - math.log(2))

    def harm_log_e(self) -> FloatArray:
        if self.blocks.bets is USUAL:
            return self._sides[0] if self.rules.harm > 0 else self._sides[1]
        return betting.exceeds(self._harm, 0.0)

    def interval(self) -> Ends:
        mirrored, half = self.blocks.mirrored(), self.rules.alpha / 2
        if self.bounds is None:
            low, high = betting.lower_ends(self.blocks, half), -betting.lower_ends(mirrored, half)
            return low[:, None], high[:, None]
        better = self.rules.harm < 0
        up, down = (self.blocks, mirrored) if better else (mirrored, self.blocks)
        low, high = (np.full(self.n.shape, end) for end in (-1.0, 1.0))
        for bound in sorted(self.bounds):
            low = np.where(_reaches(up, bound, half), bound, low)
        for bound in sorted(self.bounds, reverse=True):
            under = betting.lower_end_above(down, -bound, half)
            high = np.where(under, np.nextafter(bound, -np.inf), high)
        return (low, high) if better else (-high, -low)

    def relative(self) -> Ends:
        nowhere = np.full(self.n.shape, np.inf)
        return -nowhere, nowhere

    def planned_z(self, plan: PlannedLooks) -> FloatArray:
        return agresti_caffo(*self._at(plan))[0]

    def planned_ends(self, plan: PlannedLooks) -> tuple[Ends, Ends]:
        _, difference, error = agresti_caffo(*self._at(plan))
        margin = np.array(plan.bounds) * error
        nowhere = np.full(error.shape, np.inf)
        ends = np.maximum(difference - margin, -1.0), np.minimum(difference + margin, 1.0)
        return ends, (-nowhere, nowhere)

    def _at(
        self, plan: PlannedLooks
    ) -> tuple[tuple[FloatArray, FloatArray], tuple[FloatArray, FloatArray]]:
        counts = plan.at(self.counts[0]), plan.at(self.counts[1])
        return counts, (plan.at(self.totals[0]), plan.at(self.totals[1]))


def _reaches(blocks: Blocks, bound: float, alpha: float) -> BoolArray:
    """Whether the interval's lower end is at `bound` or above it."""
    return betting.lower_end_above(blocks, bound - 1e-9, alpha)


def agresti_caffo(
    counts: tuple[FloatArray, FloatArray], totals: tuple[FloatArray, FloatArray]
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return z, difference and standard error, one success and failure added to each arm.

    Agresti & Caffo (2000), who show that Wald's interval then covers well from 10 per arm. z is
    nan without units in both arms. Elementwise; (control, treatment).

    >>> z, difference, error = agresti_caffo(
    ...     (np.array(18.0), np.array(8.0)), (np.array(9.0), np.array(7.0))
    ... )
    >>> round(float(z), 3), round(float(difference), 3)
    (1.777, 0.3)
    """
    n = counts[0] + 2, counts[1] + 2
    rates = (totals[0] + 1) / n[0], (totals[1] + 1) / n[1]
    error = np.sqrt(sum(rate * (1 - rate) / m for rate, m in zip(rates, n, strict=True)))
    difference = rates[1] - rates[0]
    z = np.where(np.minimum(*counts) > 0, difference / error, np.nan)
    return z, np.asarray(difference), np.asarray(error)


def bets_of(metric: Metric, terms: Terms, sizes: tuple[int, int]) -> Bets:
    """Return the bets for the planned effect of the primary; the usual ones without one.

    >>> from expci.core.model.experiment import Assignment, DecisionRules, Experiment, PlanRules
    >>> experiment = Experiment("", "", "", (), (), Assignment(), PlanRules(), DecisionRules())
    >>> terms = Terms(experiment, PlanRules(), None, 0.025, False, None)
    >>> bets_of(Metric("ok", "primary", "proportion", "increase"), terms, (1, 1)) is USUAL
    True
    """
    effect, planned = metric.minimum_effect, terms.planned_effect(metric)
    if effect is None or not planned:
        return USUAL
    size, points = terms.experiment.plan.sample_size, abs(effect.value)
    blocks = None if size is None else size // min(sizes)
    return planned_bets(points, points / planned, sizes, blocks, terms.rules.alpha)


def safe_test(
    units: Sample, sizes: tuple[int, int], rules: Rules, bets: Bets = USUAL
) -> SafeTest | None:
    """Return one experiment's units as one row; `None` without a trial.

    `sizes` are the units of control and of treatment in a block.

    >>> from expci.core.dataset.unit_paths import unit_path
    >>> index, value = np.arange(4), np.array([0.0, 1.0, 1.0, 1.0])
    >>> units = Sample(*(unit_path(index % 2 == arm, index, value) for arm in (0, 1)))
    >>> test = safe_test(units, (1, 1), Rules(alpha=0.05, harm=1, start=5))
    >>> test.difference[:, -1] if test else None  # 2 of 2 less 1 of 2
    array([0.5])
    """
    arm, mean, before = units.row()
    if not mean.size:
        return None
    old = 0.0 if before is None else np.nan_to_num(before, nan=0.0)
    new = np.ones(mean.shape, dtype=np.bool_) if before is None else np.isnan(before)
    counts = [np.cumsum((arm == index) & new, axis=1, dtype=np.float64) for index in (0, 1)]
    totals = [np.cumsum(np.where(arm == index, mean - old, 0.0), axis=1) for index in (0, 1)]
    if before is None:
        blocks = betting.blocks(arm, mean, 1, sizes)
    else:
        blocks = betting.blocks_of_units(units.control, units.treatment, sizes)
    blocks = replace(blocks, bets=bets)
    return SafeTest(rules, (counts[0], counts[1]), (totals[0], totals[1]), blocks)


def log_odds_ratio(
    control: FloatArray, treatment: FloatArray, level: float
) -> tuple[float, tuple[float, float]] | None:
    """Return log odds of treatment over control, half a success and failure added to each arm.

    Estimate and standard error of Haldane (1956) and Anscombe (1956), Wald interval. `None`
    without units.

    >>> value, ends = log_odds_ratio(np.array([1.0, 0.0]), np.array([1.0, 1.0]), 0.95) or (0, ())
    >>> round(value, 3)  # log of (2.5/0.5)/(1.5/1.5)
    1.609
    """
    if not control.size or not treatment.size:
        return None
    cells = [
        float(count) + 0.5
        for arm in (treatment, control)
        for count in (arm.sum(), arm.size - arm.sum())
    ]
    value = math.log(cells[0] * cells[3] / (cells[1] * cells[2]))
    margin = -float(special.ndtri((1 - level) / 2)) * math.sqrt(sum(1 / cell for cell in cells))
    return value, (value - margin, value + margin)


def flat_prior(
    control: FloatArray, treatment: FloatArray, better: int
) -> tuple[float, float] | None:
    """Return (chance that the treatment's rate is better, expected loss of shipping it).

    Both rates uniform on [0, 1] a priori, so Beta(1 + successes, 1 + failures) after. The
    loss is E[max(0, what is lost)] in points: the integral of one distribution function
    times the other's complement. `None` without units.

    >>> chance, loss = flat_prior(np.zeros(1), np.ones(1), 1) or (0.0, 0.0)
    >>> round(chance, 3), round(loss, 3)  # Beta(1, 2) and Beta(2, 1): 5/6 and 1/30
    (0.833, 0.033)
    """
    if not control.size or not treatment.size:
        return None
    shapes = [(1 + float(x.sum()), 1 + float(x.size - x.sum())) for x in (control, treatment)]
    ends = [special.betaincinv(a, b, [1e-12, 1 - 1e-12]) for a, b in shapes]
    x = np.linspace(min(e[0] for e in ends), max(e[1] for e in ends), _POINTS)
    below = [special.betainc(a, b, x) for a, b in shapes]  # of control, of treatment
    density = np.diff(below[0])
    middle = (below[1][1:] + below[1][:-1]) / 2
    higher = 1 - float(np.sum(density * middle)) / float(np.sum(density))
    lost = below[1] * (1 - below[0]) if better > 0 else below[0] * (1 - below[1])
    loss = float(np.sum((lost[1:] + lost[:-1]) / 2 * np.diff(x)))
    return (higher if better > 0 else 1 - higher), loss


def power(metric: Metric, control: UnitPath, treatment: UnitPath, alpha: float) -> float | None:
    """Return the power of the fixed test at the planned effect, with the n and rate so far.

    `None` without a planned effect, units or variance.

    >>> from expci.core.dataset.unit_paths import single_trials
    >>> from expci.core.model.experiment import Limit
    >>> half = single_trials(np.tile([0.0, 1.0], 200))
    >>> effect = Limit(0.1, False)
    >>> success = Metric("ok", "primary", "proportion", "increase", minimum_effect=effect)
    >>> round(power(success, half, half, 0.05) or 0.0, 2)  # R: power.prop.test says 0.81
    0.81
    """
    rates = moments(control.final), moments(treatment.final)
    if metric.minimum_effect is None or not rates[0].n or not rates[1].n:
        return None
    sd = scale_sd(metric, Spread(rates[0].mean, rates[0].sd or 0.0), "randomized")
    if not sd:
        return None
    n = 2 * rates[0].n * rates[1].n / (rates[0].n + rates[1].n)
    return classical.two_sample_power(metric.minimum_effect.value, sd, n, alpha)

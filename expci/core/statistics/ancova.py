"""What precedes a trial, taken out of its result: analysis of covariance at every look.

The within-arm regression of the values on the covariates removes what they explain (CUPED
is this with one covariate: Deng, Xu, Kohavi & Walker 2013); a randomised treatment does not
change them, so the estimate stays that of the means. With β = Sxx⁻ Sxy pooled within arms and
Δ the difference of the covariates' means

    difference = Δȳ − Δ'β,   variance = s_c²/n_c + s_t²/n_t + s² Δ' Sxx⁻ Δ

(Cochran 1957, with each arm its own residual variance). A word such as the CPU model is a
set of indicators; an unknown number is 0 beside an indicator that it is unknown. It holds
as samples grow: no evidence before 10 per arm.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from expci.core.dataset.factor import Factor, factor
from expci.core.dataset.joint_moments import joint_moments
from expci.core.dataset.moments import FloatArray, Moments, moments
from expci.core.dataset.trial_columns import TrialColumns
from expci.core.dataset.trials_table import TrialsTable
from expci.core.model.trial import CONDITION
from expci.core.statistics.classical import Difference
from expci.core.statistics.mean_difference import Looks, larger_error, one_row
from expci.core.statistics.outcome import Words
from expci.core.statistics.two_arms import Sample

START = 10
WORDS = Words("covariates, asymptotic", "covariates")
CPU = "cpu"
_MOST_LEVELS = 8  # of a word; the others count as one
_SINGULAR = 1e-9


def columns(table: TrialsTable, names: Sequence[str]) -> tuple[FloatArray, ...]:
    """Return one column of numbers per covariate, level or gap, a row per trial of `table`.

    Numbers are scaled to 0..1; an unknown one is 0 beside an indicator that it is unknown. A
    word has an indicator per level but the first.

    >>> from expci.core.dataset.recorded import trial_columns
    >>> from expci.core.dataset.trials_table import trials_table
    >>> from expci.core.model.trial import Trial
    >>> def run(size):
    ...     when = "2026-11-01T12:00:00Z"
    ...     return Trial("id", "e", "p", "live", "control", "u", when, covariates={"size": size})
    >>> runs = trial_columns([run(10.0), run(30.0), run(20.0)])
    >>> table = trials_table(runs, ("control",), False)
    >>> columns(table, ["size"])
    (array([0. , 1. , 0.5]),)
    """
    coded: list[FloatArray] = []
    for name in names:
        numbers, words = table.trials.covariate(name), _words(table.trials, name)
        coded += _indicators(words) if words.given.any() else _numbers(numbers)
    return tuple(coded)


def _words(trials: TrialColumns, name: str) -> Factor:
    """A covariate as words, its numbers too where some trials have a word; none else.

    The CPU and stated conditions are known from the context, where no covariate says otherwise.
    """
    numbers, words = trials.covariate(name), trials.word(name)
    is_condition = name == CPU or name.startswith(CONDITION)
    stated = trials.stated(name) if is_condition else words
    if not words.given.any() and np.isnan(numbers).all():
        return stated
    if not (words.given | stated.given).any():
        return words
    columns = (words.words(), stated.words(), numbers.tolist())
    return factor(
        word or (other if math.isnan(number) else str(number))
        for word, other, number in zip(*columns, strict=True)
    )


def _numbers(column: FloatArray) -> list[FloatArray]:
    unknown = np.isnan(column)
    spread = float(np.nanmax(column) - np.nanmin(column)) if not unknown.all() else 0.0
    if not 0 < spread < np.inf:
        return []
    scaled = np.where(unknown, 0.0, (column - np.nanmin(column)) / spread)
    return [scaled, unknown.astype(np.float64)] if unknown.any() else [scaled]


def _indicators(given: Factor) -> list[FloatArray]:
    """One column per level but the first, in the order of appearance; none is a level too."""
    levels = given.appearing()[1:_MOST_LEVELS]
    return [(given.codes == level).astype(np.float64) for level in levels]


@dataclass(frozen=True)
class Adjusted:
    """The units of two arms with their covariates, as samples of the same trials."""

    plain: Sample
    covariates: tuple[Sample, ...]

    @property
    def n(self) -> int:
        return self.plain.n

    def until(self, units: int) -> Adjusted:
        return Adjusted(self.plain.until(units), tuple(c.until(units) for c in self.covariates))

    def looks(self) -> Looks | None:
        return _looks(self)

    def difference(self) -> float | None:
        difference = self.estimated()
        return self.plain.difference() if difference is None else difference.estimate

    def estimated(self) -> Difference | None:
        looks = self.looks()
        if looks is None or not looks.valid[0, -1]:
            return None
        scale = float(looks.scale)
        return Difference(
            float(looks.difference[0, -1]) * scale,
            float(looks.error[0, -1]) * scale,
            float(looks.df[0, -1]),
        )

    def control_mean(self) -> Moments:
        """Control at the covariates of all units."""
        control = moments(self.plain.control.final)
        gap, estimated = self.plain.difference(), self.estimated()
        if gap is None or estimated is None:
            return control
        treated = self.plain.treatment.final.size
        share = treated / (treated + control.n)
        return replace(control, mean=control.mean + (gap - estimated.estimate) * share)

    def gain(self) -> float | None:
        """The share of the squared error that the covariates took away."""
        plain, after = self.plain.looks(), self.estimated()
        if plain is None or not plain.valid[0, -1] or after is None:
            return None
        before = float(plain.last.error[0, 0]) * float(np.ravel(plain.scale)[0])
        return 1 - (after.error / before) ** 2


def adjusted(
    table: TrialsTable, arm: int, column: FloatArray, names: Sequence[str]
) -> Adjusted | None:
    """Return `column` with the covariates `names`; `None` where none of them varies.

    `arm` is the index of the treatment that is compared with control.

    >>> from expci.core.dataset.recorded import trial_columns
    >>> from expci.core.dataset.trials_table import trials_table
    >>> from expci.core.model.trial import Trial
    >>> def run(arm, size):
    ...     when, own = "2026-11-01T12:00:00Z", {"size": size}
    ...     return Trial("id", "e", "p", "live", arm, f"{size}", when, covariates=own)
    >>> runs = [run(arm, size) for size in (1.0, 2.0, 3.0, 4.0) for arm in ("control", "new")]
    >>> table = trials_table(trial_columns(runs), ("control", "new"), False)
    >>> units = adjusted(table, 1, np.array([5.0, 7.5, 7.0, 9.0, 9.0, 11.5, 11.0, 13.0]), ["size"])
    >>> (units.n, round(units.difference(), 2)) if units else None
    (4, 2.25)
    """
    covariates = columns(table, names)
    if not covariates:
        return None
    gap = np.isnan(column)

    def two(values: FloatArray) -> Sample:
        return Sample(table.path(0, values), table.path(arm, values))

    return Adjusted(two(column), tuple(two(np.where(gap, np.nan, values)) for values in covariates))


def unexplained(table: TrialsTable, column: FloatArray, names: Sequence[str], units: int) -> float:
    """Return the share of control's variance that the covariates leave.

    Of its first `units` units: the adjusted 1 − R² of least squares; 1 where they explain nothing.

    >>> from expci.core.dataset.recorded import trial_columns
    >>> from expci.core.dataset.trials_table import trials_table
    >>> from expci.core.model.trial import Trial
    >>> def run(size):
    ...     when, own = "2026-11-01T12:00:00Z", {"size": size}
    ...     return Trial("id", "e", "p", "live", "control", f"{size}", when, covariates=own)
    >>> runs = trial_columns([run(size) for size in (1.0, 2.0, 3.0, 4.0)])
    >>> table = trials_table(runs, ("control",), False)
    >>> round(unexplained(table, np.array([2.0, 4.0, 6.0, 8.0]), ["size"], 4), 3)
    0.0
    >>> unexplained(table, np.array([2.0, 4.0, 6.0, 8.0]), ["weather"], 4)
    1.0
    """
    control = adjusted(table, 0, column, names)
    if control is None:
        return 1.0
    y, *given = (sample.control.final[:units] for sample in (control.plain, *control.covariates))
    design = np.column_stack([np.ones(y.size), *given])
    slope, _, rank, _ = np.linalg.lstsq(design, y, rcond=None)
    spare, total = y.size - int(rank), float(np.sum((y - y.mean()) ** 2))
    if spare < 1 or not 0 < total < np.inf:
        return 1.0
    rest = float(np.sum((y - design @ slope) ** 2)) / spare
    return min(1.0, rest / (total / (y.size - 1)))


def _looks(units: Adjusted) -> Looks | None:
    every = (units.plain, *units.covariates)
    control, treatment = [s.control for s in every], [s.treatment for s in every]
    timeline = np.sort(np.concatenate([control[0].position, treatment[0].position]))
    values = np.concatenate([control[0].mean, treatment[0].mean])
    if not timeline.size:
        return None
    with np.errstate(over="ignore"):
        scale = float(np.max(np.abs(values - np.median(values))))
    if not 0 < scale < np.inf:
        return None
    n_a, mean_a, cross_a = _scaled(*joint_moments(control, timeline), scale)
    n_b, mean_b, cross_b = _scaled(*joint_moments(treatment, timeline), scale)
    inverse, rank = generalised_inverse(cross_a[:, 1:, 1:] + cross_b[:, 1:, 1:])
    slope = np.einsum("nij,nj->ni", inverse, cross_a[:, 1:, 0] + cross_b[:, 1:, 0])
    gap = mean_b[:, 1:] - mean_a[:, 1:]
    spare = n_a + n_b - 2 - rank
    with np.errstate(divide="ignore", invalid="ignore"):
        rests = [_rest(cross, slope) for cross in (cross_a, cross_b)]
        stretch = (n_a + n_b - 2) / spare
        v_a, v_b = (
            stretch * rest / (n * (n - 1)) for rest, n in zip(rests, (n_a, n_b), strict=True)
        )
        lever = np.einsum("ni,nij,nj->n", gap, inverse, gap)
        error, df = larger_error((n_a, v_a), (n_b, v_b))
        variance = error**2 + (rests[0] + rests[1]) / spare * lever
        df = df / stretch
        n_e = 1 / (1 / n_a + 1 / n_b + lever)
        toward = n_b / (n_a + n_b)
    taken = np.einsum("ni,ni->n", gap, slope)
    n = np.minimum(n_a, n_b)
    valid = (n >= 2) & (spare >= 1) & (variance > 0) & np.isfinite(df) & np.isfinite(variance)
    return one_row(
        n=n,
        difference=mean_b[:, 0] - mean_a[:, 0] - taken,
        error=np.sqrt(np.maximum(variance, 0.0)),
        df=df,
        n_e=n_e,
        control=mean_a[:, 0] + np.where(np.isfinite(toward), toward, 0.0) * taken,
        control_variance=v_a,
        covariance=-v_a,
        valid=valid,
        scale=scale,
    )


def _scaled(
    n: FloatArray, mean: FloatArray, cross: FloatArray, scale: float
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """The first column in units of `scale`."""
    factor = np.ones(mean.shape[1])
    factor[0] = 1 / scale
    return n, mean * factor, cross * factor[:, None] * factor


def generalised_inverse(matrix: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return generalised inverses and ranks of symmetric matrices [looks, p, p].

    Moore and Penrose's, where eigenvalues under 1e-9 of the largest count as 0.

    >>> inverse, rank = generalised_inverse(np.array([[[4.0, 0.0], [0.0, 0.0]]]))
    >>> inverse.tolist(), rank.tolist()
    ([[[0.25, 0.0], [0.0, 0.0]]], [1.0])
    """
    values, vectors = np.linalg.eigh(matrix)
    largest = np.maximum(values[:, -1:], 1e-300)
    kept = values > _SINGULAR * largest
    with np.errstate(divide="ignore"):
        inverted = np.where(kept, 1 / np.where(kept, values, 1.0), 0.0)
    return (
        np.einsum("nij,nj,nkj->nik", vectors, inverted, vectors),
        kept.sum(axis=1).astype(np.float64),
    )


def _rest(cross: FloatArray, slope: FloatArray) -> FloatArray:
    """The sum of squares of an arm's values that the pooled slope leaves."""
    rest = cross[:, 0, 0] - 2 * np.einsum("ni,ni->n", slope, cross[:, 1:, 0])
    rest = rest + np.einsum("ni,nij,nj->n", slope, cross[:, 1:, 1:], slope)
    return np.where(rest > 1e-12 * np.maximum(cross[:, 0, 0], 1e-300), rest, 0.0)

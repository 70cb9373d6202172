"""Covariates within pairs: what differs between the two runs of a pair beside the treatment.

The differences d of the pairs are regressed on the order of the two runs and on the differences
of the covariates; the effect is the intercept, where the order is balanced and the covariates
are alike (Jones & Kenward 2014, section 2.3; Cochran 1957). Least squares, so for normal
differences t is exact given the covariates: with X the regressors' means, S their cross products
and p its rank

    1/n_e = 1/n + X' S⁻ X,    ν = n − 1 − p

What is the same in both runs of a pair is gone already and explains nothing here.

Where a `blocked` plan asks for `block`, the k-th units of both arms as they arrive stand for a
pair: drift that both feel cancels, at the price of half the degrees of freedom.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from expci.core.dataset.joint_moments import joint_moments
from expci.core.dataset.moments import FloatArray, Moments, moments
from expci.core.dataset.trials_table import TrialsTable
from expci.core.dataset.unit_paths import Pairs, UnitPath
from expci.core.statistics.ancova import columns, generalised_inverse
from expci.core.statistics.classical import Difference
from expci.core.statistics.mean_difference import Looks, one_row
from expci.core.statistics.two_arms import Sample

BLOCK = "block"
START = 10
_EPSILON = float(np.finfo(np.float64).eps)


@dataclass(frozen=True)
class AdjustedPairs:
    """Pairs with the columns of their covariates, a row per trial of the frame."""

    plain: Sample
    covariates: tuple[FloatArray, ...]

    @property
    def n(self) -> int:
        return self.plain.n

    def until(self, units: int) -> AdjustedPairs:
        return AdjustedPairs(self.plain.until(units), self.covariates)

    def looks(self) -> Looks | None:
        pairs = self.plain.pairs
        if pairs is None or not self.n:
            return None
        control, treatment = self.plain.pair_values()
        apart = [column[pairs.treatment] - column[pairs.control] for column in self.covariates]
        return _looks(control, treatment, [pairs.treatment_first, *apart])

    def difference(self) -> float | None:
        difference = self.estimated()
        return self.plain.difference() if difference is None else difference.estimate

    def estimated(self) -> Difference | None:
        looks = self.looks()
        if looks is None or not looks.valid[0, -1]:
            return None
        scale, error = float(looks.scale), float(looks.error[0, -1])
        estimate = float(looks.difference[0, -1]) * scale
        residual = error * scale * float(np.sqrt(looks.n_e[0, -1]))
        return Difference(estimate, error * scale, float(looks.df[0, -1]), residual)

    def control_mean(self) -> Moments:
        return moments(self.plain.pair_values()[0])

    def gain(self) -> float | None:
        """The share of the squared error that the covariates took away."""
        before, after = self.plain.estimated(), self.estimated()
        if before is None or after is None:
            return None
        return 1 - (after.error / before.error) ** 2


def adjusted_pairs(table: TrialsTable, plain: Sample, names: Sequence[str]) -> AdjustedPairs | None:
    """Return `plain` with the covariates `names`; `None` where none differs within a pair.

    >>> from expci.core.dataset.recorded import trial_columns
    >>> from expci.core.dataset.trials_table import trials_table
    >>> from expci.core.model.trial import Trial
    >>> def run(arm, block, size):
    ...     when, own = "2026-11-01T12:00:00Z", {"size": size}
    ...     return Trial("id", "e", "p", "lab", arm, block, when, block, covariates=own)
    >>> runs = trial_columns([run("control", "a", 1.0), run("new", "a", 2.0)])
    >>> table, column = trials_table(runs, ("control", "new"), True), np.array([5.0, 7.0])
    >>> paths = table.path(0, column), table.path(1, column)
    >>> plain = Sample(*paths, table.pairs(1), column)
    >>> len(adjusted_pairs(table, plain, ["size"]).covariates)
    1
    """
    pairs = plain.pairs
    if pairs is None:
        return None
    given = columns(table, names)
    if plain.visits is not None:
        given = tuple(plain.visits.means_of(column) for column in given)
    varying = tuple(
        covariate
        for covariate in given
        if np.any(covariate[pairs.treatment] != covariate[pairs.control])
    )
    return AdjustedPairs(plain, varying) if varying else None


def arrival_blocks(table: TrialsTable, arm: int, column: FloatArray) -> Sample | None:
    """Return the k-th unit of control beside the k-th of the arm, as they arrive.

    `None` where a unit has several trials: its mean would change after its block.

    >>> from expci.core.dataset.recorded import trial_columns
    >>> from expci.core.dataset.trials_table import TrialsTable
    >>> arm, none = np.array([0, 0, 1, 1, 0]), trial_columns([])
    >>> table = TrialsTable(none, ("control", "new"), False, arm, np.arange(5))
    >>> blocks = arrival_blocks(table, 1, np.array([1.0, 2.0, 11.0, 12.0, 3.0]))
    >>> [values.tolist() for values in blocks.pair_values()] if blocks else None
    [[1.0, 2.0], [11.0, 12.0]]
    """
    paths = [table.path(index, column) for index in (0, arm)]
    if any(not np.all(path.first) for path in paths):
        return None
    count = min(path.position.size for path in paths)
    control, treatment = (path.position[:count] for path in paths)
    complete = np.argsort(np.maximum(control, treatment), kind="stable")
    lone = [int(path.position.size) - count for path in paths]
    kept = Pairs(control[complete], treatment[complete], np.zeros(count), lone[0], lone[1])
    return Sample(paths[0], paths[1], kept, column)


def _looks(
    control: FloatArray, treatment: FloatArray, regressors: list[FloatArray]
) -> Looks | None:
    center = float(np.median(control)), float(np.median(treatment))
    with np.errstate(over="ignore"):
        c, t = control - center[0], treatment - center[1]
        scale = float(max(np.max(np.abs(c)), np.max(np.abs(t))))
    if not 0 < scale < np.inf:
        return None
    index, never = np.arange(c.size, dtype=np.int64), np.full(c.size, np.nan)
    responses = (c / scale, (t - c) / scale)
    paths = [UnitPath(index, index, column, never) for column in (*responses, *regressors)]
    n, mean, cross = joint_moments(paths, index)
    inverse, rank = generalised_inverse(cross[:, 2:, 2:])
    slope = np.einsum("nij,njk->nik", inverse, cross[:, 2:, :2])
    intercept = mean[:, :2] - np.einsum("ni,nik->nk", mean[:, 2:], slope)
    df = n - 1 - rank
    leverage = 1 / n + np.einsum("ni,nij,nj->n", mean[:, 2:], inverse, mean[:, 2:])
    rest = cross[:, :2, :2] - np.einsum("nik,nil->nkl", cross[:, 2:, :2], slope)
    with np.errstate(divide="ignore", invalid="ignore"):
        error = rest * (leverage / df)[:, None, None]
        noise = 64 * _EPSILON * n * leverage / np.maximum(df, 1)
        valid = (df >= 1) & (error[:, 1, 1] > noise)
    return one_row(
        n=n,
        difference=intercept[:, 1] + (center[1] - center[0]) / scale,
        error=np.sqrt(np.maximum(error[:, 1, 1], 0.0)),
        df=df,
        n_e=1 / leverage,
        control=intercept[:, 0] + center[0] / scale,
        control_variance=error[:, 0, 0],
        covariance=error[:, 0, 1],
        valid=valid,
        scale=scale,
    )

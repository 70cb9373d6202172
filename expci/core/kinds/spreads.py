"""Control's spread as a pilot or the first trials tell it: what the sample size comes from.

A spread is None before there are `units` units (pairs), under two, or where nothing tells.
"""

from __future__ import annotations

import math

from expci.core.dataset.metric_columns import MetricColumn
from expci.core.dataset.moments import FloatArray, Moments, moments
from expci.core.dataset.trials_table import TrialsTable
from expci.core.dataset.unit_history import covariate_names
from expci.core.kinds.contrast import on_scale
from expci.core.model.experiment import Metric
from expci.core.statistics import ancova, classical
from expci.core.statistics.row_by_row import Look
from expci.core.statistics.sample_size import Spread
from expci.core.statistics.t_statistic import Snapshot
from expci.core.statistics.two_arms import Sample, Visits, sample


def control_moments(table: TrialsTable, column: FloatArray, units: int | None) -> Moments | None:
    """Return n, mean and second moment of control's first units; `None` under two that vary.

    >>> from support.examples import contrast_of
    >>> score = Metric("score", "primary", "mean", "increase")
    >>> contrast = contrast_of(score, [4.0, 6.0, 20.0], [7.0] * 3)
    >>> control_moments(contrast.table, contrast.column.value, 2).mean
    5.0
    """
    summary = moments(table.path(0, column).final[:units])
    return None if summary.sd is None else summary


def of_means(
    metric: Metric, table: TrialsTable, column: MetricColumn, units: int | None
) -> Spread | None:
    """Return the spread of units, of pair differences, or what covariates leave of it.

    >>> from support.examples import contrast_of
    >>> score = Metric("score", "primary", "mean", "increase")
    >>> contrast = contrast_of(score, [4.0, 6.0, 8.0], [7.0] * 3)
    >>> spread = of_means(score, contrast.table, contrast.column, None)
    >>> spread.mean, spread.sd
    (6.0, 2.0)
    """
    arm = control_moments(table, column.value, units)
    if arm is None or arm.sd is None:
        return None
    scaled = on_scale(metric, table.path(0, column.value).final[:units])
    log_sd = moments(scaled).sd if metric.traits.is_logarithmic else None
    plain = Spread(arm.mean, arm.sd, log_sd)
    if not table.paired:
        return _adjusted(metric, table, column.value, plain, units) if metric.adjust_by else plain
    differences = pair_differences(table, on_scale(metric, column.value))
    if units is not None and (differences is None or differences[0].size < units):
        return None
    return Spread(plain.mean, plain.sd, plain.log_sd, _residual_sd(differences, units))


def _adjusted(
    metric: Metric, table: TrialsTable, column: FloatArray, plain: Spread, units: int | None
) -> Spread:
    """What the covariates of the plan leave of control's spread."""
    scaled, names = on_scale(metric, column), covariate_names(metric)
    factor = math.sqrt(ancova.unexplained(table, scaled, names, units or scaled.size))
    log_sd = None if plain.log_sd is None else plain.log_sd * factor
    return Spread(plain.mean, plain.sd * factor, log_sd)


def pair_differences(
    table: TrialsTable, scaled: FloatArray
) -> tuple[FloatArray, FloatArray] | None:
    """Return the differences within complete pairs (a unit's several: their mean), and the order.

    >>> from support.analysis_samples import in_pairs, make_experiment
    >>> from support.examples import data_of
    >>> plan = make_experiment(design="paired", others=())
    >>> data = data_of(plan, in_pairs([10.0, 12.0], [8.0, 11.0]))
    >>> pair_differences(data.table, data.columns["duration_s"].value)  # control first, then last
    (array([-2., -1.]), array([-1.,  1.]))
    """
    if len(table.arms) < 2:
        return None
    units = sample(table, 1, scaled, True)
    if units.pairs is None:
        return None
    control, treatment = units.pair_values()
    return treatment - control, units.pairs.treatment_first


def run_pairs(table: TrialsTable, scaled: FloatArray) -> Visits | None:
    """Return every complete pair with both values, also where one unit has several.

    >>> from support.analysis_samples import in_pairs, make_experiment
    >>> from support.examples import data_of
    >>> plan = make_experiment(design="paired", others=())
    >>> data = data_of(plan, in_pairs([10.0, 12.0], [8.0, 11.0]))
    >>> pairs = run_pairs(data.table, data.columns["duration_s"].value)
    >>> pairs.treatment - pairs.control
    array([-2., -1.])
    """
    if len(table.arms) < 2:
        return None
    units = sample(table, 1, scaled, True)
    if units.visits is not None or units.pairs is None:
        return units.visits
    return Visits(units.pairs, *units.pair_values())


def _residual_sd(
    differences: tuple[FloatArray, FloatArray] | None, units: int | None
) -> float | None:
    if differences is None:
        return None
    fit = classical.order_adjusted(differences[0][:units], differences[1][:units])
    return None if fit is None else fit.residual_sd


def of_estimate(value: float, sd: float, difference_sd: float | None) -> Spread | None:
    """Return control's value and the sd of one unit that gives its estimate's error.

    `None` where either is not finite or the sd is 0.

    >>> of_estimate(5.0, 2.0, None)
    Spread(mean=5.0, sd=2.0, log_sd=None, difference_sd=None)
    """
    if not (math.isfinite(value) and math.isfinite(sd)) or sd <= 0:
        return None
    return Spread(value, sd, difference_sd=difference_sd)


def first_pairs(table: TrialsTable, column: FloatArray, units: int | None) -> Sample | None:
    """Return the first complete pairs; `None` under two, or where the design has none.

    >>> from support.analysis_samples import in_pairs, make_experiment
    >>> from support.examples import data_of
    >>> plan = make_experiment(design="paired", others=())
    >>> data = data_of(plan, in_pairs([10.0, 12.0, 11.0], [8.0, 11.0, 9.0]))
    >>> first_pairs(data.table, data.columns["duration_s"].value, 2).n
    2
    """
    if not table.paired or len(table.arms) < 2:
        return None
    pairs = sample(table, 1, column, True)
    pairs = pairs if units is None else pairs.first(units)
    return pairs if pairs.n >= 2 else None


def pair_sd(look: Look | Snapshot | None, pairs: int) -> float | None:
    """Return the sd of one pair that gives the error of a kind's estimate over all pairs.

    The kind's own standard error times √pairs: what the arms share is gone from it.

    >>> pair_sd(Snapshot(z=2.0, error=0.5, clear=True), pairs=16), pair_sd(None, 16)
    (2.0, None)
    """
    if look is None:
        return None
    sd = look.error * math.sqrt(pairs)
    return sd if 0 < sd < math.inf else None

"""Simulated trials of a plan: what control does, by pilot or baseline, and what is assumed true.

A pilot is resampled row by row, so that metrics and failures keep their company; on the
scale of analysis each value gets a little noise and is shrunk back, so that mean and sd
stay those of the pilot (Silverman & Young 1987, "The bootstrap: to smooth or not to
smooth?"). Without a pilot a stated baseline stands for it: lognormal durations, normal
means, Bernoulli proportions, negative binomial counts.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from scipy import special

from expci.core.dataset.metric_columns import metric_column
from expci.core.dataset.moments import BoolArray, FloatArray, IntArray, moments
from expci.core.dataset.trials_table import TrialsTable, pilot_table
from expci.core.kinds import count
from expci.core.kinds.trial_arrays import TrialArrays
from expci.core.model.experiment import Experiment, Limit, Metric
from expci.core.model.metric_names import SUCCESS
from expci.core.model.trial import Trial
from expci.core.statistics.classical import order_adjusted
from expci.core.statistics.sample_size import Spread, measured_spread
from expci.core.statistics.two_arms import sample

LEAST_ROWS = 3


@dataclass(frozen=True)
class Values:
    """One metric of control on the scale of analysis: logs of durations, else as it is.

    `z` are the pilot's values, standardised, nan for none; empty: a normal distribution
    (of a proportion: Bernoulli) with that mean and sd. `pairs` are the standardised
    differences within the pilot's pairs, `pair_sd` their sd. A ratio is its units' linearised
    shares in it (`ratio.one_arm`), with the pilot's denominators in `bottom`. `center` is what a
    relative effect refers to, where that is not the mean.
    """

    mean: float
    sd: float
    z: FloatArray
    pairs: FloatArray | None = None
    pair_sd: float = 0.0
    bottom: FloatArray | None = None
    center: float | None = None


@dataclass(frozen=True)
class Source:
    """What is known of control. `failed` marks the pilot's failed rows; `unknown` are the
    metrics that nothing is known of."""

    values: Mapping[str, Values]
    failed: BoolArray
    basis: str
    unknown: tuple[str, ...] = ()


def known(experiment: Experiment, pilot: Sequence[Trial]) -> Source | None:
    """What the pilot or the baselines tell; `None` where they don't tell of the primary."""
    found, failed = _from_pilot(experiment, pilot)
    basis = "pilot" if experiment.primary.name in found else "baseline"
    for metric in experiment.metrics:
        stated = _stated(metric) if metric.name not in found else None
        if stated is not None:
            found[metric.name] = stated
    if experiment.primary.name not in found:
        return None
    unknown = tuple(m.name for m in experiment.guardrails if m.name not in found)
    return Source(found, failed, basis, unknown)


def _stated(metric: Metric) -> Values | None:
    baseline, none = metric.baseline, np.empty(0)
    if baseline is None:
        return None
    if metric.kind == "quantile":
        beyond = float(special.ndtri(metric.quantile or 0.5))
        # The stated value is the quantile's own; values are normal about it.
        return Values(baseline.mean - beyond * baseline.sd, baseline.sd, none, center=baseline.mean)
    if metric.kind != "duration":
        return Values(baseline.mean, baseline.sd, none)
    if baseline.mean <= 0:
        return None
    sd = math.sqrt(math.log1p((baseline.sd / baseline.mean) ** 2))
    return Values(math.log(baseline.mean) - sd * sd / 2, sd, none)


def _from_pilot(
    experiment: Experiment, pilot: Sequence[Trial]
) -> tuple[dict[str, Values], BoolArray]:
    names = tuple(arm.name for arm in experiment.arms)
    paired = experiment.assignment.design == "paired"
    table = pilot_table(pilot, names, paired)
    rows = np.flatnonzero(table.arm == 0)
    found = {}
    for metric in experiment.metrics:
        if rows.size < LEAST_ROWS:
            continue
        scaled, bottom = _scaled(metric, table, experiment.timeout_s)
        values = _measured(metric, scaled[rows])
        if values is not None and metric.adjust_by and not paired:
            values = _adjusted(values, measured_spread(metric, table, experiment.timeout_s), metric)
        if values is not None:
            differences = _differences(table, scaled) if paired else None
            values = replace(values, bottom=None if bottom is None else bottom[rows])
            found[metric.name] = _with_pairs(values, differences)
    return found, table.failed[rows]


def _scaled(
    metric: Metric, table: TrialsTable, timeout_s: float
) -> tuple[FloatArray, FloatArray | None]:
    """The values on the scale of analysis; of a ratio the shares in it, and the denominators."""
    column = metric_column(metric, table, timeout_s).value
    if metric.kind == "duration":
        return np.log(column), None
    if metric.kind != "ratio":
        return column, None
    bottom = table.metric(metric.denominator or "")
    bottom = np.where(np.isnan(column), np.nan, bottom)
    top = np.where(np.isnan(bottom), np.nan, column)
    mine = (table.arm == 0) & ~np.isnan(top)
    size = float(np.mean(bottom[mine])) if mine.any() else 0.0
    if not size:
        return np.full(column.shape, np.nan), bottom
    value = float(np.mean(top[mine])) / size
    return value + (top - value * bottom) / size, bottom


def _measured(metric: Metric, column: FloatArray) -> Values | None:
    there = column[~np.isnan(column)]
    summary = moments(there)
    if there.size < LEAST_ROWS or summary.sd is None:
        return None
    if metric.kind == "proportion":
        return Values(summary.mean, summary.sd, column)  # resampled as it is
    spread = math.sqrt(summary.m2 / summary.n)
    center = None
    if metric.kind in ("rank", "quantile"):
        center = float(np.quantile(there, metric.quantile or 0.5))
    return Values(
        summary.mean, summary.sd, (column - summary.mean) / (spread or 1.0), center=center
    )


def _adjusted(values: Values, spread: Spread | None, metric: Metric) -> Values:
    """With the noise that the plan's covariates leave: they are not simulated themselves."""
    sd = None if spread is None else spread.log_sd if metric.kind == "duration" else spread.sd
    return values if sd is None else replace(values, sd=sd)


def _differences(table: TrialsTable, scaled: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Differences within complete pairs (of units with several, their means), and the order."""
    units = sample(table, 1, scaled, True)
    if units.pairs is None:
        return np.empty(0), np.empty(0)
    control, treatment = units.pair_values()
    return treatment - control, units.pairs.treatment_first


def _with_pairs(values: Values, differences: tuple[FloatArray, FloatArray] | None) -> Values:
    if differences is None or differences[0].size < LEAST_ROWS:
        return values
    fit, found = order_adjusted(*differences), moments(differences[0])
    if fit is None or fit.residual_sd is None or not found.m2:
        return values
    z = (differences[0] - found.mean) / math.sqrt(found.m2 / found.n)
    return replace(values, pairs=z, pair_sd=fit.residual_sd)


@dataclass(frozen=True)
class Scenario:
    """What is true: the improvement of each metric in the first treatment; none elsewhere."""

    name: str
    effects: Mapping[str, Limit] = field(default_factory=dict)


def draw(
    experiment: Experiment,
    source: Source,
    scenario: Scenario,
    size: tuple[int, int],
    rng: np.random.Generator,
) -> TrialArrays:
    """`size` = (experiments, trials) of the plan as it would assign and record them."""
    arms = len(experiment.arms)
    paired = experiment.assignment.design == "paired"
    arm = assigned(experiment, size, rng)
    rows = source.failed.size
    row = rng.integers(0, rows, size) if rows else np.zeros(size, dtype=np.int64)
    failed = source.failed[row] if rows else np.zeros(size, dtype=np.bool_)
    values: dict[str, FloatArray] = {}
    # Ratios last: what divides them may be a metric of its own.
    for metric in sorted(experiment.metrics, key=lambda metric: metric.kind == "ratio"):
        if metric.name not in source.values or metric.role == "secondary":
            continue
        effect = scenario.effects.get(metric.name)
        known = source.values[metric.name]
        if metric.kind == "count" and known.pairs is None:
            values[metric.name] = _counts(metric, known, effect, arm, row, rng)
            continue
        if metric.kind == "proportion":
            values[metric.name] = _proportions(metric, known, effect, arm, row, rng)
            continue
        column = _continuous(known, row, arms if paired else 1, arm, rng)
        column[arm == 1] += 0.0 if effect is None else shift(metric, effect, known)
        values[metric.name] = np.exp(column) if metric.kind == "duration" else column
        if metric.kind == "ratio":
            below = _denominators(metric, known, values, row)
            values[metric.name] = _numerators(column, below, effect, known, metric, arm)
            values[metric.denominator or ""] = below
    if SUCCESS in scenario.effects and SUCCESS in values:
        failed = np.where(arm == 1, values[SUCCESS] < 1, failed)
    return TrialArrays(arm, arms, values, failed, paired)


def _counts(
    metric: Metric,
    known: Values,
    effect: Limit | None,
    arm: IntArray,
    row: IntArray,
    rng: np.random.Generator,
) -> FloatArray:
    """The pilot's counts, or some with the stated mean and sd; the effect multiplies events."""
    if known.z.size:
        counts = count.resampled(count.pilot_counts(known.mean, known.sd, known.z), row, rng)
    else:
        counts = count.drawn(known.mean, known.sd, (row.shape[0], row.shape[1]), rng)
    share = shift(metric, effect, known) / known.mean if effect and known.mean else 0.0
    return count.multiplied(counts, share, arm == 1, rng)


def _denominators(
    metric: Metric, known: Values, values: Mapping[str, FloatArray], row: IntArray
) -> FloatArray:
    """The pilot's, row by row; those already drawn where they are a metric of their own."""
    drawn = values.get(metric.denominator or "")
    if drawn is not None:
        return drawn
    if known.bottom is None or not known.bottom.size:
        return np.ones(row.shape)
    found = known.bottom[row]
    return np.where(np.isnan(found), float(np.nanmean(known.bottom)), found)


def _numerators(
    share: FloatArray,
    below: FloatArray,
    effect: Limit | None,
    known: Values,
    metric: Metric,
    arm: IntArray,
) -> FloatArray:
    """Numerators whose linearised shares in the ratio are `share`, the effect included."""
    change = 0.0 if effect is None else shift(metric, effect, known)
    ratio = known.mean + np.where(arm == 1, change, 0.0)
    size = float(np.mean(below))
    return np.asarray(ratio * below + (share - ratio) * size)


def assigned(experiment: Experiment, size: tuple[int, int], rng: np.random.Generator) -> IntArray:
    """The arm of each trial, by the plan's design and weights."""
    arms, (experiments, trials) = len(experiment.arms), size
    weights = [experiment.assignment.weights.get(arm.name, 1.0) for arm in experiment.arms]
    if experiment.assignment.design == "randomized":
        shares = np.cumsum(weights) / sum(weights)
        drawn = np.searchsorted(shares, rng.random(size), side="right")
        return np.minimum(drawn, arms - 1).astype(np.int64)
    slots = np.arange(arms)
    if experiment.assignment.design == "blocked":
        slots = np.repeat(slots, _whole(weights))
    blocks = math.ceil(trials / slots.size)
    order = np.argsort(rng.random((experiments, blocks, slots.size)), axis=2)
    return np.asarray(slots[order].reshape(experiments, -1)[:, :trials], dtype=np.int64)


def _whole(weights: Sequence[float]) -> list[int]:
    from expci.core.assignment import reduced_weights

    found = reduced_weights({str(index): weight for index, weight in enumerate(weights)})
    return [found.get(str(index), 0) for index in range(len(weights))]


def shift(metric: Metric, effect: Limit, known: Values) -> float:
    """A signed improvement on the scale of analysis: what the treatment adds."""
    better = 1 if metric.direction == "increase" else -1
    if metric.kind != "duration":
        center = known.mean if known.center is None else known.center
        return better * effect.value * (abs(center) if effect.relative else 1.0)
    mean = math.exp(known.mean + known.sd**2 / 2)
    share = effect.value if effect.relative else effect.value / mean
    return math.log1p(max(better * share, -0.999))


def _continuous(
    known: Values, row: IntArray, block: int, arm: IntArray, rng: np.random.Generator
) -> FloatArray:
    if not known.z.size:
        return known.mean + known.sd * rng.standard_normal(row.shape)
    if block == 1 or known.pairs is None:
        return known.mean + known.sd * _resampled(known.z, row, rng)
    shape = (row.shape[0], -1, block)
    first = _resampled(known.z, row.reshape(shape)[..., 0], rng)
    base = np.repeat(known.mean + known.sd * first, block, axis=1)
    index = rng.integers(0, known.pairs.size, row.shape)
    apart = known.pair_sd * _resampled(known.pairs, index, rng)
    return np.asarray(base + np.where(arm > 0, apart, 0.0))


def _resampled(z: FloatArray, row: IntArray, rng: np.random.Generator) -> FloatArray:
    """Rows of z with noise of width h, shrunk so that the variance stays 1; nan by chance rows."""
    there = np.flatnonzero(~np.isnan(z))
    found = z[row]
    missing = np.isnan(found)
    if missing.any():
        found[missing] = z[there[rng.integers(0, there.size, int(missing.sum()))]]
    width = 0.9 * there.size**-0.2
    return np.asarray((found + width * rng.standard_normal(row.shape)) / math.sqrt(1 + width**2))


def _proportions(
    metric: Metric,
    known: Values,
    effect: Limit | None,
    arm: IntArray,
    row: IntArray,
    rng: np.random.Generator,
) -> FloatArray:
    """Values in [0, 1]; an effect turns a share of them into 1 (or 0), so the mean moves by it."""
    found = known.z[row] if known.z.size else (rng.random(row.shape) < known.mean).astype(float)
    if effect is None:
        return found
    change = effect.value * (1 if metric.direction == "increase" else -1)
    room = 1 - known.mean if change > 0 else known.mean
    share = min(1.0, abs(change) / room) if room > 0 else 0.0
    turned = (arm == 1) & (rng.random(row.shape) < share)
    return np.where(turned, float(change > 0), found)

"""Ranks and quantiles in many simulated experiments, one after the other.

Their evidence needs sorted values, so nothing is gained by arrays over experiments. What a
decision compares an interval with is known beforehand (`bounds`), so its ends are only told on
that grid; the estimate, and the whole of a quantile's evidence, are looked at some two dozen
times. A relative limit is taken of control's value at the end of each experiment.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np

from expci.core.dataset.moments import BoolArray, FloatArray, IntArray
from expci.core.dataset.unit_paths import Pairs, UnitPath
from expci.core.decision.numbers import Improvement
from expci.core.decision.thresholds import ROUNDING
from expci.core.model.experiment import Limit, Metric
from expci.core.planning import batch
from expci.core.planning.batch_comparison import Planned, futile_looks, planned_p_values
from expci.core.statistics import quantile, signed_rank
from expci.core.statistics.inference import Snapshot
from expci.core.statistics.t_mixture import Rules
from expci.core.statistics.two_arms import Sample

_LOOKS = 24
_FIRST = 10  # trials or pairs; nothing is decided on fewer
_ENOUGH = 200  # order statistics of an arm for the estimate of a shift
_LARGEST_Z = 37.0


@dataclass(frozen=True)
class Seen:
    """One experiment: its units with their look, and how many looks there are.

    `goal` is the look at which the sample size is reached, if ever.
    """

    units: Sample
    looks: int
    goal: int | None = None

    @cached_property
    def sparse(self) -> IntArray:
        """About two dozen looks, the last among them and the one that ends the experiment."""
        last = self.looks - 1 if self.goal is None else self.goal
        first = max(min(_FIRST, last + 1), (last + 1) // 20)
        found = np.geomspace(first, last + 1, _LOOKS).round().astype(np.int64) - 1
        return np.unique(np.minimum(np.append(found, self.looks - 1), self.looks - 1))

    def arms_at(self, look: int) -> tuple[FloatArray, FloatArray]:
        """Both arms' values (of pairs, only complete ones) up to that look."""
        if self.units.pairs is not None:
            control, treatment = self.units.pair_values()
            upto = int(np.searchsorted(self.complete, look, "right"))
            return control[:upto], treatment[:upto]
        return tuple(  # type: ignore[return-value]
            p.mean[: int(np.searchsorted(p.position, look, "right"))]
            for p in (self.units.control, self.units.treatment)
        )

    @cached_property
    def complete(self) -> IntArray:
        """The look at which each block of one unit of each arm was complete."""
        if self.units.pairs is not None:
            return self.units.pairs.control // 2
        firsts = [p.position for p in (self.units.control, self.units.treatment)]
        count = min(found.size for found in firsts)
        return np.maximum(firsts[0][:count], firsts[1][:count])

    def held(self, at: IntArray, values: Sequence[float] | FloatArray, before: float) -> FloatArray:
        """`values` found at the looks `at`, standing until the next of them."""
        index = np.searchsorted(at, np.arange(self.looks), "right")
        return np.concatenate([[before], np.asarray(values, dtype=np.float64)])[index]


def experiments_of(
    arm: IntArray, value: FloatArray, treatment: int, arms: int, paired: bool
) -> Iterator[Seen]:
    """Each row as `Seen`; in a paired design the blocks of `arms` trials are the looks."""
    for labels, row in zip(arm, value, strict=True):
        yield _in_pairs(labels, row, treatment, arms) if paired else _apart(labels, row, treatment)


def _apart(labels: IntArray, row: FloatArray, treatment: int) -> Seen:
    control, treated = (
        _path(np.flatnonzero((labels == index) & ~np.isnan(row)), row) for index in (0, treatment)
    )
    return Seen(Sample(control, treated), row.size)


def _path(position: IntArray, row: FloatArray) -> UnitPath:
    index = np.arange(position.size, dtype=np.int64)
    return UnitPath(position, index, row[position], np.full(position.size, np.nan))


def _in_pairs(labels: IntArray, row: FloatArray, treatment: int, arms: int) -> Seen:
    blocks = labels.reshape(-1, arms)
    found = [
        row.reshape(-1, arms)[np.arange(blocks.shape[0]), np.argmax(blocks == index, axis=1)]
        for index in (0, treatment)
    ]
    keep = np.flatnonzero(~np.isnan(found[0] + found[1]))
    column = np.stack(found, axis=1).ravel()
    pairs = Pairs(2 * keep, 2 * keep + 1, np.zeros(keep.size), 0, 0)
    units = Sample(_path(2 * keep, column), _path(2 * keep + 1, column), pairs, column)
    return Seen(units, blocks.shape[0])


@dataclass(frozen=True)
class Told:
    """One experiment at every look: evidence, estimate and the interval's ends on the grid.

    All signed so that positive is better; `control` is control's value at the end, nan where
    it cannot be told from 0.
    """

    log_e: FloatArray
    harm_log_e: FloatArray
    estimate: FloatArray
    low: FloatArray
    high: FloatArray
    control: float


@dataclass
class OneByOne:
    """A treatment on a rank or quantile metric, arrays [experiments, looks]."""

    metric: Metric
    p_value: FloatArray
    harm_p_value: FloatArray
    estimate: FloatArray
    low: FloatArray
    high: FloatArray
    control: FloatArray
    measured: FloatArray
    futile: BoolArray | None = None

    @property
    def absolute(self) -> Improvement:
        """In the metric's unit; at a point of the grid the interval lies below it."""
        empty = self.low > self.high
        low, high = np.where(empty, -np.inf, self.low), np.where(empty, np.inf, self.high)
        return Improvement(self.estimate, low, high - ROUNDING)

    @property
    def relative(self) -> Improvement:
        """As a share of control's value: not known where that may be 0."""
        size, unit = np.abs(self.control)[:, None], self.absolute
        clear = np.isfinite(size)
        with np.errstate(divide="ignore", invalid="ignore"):
            return Improvement(
                np.where(clear, unit.estimate / size, np.nan),
                np.where(clear, unit.low / size, -np.inf),
                np.where(clear, unit.high / size, np.inf),
            )


def compare(
    metric: Metric,
    seen: Sequence[Seen],
    rules: Rules,
    plan: Planned | None,
    bounds: Sequence[Limit],
    measured: FloatArray,
    total: int | None,
    exact: bool,
) -> OneByOne:
    """All experiments. `bounds` are what intervals are compared with; `total` units are planned."""
    told = [_told(metric, one, rules, bounds, total, plan is None) for one in seen]
    column = {
        name: np.stack([getattr(one, name) for one in told])
        for name in ("log_e", "harm_log_e", "estimate", "low", "high")
    }
    found = OneByOne(
        metric,
        batch.p_value(column["log_e"]),
        batch.p_value(column["harm_log_e"]),
        column["estimate"],
        column["low"],
        column["high"],
        np.array([one.control for one in told]),
        measured,
    )
    return found if plan is None else _planned(found, metric, seen, rules, plan, exact)


def _told(
    metric: Metric,
    seen: Seen,
    rules: Rules,
    bounds: Sequence[Limit],
    total: int | None,
    all_of_it: bool,
) -> Told:
    better = 1 if metric.direction == "increase" else -1
    q = (metric.quantile or 0.5) if metric.kind == "quantile" else 0.5
    final = seen.units.arms()[0]
    control = float(np.quantile(final, q)) if quantile.excludes_zero(final, q) else math.nan
    grid = [bound.value * (abs(control) if bound.relative else 1.0) for bound in bounds]
    grid = sorted({0.0, *(point for point in grid if math.isfinite(point))})
    if metric.kind == "rank":
        found = _ranks(seen, rules, better, grid if all_of_it else [])
    else:
        found = _quantiles(seen, rules, better, q, quantile.strength_for(total))
    log_e, harm, low, high = found
    estimate = _estimates(metric, seen, better, q)
    return Told(log_e, harm, estimate, low, high, control)


def _estimates(metric: Metric, seen: Seen, better: int, q: float) -> FloatArray:
    found = []
    for look in seen.sparse:
        control, treatment = seen.arms_at(int(look))
        found.append(
            better * _estimate(metric, control, treatment, q, seen.units.pairs is not None)
        )
    return seen.held(seen.sparse, found, math.nan)


def _estimate(
    metric: Metric, control: FloatArray, treatment: FloatArray, q: float, paired: bool
) -> float:
    if not min(control.size, treatment.size):
        return math.nan
    if metric.kind == "rank" and paired:
        differences = signed_rank.thinned(treatment - control, _ENOUGH)
        return signed_rank.shift_of(np.zeros(differences.size), differences, True)
    if metric.kind == "rank":
        c, t = (signed_rank.thinned(values, _ENOUGH) for values in (control, treatment))
        return signed_rank.shift_of(c, t, False)
    return float(np.quantile(treatment, q) - np.quantile(control, q))


_Evidence = tuple[FloatArray, FloatArray, FloatArray, FloatArray]


def _ranks(seen: Seen, rules: Rules, better: int, grid: Sequence[float]) -> _Evidence:
    d = better * signed_rank.differences_of(seen.units)
    up, down = _largest(d, 0.0, rules.start), _largest(-d, 0.0, rules.start)
    threshold = -math.log(rules.alpha / 2)
    low, high = np.full(d.size, -math.inf), np.full(d.size, math.inf)
    for point in grid:  # ascending: a higher point that is refuted from below stands
        low = np.where(_largest(d, point, rules.start) >= threshold, point, low)
    for point in reversed(grid):
        high = np.where(_largest(-d, -point, rules.start) >= threshold, point, high)
    at = seen.complete
    return (
        seen.held(at, np.maximum(up, down) - math.log(2), -math.inf),
        seen.held(at, down, -math.inf),
        seen.held(at, low, -math.inf),
        seen.held(at, high, math.inf),
    )


def _largest(differences: FloatArray, point: float, start: int) -> FloatArray:
    """The largest log E so far that the centre is above `point`."""
    log_e = signed_rank.log_e_exceeds(differences, point)
    log_e[: start - 1] = -math.inf
    return np.asarray(np.maximum.accumulate(log_e)) if log_e.size else log_e


@lru_cache(maxsize=4096)
def _tables(n: int, q: float, strength: float) -> quantile.Tables:
    return quantile.tables(n, q, strength)


def _quantiles(seen: Seen, rules: Rules, better: int, q: float, strength: float) -> _Evidence:
    threshold, paired = -math.log(rules.alpha / 2), seen.units.pairs is not None
    at, rows = list[int](), list[tuple[float, float, float, float]]()
    for look in seen.sparse:
        c, t = (np.sort(values) for values in seen.arms_at(int(look)))
        if min(c.size, t.size) < max(rules.start, 2):
            continue
        of_c, of_t = _tables(c.size, q, strength), _tables(t.size, q, strength)
        up = quantile.log_e_larger(c, t, of_c.many, of_t.few, paired)
        down = quantile.log_e_larger(t, c, of_t.many, of_c.few, paired)
        low = quantile.lower_end(c, t, of_c.many, of_t.few, paired, threshold)
        high = -quantile.lower_end(t, c, of_t.many, of_c.few, paired, threshold)
        at.append(int(look))
        rows.append((up, down, low, high) if better > 0 else (down, up, -high, -low))
    table, looked = np.array(rows).reshape(-1, 4), np.array(at, dtype=np.int64)
    largest = np.maximum.accumulate(table[:, :3], axis=0)
    either = np.maximum(largest[:, 0], largest[:, 1]) - math.log(2)
    return (
        seen.held(looked, either, -math.inf),
        seen.held(looked, largest[:, 1], -math.inf),
        seen.held(looked, largest[:, 2], -math.inf),
        seen.held(looked, np.minimum.accumulate(table[:, 3]), math.inf),
    )


def _planned(
    found: OneByOne,
    metric: Metric,
    seen: Sequence[Seen],
    rules: Rules,
    plan: Planned,
    exact: bool,
) -> OneByOne:
    """Evidence and interval at the planned looks; harm stays what every look says."""
    better, count = -rules.harm, len(plan.units)
    z, estimate = np.zeros((len(seen), count)), np.full((len(seen), count), np.nan)
    low, high = np.full(z.shape, -np.inf), np.full(z.shape, np.inf)
    for row, one in enumerate(seen):
        for look, (units, bound) in enumerate(zip(plan.units, plan.bounds, strict=True)):
            part = one.units.until(units)
            snapshot = _snapshot(metric, part) if part.n >= units else None
            if snapshot is None:
                continue
            z[row, look] = math.copysign(min(abs(snapshot.z), _LARGEST_Z), snapshot.z)
            ends = sorted(better * end for end in snapshot.ends(bound)[0])
            low[row, look], high[row, look] = ends
            q = metric.quantile or 0.5
            estimate[row, look] = better * _estimate(
                metric, *part.arms(), q, part.pairs is not None
            )
    found.p_value = plan.spread(planned_p_values(z, plan, exact), 1.0)
    found.futile = futile_looks(z, plan, rules)
    found.low = plan.spread(np.maximum.accumulate(low, axis=1), -np.inf)
    found.high = plan.spread(np.minimum.accumulate(high, axis=1), np.inf)
    shown = plan.spread(estimate, np.nan)
    found.estimate = np.where(plan.reached > 0, shown, found.estimate)
    return found


def _snapshot(metric: Metric, units: Sample) -> Snapshot | None:
    if metric.kind == "rank":
        return signed_rank.snapshot(units)
    return quantile.snapshot(units, metric.quantile or 0.5)

"""Many simulated experiments of one plan: the numbers that decide, and what is decided first.

What `analysis.analyse` says of one experiment at every look, said of thousands in arrays
[experiments, looks], for the one decision table. A look follows every trial, or every
complete block of a paired design. `tests/core/planning/test_simulation.py` compares the two.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from expci.core.checks import registry
from expci.core.dataset.moments import BoolArray, FloatArray, IntArray
from expci.core.decision.numbers import DurationGuard, Improvement, LookNumbers
from expci.core.decision.table import TABLE, FirstRows, first_rows
from expci.core.decision.thresholds import compared_with, harm_level
from expci.core.model.experiment import Experiment, Limit, Metric, PlanRules
from expci.core.planning import batch, batch_kinds, batch_ratio
from expci.core.planning.batch_comparison import Continuous, Proportion, Weighed, planned
from expci.core.statistics import ratio
from expci.core.statistics.betting import block_sizes
from expci.core.statistics.sample_size import Spread, planned_effect, scale_sd
from expci.core.statistics.t_mixture import SCALE, Looks, Rules, p_value_of

Compared = Continuous | Proportion | batch_kinds.OneByOne
T = TypeVar("T", np.float64, np.int64)
ONE_BY_ONE = ("rank", "quantile")  # kinds without arrays over experiments
VERDICTS = ("rollback", "invalid", "promote", "stop", "undecided")
_PROMOTE, _STOP, _UNDECIDED = (VERDICTS.index(v) for v in ("promote", "stop", "undecided"))
_VERDICT = {verdict: code for code, verdict in enumerate(VERDICTS)}
_OF_ROWS = np.array([_VERDICT.get(row.verdict, _UNDECIDED) for row in TABLE])


@dataclass(frozen=True)
class Trials:
    """Trials of many experiments, [experiments, trials], in the ledger's order.

    `arm` is 0 for control; in a paired design each block of `arms` trials holds every arm
    once. `values` are by metric as reported, nan for none; `failed` marks runs that did
    not do their job. `unit` codes the trial's unit (default: each its own); proportions
    are then expected not to vary.
    """

    arm: IntArray
    arms: int
    values: Mapping[str, FloatArray]
    failed: BoolArray
    paired: bool = False
    unit: IntArray | None = None

    @property
    def looks(self) -> int:
        trials = int(self.arm.shape[1])
        return trials // self.arms if self.paired else trials

    def at_looks(self, running: NDArray[T]) -> NDArray[T]:
        return running[:, self.arms - 1 :: self.arms] if self.paired else running

    @cached_property
    def order(self) -> IntArray:
        """The place of each arm in each block: [experiments, blocks, arms]."""
        shape = (self.arm.shape[0], -1, self.arms)
        return np.asarray(np.argsort(self.arm.reshape(shape), axis=2))

    def by_arm(self, column: FloatArray) -> FloatArray:
        shape = (column.shape[0], -1, self.arms)
        return np.take_along_axis(column.reshape(shape), self.order, axis=2)


@dataclass(frozen=True)
class Outcomes:
    """For each experiment: the row that applied first, its look, and units per arm then."""

    verdict: IntArray
    look: IntArray
    per_arm: IntArray

    def share(self, verdict: str) -> float:
        return float(np.mean(self.verdict == VERDICTS.index(verdict)))


def first_decisions(experiment: Experiment, trials: Trials, target: int | None) -> Outcomes:
    """Return what is decided first. `target`: units per arm at most, where known.

    Every metric of `trials.values` takes part; a guardrail without values cannot object.
    """
    return Simulation(experiment, trials, target).outcomes()


@dataclass
class _Column:
    """One metric's values as `observation.values` gives them."""

    value: FloatArray
    last: FloatArray


def _column(metric: Metric, trials: Trials) -> _Column:
    reported = trials.values[metric.name]
    if metric.kind != "duration":
        return _Column(reported, reported)
    value = np.where(trials.failed, np.nan, reported)
    if not trials.failed.any():
        return _Column(value, value)
    longest = np.fmax.accumulate(reported, axis=1)
    first = np.fmax.reduce(reported[:, :10], axis=1, keepdims=True)
    return _Column(value, np.where(trials.failed, np.fmax(longest, first), value))


@dataclass(frozen=True)
class _OfTreatment:
    """One comparison as the decision table reads it."""

    compared: Compared
    p_value: FloatArray

    @property
    def harm_p_value(self) -> FloatArray:
        return self.compared.harm_p_value

    @property
    def relative(self) -> Improvement:
        return self.compared.relative

    @property
    def absolute(self) -> Improvement:
        return self.compared.absolute

    @property
    def units(self) -> FloatArray:
        return self.compared.measured

    @property
    def futile(self) -> BoolArray:
        futile = self.compared.futile
        return np.zeros(self.p_value.shape, dtype=np.bool_) if futile is None else futile

    @property
    def guard(self) -> DurationGuard | None:
        return self.compared.guard if isinstance(self.compared, Continuous) else None


@dataclass
class Simulation:
    """The experiments of one plan on these trials."""

    experiment: Experiment
    trials: Trials
    target: int | None
    compared: dict[tuple[str, int], Compared] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.rules: PlanRules = self.experiment.effective_rules
        self.weights = [
            self.experiment.assignment.weights.get(arm.name, 1.0) for arm in self.experiment.arms
        ]
        self.treatments = range(1, self.trials.arms)
        primary = self.experiment.primary
        column = _column(primary, self.trials)
        self.units = {arm: self._units(primary, column.last, arm) for arm in self.treatments}
        self.per_arm = np.minimum.reduce(list(self.units.values()))
        counted = column.last if self.trials.paired else column.value
        measured = [self._units(primary, counted, arm) for arm in self.treatments]
        self.measured = np.minimum.reduce(measured)
        for metric in (primary, *self.experiment.guardrails):
            if metric.name in self.trials.values:
                for arm in self.treatments:
                    self.compared[metric.name, arm] = self._compare(metric, arm)

    # what is compared

    @property
    def start(self) -> int:
        return 5 if self.trials.paired or len(set(self.weights)) == 1 else 10

    def _rules_of(self, metric: Metric, scale: float) -> Rules:
        harm = 1 if metric.direction == "decrease" else -1
        return Rules(self.rules.alpha, harm, self.start, scale)

    def _scale(self, metric: Metric) -> float:
        if metric.baseline is None or self.trials.paired:
            return SCALE
        spread = Spread(metric.baseline.mean, metric.baseline.sd)
        effect, sd = planned_effect(metric, spread), scale_sd(metric, spread, "randomized")
        return min(2.0, max(0.1, (effect / sd) ** 2)) if effect and sd else SCALE

    def _units(self, metric: Metric, last: FloatArray, arm: int) -> FloatArray:
        if self.trials.paired and metric.kind != "proportion":
            values = self.trials.by_arm(last)
            return np.cumsum(~np.isnan(values[..., 0] + values[..., arm]), axis=1).astype(float)
        return np.minimum(*self._counts(last, arm))

    def _counts(self, value: FloatArray, arm: int) -> tuple[FloatArray, FloatArray]:
        """Units of both arms with a value, at each look."""
        first = ~np.isnan(value)
        if self.trials.unit is not None:
            first = first & np.isnan(unit_means(self.trials.arm, self.trials.unit, value)[1])
        control, treatment = (
            np.cumsum(first & (self.trials.arm == index), axis=1).astype(np.float64)
            for index in (0, arm)
        )
        return self.trials.at_looks(control), self.trials.at_looks(treatment)

    def _compare(self, metric: Metric, arm: int) -> Compared:
        if metric.kind == "proportion":
            return self._proportion(metric, arm)
        if metric.kind == "ratio":
            return self._ratio(metric, arm)
        if metric.kind in ONE_BY_ONE:
            return self._one_by_one(metric, arm)
        column = _column(metric, self.trials)
        counted = column.last if self.trials.paired else column.value
        log = metric.kind == "duration"
        scaled = self._weigh(metric, np.log(counted) if log else counted, arm)
        ranked = None
        if log and not self.trials.paired and self.trials.failed.any():
            ranked = self._weigh(metric, np.log(column.last), arm)
        return Continuous(
            metric,
            scaled,
            self._weigh(metric, counted, arm) if log else scaled,
            np.minimum(*self._counts(column.value, arm)),
            self._control(counted, arm),
            ranked,
        )

    def _ratio(self, metric: Metric, arm: int) -> Continuous:
        """The delta method, asymptotic: tuned to the planned total, later to begin."""
        trials, top = self.trials, self.trials.values[metric.name]
        bottom = trials.values[metric.denominator or ""]
        if trials.paired:
            tops, bottoms = trials.by_arm(top), trials.by_arm(bottom)
            looks = batch_ratio.paired(
                (tops[..., 0], tops[..., arm]), (bottoms[..., 0], bottoms[..., arm])
            )
        else:
            looks = batch_ratio.two_sample(trials.arm, top, bottom, arm)
        total = None if self.target is None else 2 * self.target
        rules = self._rules_of(metric, ratio.asymptotic_scale(total, self.rules.alpha))
        rules = replace(rules, start=max(ratio.START, self.start))
        plan = planned(looks.n, self.rules, self.target, rules.start)
        weighed = Weighed(batch.weighable(looks, rules.start), rules, plan, self._exact)
        control = looks.n, looks.control, looks.control_variance
        return Continuous(metric, weighed, weighed, looks.n, control)

    def _one_by_one(self, metric: Metric, arm: int) -> batch_kinds.OneByOne:
        trials, value = self.trials, self.trials.values[metric.name]
        n, rules = self._units(metric, value, arm), self._rules_of(metric, SCALE)
        rows = batch_kinds.experiments_of(trials.arm, value, arm, trials.arms, trials.paired)
        seen = [replace(one, goal=goal) for one, goal in zip(rows, self._goals(), strict=True)]
        return batch_kinds.compare(
            metric,
            seen,
            rules,
            planned(n, self.rules, self.target, rules.start),
            self._bounds(metric),
            n,
            None if self.target is None else 2 * self.target,
            self._exact,
        )

    def _goals(self) -> list[int | None]:
        """The look at which each experiment has its sample size; `None` where it never has."""
        if self.target is None:
            return [None] * self.per_arm.shape[0]
        reached = self.per_arm >= self.target
        found = reached.argmax(axis=1)
        return [int(look) if row.any() else None for look, row in zip(found, reached, strict=True)]

    def _bounds(self, metric: Metric) -> list[Limit]:
        """What the table holds this metric's interval against."""
        return list(compared_with(self.experiment, metric))

    def _control(self, counted: FloatArray, arm: int) -> tuple[FloatArray, FloatArray, FloatArray]:
        if self.trials.paired:
            values = self.trials.by_arm(counted)
            return batch.running_moments(
                np.where(np.isnan(values[..., arm]), np.nan, values[..., 0])
            )
        mine = np.where(self.trials.arm == 0, counted, np.nan)
        if self.trials.unit is None:
            return batch.running_moments(mine)
        return batch.running_moments(*unit_means(self.trials.arm, self.trials.unit, mine))

    def _looks(self, value: FloatArray, arm: int) -> Looks:
        trials = self.trials
        if trials.paired:
            values, order = trials.by_arm(value), trials.order
            position = np.where(order[..., arm] < order[..., 0], 1.0, -1.0)
            return batch.paired(values[..., 0], values[..., arm], position)
        if trials.unit is None:
            return batch.two_sample(trials.arm, value, arm)
        mean, before = unit_means(trials.arm, trials.unit, value)
        return batch.two_sample(trials.arm, mean, arm, before)

    def _weigh(self, metric: Metric, value: FloatArray, arm: int) -> Weighed:
        rules, looks = self._rules_of(metric, self._scale(metric)), self._looks(value, arm)
        plan = planned(looks.n, self.rules, self.target, rules.start)
        return Weighed(batch.weighable(looks, rules.start), rules, plan, self._exact)

    @property
    def _exact(self) -> bool:
        """Holm's procedure needs the p-values themselves."""
        return len(self.treatments) > 1

    def _proportion(self, metric: Metric, arm: int) -> Proportion:
        value, rules = self.trials.values[metric.name], self._rules_of(metric, SCALE)
        counts = self._counts(value, arm)
        control, treatment = (self._total(value, index) for index in (0, arm))
        found = batch.blocks(
            self.trials.arm, value, arm, block_sizes(self.weights[0], self.weights[arm])
        )
        better = 1 if metric.direction == "increase" else -1
        blocks = batch.BlockDifferences(
            better * found.difference, self.trials.at_looks(found.complete)
        )
        n = np.minimum(*counts)
        plan = planned(n, self.rules, self.target, rules.start)
        usable = np.ones(n.shape, dtype=np.bool_)
        bounds = [0.0, *(limit.value for limit in self._bounds(metric))]
        return Proportion(
            metric, rules, counts, (control, treatment), blocks, plan, usable, bounds, self._exact
        )

    def _total(self, value: FloatArray, arm: int) -> FloatArray:
        mine = (self.trials.arm == arm) & ~np.isnan(value)
        return self.trials.at_looks(np.cumsum(np.where(mine, value, 0.0), axis=1))

    # what comes of it

    def outcomes(self) -> Outcomes:
        numbers = self.numbers()
        first = first_rows(numbers)
        while self.withdraw_empty_intervals(first):
            first = first_rows(numbers)
        per_arm = np.take_along_axis(self.per_arm, first.look[:, None], axis=1)[:, 0]
        return Outcomes(_OF_ROWS[first.row], first.look, per_arm.astype(np.int64))

    def numbers(self) -> LookNumbers:
        """All that decides, as the decision table reads it."""
        names, adjusted = [arm.name for arm in self.experiment.arms], self._adjusted()
        primary, shape = self.experiment.primary.name, self.per_arm.shape
        return LookNumbers(
            experiment=self.experiment,
            evidence={
                (metric, names[arm]): _OfTreatment(
                    compared, adjusted[arm - 1] if metric == primary else compared.p_value
                )
                for (metric, arm), compared in self.compared.items()
            },
            units={names[arm]: units for arm, units in self.units.items()},
            measured=self.measured,
            target=np.nan if self.target is None else self.target,
            counted=np.ones(shape),
            overdue=np.zeros(shape, dtype=np.bool_),
            checks={"sample_ratio": (~self._invalid()).astype(np.float64)},
            paired=self.trials.paired,
        )

    def _adjusted(self) -> FloatArray:
        return holm(np.stack([self._primary(arm).p_value for arm in self.treatments]))

    def effect_shown(self) -> BoolArray:
        """Where evidence of any effect on the primary ever reaches alpha, whatever follows."""
        return np.asarray((self._adjusted() <= self.rules.alpha).any(axis=(0, 2)))

    def harm_shown(self) -> BoolArray:
        """Where evidence of harm to any metric ever reaches its level, whatever follows."""
        level = harm_level(self.experiment, len(self.treatments))
        shown = [compared.harm_p_value <= level for compared in self.compared.values()]
        return np.asarray(np.logical_or.reduce(shown).any(axis=1))

    def _primary(self, arm: int) -> Compared:
        return self.compared[self.experiment.primary.name, arm]

    def _invalid(self) -> BoolArray:
        found = np.zeros(self.per_arm.shape, dtype=np.bool_)
        if self.trials.paired or self.trials.unit is not None:
            return found
        counts = np.stack(
            [np.cumsum(self.trials.arm == index, axis=1) for index in range(self.trials.arms)]
        )
        shares = np.array(self.weights) / sum(self.weights)
        suspect = _likelihood_ratio(counts, shares) >= -np.log(registry.ALARM)
        for row, look in zip(*np.nonzero(suspect), strict=True):
            log_e = registry.multinomial_log_e(counts[:, row, look].tolist(), shares.tolist())
            found[row, look] = p_value_of(log_e) <= registry.ALARM
        return found

    def withdraw_empty_intervals(self, first: FirstRows) -> bool:
        """Take back a proportion's interval from where its ends have crossed; was there one?"""
        row = np.flatnonzero(np.isin(_OF_ROWS[first.row], (_PROMOTE, _STOP)))
        proportions = [c for c in self.compared.values() if isinstance(c, Proportion)]
        return any(compared.withdraw(row, first.look) for compared in proportions)


def _likelihood_ratio(counts: IntArray, shares: FloatArray) -> FloatArray:
    """The largest log likelihood ratio of any shares against these: above every mixture."""
    total = counts.sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        parts = counts * np.log(counts / (total * shares[:, None, None]))
    return np.asarray(np.where(counts > 0, parts, 0.0).sum(axis=0))


def holm(p_values: FloatArray) -> FloatArray:
    """P-values [treatments, …] adjusted over the treatments (Holm 1979)."""
    count = p_values.shape[0]
    if count == 1:
        return p_values
    order = np.argsort(p_values, axis=0, kind="stable")
    factors = np.arange(count, 0, -1).reshape(-1, *([1] * (p_values.ndim - 1)))
    ordered = np.minimum(np.take_along_axis(p_values, order, axis=0) * factors, 1.0)
    adjusted = np.empty_like(ordered)
    np.put_along_axis(adjusted, order, np.maximum.accumulate(ordered, axis=0), axis=0)
    return adjusted


def unit_means(arm: IntArray, unit: IntArray, value: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Each trial's unit mean after it and before it (nan: the unit's first), in its arm."""
    experiments, trials = value.shape
    code = unit * (int(arm.max()) + 1) + arm
    count, mean = (np.zeros((experiments, int(code.max()) + 1)) for _ in range(2))
    after, before = np.full(value.shape, np.nan), np.full(value.shape, np.nan)
    for trial in range(trials):
        row = np.flatnonzero(~np.isnan(value[:, trial]))
        at = code[row, trial]
        old, n = mean[row, at], count[row, at]
        before[row, trial] = np.where(n > 0, old, np.nan)
        after[row, trial] = old + (value[row, trial] - old) / (n + 1)
        mean[row, at], count[row, at] = after[row, trial], n + 1
    return after, before

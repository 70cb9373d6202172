"""Simulated trials of a plan: what control does, by pilot or baseline, and what is assumed true.

Each metric's kind draws its values (`kinds/draws`): a pilot is resampled row by row, a stated
baseline stands for it where there is none.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from expci.core.dataset.metric_columns import metric_column
from expci.core.dataset.moments import BoolArray, FloatArray, IntArray
from expci.core.dataset.trial_columns import TrialColumns
from expci.core.dataset.trials_table import pilot_table
from expci.core.kinds import METHODS
from expci.core.kinds.draws import CaseVisits, ControlValues, Draw, in_arms
from expci.core.kinds.trial_arrays import TrialArrays
from expci.core.model.experiment import Experiment, Limit
from expci.core.model.metric_names import SUCCESS
from expci.core.statistics.constant_values import FEWEST

_ROUNDING = 1e-12  # of a mean: what is left where all values are the same


@dataclass(frozen=True)
class Source:
    """What control does. `failed` marks the pilot's failed rows; `unknown` are the metrics of
    which neither pilot nor baseline tells."""

    values: Mapping[str, ControlValues]
    failed: BoolArray
    basis: str
    unknown: tuple[str, ...] = ()

    @property
    def failing(self) -> float:
        """The share of runs that fail: of the pilot's, else by the stated rate of success."""
        if self.failed.size:
            return float(self.failed.mean())
        return 1 - self.values[SUCCESS].mean if SUCCESS in self.values else 0.0


def measured_share(experiment: Experiment, source: Source | None) -> float:
    """Return the share of units (pairs) that have a value of the primary: a failed run has no time.

    >>> from support.examples import planned
    >>> plan, every_tenth = planned(), np.arange(20) % 10 == 0
    >>> failing = Source({}, every_tenth, "pilot")
    >>> measured_share(plan.experiment, plan.source), measured_share(plan.experiment, failing)
    (1.0, 0.9)
    """
    if source is None or not experiment.primary.traits.is_timed:
        return 1.0
    worked = 1 - source.failing
    return worked**2 if experiment.assignment.design == "paired" else worked


def constant_metrics(experiment: Experiment, source: Source | None) -> tuple[str, ...]:
    """Return the primary and guardrails whose pilot never varied: no chance is at work in them.

    >>> from support.examples import planned
    >>> plan = planned()
    >>> constant_metrics(plan.experiment, plan.source)
    ()
    """
    values = {} if source is None else source.values
    judged = (experiment.primary, *experiment.guardrails)
    names = (m.name for m in judged if m.name in values and not m.traits.is_share)
    return tuple(name for name in names if _is_constant(values[name]))


def _is_constant(values: ControlValues) -> bool:
    is_long = int(np.count_nonzero(~np.isnan(values.z))) >= FEWEST
    return is_long and bool(values.sd <= _ROUNDING * max(1.0, abs(values.mean)))


def source_of(experiment: Experiment, pilot: TrialColumns) -> Source | None:
    """Return what the pilot or the baselines tell; `None` where they don't tell of the primary.

    >>> from support.analysis_samples import make_experiment
    >>> from support.examples import NO_TRIALS, TIMED
    >>> source = source_of(make_experiment(primary=TIMED), NO_TRIALS)  # 10 s ± 2 s
    >>> source.basis, source.unknown
    ('baseline', ('success',))
    """
    values, failed = _from_pilot(experiment, pilot)
    basis = "pilot" if experiment.primary.name in values else "baseline"
    for metric in experiment.metrics:
        stated = METHODS[metric.kind].stated_values(metric)
        if metric.name not in values and stated is not None:
            values[metric.name] = stated
    if experiment.primary.name not in values:
        return None
    unknown = tuple(m.name for m in experiment.guardrails if m.name not in values)
    return Source(values, failed, basis, unknown)


def _from_pilot(
    experiment: Experiment, pilot: TrialColumns
) -> tuple[dict[str, ControlValues], BoolArray]:
    names = tuple(arm.name for arm in experiment.arms)
    table = pilot_table(pilot, names, experiment.assignment.design == "paired")
    values = {}
    for metric in experiment.metrics:
        column = metric_column(metric, table, experiment.timeout_s)
        control = METHODS[metric.kind].pilot_values(metric, table, column)
        if control is not None:
            values[metric.name] = control
    return values, table.failed[table.arm == 0]


@dataclass(frozen=True)
class Scenario:
    """What is true: the improvement of each metric in the first treatment; none elsewhere.

    `guardrail` is the one that loses, in a scenario of one.
    """

    name: str
    effects: Mapping[str, Limit] = field(default_factory=dict)
    guardrail: str | None = None


def simulated_trials(
    experiment: Experiment,
    source: Source,
    scenario: Scenario,
    size: tuple[int, int],
    rng: np.random.Generator,
) -> TrialArrays:
    """Return `size` = (experiments, trials) of the plan as it would assign and record them.

    >>> from support.examples import planned
    >>> plan, rng = planned(), np.random.default_rng(1)
    >>> true = Scenario("no_effect")
    >>> trials = simulated_trials(plan.experiment, plan.source, true, (3, 40), rng)
    >>> trials.values["duration_s"].shape
    (3, 40)
    """
    arms = len(experiment.arms)
    paired = experiment.assignment.design == "paired"
    arm = assigned(experiment, size, rng)
    visits = case_visits(experiment, size, rng)
    share = source.values[experiment.primary.name].case_share
    rows = source.failed.size
    row = _pilot_rows(rows, arm, visits, share, rng)
    failed = source.failed[row] if rows else np.zeros(size, dtype=np.bool_)
    columns: dict[str, FloatArray] = {}
    # What divides a ratio may be a metric of its own, drawn before.
    for metric in sorted(experiment.metrics, key=lambda metric: metric.denominator is not None):
        if metric.name not in source.values or metric.role == "secondary":
            continue
        control, effect = source.values[metric.name], scenario.effects.get(metric.name)
        block = arms if paired else 1
        values = Draw(metric, control, effect, arm, row, block, columns, rng, visits)
        columns |= METHODS[metric.kind].draw(values)
    if SUCCESS in columns and not rows:
        failed = columns[SUCCESS] < 1
    elif SUCCESS in scenario.effects and SUCCESS in columns:
        failed = np.where(arm == 1, columns[SUCCESS] < 1, failed)
    unit = None if visits is None else visits.case
    return TrialArrays(arm, arms, columns, failed, paired, unit)


def _pilot_rows(
    rows: int, arm: IntArray, visits: CaseVisits | None, share: float, rng: np.random.Generator
) -> IntArray:
    """A row of the pilot for each trial; those of one case and arm are often the same."""
    if not rows:
        return np.zeros(arm.shape, dtype=np.int64)
    own = rng.integers(0, rows, arm.shape)
    if visits is None:
        return own
    by_arm = in_arms(visits, arm)
    of_cases = rng.integers(0, rows, (len(arm), by_arm.cases))
    return by_arm.copied(own, of_cases, share, rng)


def case_visits(
    experiment: Experiment, size: tuple[int, int], rng: np.random.Generator
) -> CaseVisits | None:
    """Return the case of each trial as the lab takes them; `None` without cases.

    Every case once in an order of chance, then every case again; a visit is `repeats` pairs.

    >>> from dataclasses import replace
    >>> from expci.core.model.cases import Case, CaseSource
    >>> from support.analysis_samples import make_experiment
    >>> three = CaseSource("evals/*", frozen=tuple(Case(name, "") for name in "abc"))
    >>> plan = replace(make_experiment(design="paired"), cases=three)
    >>> visits = case_visits(plan, (1, 12), np.random.default_rng(1))
    >>> visits.case  # two arms a visit, two laps
    array([[2, 2, 0, 0, 1, 1, 1, 1, 2, 2, 0, 0]])
    """
    if experiment.cases is None or not experiment.cases.frozen:
        return None
    experiments, trials = size
    each = len(experiment.arms) * experiment.repeats
    cases = min(len(experiment.cases.frozen), math.ceil(trials / each))  # the rest is never visited
    laps = math.ceil(trials / (each * cases))
    order = np.argsort(rng.random((experiments, laps, cases)), axis=2).reshape(experiments, -1)
    return CaseVisits(np.repeat(order, each, axis=1)[:, :trials], cases)


def assigned(experiment: Experiment, size: tuple[int, int], rng: np.random.Generator) -> IntArray:
    """Return the arm of each trial, by the plan's design and weights.

    >>> from support.analysis_samples import make_experiment
    >>> blocked = make_experiment(design="blocked", weights={"control": 1, "treatment": 3})
    >>> assigned(blocked, (2, 8), np.random.default_rng(1)).reshape(2, 2, 4).sum(axis=2)
    array([[3, 3],
           [3, 3]])
    """
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

    reduced = reduced_weights({str(index): weight for index, weight in enumerate(weights)})
    return [reduced.get(str(index), 0) for index in range(len(weights))]

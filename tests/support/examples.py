"""What the examples in the core's docstrings start from, where it takes more than a line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from expci.core.checks.inputs import CheckInputs
from expci.core.dataset.dataset import Dataset, dataset
from expci.core.dataset.recorded import trial_columns
from expci.core.dataset.selection import select
from expci.core.dataset.trials_table import trials_table
from expci.core.kinds.contrast import Contrast, Simulated
from expci.core.kinds.draws import ControlValues, Draw
from expci.core.kinds.trial_arrays import TrialArrays
from expci.core.model.experiment import Baseline, Experiment, Limit, Metric
from expci.core.model.trial import Trial
from expci.core.planning.operating_characteristics import Question
from expci.core.planning.scenarios import source_of
from expci.core.statistics.terms import Terms
from support.analysis_samples import DURATION, PLAN, alternating, in_pairs, make_experiment

NO_TRIALS = trial_columns([])
TIMED = replace(DURATION, baseline=Baseline(10.0, 2.0))


def planned(**plan: Any) -> Question:
    """A plan of 60 runs of each arm for 10 s ± 2 s, to be simulated 200 times."""
    experiment = make_experiment(primary=TIMED, others=(), **plan)
    source = source_of(experiment, NO_TRIALS)
    assert source is not None
    return Question(experiment, source, 60, experiments=200)


def data_of(experiment: Experiment, trials: Sequence[Trial]) -> Dataset:
    arms = tuple(arm.name for arm in experiment.arms)
    columns = trial_columns(trials)
    table = trials_table(columns, arms, experiment.assignment.design == "paired")
    return dataset(experiment, select(columns, PLAN, arms), table)


def check_inputs(
    trials: Sequence[Trial], experiment: Experiment | None = None, **changes: Any
) -> CheckInputs:
    """What a check reads of these trials, arms with equal weights."""
    plan = experiment or make_experiment()
    weights = {arm.name: 1.0 for arm in plan.arms}
    return replace(CheckInputs(data_of(plan, trials), weights), **changes)


def terms_of(metric: Metric) -> Terms:
    """Weighed at every look at 5 %, two equal arms."""
    experiment = make_experiment(primary=metric, others=())
    weights = {"control": 1.0, "treatment": 1.0}
    return Terms(experiment, experiment.plan, None, 0.05, False, weights)


def contrast_of(metric: Metric, control: Sequence[float], treatment: Sequence[float]) -> Contrast:
    """Two arms that took turns, one value of the metric each."""
    terms = terms_of(metric)
    data = data_of(terms.experiment, alternating(control, treatment, metric.name))
    return Contrast(metric, data, 1, terms)


def simulated_of(metric: Metric, control: Sequence[float], treatment: Sequence[float]) -> Simulated:
    """The same as one simulated experiment without a sample size."""
    values = np.array([[value for pair in zip(control, treatment, strict=True) for value in pair]])
    arm = np.tile([0, 1], (1, len(control)))
    arrays = TrialArrays(arm, 2, {metric.name: values}, np.zeros(values.shape, dtype=np.bool_))
    return Simulated(metric, arrays, 1, terms_of(metric), (), np.array([-1]))


def drawing(metric: Metric, control: ControlValues, effect: Limit | None) -> Draw:
    """1,000 trials of control, then 1,000 of a treatment with that effect."""
    arm = np.repeat([[0, 1]], 1000, axis=1)
    rng = np.random.default_rng(1)
    return Draw(metric, control, effect, arm, np.zeros((1, 2000), dtype=np.int64), 1, {}, rng)


def ratio_contrast(
    control: Sequence[float], treatment: Sequence[float], below: Sequence[float]
) -> Contrast:
    """Dollars over tasks in two arms that took turns; `below` are the tasks, in either arm."""
    metric = Metric("usd", "primary", "ratio", "decrease", denominator="tasks")
    tasks = [number for number in below for _ in range(2)]
    trials = [
        replace(trial, metrics={**trial.metrics, "tasks": number})
        for trial, number in zip(alternating(control, treatment, "usd"), tasks, strict=True)
    ]
    terms = terms_of(metric)
    return Contrast(metric, data_of(terms.experiment, trials), 1, terms)


def preferences(*shares: float) -> Contrast:
    """A contrast of so many judged pairs: 1 where the treatment was preferred, ½ for a tie."""
    metric = Metric("preference", "primary", "preference", "increase")
    experiment = make_experiment(primary=metric, others=(), design="paired")
    weights = {"control": 1.0, "treatment": 1.0}
    terms = Terms(experiment, experiment.plan, None, 0.05, True, weights)
    pairs = in_pairs([0.5] * len(shares), shares, metric.name)
    return Contrast(metric, data_of(experiment, pairs), 1, terms)

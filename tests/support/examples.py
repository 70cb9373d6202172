"""What the examples in the core's docstrings start from, where it takes more than a line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from expci.core.dataset.dataset import Dataset, dataset
from expci.core.dataset.selection import select
from expci.core.dataset.trials_table import trials_table
from expci.core.model.experiment import Baseline, Experiment
from expci.core.model.trial import Trial
from expci.core.planning.operating_characteristics import Question
from expci.core.planning.scenarios import source_of
from support.analysis_samples import DURATION, PLAN, make_experiment

TIMED = replace(DURATION, baseline=Baseline(10.0, 2.0))


def planned(**plan: Any) -> Question:
    """A plan of 60 runs of each arm for 10 s ± 2 s, to be simulated 200 times."""
    experiment = make_experiment(primary=TIMED, others=(), **plan)
    source = source_of(experiment, [])
    assert source is not None
    return Question(experiment, source, 60, experiments=200)


def data_of(experiment: Experiment, trials: Sequence[Trial]) -> Dataset:
    arms = tuple(arm.name for arm in experiment.arms)
    table = trials_table(tuple(trials), arms, experiment.assignment.design == "paired")
    return dataset(experiment, select(trials, PLAN, arms), table)

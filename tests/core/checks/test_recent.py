"""Alerts on the latest trials: at every look together they hold the level that they state."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from expci.core.checks import recent
from expci.core.checks.inputs import CheckInputs
from expci.core.dataset.dataset import dataset
from expci.core.dataset.recorded import trial_columns
from expci.core.dataset.selection import select
from expci.core.dataset.trials_table import trials_table
from expci.core.model.experiment import Experiment
from expci.core.model.results import Check
from expci.core.model.trial import Trial
from support.analysis_samples import PLAN, alternating, make_experiment


def alarms_at_any_look(experiments: int, failures: float) -> int:
    """A/A experiments in which an alert on the latest trials is raised at any look."""
    rng, raised = np.random.default_rng(6), 0
    plan = make_experiment()
    for _ in range(experiments):
        trials = alternating(np.exp(rng.normal(3, 0.5, 100)), np.exp(rng.normal(3, 0.5, 100)))
        failed = rng.random(200) < failures
        trials = [replace(t, status="failed") if failed[i] else t for i, t in enumerate(trials)]
        raised += any(
            alert is not None and alert.status == "warning"
            for end in range(10, 201, 5)
            for alert in latest_alerts(plan, trials[:end])
        )
    return raised


def latest_alerts(plan: Experiment, trials: list[Trial]) -> list[Check | None]:
    arms = ("control", "treatment")
    table = trials_table(trial_columns(trials), arms, False)
    data = dataset(plan, select(trial_columns(trials), PLAN, arms), table)
    inputs = CheckInputs(data, {"control": 1.0, "treatment": 1.0})
    return [recent.error_rate(inputs), recent.regression(inputs)]


@pytest.mark.slow
def test_alerts_on_the_latest_trials_hold_their_level_over_all_looks() -> None:
    # By the window's own p-value at each look some of these are raised.
    assert alarms_at_any_look(experiments=30, failures=0.05) == 0


def test_fishers_exact_test_is_scipys() -> None:
    for hits, n, others, m in ((3, 20, 4, 60), (10, 20, 0, 40), (0, 5, 3, 9), (5, 5, 9, 9)):
        expected = stats.fisher_exact([[hits, n - hits], [others, m - others]], "greater")
        assert recent._fisher(hits, n, others, m) == pytest.approx(expected.pvalue, rel=1e-9)

"""How often the alerts on the latest trials are raised where nothing differs, at any look."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
from harm import plan
from tables import experiments_of, share, table

from expci.core.checks import recent
from expci.core.checks.inputs import ALARM, CheckInputs
from expci.core.dataset.dataset import dataset
from expci.core.dataset.recorded import trial_columns
from expci.core.dataset.selection import select
from expci.core.dataset.trials_table import trials_table
from expci.core.model.experiment import Experiment, PlanRules
from expci.core.model.trial import Trial, timestamp

EXPERIMENTS = 1000
TRIALS = 400  # of both arms
ARMS = ("control", "treatment")
START = datetime(2026, 1, 1, tzinfo=UTC)
FAILURES = (0.02, 0.05, 0.2)


def section(scale: float) -> str:
    experiments = experiments_of(EXPERIMENTS, scale, 50)
    rows = [_row(failures, experiments) for failures in FAILURES]
    return f"""
## Alerts on the latest trials

No difference between the arms: lognormal times (log-sd 0.5) and failures by chance, arms in
turn, {TRIALS // 2} trials of each. Looked at whenever they may change, after five trials of each
arm; raised at any look. The limit is {ALARM} over all looks together.
{experiments} experiments a row.

{table(("failures", "error_rate", "regression"), rows)}"""


def _row(failures: float, experiments: int) -> list[str]:
    rng, raised = np.random.default_rng(29), np.zeros(2)
    experiment = plan("blocked", 0.2, PlanRules())
    for _ in range(experiments):
        trials = _trials(np.exp(rng.normal(3, 0.5, TRIALS)), rng.random(TRIALS) < failures)
        raised += _raised(experiment, trials)
    print(".", end="", flush=True)
    return [f"{failures:g}", *(share(count / experiments, experiments, ALARM) for count in raised)]


def _trials(values: np.ndarray, failed: np.ndarray) -> tuple[Trial, ...]:
    return tuple(
        Trial(
            id=f"t{index}",
            experiment="harm",
            plan="p",
            mode="live",
            arm=ARMS[index % 2],
            unit=f"u{index}",
            started=timestamp(START + timedelta(hours=index)),
            status="failed" if failed[index] else "ok",
            metrics={"duration_s": float(values[index])},
        )
        for index in range(len(values))
    )


def _raised(experiment: Experiment, trials: tuple[Trial, ...]) -> np.ndarray:
    """Whether each alert was raised at any look."""
    whole, raised = trial_columns(trials), np.zeros(2, dtype=np.bool_)
    selection = select(whole, "p", ARMS)
    for end in range(10, len(trials) + 1, 10):  # they change with every five of each arm
        table = trials_table(whole.take(np.arange(end)), ARMS, False)
        data = dataset(experiment, selection, table)
        inputs = CheckInputs(data, dict.fromkeys(ARMS, 1.0))
        alerts = recent.error_rate(inputs), recent.regression(inputs)
        raised |= [alert is not None and alert.status == "warning" for alert in alerts]
    return raised

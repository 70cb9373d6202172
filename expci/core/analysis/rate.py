"""How often trials arrive, and how often what is changed runs."""

from __future__ import annotations

from datetime import datetime

import numpy as np

from expci.core.analysis.look import Look
from expci.core.dataset.trial_columns import TrialColumns
from expci.core.model.limits import DAYS_A_MONTH

_DAY = 86400.0


def measured_rate(trials: TrialColumns, at: datetime) -> float | None:
    """Return trials a day as measured `at` some time; `None` before two trials and a whole day.

    The pace of the first minutes or hours says nothing of the days after. The first trial opens
    the time that is measured, it does not count.

    >>> from datetime import timedelta
    >>> from support.analysis_samples import START, make_trial
    >>> from expci.core.dataset.recorded import trial_columns
    >>> hourly = trial_columns([make_trial(hour, "control") for hour in range(49)])
    >>> measured_rate(hourly, START + timedelta(hours=49))
    24.0
    >>> measured_rate(hourly.take(np.arange(12)), START + timedelta(hours=12)) is None
    True
    """
    is_known = len(trials) > 1 and at.timestamp() - float(trials.seconds.min()) >= _DAY
    return _a_day(trials) if is_known else None


def _a_day(trials: TrialColumns) -> float | None:
    """Trials a day from the first to the last start; those of less than a day are that day's."""
    if len(trials) < 2:
        return None
    return (len(trials) - 1) / max(float(np.ptp(trials.seconds)) / _DAY, 1.0)


def runs_a_month(look: Look, counted: TrialColumns) -> float | None:
    """Return how often what is changed runs: by the plan, by the jobs that took part, or by the CI.

    The number of lab trials is no measure of it. A burst on one afternoon is not a rate for a
    month: trials of less than a day count as that day's. `None` where nothing tells.

    >>> from dataclasses import replace
    >>> from support.analysis_samples import look_of, make_experiment
    >>> from support.examples import NO_TRIALS
    >>> look = look_of(make_experiment(), runs_a_month=12.0)
    >>> stated = replace(look, experiment=replace(look.experiment, rate=50.0))
    >>> runs_a_month(look, NO_TRIALS), runs_a_month(stated, NO_TRIALS)
    (12.0, 50.0)
    """
    if look.experiment.rate is not None:
        return look.experiment.rate
    a_day = _a_day(counted.take(np.flatnonzero(counted.mode.is_any("live"))))
    return look.runs_a_month if a_day is None else a_day * DAYS_A_MONTH

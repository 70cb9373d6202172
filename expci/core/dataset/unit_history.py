"""What a unit did under control before the experiment began: a covariate nobody can influence.

`adjust_by: [history]` takes it out of the result (CUPED with the metric's own past: Deng, Xu,
Kohavi & Walker 2013). The past are control's trials of earlier plans that the ledger held before
this plan's first trial, so the covariate is the same at every look. It helps where units come
back: `unit: actor`, `pr` or `custom`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from expci.core.model.experiment import CONTROL, Experiment, Metric
from expci.core.model.trial import Trial

HISTORY = "history"


def covariate_names(metric: Metric) -> tuple[str, ...]:
    """Return `adjust_by` with the metric's own history under the name that `with_history` gives it.

    >>> score = Metric("score", "primary", "mean", "increase", adjust_by=("cpu", "history"))
    >>> covariate_names(score)
    ('cpu', 'history of score')
    """
    return tuple(_key(metric) if name == HISTORY else name for name in metric.adjust_by)


def _key(metric: Metric) -> str:
    return f"{HISTORY} of {metric.name}"


def with_history(
    counted: tuple[Trial, ...], trials: Sequence[Trial], experiment: Experiment
) -> tuple[Trial, ...]:
    """The counted trials with the history of the metrics that ask for it, as covariates.

    `trials` are all of the ledger, in its order. A history that trials record themselves under
    that name goes before it.
    """
    adjusted = [metric for metric in experiment.metrics if HISTORY in metric.adjust_by]
    if not adjusted or not counted:
        return counted
    past = _past(counted, trials)
    histories = {_key(metric): _means(metric, past) for metric in adjusted}
    return tuple(_with(trial, histories) for trial in counted)


def _past(counted: tuple[Trial, ...], trials: Sequence[Trial]) -> list[Trial]:
    past = []
    for trial in trials:
        if trial.plan == counted[0].plan:
            break
        if trial.arm == CONTROL and trial.excluded is None and trial.status == "ok":
            past.append(trial)
    return past


def _means(metric: Metric, past: Sequence[Trial]) -> dict[str, float]:
    """Each unit's mean on the scale of analysis."""
    values: dict[str, list[float]] = {}
    for trial in past:
        value, takes = trial.metrics.get(metric.name), metric.traits.values
        if value is not None and (takes is None or takes.holds(value)):
            scaled = math.log(value) if metric.traits.is_logarithmic else float(value)
            values.setdefault(trial.unit, []).append(scaled)
    return {unit: math.fsum(own) / len(own) for unit, own in values.items()}


def _with(trial: Trial, histories: dict[str, dict[str, float]]) -> Trial:
    stated = trial.covariates.get(HISTORY)
    covariates = {
        key: value
        for key, means in histories.items()
        if (value := stated if stated is not None else means.get(trial.unit)) is not None
    }
    return replace(trial, covariates={**trial.covariates, **covariates}) if covariates else trial

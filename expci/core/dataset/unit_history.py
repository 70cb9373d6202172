"""What a unit did under control before the experiment began: a covariate nobody can influence.

`adjust_by: [history]` takes it out of the result (CUPED with the metric's own past: Deng, Xu,
Kohavi & Walker 2013). The past are control's trials of earlier plans that were in the ledger before
this plan's first trial, so the covariate is the same at every look. It helps where units come
back: `unit: actor`, `pr` or `custom`.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from expci.core.dataset.metric_columns import outside
from expci.core.dataset.moments import BoolArray, FloatArray
from expci.core.dataset.trial_columns import TrialColumns
from expci.core.model.experiment import CONTROL, Experiment, Metric

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
    counted: TrialColumns, trials: TrialColumns, experiment: Experiment, plan: str
) -> TrialColumns:
    """Return the counted trials of `plan`, with history as a covariate of metrics that use it.

    `trials` are all of the ledger, in its order. A history that trials record themselves under
    that name goes before it.

    >>> from expci.core.dataset.recorded import trial_columns
    >>> from expci.core.model.experiment import Metric
    >>> from support.analysis_samples import PLAN, make_experiment, make_trial
    >>> score = Metric("score", "primary", "mean", "increase", adjust_by=("history",))
    >>> before = make_trial(1, "control", plan="b", unit="ada", metrics={"score": 3.0})
    >>> now = make_trial(2, "treatment", unit="ada", metrics={"score": 5.0})
    >>> trials, plan = trial_columns([before, now]), make_experiment(primary=score)
    >>> adjusted = with_history(trials.take(np.array([1])), trials, plan, PLAN)
    >>> adjusted.covariate(*covariate_names(score))
    array([3.])
    """
    adjusted = [metric for metric in experiment.metrics if HISTORY in metric.adjust_by]
    if not adjusted or not len(counted):
        return counted
    begun = np.maximum.accumulate(trials.plan.is_any(plan))
    past, begin = _past(trials, begun), int(trials.position[np.argmax(begun)])
    stated, words = counted.covariate(HISTORY), counted.word(HISTORY)
    bare = np.isnan(stated) & ~words.given
    covariates, named = dict(counted.covariates), dict(counted.words)
    for metric in adjusted:
        own = _means(metric, past, begin)[counted.unit.codes]
        covariates[_key(metric)], named[_key(metric)] = np.where(bare, own, stated), words
    return replace(counted, covariates=covariates, words=named)


def _past(trials: TrialColumns, begun: BoolArray) -> TrialColumns:
    """What control did before the first trial of the plan."""
    worked = trials.status.is_any("ok") & ~trials.excluded.given
    return trials.take(np.flatnonzero(~begun & worked & trials.arm.is_any(CONTROL)))


def _means(metric: Metric, past: TrialColumns, begin: int) -> FloatArray:
    """Each unit's mean on the scale of analysis, by the unit's code; nan without a past.

    Of values that the ledger had before its trial at the position `begin`: a later one may not
    change a past.
    """
    value = past.metric(metric.name)
    usable = ~np.isnan(value) & ~outside(metric, value)
    if metric.name in past.late_after:
        usable &= ~(past.late_after[metric.name] >= begin)
    unit, value = past.unit.codes[usable], value[usable]
    scaled = np.log(value) if metric.traits.is_logarithmic else value
    size = len(past.unit.levels)
    with np.errstate(invalid="ignore"):
        return np.bincount(unit, scaled, size) / np.bincount(unit, minlength=size)

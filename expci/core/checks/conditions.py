"""Whether the conditions that runs state (a model, a tool's version) stayed as they were.

A run states them by `EXPCI_CONTEXT_NAME`, by `$EXPCI_STATUS` or by its tool's file. One that
changes within an arm is drift: what was measured before and after are two strata.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from expci.core import number_format
from expci.core.checks.inputs import CheckInputs
from expci.core.model.results import Check
from expci.core.model.trial import CONDITION, Trial

_MOST_STRATA = 4


def context_drift(inputs: CheckInputs) -> Check | None:
    """Conditions that changed within an arm; `None` where no run states any.

    >>> from support.analysis_samples import make_trial
    >>> from support.examples import check_inputs
    >>> under = [{"context_model": model} for model in ("m1", "m1", "m2")]
    >>> trials = [make_trial(n, "control", context=context) for n, context in enumerate(under)]
    >>> context_drift(check_inputs(trials)).detail.split(":")[0]
    'model changed from m1 to m2, first on 2026-11-01'
    """
    trials = inputs.table.trials
    keys = sorted({key for trial in trials for key in trial.context if key.startswith(CONDITION)})
    if not keys:
        return None
    drifted = [key for key in keys if _changed(trials, key)]
    if not drifted:
        names = ", ".join(key.removeprefix(CONDITION) for key in keys)
        return Check("context_drift", "ok", None, f"no change of {names} within an arm")
    detail = "; ".join(_change(inputs, key) for key in drifted)
    return Check("context_drift", "warning", None, detail)


def _changed(trials: Sequence[Trial], key: str) -> list[str]:
    """The arms in which the condition has more than one value."""
    values: dict[str, set[str]] = {}
    for trial in trials:
        if key in trial.context:
            values.setdefault(trial.arm, set()).add(trial.context[key])
    return [arm for arm, different in values.items() if len(different) > 1]


def _change(inputs: CheckInputs, key: str) -> str:
    stating = [trial for trial in inputs.table.trials if key in trial.context]
    levels = list(dict.fromkeys(trial.context[key] for trial in stating))
    second = min(trial.started for trial in stating if trial.context[key] != levels[0])
    name = key.removeprefix(CONDITION)
    strata = "; ".join(_stratum(inputs, key, level) for level in levels[:_MOST_STRATA])
    more = f"; {len(levels) - _MOST_STRATA} more" if len(levels) > _MOST_STRATA else ""
    first, last = levels[0], levels[-1]
    return f"{name} changed from {first} to {last}, first on {second[:10]}: {strata}{more}"


def _stratum(inputs: CheckInputs, key: str, level: str) -> str:
    means = ", ".join(_means(inputs, key, level))
    return f"under {level} {means}" if means else f"under {level} no values"


def _means(inputs: CheckInputs, key: str, level: str) -> Iterator[str]:
    """The mean of the primary in each arm, and of how many trials."""
    primary = inputs.experiment.primary
    column = inputs.table.metric(primary.name)
    for index, arm in enumerate(inputs.arms):
        rows = (row for row, own in enumerate(inputs.table.arm) if own == index)
        trials = inputs.table.trials
        values = [float(column[row]) for row in rows if trials[row].context.get(key) == level]
        values = [value for value in values if not math.isnan(value)]
        if values:
            mean = math.fsum(values) / len(values)
            amount = number_format.quantity(mean, primary)
            yield f"{arm} {amount} ({len(values)})"

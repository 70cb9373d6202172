"""Whether the conditions that runs state (a model, a tool's version) stayed as they were.

A run states them by `EXPCI_CONTEXT_NAME`, by `$EXPCI_STATUS` or by its tool's file. One that
changes within an arm is drift: what was measured before and after are two strata.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import numpy as np

from expci.core import number_format
from expci.core.checks.inputs import CheckInputs
from expci.core.dataset.factor import Factor
from expci.core.dataset.moments import BoolArray, moments
from expci.core.model.results import Check
from expci.core.model.trial import CONDITION

_MOST_STRATA = 4


def context_drift(inputs: CheckInputs) -> Check | None:
    """Check for conditions that changed within an arm; `None` where no run states any.

    >>> from support.analysis_samples import make_trial
    >>> from support.examples import check_inputs
    >>> under = [{"context_model": model} for model in ("m1", "m1", "m2")]
    >>> trials = [make_trial(n, "control", context=context) for n, context in enumerate(under)]
    >>> context_drift(check_inputs(trials)).detail.split(":")[0]
    'model changed from m1 to m2, first on 2026-11-01'
    """
    context = inputs.table.trials.context
    stated = sorted(k for k, c in context.items() if k.startswith(CONDITION) and c.given.any())
    if not stated:
        return None
    drifted = [key for key in stated if _changed(inputs, context[key])]
    if not drifted:
        names = ", ".join(key.removeprefix(CONDITION) for key in stated)
        return Check("context_drift", "ok", None, f"no change of {names} within an arm")
    detail = "; ".join(_change(inputs, key) for key in drifted)
    return Check("context_drift", "warning", None, detail)


def _changed(inputs: CheckInputs, condition: Factor) -> bool:
    """Whether the condition has more than one value in an arm."""
    arms = (
        condition.codes[condition.given & (inputs.table.arm == i)] for i in range(len(inputs.arms))
    )
    return any(own.size and own.min() < own.max() for own in arms)


def _change(inputs: CheckInputs, key: str) -> str:
    condition, trials = inputs.table.trials.context[key], inputs.table.trials
    codes = [code for code in condition.appearing() if code >= 0]
    others = condition.given & (condition.codes != codes[0])
    second = datetime.fromtimestamp(float(trials.seconds[others].min()), UTC).date().isoformat()
    name = key.removeprefix(CONDITION)
    strata = "; ".join(_stratum(inputs, condition, code) for code in codes[:_MOST_STRATA])
    more = f"; {len(codes) - _MOST_STRATA} more" if len(codes) > _MOST_STRATA else ""
    first, last = condition.levels[codes[0]], condition.levels[codes[-1]]
    return f"{name} changed from {first} to {last}, first on {second}: {strata}{more}"


def _stratum(inputs: CheckInputs, condition: Factor, code: int) -> str:
    means = ", ".join(_means(inputs, condition.codes == code))
    level = condition.levels[code]
    return f"under {level} {means}" if means else f"under {level} no values"


def _means(inputs: CheckInputs, stratum: BoolArray) -> Iterator[str]:
    """The mean of the primary in each arm, and of how many trials."""
    primary = inputs.experiment.primary
    column = inputs.table.metric(primary.name)
    for index, arm in enumerate(inputs.arms):
        values = column[stratum & (inputs.table.arm == index) & ~np.isnan(column)]
        if values.size:
            amount = number_format.quantity(moments(values).mean, primary)
            yield f"{arm} {amount} ({values.size})"

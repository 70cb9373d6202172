"""Metrics that are read from a database: does it answer, and is each unit's value clear?"""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np

from expci.core import number_format
from expci.core.checks.inputs import CheckInputs
from expci.core.dataset.due_units import joined_units
from expci.core.dataset.moments import BoolArray
from expci.core.model import limits
from expci.core.model.experiment import Metric
from expci.core.model.results import Check
from expci.core.model.source import SourceReading

_LATE_S = limits.SOURCE_LATE_DAYS * 86400.0


def source_values(inputs: CheckInputs) -> Check | None:
    """Check what is on record of reading each source; `None` where no metric has one.

    Nothing here decides anything: what is not clear has no value, and what did not come is
    waited for.

    >>> from expci.core.model.source import MetricSource
    >>> from support.analysis_samples import alternating, make_experiment
    >>> from support.examples import check_inputs
    >>> orders = MetricSource("warehouse", "orders", "user_id", "paid_at", 60.0, "amount")
    >>> usd = Metric("usd", "primary", "mean", "increase", source=orders)
    >>> down = SourceReading("down", "no route to host")
    >>> plan, trials = make_experiment(primary=usd), alternating([10.0], [10.0])
    >>> check = source_values(check_inputs(trials, plan, sources={"usd": down}))
    >>> check.status, check.detail
    ('warning', 'usd from warehouse: cannot be read: no route to host')
    """
    metrics = [metric for metric in inputs.experiment.metrics if metric.source is not None]
    if not metrics:
        return None
    problems = [
        f"{metric.name} from {metric.source.name}: {what}"
        for metric in metrics
        if metric.source is not None
        for what in _problems(inputs.sources.get(metric.name, SourceReading()), inputs.at)
    ]
    if problems:
        return Check("source", "warning", None, "; ".join(problems))
    if not any(reading.through for reading in inputs.sources.values()):
        return Check("source", "ok", None, "no unit was due yet")
    return Check("source", "ok", None, "every unit that was due has one value")


_WORDS = {
    "down": "cannot be read: ",
    "refused": "cannot be read as it is written down: ",
    "empty": "",
    "unmatched": "the key may be another than the unit that `expci assign` printed: ",
    "unmerged": "",
}


def _problems(reading: SourceReading, at: datetime | None) -> list[str]:
    if reading.status != "ok":
        return [_WORDS[reading.status] + reading.detail]
    counts = (
        (reading.both_arms, "ran in more than one arm and {have} no value"),
        (reading.duplicates, "{have} several rows where one is expected, and no value"),
        (reading.unusable, "{have} NULL or no finite number, and no value"),
        (reading.missing, "{have} no row, and no value"),
    )
    problems = [_counted(number, words) for number, words in counts if number]
    since = reading.waits_from
    if at is not None and since is not None and at.timestamp() - since > _LATE_S:
        day = datetime.fromtimestamp(since, UTC).date()
        problems.append(f"its rows do not reach beyond {day}, so later values are not read yet")
    return problems


def _counted(number: int, words: str) -> str:
    units = number_format.count(number, "unit")
    return f"{units} {words.format(have='has' if number == 1 else 'have')}"


def queried_units(inputs: CheckInputs) -> int | None:
    """Return in how many units of the smallest arm no guardrail's source is awaited any more.

    `None` where no guardrail has a source. A plan that is full waits for them.

    >>> from expci.core.model.source import MetricSource
    >>> from support.analysis_samples import alternating, make_experiment
    >>> from support.examples import check_inputs
    >>> orders = MetricSource("warehouse", "refunds", "user_id", "paid_at", 60.0, "amount")
    >>> refunds = Metric("refunds", "guardrail", "mean", "decrease", source=orders)
    >>> queried_units(check_inputs(alternating([9.0], [9.0]), make_experiment(others=(refunds,))))
    0
    """
    metrics = [metric for metric in inputs.experiment.guardrails if metric.source is not None]
    queried = [inputs.table.arm[~awaited(inputs, metric)] for metric in metrics]
    return min(
        (int(np.sum(arm == one)) for arm in queried for one in inputs.remaining), default=None
    )


def awaited(inputs: CheckInputs, metric: Metric) -> BoolArray:
    """Return the counted trials at which no value of a source's metric can be missed yet.

    All but the first of each unit, and those of which the source was not queried yet.

    >>> from expci.core.model.source import MetricSource
    >>> from support.analysis_samples import alternating, make_experiment
    >>> from support.examples import check_inputs
    >>> orders = MetricSource("warehouse", "orders", "user_id", "paid_at", 60.0, "amount")
    >>> usd = Metric("usd", "primary", "mean", "increase", source=orders)
    >>> plan, trials = make_experiment(primary=usd), alternating([10.0], [10.0])
    >>> first = int(check_inputs(trials, plan).table.trials.seconds[0])
    >>> usd_so_far = {"usd": SourceReading(through=first + 60, trials=2)}
    >>> awaited(check_inputs(trials, plan, sources=usd_so_far), usd)
    array([False,  True])
    """
    everyone = np.ones(len(inputs.table), dtype=np.bool_)
    if metric.source is None:
        return ~everyone
    reading = inputs.sources.get(metric.name)
    if reading is None:
        return everyone
    joined = joined_units(inputs.selection, metric.source)
    queried = joined.end <= reading.through
    queried &= inputs.selection.trials.position[joined.rows] <= reading.trials
    everyone[np.searchsorted(inputs.selection.counted, joined.rows[queried])] = False
    return everyone

"""Values that came in amendments, put into the columns of their trials."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from expci.core.dataset.joining import MOST_NAMES
from expci.core.dataset.moments import FloatArray
from expci.core.dataset.trial_columns import TrialColumns
from expci.core.model.trial import Arrival, Arrived, amended_metrics, parse_timestamp

ARRIVAL: Mapping[str, Callable[[Arrival], float]] = {
    "late_written": lambda arrival: parse_timestamp(arrival.written).timestamp(),
    "late_number": lambda arrival: arrival.number,
    "late_after": lambda arrival: math.nan if arrival.trials is None else arrival.trials,
}


def with_late(trials: TrialColumns, late: Mapping[str, Sequence[Arrived]]) -> TrialColumns:
    """Return the columns with the amendments of each trial, by its id, put in.

    >>> from expci.core.dataset.recorded import trial_columns
    >>> from expci.core.model.trial import Amendment, arrived_by_trial
    >>> from support.analysis_samples import make_trial
    >>> trial = make_trial(1, "control", metrics={"stars": 1.0})
    >>> written = Amendment("a", trial.id, "speed", trial.started, {"stars": 4.0})
    >>> trials = with_late(trial_columns([trial]), arrived_by_trial([written]))
    >>> trials.metric("stars"), trials.late_number["stars"]
    (array([4.]), array([0.]))
    """
    wanted = {one.encode(): arrived for one, arrived in late.items()}
    rows = [(row, one) for row, one in enumerate(trials.id.tolist()) if one in wanted]
    values: dict[str, dict[int, float]] = {name: {} for name in trials.metrics}
    arrivals: dict[str, dict[int, Arrival]] = {}
    for row, one in rows:
        metrics, came = amended_metrics(_metrics(trials, row), wanted[one])
        for name, arrival in came.items():
            values.setdefault(name, {})[row] = metrics[name]
            arrivals.setdefault(name, {})[row] = arrival
    names = [*trials.metrics, *_commonest(values.keys() - trials.metrics.keys(), values)]
    columns: dict[str, Any] = {
        "metrics": {name: _put(trials.metric(name), values[name]) for name in names[:MOST_NAMES]}
    }
    for group, number in ARRIVAL.items():
        columns[group] = {
            name: _put(np.full(len(trials), math.nan), {row: number(a) for row, a in came.items()})
            for name, came in arrivals.items()
            if name in columns["metrics"]
        }
    return replace(trials, **columns)


def _metrics(trials: TrialColumns, row: int) -> dict[str, float]:
    values = {name: float(column[row]) for name, column in trials.metrics.items()}
    return {name: value for name, value in values.items() if not math.isnan(value)}


def _commonest(names: set[str], values: Mapping[str, Mapping[int, float]]) -> list[str]:
    return [name for name, _ in Counter({n: len(values[n]) for n in sorted(names)}).most_common()]


def _put(column: FloatArray, values: Mapping[int, float]) -> FloatArray:
    if not values:
        return column
    changed = column.copy()
    changed[[*values]] = [*values.values()]
    return changed

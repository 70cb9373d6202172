"""The order in which the values of a metric arrived: a late one stands where it came.

Looks at growing data must not rewrite the past. Placed at its trial, a score that comes days
later would change what earlier looks are taken to have been: with delays of 40 trials .06 of A/A
experiments show an effect at 5 %, with 1,000 .14 (`docs/calibration.md`). Where it came is the
ledger's word, not the sender's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from expci.core.dataset.dataset import Dataset, dataset
from expci.core.dataset.moments import FloatArray, IntArray
from expci.core.dataset.trials_table import TrialsTable, trials_table
from expci.core.model.experiment import Metric
from expci.core.model.trial import Arrival, parse_timestamp


def by_arrival(data: Dataset, metric: Metric) -> Dataset:
    """`data` with the trials in the order in which their values of `metric` arrived.

    A ratio's value arrives with the later of its two parts. Which runs make a pair stays as it
    is. The same where nothing came late.
    """
    arrivals = _arrivals(data.table, tuple(filter(None, (metric.name, metric.denominator))))
    if not arrivals:
        return data
    order = _order(data.table, arrivals)
    trials = tuple(data.table.trials[row] for row in order.tolist())
    table = trials_table(trials, data.arms, data.table.paired)
    if table.paired:
        table = table.with_pairs_of(data.table, np.argsort(order))
    experiment = replace(data.experiment, metrics=_with_parts(data, metric))
    arrived = dataset(experiment, data.selection, table)
    return replace(arrived, experiment=data.experiment)


def _with_parts(data: Dataset, metric: Metric) -> tuple[Metric, ...]:
    return tuple(m for m in data.experiment.metrics if m.name in (metric.name, metric.denominator))


def _arrivals(table: TrialsTable, names: Sequence[str]) -> dict[int, Arrival]:
    """When the late values of these metrics came, by row."""
    return {
        row: max(came, key=lambda arrival: arrival.order)
        for row in table.late
        if (came := [a for name, a in table.trials[row].late.items() if name in names])
    }


def _order(table: TrialsTable, arrivals: dict[int, Arrival]) -> IntArray:
    """The rows by arrival; a value is never there before its own trial."""
    place = np.arange(len(table), dtype=np.float64)
    turn = np.full(len(table), -1, dtype=np.int64)
    rows = sorted(arrivals, key=lambda row: arrivals[row].order)
    before = _trials_before(table, [arrivals[row] for row in rows])
    place[rows] = np.maximum(before - 0.5, rows)
    turn[rows] = np.arange(len(rows))
    return np.lexsort((turn, place))


def _trials_before(table: TrialsTable, arrivals: Sequence[Arrival]) -> FloatArray:
    """How many rows the ledger had when each value came.

    Where it has no note of that: those before the first trial that started after the value was
    written, as far as the ledger had that trial behind the value's own.
    """
    position = np.array([trial.position for trial in table.trials])
    started = np.maximum.accumulate(table.started)
    return np.array(
        [
            np.searchsorted(started, parse_timestamp(arrival.written).timestamp(), side="right")
            if arrival.trials is None
            else np.searchsorted(position, arrival.trials, side="left")
            for arrival in arrivals
        ],
        dtype=np.float64,
    )

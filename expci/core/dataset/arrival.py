"""The order in which the values of a metric arrived: a late one stands where it came.

Looks at growing data must not rewrite the past. Placed at its trial, a score that comes days
later would change what earlier looks are taken to have been: with delays of 40 trials .06 of A/A
experiments show an effect at 5 %, with 1,000 .14 (`docs/calibration.md`).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from expci.core.dataset.dataset import Dataset, dataset
from expci.core.dataset.moments import IntArray
from expci.core.dataset.trials_table import TrialsTable, trials_table
from expci.core.model.experiment import Metric
from expci.core.model.trial import parse_timestamp


def by_arrival(data: Dataset, metric: Metric) -> Dataset:
    """`data` with the trials in the order in which their values of `metric` arrived.

    A ratio's value arrives with the later of its two parts. The same where nothing came late.
    """
    order = _order(data.table, tuple(filter(None, (metric.name, metric.denominator))))
    if order is None:
        return data
    trials = tuple(data.table.trials[row] for row in order.tolist())
    table = trials_table(trials, data.arms, data.table.paired)
    experiment = replace(data.experiment, metrics=_with_parts(data, metric))
    arrived = dataset(experiment, data.selection, table)
    return replace(arrived, experiment=data.experiment)


def _with_parts(data: Dataset, metric: Metric) -> tuple[Metric, ...]:
    return tuple(m for m in data.experiment.metrics if m.name in (metric.name, metric.denominator))


def _order(table: TrialsTable, names: tuple[str, ...]) -> IntArray | None:
    """The rows by arrival; `None` where it is the ledger's order.

    A late value came before the first trial that started after it was written, as far as the
    ledger held that trial behind the value's own; that place stays the same whatever follows.
    """
    late = {
        row: max(times)
        for row in table.late
        if (times := [_seconds(table, row, name) for name in names if name in _late(table, row)])
    }
    if not late:
        return None
    rows = np.fromiter(late, dtype=np.int64, count=len(late))
    written = np.fromiter(late.values(), dtype=np.float64, count=len(late))
    place = np.arange(len(table), dtype=np.float64)
    after = np.searchsorted(np.maximum.accumulate(table.started), written, side="right")
    place[rows] = np.maximum(after - 0.5, rows)
    arrived = np.full(len(table), -np.inf)
    arrived[rows] = written
    return np.lexsort((np.arange(len(table)), arrived, place))


def _late(table: TrialsTable, row: int) -> frozenset[str]:
    return frozenset(table.trials[row].late)


def _seconds(table: TrialsTable, row: int, name: str) -> float:
    return parse_timestamp(table.trials[row].late[name]).timestamp()

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
from expci.core.dataset.trial_columns import TrialColumns
from expci.core.dataset.trials_table import trials_table
from expci.core.model.experiment import Metric


def by_arrival(data: Dataset, metric: Metric) -> Dataset:
    """Return `data` with the trials in the order in which their values of `metric` arrived.

    A ratio's value arrives with the later of its two parts. Which runs make a pair stays as it
    is. The same where nothing came late.

    >>> from dataclasses import replace
    >>> from expci.core.model.trial import Arrival
    >>> from support.analysis_samples import DURATION, alternating, make_experiment
    >>> from support.examples import data_of
    >>> first, second = alternating([10.0], [8.0])
    >>> late = {"duration_s": Arrival(written=second.started, number=1, trials=2)}
    >>> data = data_of(make_experiment(others=()), [replace(first, late=late), second])
    >>> data.columns["duration_s"].value, by_arrival(data, DURATION).columns["duration_s"].value
    (array([10.,  8.]), array([ 8., 10.]))
    """
    trials, parts = data.table.trials, (metric.name, metric.denominator or metric.name)
    late = [name for name in dict.fromkeys(parts) if name in trials.late_written]
    if not late:
        return data
    order = _order(trials, late)
    table = trials_table(trials.take(order), data.arms, data.table.paired)
    if table.paired:
        table = table.with_pairs_of(data.table, np.argsort(order))
    experiment = replace(data.experiment, metrics=_with_parts(data, metric))
    arrived = dataset(experiment, data.selection, table)
    return replace(arrived, experiment=data.experiment)


def _with_parts(data: Dataset, metric: Metric) -> tuple[Metric, ...]:
    return tuple(m for m in data.experiment.metrics if m.name in (metric.name, metric.denominator))


def _order(trials: TrialColumns, names: Sequence[str]) -> IntArray:
    """The rows by arrival; a value is never there before its own trial."""
    place = np.arange(len(trials), dtype=np.float64)
    turn = np.full(len(trials), -1, dtype=np.int64)
    rows, before = _arrivals(trials, names)
    turn[rows] = np.arange(rows.size)  # of two late values of one trial the last
    place[rows] = np.maximum(before - 0.5, rows)
    return np.lexsort((turn, place))


def _arrivals(trials: TrialColumns, names: Sequence[str]) -> tuple[IntArray, FloatArray]:
    """The rows with a late value of these metrics, in the order in which the values came.

    With how many rows there were by then. Where the ledger has no note of that: those before the
    first trial that started after the value was written, as far as the ledger had that trial
    behind the value's own; such values are older than those with a note.
    """
    rows = np.concatenate([np.flatnonzero(~np.isnan(trials.late_written[n])) for n in names])
    written, number, after = (
        np.concatenate([column[name][~np.isnan(trials.late_written[name])] for name in names])
        for column in (trials.late_written, trials.late_number, trials.late_after)
    )
    noted = ~np.isnan(after)
    started = np.maximum.accumulate(trials.seconds)
    by_clock = np.searchsorted(started, written, side="right")
    by_note = np.searchsorted(trials.position, np.where(noted, after, 0.0), side="right")
    order = np.lexsort((number, np.where(noted, 0.0, written), noted))
    return rows[order], np.where(noted, by_note, by_clock).astype(np.float64)[order]

"""What each kind of metric computes: its estimates and evidence, its spread, simulated values.

`METHODS` is the registry: one module for each kind, one line for each module. What a kind is
besides, as data, stands in `model/metric_kinds`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from expci.core.dataset.metric_columns import MetricColumn, metric_column
from expci.core.dataset.moments import FloatArray
from expci.core.dataset.trials_table import TrialsTable
from expci.core.decision.inputs import Safeguard
from expci.core.kinds import count, duration, mean, preference, proportion, quantile, rank, ratio
from expci.core.kinds.contrast import Contrast, Simulated
from expci.core.kinds.draws import ControlValues, Draw
from expci.core.kinds.look_evidence import LookEvidence
from expci.core.model.experiment import Metric
from expci.core.model.metric_kinds import Kind
from expci.core.model.results import Comparison
from expci.core.statistics.sample_size import Spread


class KindMethods(Protocol):
    """What the module of a kind answers."""

    def compare(self, contrast: Contrast) -> tuple[Comparison, Safeguard | None]:
        """Everything about one treatment on one metric; a safeguard for a duration primary."""

    def look_evidence(self, simulated: Simulated) -> LookEvidence:
        """The evidence of simulated experiments at every look."""

    @property
    def spread(self) -> SpreadOf:
        """Control's spread over its first units."""

    @property
    def stated_values(self) -> StatedValues:
        """What control does by the stated baseline; `None` without one."""

    def pilot_values(
        self, metric: Metric, table: TrialsTable, column: MetricColumn
    ) -> ControlValues | None:
        """What control does by a pilot; `None` where it does not tell."""

    def draw(self, values: Draw) -> Mapping[str, FloatArray]:
        """Simulated columns, by name."""


class SpreadOf(Protocol):
    def __call__(
        self, metric: Metric, table: TrialsTable, column: MetricColumn, units: int | None
    ) -> Spread | None: ...


class StatedValues(Protocol):
    def __call__(self, metric: Metric) -> ControlValues | None: ...


METHODS: Mapping[Kind, KindMethods] = {
    "duration": duration,
    "mean": mean,
    "proportion": proportion,
    "ratio": ratio,
    "rank": rank,
    "quantile": quantile,
    "count": count,
    "preference": preference,
}


def compare_by_kind(contrast: Contrast) -> tuple[Comparison, Safeguard | None]:
    """Return everything about one treatment on one metric; a safeguard for a duration primary.

    >>> from support.examples import contrast_of
    >>> score = Metric("score", "primary", "mean", "increase")
    >>> result, safeguard = compare_by_kind(contrast_of(score, [4.0, 6.0], [7.0, 9.0]))
    >>> result.difference, safeguard
    (3.0, None)
    """
    return METHODS[contrast.metric.kind].compare(contrast)


def look_evidence(simulated: Simulated) -> LookEvidence:
    """Return the evidence of simulated experiments at every look.

    >>> from support.examples import simulated_of
    >>> score = Metric("score", "primary", "mean", "increase")
    >>> look_evidence(simulated_of(score, [4.0, 6.0], [7.0, 9.0])).units  # after each trial
    array([[0., 1., 1., 2.]])
    """
    return METHODS[simulated.metric.kind].look_evidence(simulated)


def measured_spread(
    metric: Metric, table: TrialsTable, timeout_s: float, units: int | None = None
) -> Spread | None:
    """Return control's spread over its first `units` units (pairs), in the ledger's order.

    `None` before there are so many, under two, or where nothing varies.

    >>> from support.examples import contrast_of
    >>> score = Metric("score", "primary", "mean", "increase")
    >>> table = contrast_of(score, [4.0, 6.0, 8.0], [7.0, 9.0, 9.0]).table
    >>> measured_spread(score, table, 100.0), measured_spread(score, table, 100.0, units=4)
    (Spread(mean=6.0, sd=2.0, log_sd=None, difference_sd=None), None)
    """
    column = metric_column(metric, table, timeout_s)
    if units is not None and table.path(0, column.value).final.size < units:
        return None
    return METHODS[metric.kind].spread(metric, table, column, units)

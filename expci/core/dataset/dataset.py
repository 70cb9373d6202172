"""Everything that one look at one experiment sees of its trials, computed once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from expci.core.dataset.metric_columns import MetricColumn, metric_column
from expci.core.dataset.moments import FloatArray
from expci.core.dataset.selection import Selection
from expci.core.dataset.trials_table import TrialsTable
from expci.core.dataset.unit_paths import UnitPath
from expci.core.model.experiment import Experiment


@dataclass(frozen=True)
class Dataset:
    """The selected trials of one look as columns, with each metric's column.

    Unit paths are computed when first read and kept: several checks and the comparison read the
    same ones.
    """

    experiment: Experiment
    selection: Selection
    table: TrialsTable
    columns: Mapping[str, MetricColumn]
    _paths: dict[tuple[str, int], UnitPath] = field(default_factory=dict, repr=False, compare=False)

    @property
    def arms(self) -> tuple[str, ...]:
        return self.table.arms

    def path(self, metric: str, arm: int) -> UnitPath:
        """The unit means of a metric in one arm as they changed."""
        key = metric, arm
        if key not in self._paths:
            self._paths[key] = self.table.path(arm, self.columns[metric].value)
        return self._paths[key]

    def units(self, metric: str, arm: int) -> FloatArray:
        """The unit means of a metric in one arm, in order of first appearance."""
        return self.path(metric, arm).final


def dataset(experiment: Experiment, selection: Selection, table: TrialsTable) -> Dataset:
    """Return `table` with the columns of all the experiment's metrics.

    >>> from support.analysis_samples import alternating, make_experiment
    >>> from support.examples import data_of  # trials, selected and in a table
    >>> data = data_of(make_experiment(), alternating([10.0, 12.0], [8.0, 9.0]))
    >>> list(data.columns), data.units("duration_s", 1)
    (['duration_s', 'success'], array([8., 9.]))
    """
    columns = {
        metric.name: metric_column(metric, table, experiment.timeout_s)
        for metric in experiment.metrics
    }
    return Dataset(experiment, selection, table, columns)

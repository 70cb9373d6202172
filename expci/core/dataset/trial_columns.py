"""The trials of an experiment as columns: one row each, in the ledger's order.

What an analysis reads of a million records, built once; as objects they take ten times the time
and the memory.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from expci.core.dataset.factor import NONE, Factor, joint_codes
from expci.core.dataset.moments import BoolArray, FloatArray, IntArray


@dataclass(frozen=True)
class TrialColumns:
    """`position` is that in the ledger, from 1, `started` in milliseconds since 1970.

    `metrics`, and `covariates` that are numbers, are nan where a trial reports nothing; `words`
    are covariates that are none. Of metrics that came in an amendment: when that was written
    (seconds since 1970), its place among the amendments, and after how many trials the ledger took
    it (nan: it does not tell); nan in all three: the value came with its trial. `context` has what
    analyses ask for.
    """

    position: IntArray
    id: NDArray[np.bytes_]
    plan: Factor
    mode: Factor
    arm: Factor
    unit: Factor
    block: Factor
    status: Factor
    excluded: Factor
    started: IntArray
    order: IntArray
    attempt: IntArray
    metrics: Mapping[str, FloatArray]
    late_written: Mapping[str, FloatArray]
    late_number: Mapping[str, FloatArray]
    late_after: Mapping[str, FloatArray]
    covariates: Mapping[str, FloatArray]
    words: Mapping[str, Factor]
    context: Mapping[str, Factor]

    def __len__(self) -> int:
        return len(self.arm)

    def take(self, rows: IntArray) -> TrialColumns:
        """These rows, in their order."""
        if rows.size == len(self) and bool(np.all(rows == np.arange(rows.size))):
            return self
        columns = {field.name: getattr(self, field.name) for field in fields(self)}
        return TrialColumns(**{name: _taken(column, rows) for name, column in columns.items()})

    def metric(self, name: str) -> FloatArray:
        """What the trials report of a metric; nan where they report nothing."""
        return self._number(self.metrics, name)

    def covariate(self, name: str) -> FloatArray:
        """A covariate where it is a number, else nan."""
        return self._number(self.covariates, name)

    def word(self, name: str) -> Factor:
        """A covariate where it is none."""
        return self.words.get(name, self._nothing)

    def stated(self, key: str) -> Factor:
        """What the trials' context says under a key."""
        return self.context.get(key, self._nothing)

    def _number(self, columns: Mapping[str, FloatArray], name: str) -> FloatArray:
        return columns[name] if name in columns else np.full(len(self), np.nan)

    @property
    def _nothing(self) -> Factor:
        return Factor(np.full(len(self), NONE, dtype=np.int32), ())

    @property
    def seconds(self) -> FloatArray:
        """The start of each trial in seconds since 1970."""
        return self.started / 1000

    @cached_property
    def job(self) -> IntArray:
        """Codes from 0 that the attempts of one CI job for one unit share."""
        parts = (self.stated(key).codes for key in ("run_id", "job", "leg"))
        return joint_codes(self.unit.codes, *parts)

    @cached_property
    def is_on_a_unit(self) -> BoolArray:
        """Whether the unit is what a trial ran on (a task, a pull request), not the CI's own run.

        A run or job of the CI that makes several pairs is only where they ran.
        """
        runs, units = self.stated("run_id").words(), self.unit.words()
        own = [
            bool(run) and str(unit).startswith((f"run-{run}", f"job-{run}"))
            for run, unit in zip(runs, units, strict=True)
        ]
        return ~np.array(own, dtype=np.bool_)

    @cached_property
    def subject(self) -> IntArray:
        """Codes of what the trials ran on, its own for each that names only a run of the CI."""
        own = len(self.unit.levels) + np.arange(len(self))
        return np.where(self.is_on_a_unit, self.unit.codes, own)


def _taken(column: Any, rows: IntArray) -> Any:
    if isinstance(column, Mapping):
        return {name: _taken(part, rows) for name, part in column.items()}
    return column[rows] if isinstance(column, np.ndarray) else column.take(rows)

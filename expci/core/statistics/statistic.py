"""What a statistic answers of two arms at every look, whatever it is computed from.

Arrays are [experiments, looks]; one real experiment is one row.
"""

from __future__ import annotations

from typing import Protocol, Self, TypeVar

from expci.core.dataset.moments import FloatArray
from expci.core.statistics.mean_difference import Looks
from expci.core.statistics.planned_looks import PlannedLooks
from expci.core.statistics.t_mixture import Ends, Rules

RowEnds = tuple[float, float]


class Units(Protocol):
    """Both arms' units on one scale; `looks` are the statistics after every trial, one row."""

    @property
    def n(self) -> int: ...

    def until(self, units: int, /) -> Self: ...

    def looks(self) -> Looks | None: ...


UnitsT = TypeVar("UnitsT", bound=Units)


class Statistic(Protocol):
    """A comparison of two arms at every look: [experiments, looks].

    `n` are the smaller arm's units (pairs). Evidence is −inf, an interval infinite, and a
    planned look nan without evidence; intervals are of treatment − control in its unit.
    """

    @property
    def rules(self) -> Rules: ...

    @property
    def n(self) -> FloatArray: ...

    def at_level(self, alpha: float) -> Self:
        """The same with intervals of another level."""

    def log_e(self) -> FloatArray:
        """The largest two-sided log E so far."""

    def log_e_now(self) -> FloatArray:
        """The two-sided log E as it stands at the last look: [experiments]."""

    def harm_log_e(self) -> FloatArray:
        """The largest log E of harm so far."""

    def interval(self) -> Ends:
        """What fits every look so far; crossed where nothing does."""

    def relative(self) -> Ends:
        """The same as a share of control's value."""

    def planned_z(self, plan: PlannedLooks) -> FloatArray:
        """Standard normal under no effect, at the planned looks [experiments, planned]."""

    def planned_ends(self, plan: PlannedLooks) -> tuple[Ends, Ends]:
        """The interval and the relative one of each planned look, with its bound."""

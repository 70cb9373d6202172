"""Metrics that no trial reports: a table of the team's own database has them, by unit.

The value of a unit is what its rows come to within `window_s` after the unit's first trial. It
is read once, after the end of that time, and stands in the ledger from then on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Rows = Literal["one", "sum", "mean", "max", "min", "count"]
# `one`: a unit with several rows has no value. One without rows has 0 where they add up.
ADDS_UP: tuple[Rows, ...] = ("sum", "count")

SourceStatus = Literal["ok", "unmerged", "down", "refused", "empty", "unmatched"]


@dataclass(frozen=True)
class MetricSource:
    """Where a metric's values live; `name` is one of `sources` in `experiments/expci.yml`.

    `unit`, `at` and `value` are columns of `table`: the unit as `expci assign` printed it, the time
    of the row, and the number (`None` where rows are counted).
    """

    name: str
    table: str
    unit: str
    at: str
    window_s: float
    value: str | None = None
    rows: Rows = "one"


@dataclass(frozen=True)
class DueUnit:
    """A unit whose value can be read: from the second `begin` until before `end`, since 1970.

    Its value enters the ledger at `trial`.
    """

    trial: str
    unit: str
    begin: int
    end: int


@dataclass(frozen=True)
class SourceReading:
    """What is on record of reading one metric's source, for one plan.

    Every unit whose time ended up to the second `through` and that was among the ledger's first
    `trials` trials was asked for. The numbers are of units that were asked for and have no value:
    `missing` have no row, `duplicates` several where one is expected, `unusable` NULL or no finite
    number; `both_arms` ran in several arms and are not asked for. `others` are units that had rows
    in the time that was read last and were not asked for. `waits_from` is the end of the first
    time that is over and that the source's rows do not cover yet.
    """

    status: SourceStatus = "ok"
    detail: str = ""
    through: int = 0
    trials: int = 0
    missing: int = 0
    duplicates: int = 0
    unusable: int = 0
    both_arms: int = 0
    others: int = 0
    waits_from: int | None = None


@dataclass(frozen=True)
class UnitRows:
    """What the rows of one unit come to: how many, how many with a value, and the aggregate."""

    unit: str
    rows: int
    values: int
    value: float | None


@dataclass(frozen=True)
class SourceAnswer:
    """What a source says of one metric; `refusal` where it cannot be read as the spec says.

    `rows` and `newest` (seconds since 1970, `None` without rows) are of the whole table up to now.
    """

    refusal: str = ""
    rows: int = 0
    newest: int | None = None
    others: int = 0
    units: Sequence[UnitRows] = ()

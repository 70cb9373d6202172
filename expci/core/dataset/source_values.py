"""From what a source answers to the values that enter the ledger, and to what is on record of it.

A value is taken only where the source's own rows reach beyond the unit's time, so that a table that
lags behind is waited for; and never where it is not the one clear number of that unit.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from expci.core.dataset.due_units import Due
from expci.core.model.source import (
    ADDS_UP,
    DueUnit,
    MetricSource,
    SourceAnswer,
    SourceReading,
    SourceStatus,
    UnitRows,
)


@dataclass(frozen=True)
class ReadValues:
    """The values by trial, and what is on record after them."""

    values: Mapping[str, float]
    reading: SourceReading


def without_answer(
    reading: SourceReading, due: Due, status: SourceStatus, detail: str
) -> SourceReading:
    """Return the record where nothing could be read: what was due waits.

    >>> due = Due((DueUnit("t", "ada", 0, 60),), both_arms=0, beyond=None)
    >>> without_answer(SourceReading(), due, "down", "no route to host").waits_from
    60
    """
    waits = min((unit.end for unit in due.units), default=None)
    return replace(reading, status=status, detail=detail, both_arms=due.both_arms, waits_from=waits)


def read_values(
    source: MetricSource,
    due: Due,
    answer: SourceAnswer,
    reading: SourceReading,
    now: int,
    trials: int,
) -> ReadValues:
    """Return the values of the due units and the record after the answer at the second `now`.

    `trials` is how many the ledger has.

    >>> source = MetricSource("warehouse", "orders", "user_id", "paid_at", 60.0, "amount", "sum")
    >>> due = Due((DueUnit("t1", "ada", 0, 60), DueUnit("t2", "bob", 40, 100)), 0, None)
    >>> answer = SourceAnswer(rows=9, newest=80, units=[UnitRows("ada", 2, 2, 7.5)])
    >>> read = read_values(source, due, answer, SourceReading(), now=200, trials=2)
    >>> read.values, read.reading.through, read.reading.waits_from  # bob waits for later rows
    ({'t1': 7.5}, 80, 100)
    """
    if problem := _problem(answer, due, reading):
        return ReadValues({}, without_answer(reading, due, *problem))
    reached = min(now, answer.newest or 0)
    done = [unit for unit in due.units if unit.end <= reached]
    rows = {unit.unit: unit for unit in answer.units}
    values = {unit.trial: _value(source, rows.get(unit.unit)) for unit in done}
    waiting = [unit.end for unit in due.units if unit.end > reached]
    # What there was no room for is asked for next, whatever was asked for already.
    through = reached if due.beyond is None else min(reached, due.beyond - 1)
    counts = _without_value(source, done, rows)
    return ReadValues(
        {trial: value for trial, value in values.items() if value is not None},
        replace(
            reading,
            status="ok",
            detail="",
            through=through,
            trials=trials,
            missing=reading.missing + counts["missing"],
            duplicates=reading.duplicates + counts["duplicates"],
            unusable=reading.unusable + counts["unusable"],
            both_arms=due.both_arms,
            others=max(0, answer.others),
            waits_from=min(waiting, default=None),
        ),
    )


def _problem(
    answer: SourceAnswer, due: Due, reading: SourceReading
) -> tuple[SourceStatus, str] | None:
    """Why nothing of an answer is taken; `None` where it is one."""
    if answer.refusal:
        return "refused", answer.refusal
    if not answer.rows:
        return "empty", "the table has no rows"
    if not answer.units and not reading.through:
        units = f"{len(due.units)} unit{'s' * (len(due.units) != 1)}"
        return "unmatched", f"none of the {units} that were asked for has a row"
    return None


def _value(source: MetricSource, rows: UnitRows | None) -> float | None:
    """The value of a unit by its rows; `None` where they give none."""
    if rows is None:
        return 0.0 if source.rows in ADDS_UP else None
    return None if _is_double(source, rows) or _is_unusable(rows) else rows.value


def _is_double(source: MetricSource, rows: UnitRows) -> bool:
    return source.rows == "one" and rows.rows > 1


def _is_unusable(rows: UnitRows) -> bool:
    """Whether a row has no value, or all together no finite number."""
    return rows.values < rows.rows or rows.value is None or not math.isfinite(rows.value)


def _without_value(
    source: MetricSource, done: Sequence[DueUnit], rows: Mapping[str, UnitRows]
) -> dict[str, int]:
    there = [rows[unit.unit] for unit in done if unit.unit in rows]
    double = [unit for unit in there if _is_double(source, unit)]
    unusable = [unit for unit in there if not _is_double(source, unit) and _is_unusable(unit)]
    missing = 0 if source.rows in ADDS_UP else len(done) - len(there)
    return {"missing": missing, "duplicates": len(double), "unusable": len(unusable)}

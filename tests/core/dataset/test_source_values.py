"""What becomes a value, what waits, and what is only counted."""

from __future__ import annotations

import math

import pytest

from expci.core.dataset.due_units import Due
from expci.core.dataset.source_values import read_values, without_answer
from expci.core.model.source import (
    DueUnit,
    MetricSource,
    Rows,
    SourceAnswer,
    SourceReading,
    UnitRows,
)

NOW = 10_000


def source(rows: Rows) -> MetricSource:
    return MetricSource("shop", "orders", "user_id", "paid_at", 60.0, "amount", rows)


def due(*ends: int, beyond: int | None = None) -> Due:
    units = (DueUnit(f"t{n}", f"u{n}", end - 60, end) for n, end in enumerate(ends))
    return Due(tuple(units), 0, beyond)


def answer(*units: UnitRows, newest: int | None = 5000, rows: int = 9) -> SourceAnswer:
    return SourceAnswer(rows=rows, newest=newest, others=4, units=units)


def test_a_unit_without_rows_has_zero_where_rows_add_up_else_nothing() -> None:
    there = UnitRows("u0", 1, 1, 3.5)
    added: tuple[Rows, ...] = ("sum", "count")
    for rows in added:
        read = read_values(source(rows), due(100, 200), answer(there), SourceReading(), NOW, 2)
        assert read.values == {"t0": 3.5, "t1": 0.0}
        assert read.reading.missing == 0
    single: tuple[Rows, ...] = ("one", "mean", "max", "min")
    for rows in single:
        read = read_values(source(rows), due(100, 200), answer(there), SourceReading(), NOW, 2)
        assert read.values == {"t0": 3.5}
        assert read.reading.missing == 1


def test_rows_that_do_not_reach_beyond_a_units_time_are_waited_for() -> None:
    there = UnitRows("u0", 1, 1, 3.5), UnitRows("u1", 1, 1, 4.5)
    read = read_values(
        source("sum"), due(100, 200, 300), answer(*there, newest=199), SourceReading(), NOW, 3
    )
    assert read.values == {"t0": 3.5}  # nothing of u1, though it has rows, nor a zero for u2
    assert (read.reading.through, read.reading.waits_from) == (199, 200)


def test_a_source_from_the_future_reaches_now_at_most() -> None:
    there = UnitRows("u0", 1, 1, 3.5)
    read = read_values(
        source("sum"), due(100), answer(there, newest=10**12), SourceReading(), NOW, 1
    )
    assert read.reading.through == NOW


@pytest.mark.parametrize(
    ("rows", "unit", "counted"),
    [
        ("one", UnitRows("u0", 2, 2, 3.5), "duplicates"),
        ("one", UnitRows("u0", 2, 1, 3.5), "duplicates"),
        ("sum", UnitRows("u0", 2, 1, 3.5), "unusable"),
        ("sum", UnitRows("u0", 1, 0, None), "unusable"),
        ("mean", UnitRows("u0", 1, 1, math.inf), "unusable"),
        ("max", UnitRows("u0", 1, 1, math.nan), "unusable"),
    ],
)
def test_what_is_not_one_clear_number_is_no_value(rows: Rows, unit: UnitRows, counted: str) -> None:
    other = UnitRows("u1", 1, 1, 1.0)
    read = read_values(source(rows), due(100, 200), answer(unit, other), SourceReading(), NOW, 2)
    assert read.values == {"t1": 1.0}
    numbers = {name: getattr(read.reading, name) for name in ("missing", "duplicates", "unusable")}
    assert numbers == {"missing": 0, "duplicates": 0, "unusable": 0, counted: 1}


@pytest.mark.parametrize(
    ("given", "status"),
    [
        (SourceAnswer(refusal="there is no table orders"), "refused"),
        (answer(newest=None, rows=0), "empty"),
        (answer(), "unmatched"),
    ],
)
def test_without_a_match_no_zero_is_invented(given: SourceAnswer, status: str) -> None:
    read = read_values(source("sum"), due(100, 200), given, SourceReading(), NOW, 2)
    assert read.values == {}
    assert (read.reading.status, read.reading.through, read.reading.trials) == (status, 0, 0)
    assert read.reading.waits_from == 100


def test_once_units_matched_a_quiet_hour_is_one() -> None:
    before = SourceReading(through=50, trials=1, missing=3)
    read = read_values(source("sum"), due(100), answer(), before, NOW, 2)
    assert read.values == {"t0": 0.0}
    assert read.reading.missing == 3


def test_what_there_was_no_room_for_is_asked_next() -> None:
    there = UnitRows("u0", 1, 1, 3.5)
    read = read_values(source("sum"), due(100, beyond=150), answer(there), SourceReading(), NOW, 9)
    assert read.reading.through == 149


def test_an_answer_after_a_failure_clears_it() -> None:
    down = without_answer(SourceReading(through=50, trials=1), due(100), "down", "no route to host")
    assert (down.status, down.through, down.waits_from) == ("down", 50, 100)
    read = read_values(source("sum"), due(100), answer(), down, NOW, 1)
    assert (read.reading.status, read.reading.detail, read.reading.waits_from) == ("ok", "", None)

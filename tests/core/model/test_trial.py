"""Trial records as values: ids, times, amendments."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from expci.core.model.trial import (
    Amendment,
    Trial,
    amended,
    derived_trial_id,
    parse_timestamp,
)
from expci.errors import InvalidRecord
from expci.runner.trial_ids import new_trial_id

PLAN = "ab" * 32
ID = "01JD9Z3V5W8X2Y4Z6A7B8C9D0E"


def test_ids_sort_by_time_and_do_not_repeat() -> None:
    early = new_trial_id(datetime(2026, 1, 1, tzinfo=UTC))
    late = [new_trial_id(datetime(2026, 1, 2, tzinfo=UTC)) for _ in range(1000)]
    assert all(early < other for other in late)
    assert len(set(late)) == 1000


def test_a_derived_id_depends_on_every_part() -> None:
    ids = {derived_trial_id("a", "1"), derived_trial_id("a", "2"), derived_trial_id("a1", "")}
    assert len(ids) == 3
    assert derived_trial_id("a", "1") in ids


def test_a_later_amendment_wins_whatever_order_they_come_in() -> None:
    started, metrics = "2026-11-22T10:00:00.000Z", {"a": 1.0, "b": 2.0}
    trial = Trial(ID, "review", PLAN, "live", "control", "run-1", started, metrics=metrics)
    first = Amendment("0" * 26, ID, "review", "2026-11-22T11:00:00.000Z", {"a": 5.0, "c": 1.0})
    second = Amendment("1" * 26, ID, "review", "2026-11-22T12:00:00.000Z", {"a": 6.0})
    for order in ([first, second], [second, first]):
        [result] = amended([trial], order)
        assert result.metrics == {"a": 6.0, "b": 2.0, "c": 1.0}


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59"])
def test_a_time_that_utc_cannot_hold_is_refused(text: str) -> None:
    with pytest.raises(InvalidRecord, match="no time of this era"):
        parse_timestamp(text)

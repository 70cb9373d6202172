"""The log of an experiment's events as people read it."""

from __future__ import annotations

from expci.core.model.events import Decided, RolledBack
from expci.report.sections import records
from support import report_samples as samples


def test_a_reason_stands_once() -> None:
    why, when = "twice as slow", samples.when(24)
    life = samples.life(
        Decided(at=when, by="expci", why=why, verdict="rollback", reason_code="harm_primary"),
        RolledBack(at=when, by="expci", why=why, reason_code="harm_primary"),
    )
    assert [view.why for view in records.event_views(life)][1:] == [why, ""]
    assert [row[2] for row in records.event_table(life, 1).rows] == [why]

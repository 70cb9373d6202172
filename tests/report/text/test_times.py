"""Times as people read them."""

from __future__ import annotations

from expci.report.text import times


def test_times() -> None:
    assert times.minute("2026-11-22T10:00:00.123Z") == "2026-11-22 10:00 UTC"
    assert times.minute("2026-11-22T10:00:00+02:00") == "2026-11-22 08:00 UTC"
    assert times.day("yesterday") == "yesterday"
    assert times.age("2026-11-19T09:00:00Z", "2026-11-22T10:00:00Z") == "3 days"
    assert times.age("2026-11-22T09:00:00Z", "2026-11-22T10:00:00Z") == "1 hour"
    assert times.age("2026-11-22T09:00:00Z", "2026-11-22T09:00:59Z") == "less than a minute"
    assert times.age("2026-11-22T11:00:00Z", "2026-11-22T10:00:00Z") is None

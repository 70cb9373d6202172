"""Times as people read them, in UTC."""

from __future__ import annotations

from datetime import UTC, datetime

from expci.report.text.escape import clean
from expci.report.text.numbers import MISSING, count


def parsed(at: str) -> datetime | None:
    """An ISO 8601 time in UTC; `None` for anything else."""
    try:
        moment = datetime.fromisoformat(at)
    except (TypeError, ValueError):
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)


def minute(at: str | None) -> str:
    """`2026-11-22 10:00 UTC`; text that is no time as it is."""
    moment = parsed(at) if at else None
    return f"{moment.isoformat(' ')[:16]} UTC" if moment else clean(at or MISSING)


def day(at: str | None) -> str:
    """`2026-11-22`; text that is no time as it is."""
    moment = parsed(at) if at else None
    return moment.date().isoformat() if moment else clean(at or MISSING)


def age(start: str | None, end: str | None) -> str | None:
    """The time from start to end in one unit: `3 days`, `5 hours`; `None` without both.

    `less than a minute` where it is.
    """
    first, last = (parsed(at) if at else None for at in (start, end))
    if first is None or last is None or last < first:
        return None
    hours = (last - first).total_seconds() / 3600
    if hours < 1:
        return count(int(hours * 60), "minute") if hours * 60 >= 1 else "less than a minute"
    return count(int(hours), "hour") if hours < 48 else count(int(hours / 24), "day")

"""What `expci doctor` finds: one thing that was looked at, and its fix."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Literal


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at. `fix` is empty when all is well."""

    level: Literal["ok", "warning", "problem"]
    what: str
    fix: str = ""


def counted(number: int, one: str, many: str | None = None) -> str:
    return f"{number} {one if number == 1 else many or one + 's'}"


def ago(since: timedelta) -> str:
    """A time as a person says it: `less than a minute`, `1 hour`, `3 days`."""
    if since < timedelta(minutes=1):
        return "less than a minute"
    if since < timedelta(hours=1):
        return counted(int(since.total_seconds() // 60), "minute")
    if since < timedelta(days=2):
        return counted(int(since.total_seconds() // 3600), "hour")
    return counted(since.days, "day")

"""When a trial started, by this machine's clock as far as that can be right.

A job has read the published document, so it runs after the phase (the start, the promotion)
that the document is of. A clock that says otherwise is behind, and would move the trial to
before the promotion, where the watch does not see it.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from expci.core.model import limits
from expci.core.model.trial import parse_timestamp, timestamp
from expci.core.value_class import dataclass
from expci.errors import InvalidRecord

_MOST = timedelta(days=1)  # beyond it, nobody knows whose clock is wrong
_WORTH_SAYING = timedelta(minutes=limits.FUTURE_MINUTES)


@dataclass(frozen=True)
class StartTime:
    """`context` is what the record says of a correction; `warning` is for the job's log."""

    started: str
    context: dict[str, str]
    warning: str | None = None


def start_time(now: datetime, phase_began: str) -> StartTime:
    """Return `now`, or when the phase began where this clock is behind that.

    >>> start_time(datetime.fromisoformat("2026-11-22T09:00:00Z"), "2026-11-22T10:00:00Z").started
    '2026-11-22T10:00:00.000Z'
    """
    own = timestamp(now)
    try:
        behind = parse_timestamp(phase_began) - now
    except InvalidRecord:
        return StartTime(own, {})
    if not timedelta(0) < behind <= _MOST:
        return StartTime(own, {})
    placed = timestamp(now + behind)
    if behind <= _WORTH_SAYING:
        return StartTime(placed, {})
    minutes = round(behind / timedelta(minutes=1))
    warning = (
        f"this machine's clock is {minutes} minutes or more behind: the trial is dated "
        f"{phase_began}, when this phase of the experiment began. Set the clock"
    )
    return StartTime(placed, {"clock": f"the machine said {own}"}, warning)

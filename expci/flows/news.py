"""What a pass has to say to people who read no pull request: warnings, and a webhook."""

from __future__ import annotations

from expci.core import events
from expci.core.events import Event
from expci.flows.advance import Pass, isolated
from expci.flows.context import Context

# Alerts, and what expci did to the default branch or asks a person to do.
LOUD = (
    events.AlertRaised,
    events.AlertCleared,
    events.PromoteOpened,
    events.Promoted,
    events.RolledBack,
    events.Reverted,
)


def warnings(done: Pass) -> list[tuple[str, str]]:
    """(experiment, sentence) of all that somebody should look at."""
    raised = [(n, e.why) for n, e in done.events if isinstance(e, (events.AlertRaised, *_ENDINGS))]
    return raised + done.problems


_ENDINGS = (events.RolledBack, events.Reverted)


def post(app: Context, done: Pass) -> None:
    """Tell the webhook, where there is one, what this pass put on record.

    Sent after it is on record, so at most once: a pass that dies in between tells nothing,
    and the alert issue and the comments are there all the same.
    """
    told = [line(name, event) for name, event in done.events if isinstance(event, LOUD)]
    if app.webhook is None or not told or done.dry_run:
        return
    with isolated(done, "webhook"):
        app.webhook("\n".join(told))


def line(name: str, event: Event) -> str:
    """One event in a chat's plain text."""
    word = event.word.replace("_", " ")
    about = f" ({event.alert.replace('_', ' ')})" if isinstance(event, _ALERTS) else ""
    return f"expci: {name}: {word}{about}: {' '.join(event.why.split())[:500]}".rstrip(": ")


_ALERTS = (events.AlertRaised, events.AlertCleared)

"""What a pass has to say to people who read no pull request: warnings, and a webhook."""

from __future__ import annotations

from expci.core import number_format
from expci.core.model import events
from expci.core.model.events import Event
from expci.flows.context import Context
from expci.flows.experiment.advance import Pass, isolated
from expci.flows.experiment.branches import opener
from expci.flows.experiment.ledger_reports import rows_of
from expci.forge.lab_runs import SITE_WORKFLOW
from expci.report.documents import render
from expci.report.sections.review import WORKFLOW_BOT

_ALERTS = (events.AlertRaised, events.AlertCleared)
_ENDINGS = (events.RolledBack, events.Reverted)
# Alerts, and what expci did to the default branch or asks a person to do.
LOUD = (*_ALERTS, events.PromoteOpened, events.Promoted, *_ENDINGS)


def warnings(done: Pass) -> list[tuple[str, str]]:
    """(experiment, sentence) of all that somebody should look at."""
    raised = [(n, e.why) for n, e in done.events if isinstance(e, (events.AlertRaised, *_ENDINGS))]
    return raised + done.problems


def workflows_to_start(app: Context, done: Pass) -> tuple[str, ...]:
    """The page's, and those that a revert did not start because a workflow's token pushed it."""
    pushed = any(isinstance(e, events.Reverted) and e.commit for _, e in done.events)
    by_bot = pushed and not done.dry_run and opener(app) == WORKFLOW_BOT
    page = () if done.dry_run or not _is_there(app, SITE_WORKFLOW) else (SITE_WORKFLOW,)
    return (*(app.after_revert if by_bot else ()), *page)


def _is_there(app: Context, workflow: str) -> bool:
    path = f".github/workflows/{workflow}"
    return app.git.resolve("HEAD") is not None and bool(app.git.read_paths("HEAD", [path])[path])


def summary(app: Context, done: Pass) -> str:
    """What this pass did and where everything stands, in Markdown."""
    lines = [
        f"{name}: {number_format.count(count, 'record')} folded in"
        for name, count in sorted(done.folded.items())
    ]
    lines += [f"quarantined: {refused.subject}: {refused.reason}" for refused in done.refused]
    lines += [f"{name}: started: {why}" for name, why in done.started]
    lines += [f"{name}: {event.word}: {event.why}" for name, event in done.events]
    lines += [f"{name}: {what}" for name, what in done.actions]
    problems = [f"{name}: {what}" for name, what in done.problems]
    ledger = app.store.snapshot(inbox=False).ledger
    rows = rows_of(ledger, app.clock(), fresh=done.gathered, settled=done.not_looked_at)
    return render.pass_summary(lines, problems, rows)


def post(app: Context, done: Pass) -> None:
    """Tell the webhook, where there is one, what this pass put on record.

    Sent after it is on record, so at most once: a pass that dies in between tells nothing,
    and the alert issue and the comments are there all the same.
    """
    lines = [event_line(name, event) for name, event in done.events if isinstance(event, LOUD)]
    if app.webhook is None or not lines or done.dry_run:
        return
    with isolated(done, "webhook"):
        app.webhook("\n".join(lines))


def event_line(name: str, event: Event) -> str:
    """One event in a chat's plain text."""
    word = event.word.replace("_", " ")
    about = f" ({event.alert.replace('_', ' ')})" if isinstance(event, _ALERTS) else ""
    return f"expci: {name}: {word}{about}: {' '.join(event.why.split())[:500]}".rstrip(": ")

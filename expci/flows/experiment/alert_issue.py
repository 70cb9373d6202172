"""One alert issue per experiment: opened once, kept up to date, closed when all is well."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from expci.core.lifecycle.next_event import HARM_SUSPECTED
from expci.core.lifecycle.transitions import LIVE
from expci.core.model.results import Analysis
from expci.errors import ForgeError
from expci.flows.context import Context
from expci.flows.experiment.gather import Gathered
from expci.forge.ports import Alerts
from expci.report.documents import render

GONE = 410  # GitHub's status where issues are switched off


@dataclass(frozen=True)
class AlertIssue:
    """What was done, and the digest of what the issue says now ("": there is none open)."""

    digest: str
    done: tuple[str, ...] = ()


def alert_text(gathered: Gathered, analysis: Analysis | None) -> tuple[str, str] | None:
    """Title and body of the issue; `None` while nothing is wrong, or all is over.

    A harm that was suspected to the end stays in it until a person closes it.
    """
    life = gathered.life
    alerts = life.alerts if life.state in LIVE else life.alerts.keys() & {HARM_SUSPECTED}
    if not alerts:
        return None
    return render.alert_issue(gathered.plan.experiment, life, analysis)


def sync_alert_issue(
    app: Context, gathered: Gathered, text: tuple[str, str] | None, before: str
) -> AlertIssue:
    """Bring the issue in step. One that a person closed stays so until it says something new.

    `before` is the digest of the issue's text after the last pass.
    """
    digest = hashlib.sha256("\n".join(text).encode()).hexdigest() if text else ""
    alerts = app.forge.alerts
    if digest == before or alerts is None:
        return AlertIssue(digest)
    try:
        return AlertIssue(digest, _in_issue(alerts, gathered, text))
    except ForgeError as error:
        if error.status != GONE:
            raise
        return AlertIssue(digest, _in_comment(app, gathered, text))


def _words(gathered: Gathered) -> str:
    """The text where nothing is wrong any more."""
    state = gathered.life.state
    return "This is no longer the case." if state in LIVE else f"The experiment is {state}."


def _in_issue(alerts: Alerts, gathered: Gathered, text: tuple[str, str] | None) -> tuple[str, ...]:
    marker = render.marker("alert", gathered.name)
    if text is None:
        closed = alerts.close(marker, _words(gathered))
        return ("closed the alert issue",) if closed else ()
    return ("raised an alert issue",) if alerts.open(marker, *text) else ()


def _in_comment(app: Context, gathered: Gathered, text: tuple[str, str] | None) -> tuple[str, ...]:
    """On the experiment's pull request, where the repository has no issues."""
    pull = gathered.proposal or gathered.promotion
    if pull is None:
        return ("raised no alert: the repository has no issues, and it has no pull request",)
    marker = render.marker("alert", gathered.name)
    body = f"**{text[0]}**\n\n{text[1]}" if text else f"{_words(gathered)}\n\n{marker}"
    if text and not body.rstrip().endswith(marker):
        body = f"{body.rstrip()}\n\n{marker}"
    written = app.forge.comments.write(pull.number, marker, body)
    return (f"wrote the alert into pull request {pull.number}",) if written else ()

"""One alert issue per experiment: opened once, kept up to date, closed when all is well."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from expci.core.lifecycle.transitions import LIVE
from expci.core.model.results import Analysis
from expci.flows.context import Context
from expci.flows.experiment.gather import Gathered
from expci.report.documents import render


@dataclass(frozen=True)
class AlertIssue:
    """What was done, and the digest of what the issue says now ("": there is none open)."""

    digest: str
    done: tuple[str, ...] = ()


def alert_text(gathered: Gathered, analysis: Analysis | None) -> tuple[str, str] | None:
    """Title and body of the issue; `None` while nothing is wrong, or all is over."""
    life = gathered.life
    if life.state not in LIVE or not life.alerts:
        return None
    return render.alert_issue(gathered.plan.experiment, life, analysis)


def sync_alert_issue(
    app: Context, gathered: Gathered, text: tuple[str, str] | None, before: str
) -> AlertIssue:
    """Bring the issue in step. One that a person closed stays so until it says something new.

    `before` is the digest of what the issue said after the last pass.
    """
    digest = hashlib.sha256("\n".join(text).encode()).hexdigest() if text else ""
    alerts = app.forge.alerts
    if digest == before or alerts is None:
        return AlertIssue(digest)
    marker = render.marker("alert", gathered.name)
    if text is None:
        state = gathered.life.state
        word = "It is no longer so." if state in LIVE else f"The experiment is {state}."
        closed = alerts.close(marker, word)
        return AlertIssue(digest, ("closed the alert issue",) if closed else ())
    raised = alerts.open(marker, *text)
    return AlertIssue(digest, ("raised an alert issue",) if raised else ())

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
class Settled:
    """What was done, and the digest of what the issue says now ("": there is none to see)."""

    digest: str
    done: tuple[str, ...] = ()


def wanted(gathered: Gathered, analysis: Analysis | None) -> tuple[str, str] | None:
    """Title and body of the issue; `None` while nothing is wrong, or all is over."""
    life = gathered.life
    if life.state not in LIVE or not life.alerts:
        return None
    return render.alert(gathered.plan.experiment, life, analysis)


def settle(app: Context, gathered: Gathered, want: tuple[str, str] | None, held: str) -> Settled:
    """Bring the issue in step. One that a person closed stays so until it says something new."""
    digest = hashlib.sha256("\n".join(want).encode()).hexdigest() if want else ""
    if digest == held:
        return Settled(digest)
    marker = render.marker("alert", gathered.name)
    if want is None:
        state = gathered.life.state
        word = "It is no longer so." if state in LIVE else f"The experiment is {state}."
        closed = app.forge.clear_alert(marker, word)
        return Settled(digest, ("closed the alert issue",) if closed else ())
    raised = app.forge.alert(marker, *want)
    return Settled(digest, ("raised an alert issue",) if raised else ())

"""How often what an experiment changes runs, by the CI's own records.

How many trials a lab makes says nothing of it. The workflows that name a varied file run it; what
they did in the last thirty days is the rate.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from expci.core.model.limits import DAYS_A_MONTH
from expci.core.spec.workflow_files import workflows_that_run
from expci.errors import ForgeError
from expci.flows.context import Context
from expci.flows.experiment.base import Base
from expci.forge.ports import CIRecords
from expci.store.ledger.plans import Plan

WORKFLOWS = ".github/workflows"
WINDOW = timedelta(days=30)
LISTED = 300  # runs of a workflow at most: three pages
_NOTHING_RAN = ("skipped", "cancelled", "action_required", "startup_failure", "stale")


def ci_rate(app: Context, plan: Plan, base: Base, now: datetime) -> float | None:
    """Runs a month of the workflows that name what varies; `None` where that is unknown.

    Nothing is read where the plan states a rate or real jobs take part.
    """
    if plan.experiment.rate is not None or plan.experiment.slot is not None:
        return None
    if app.forge.ci is None or base.tip is None:
        return None
    files = app.git.read_files(base.tip, WORKFLOWS)
    texts = {path: file.data.decode(errors="replace") for path, file in files.items()}
    varied = {*plan.varied, *(path for content in plan.shipped.values() for path in content)}
    try:
        rates = [_rate(app.forge.ci, name, now) for name in workflows_that_run(varied, texts)]
    except ForgeError:
        return None  # hours saved are no reason to stop a pass
    return sum(rates) if rates else None


def _rate(ci: CIRecords, workflow: str, now: datetime) -> float:
    """Of more runs than are listed, those that are listed tell the rate of their own time."""
    runs = ci.runs_of(workflow, now - WINDOW, LISTED)
    span = now - runs[-1].created if len(runs) == LISTED else WINDOW
    ran = sum(run.status == "completed" and run.conclusion not in _NOTHING_RAN for run in runs)
    return ran * DAYS_A_MONTH * timedelta(days=1) / max(span, timedelta(hours=1))

"""`expci status`: the portfolio, or one experiment in detail."""

from __future__ import annotations

from expci.core.lifecycle import ENDED
from expci.core.model import to_json
from expci.flows.context import Context
from expci.flows.known import require_known, require_plan
from expci.flows.reports import rows_of
from expci.flows.situation import current_analysis
from expci.report import render
from expci.report.view import PortfolioRow


def portfolio(app: Context) -> list[PortfolioRow]:
    """Every experiment that ever started."""
    return rows_of(app.store.snapshot().ledger, app.clock())


def portfolio_json(rows: list[PortfolioRow], *, everything: bool) -> dict[str, object]:
    shown = [row for row in rows if everything or row.life.state not in ENDED]
    return {"schema": "expci.status/1", "experiments": [_row_json(row) for row in shown]}


def one(app: Context, name: str) -> str:
    """One experiment in detail, for the terminal."""
    row = find(app, name)
    experiment = require_plan(app.store.snapshot().ledger, name).experiment
    return render.status_one(experiment, row.life, row.analysis)


def find(app: Context, name: str) -> PortfolioRow:
    snapshot = app.store.snapshot()
    life = require_known(snapshot, name)
    plan = require_plan(snapshot.ledger, name)
    trials = tuple(snapshot.ledger.trials(name))
    analysis = current_analysis(snapshot.ledger, plan, life, trials, app.clock())
    problem = "; ".join(alert.why for alert in life.alerts.values()) or None
    return PortfolioRow(name, plan.experiment, life, analysis, problem)


def one_json(app: Context, name: str) -> dict[str, object]:
    row = find(app, name)
    events = [{"event": event.word, **to_json(event)} for event in row.life.events]
    return {"schema": "expci.status/1", **_row_json(row), "events": events}


def _row_json(row: PortfolioRow) -> dict[str, object]:
    analysis = row.analysis
    return {
        "id": row.id,
        "name": row.experiment.name if row.experiment else None,
        "state": str(row.life.state),
        "mode": row.life.mode,
        "plan": row.life.plan,
        "problem": row.problem,
        "trials": to_json(analysis.trials) if analysis else None,
        "progress": to_json(analysis.progress) if analysis else None,
        "decision": to_json(analysis.decision) if analysis else None,
        "learned": list(row.life.learned),
    }

"""Keep what people read in step with the ledger: report, comment, labels, portfolio."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from expci.core.lifecycle import ENDED, State
from expci.core.model import to_json
from expci.core.results import Analysis
from expci.flows.context import Context
from expci.flows.situation import Gathered, current_analysis, dump_analysis, held_analysis
from expci.forge.base import Pull, PullState
from expci.report import render
from expci.report.view import PortfolioRow
from expci.store import paths
from expci.store.fold import Changes
from expci.store.ledger import Ledger
from expci.store.plans import Plan
from expci.store.transaction import Change, Snapshot

FADED = (State.RUNNING, State.PAUSED)


def comment_body(ledger: Ledger, gathered: Gathered) -> str | None:
    """The comment, from the analysis on record: a look that finds nothing new changes nothing."""
    held = held_analysis(ledger, paths.analysis(gathered.name))
    if held is None:
        return None
    return render.comment(
        gathered.plan.experiment, gathered.life, held, base_branch=gathered.base.branch
    )


def write_reports(app: Context, everything: list[Gathered]) -> Ledger:
    """Put analyses, reports and the portfolio into the ledger where they say something new.

    Answers the ledger as it then stands.
    """

    def think(snapshot: Snapshot) -> Change | None:
        changes: Changes = {}
        for gathered in everything:
            changes |= _report(snapshot.ledger, gathered)
        if changes:
            rows = rows_of(snapshot.ledger, app.clock(), fresh=everything)
            changes[paths.README] = render.ledger_readme(rows).encode()
        return Change.of("Reports", changes) if changes else None

    return app.store.transact(app.clock(), think)[0].ledger


def _report(ledger: Ledger, gathered: Gathered) -> Changes:
    """The new analysis and report, unless only the time of the look is new."""
    analysis = gathered.situation.analysis
    held = ledger.read(paths.analysis(gathered.name))
    if analysis is not None and not _same(held, analysis):
        report = render.analysis(gathered.plan.experiment, gathered.life, analysis, "markdown")
        return {
            paths.analysis(gathered.name): dump_analysis(analysis),
            paths.report(gathered.name): report.encode(),
        }
    return {}


def _same(held: bytes | None, analysis: Analysis) -> bool:
    """A look that finds what the last one found is not news."""
    if held is None:
        return False
    old = json.loads(held)
    new = to_json(replace(analysis, at=old["at"], ledger=old["ledger"]))
    return bool(json.loads(json.dumps(new)) == old)


def rows_of(ledger: Ledger, now: datetime, fresh: Sequence[Gathered] = ()) -> list[PortfolioRow]:
    """The portfolio: every experiment of the ledger, with analyses that were just made."""
    known = {gathered.name: gathered.situation.analysis for gathered in fresh}
    return [
        row_of(ledger, plan, now, known.get(name))
        for name in ledger.experiments
        if (plan := ledger.plan(name)) is not None
    ]


def row_of(
    ledger: Ledger, plan: Plan, now: datetime, analysis: Analysis | None = None
) -> PortfolioRow:
    """One experiment's row; analysed here unless `analysis` was just made."""
    name = plan.experiment.id
    life = ledger.life(name)
    if analysis is None:
        analysis = current_analysis(ledger, plan, life, tuple(ledger.trials(name)), now)
    promotion = held_analysis(ledger, paths.promotion(name)) if life.promoted else None
    problem = "; ".join(alert.why for alert in life.alerts.values()) or None
    return PortfolioRow(name, plan.experiment, life, analysis, problem, promotion)


def settle_requests(app: Context, ledger: Ledger, gathered: Gathered) -> list[str]:
    """Comment, labels and state of the experiment's pull requests; what was changed."""
    done: list[str] = []
    life = gathered.life
    promotion = gathered.promotion
    if promotion and promotion.state is PullState.OPEN and life.state in ENDED:
        app.forge.close_pull(promotion, f"The experiment is {life.state}.")
        done.append(f"closed request {promotion.number}")
    if promotion and promotion.state is PullState.OPEN and life.state in FADED:
        done += _as_draft(app, promotion)
    proposal = _proposal(app, gathered)
    if proposal is None:
        return done
    marker = render.marker("report", gathered.name)
    body = comment_body(ledger, gathered)
    if body is not None and app.forge.comment(proposal, marker, body):
        done.append(f"updated the report in request {proposal.number}")
    app.forge.label(proposal, (f"expci:{life.state}",))
    if proposal.state is PullState.OPEN and life.state in (*ENDED, State.WATCHING):
        app.forge.close_pull(proposal, _closing_word(gathered, promotion))
        done.append(f"closed request {proposal.number}")
    return done


def _as_draft(app: Context, promotion: Pull) -> list[str]:
    """The evidence that asked for this request faded: nobody should merge it by accident."""
    if promotion.draft:
        return []
    app.forge.open_pull(promotion.head, promotion.base, promotion.title, promotion.body, draft=True)
    return [f"made request {promotion.number} a draft: the evidence faded"]


def _proposal(app: Context, gathered: Gathered) -> Pull | None:
    started = gathered.life.started
    if started is None or not started.branch:
        return None
    return app.forge.pull(started.branch)


def _closing_word(gathered: Gathered, promotion: Pull | None) -> str:
    if gathered.life.promoted is not None and promotion is not None:
        return f"Promoted by request {promotion.number}; the experiment's own branch is done."
    ended = gathered.life.ended
    return f"The experiment is {gathered.life.state}: {ended.why if ended else ''}".rstrip(": ")

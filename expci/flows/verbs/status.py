"""`expci status`: the portfolio, or one experiment in detail."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from expci.core.analysis.document import counts_document
from expci.core.lifecycle.transitions import ENDED
from expci.core.model.experiment import to_json
from expci.core.model.results import Analysis, Corrected, Decision, Interval, Progress
from expci.core.number_format import unit_of_name
from expci.flows.context import Context
from expci.flows.experiment.ledger_reports import row_of, rows_of, stuck_words
from expci.flows.lookup import (
    ledger_and_waiting,
    ledger_with_inbox,
    require_plan,
    require_started,
    waiting_words,
)
from expci.report.documents import render
from expci.report.sections.portfolio_row import PortfolioRow
from expci.report.sections.savings import hours_saved
from expci.report.text import escape
from expci.store.ledger.ledger import Ledger
from expci.store.ledger.plans import Plan


@dataclass(frozen=True)
class ReportedEffect:
    """What one treatment does to one metric, as in `expci.analysis/1`."""

    metric: str
    role: str
    arm: str
    unit: str | None
    difference: float | None
    difference_interval: Interval | None
    improvement: float | None
    interval: Interval | None
    level: float
    p_value: float | None
    corrected: Corrected | None = None


@dataclass(frozen=True)
class StatusRow:
    """One experiment of `expci.status/1`; `None` where nothing was analysed yet."""

    id: str
    name: str | None
    state: str
    mode: str | None
    plan: str | None
    problem: str | None
    trials: Mapping[str, Any] | None
    refused: Mapping[str, Mapping[str, int]] | None
    progress: Progress | None
    decision: Decision | None
    effects: tuple[ReportedEffect, ...]
    promoted_for: tuple[ReportedEffect, ...]
    learned: tuple[str, ...]


def portfolio_rows(app: Context, tags: Collection[str] = ()) -> list[PortfolioRow]:
    """Every experiment that ever started; with `tags`, those that have all of them."""
    rows = rows_of(ledger_with_inbox(app), app.clock())
    return [row for row in rows if set(tags) <= _tags(row)]


def _tags(row: PortfolioRow) -> set[str]:
    return set(row.experiment.tags) if row.experiment else set()


def portfolio_json(rows: list[PortfolioRow], *, everything: bool) -> dict[str, object]:
    listed = [row for row in rows if everything or row.life.state not in ENDED]
    return {
        "schema": "expci.status/1",
        "experiments": [to_json(_status_row(row)) for row in listed],
        "hours_saved_per_month": to_json(hours_saved(rows)),
    }


def one(app: Context, name: str) -> str:
    """One experiment in detail, for the terminal."""
    ledger, waiting = ledger_and_waiting(app)
    plan, row = plan_and_row(app, ledger, name)
    text = render.status_one(plan.experiment, row.life, row.analysis, row.promotion)
    more = [escape.clean(stuck_words(ledger, name))]
    more += [waiting_words(waiting[name])] if name in waiting else []
    return text + "".join(f"\n{words}\n" for words in more if words)


def plan_and_row(app: Context, ledger: Ledger, name: str) -> tuple[Plan, PortfolioRow]:
    require_started(ledger, name)
    plan = require_plan(ledger, name)
    return plan, row_of(ledger, plan, app.clock())


def one_json(app: Context, name: str) -> dict[str, object]:
    ledger, waiting = ledger_and_waiting(app)
    _, row = plan_and_row(app, ledger, name)
    events = [{"event": event.word, **to_json(event)} for event in row.life.events]
    cases = to_json(row.analysis.cases) if row.analysis else []
    return {"schema": "expci.status/1", **to_json(_status_row(row)), "cases": cases} | {
        "waiting": waiting.get(name, {}),
        "events": events,
    }


def _status_row(row: PortfolioRow) -> StatusRow:
    analysis = row.analysis
    return StatusRow(
        id=row.id,
        name=row.experiment.name if row.experiment else None,
        state=str(row.life.state),
        mode=row.life.mode,
        plan=row.life.plan,
        problem=row.problem,
        trials=counts_document(analysis.trials) if analysis else None,
        refused=analysis.refused if analysis else None,
        progress=analysis.progress if analysis else None,
        decision=analysis.decision if analysis else None,
        effects=tuple(_effects(analysis)) if analysis else (),
        promoted_for=tuple(_effects(row.promotion)) if row.promotion else (),
        learned=tuple(row.life.learned),
    )


def _effects(analysis: Analysis) -> Iterator[ReportedEffect]:
    for metric in analysis.metrics:
        for comparison in metric.comparisons:
            yield ReportedEffect(
                metric=metric.name,
                role=metric.role,
                arm=comparison.arm,
                unit=metric.unit or unit_of_name(metric.name) or None,
                difference=comparison.difference,
                difference_interval=comparison.difference_interval,
                improvement=comparison.improvement,
                interval=comparison.interval,
                level=comparison.level,
                p_value=comparison.evidence.p_value,
                corrected=comparison.corrected,
            )

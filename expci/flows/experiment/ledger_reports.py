"""Keep reports in step with the ledger: analyses, reports, the portfolio.

What an experiment looks like while it lives stands beside the ledger. The analysis that ended
it, and each that a decision rests on (`flows/experiment/act.py`), is in the ledger for good.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from datetime import datetime

from expci.core.analysis.document import analysis_document, dump_analysis
from expci.core.lifecycle.transitions import ENDED
from expci.core.model.results import Analysis
from expci.flows.context import Context
from expci.flows.experiment.carry_over import carried_over
from expci.flows.experiment.forge_state import forge_state_of
from expci.flows.experiment.gather import Gathered
from expci.flows.experiment.look_history import looks_of, with_look
from expci.flows.experiment.stored_analysis import (
    current_analysis,
    earlier_lives,
    final_look,
    last_look,
    readable_analysis,
    stored_analysis,
)
from expci.report.documents import render
from expci.report.sections.portfolio_row import PortfolioRow
from expci.report.site.look_points import LookPoint
from expci.store.ledger import paths
from expci.store.ledger.fold import Changes
from expci.store.ledger.ledger import Ledger
from expci.store.ledger.plans import Plan
from expci.store.ledger.transaction import LedgerChange, Snapshot

# What keeps a defect in one experiment from stopping the reports of the others, by its id.
Isolation = Callable[[str], AbstractContextManager[None]]


def _together(_name: str) -> AbstractContextManager[None]:
    return nullcontext()


def write_reports(
    app: Context,
    everything: list[Gathered],
    isolation: Isolation = _together,
    settled: Collection[str] = (),
) -> Ledger:
    """Put down analyses, reports and the portfolio where they say something new.

    Of `settled` experiments the last look stands. Return the ledger as it then stands.
    """

    def think(snapshot: Snapshot) -> LedgerChange | None:
        ledger = snapshot.ledger
        files, derived = dict[str, bytes | None](), dict[str, bytes | None]()
        news: list[Gathered] = []
        for gathered in everything:
            with isolation(gathered.name):
                if gathered.life.state in ENDED:
                    derived |= dict.fromkeys(_of_the_living(ledger, gathered.name))
                if _is_news(ledger, gathered):
                    news.append(gathered)
        looks = looks_of(ledger, [gathered.name for gathered in news])
        for gathered in news:
            with isolation(gathered.name):
                if gathered.life.state in ENDED:
                    files |= _report(gathered, looks[gathered.name])
                else:
                    derived |= _report(gathered, looks[gathered.name])
        moved = carried_over(ledger)
        files, derived = files | moved.files, moved.derived | derived
        if files or derived or ledger.derived.read(paths.README) is None:
            rows = rows_of(ledger, app.clock(), everything, isolation, settled)
            derived[paths.README] = render.ledger_readme(rows).encode()
        change = LedgerChange.of("Reports", files, derived=derived)
        return change if everything and (files or derived) else None

    return app.store.transact(app.clock(), think)[0].ledger


def report_files(gathered: Gathered) -> Changes:
    """An analysis and its report; nothing where there is no analysis."""
    analysis, name = gathered.situation.analysis, gathered.name
    if analysis is None:
        return {}
    report = render.analysis_report(gathered.plan.experiment, gathered.life, analysis, "markdown")
    return {paths.analysis(name): dump_analysis(analysis), paths.report(name): report.encode()}


def _is_news(ledger: Ledger, gathered: Gathered) -> bool:
    """Whether the analysis says more than the last one but for the time of the look.

    What has ended keeps its last report, whatever date it names.
    """
    analysis, path = gathered.situation.analysis, paths.analysis(gathered.name)
    if analysis is None:
        return False
    if gathered.life.state in ENDED:
        return stored_analysis(ledger, path) != analysis
    return not is_same_look(readable_analysis(ledger.derived.read(path)), analysis)


def _of_the_living(ledger: Ledger, name: str) -> list[str]:
    """The files beside the ledger that an experiment has there until it ends."""
    own = (paths.analysis(name), paths.report(name), paths.looks(name))
    return [path for path in own if path in ledger.derived.entries]


def _report(gathered: Gathered, looks: Sequence[LookPoint]) -> Changes:
    analysis = gathered.situation.analysis
    if analysis is None:
        return {}
    return {**report_files(gathered), paths.looks(gathered.name): with_look(looks, analysis)}


def is_same_look(old: Analysis | None, analysis: Analysis) -> bool:
    """A look with the same result as the last one is not news, nor is a forecast that moved:
    the passing of time alone shifts the rate of trials. One that time has overtaken is."""
    if old is None:
        return False
    expected, today = old.progress.expected_end, analysis.at[:10]
    overtaken = expected is not None and expected < today
    return not overtaken and _without_time(old) == _without_time(analysis)


def _without_time(analysis: Analysis) -> object:
    progress = replace(
        analysis.progress,
        trials_per_day=None,
        expected_end=None,
        hours_saved_per_month=None,
        runs_per_month=None,
    )
    # "13.9 days left" is no news either, until it is met.
    criteria = tuple(
        replace(item, detail="" if item.code == "time_over" and not item.met else item.detail)
        for item in analysis.decision.criteria
    )
    decision = replace(analysis.decision, criteria=criteria)
    timeless = replace(analysis, at="", ledger="", progress=progress, decision=decision)
    return json.loads(json.dumps(analysis_document(timeless)))


def rows_of(
    ledger: Ledger,
    now: datetime,
    fresh: Sequence[Gathered] = (),
    isolation: Isolation = _together,
    settled: Collection[str] = (),
) -> list[PortfolioRow]:
    """Return the portfolio: every experiment of the ledger, with the newest analyses.

    Of `settled` ones that is the last look that a pass wrote.
    Plans that ended before the present one of their experiment have rows of their own.
    """
    analyses = {name: last_look(ledger, name) for name in settled}
    analyses |= {gathered.name: gathered.situation.analysis for gathered in fresh}
    rows: list[PortfolioRow] = []
    earlier: list[PortfolioRow] = []
    for name in ledger.experiments:
        with isolation(name):
            plan = ledger.plan(name)
            if plan is not None:
                rows.append(row_of(ledger, plan, now, analyses.get(name)))
            earlier += _earlier(ledger, name)
    return [*rows, *earlier]


def _earlier(ledger: Ledger, name: str) -> Iterator[PortfolioRow]:
    """The plans of an experiment that had ended when its next one started."""
    for life in earlier_lives(ledger.life(name).events):
        plan = ledger.plan(name, life.plan)
        if plan is not None:
            yield PortfolioRow(name, plan.experiment, life, final_look(ledger, plan, life))


def row_of(
    ledger: Ledger, plan: Plan, now: datetime, analysis: Analysis | None = None
) -> PortfolioRow:
    """One experiment's row; analysed here unless `analysis` is given."""
    name = plan.experiment.id
    life = ledger.life(name)
    if analysis is None:
        analysis = current_analysis(ledger, plan, life, ledger.columns(name), now)
    promotion = stored_analysis(ledger, paths.promotion(name)) if life.promoted else None
    problems = [alert.why.rstrip(".") for alert in life.alerts.values()]
    problems += [stuck] if (stuck := stuck_words(ledger, name)) else []
    problem = "; ".join(problems) or None
    return PortfolioRow(name, plan.experiment, life, analysis, problem, promotion)


def stuck_words(ledger: Ledger, name: str) -> str:
    """What kept the last pass from acting for an experiment; "" where nothing did."""
    problem = forge_state_of(ledger, name).problem
    return f"the last pass could not go on: {problem}" if problem else ""

"""`expci analyze`: the full report of one experiment, now or as it was at a past commit."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Literal

from expci.core.analysis.document import analysis_document
from expci.core.lifecycle.transitions import LIVE, Life
from expci.core.model.content import Blob
from expci.core.model.events import AlertCleared, AlertRaised, Decided, Learned
from expci.core.model.results import Analysis
from expci.core.model.trial import parse_timestamp
from expci.errors import ExpciError
from expci.flows.context import Context
from expci.flows.experiment.stored_analysis import (
    analyse_ledger,
    current_analysis,
    final_look,
    stored_analysis,
)
from expci.flows.lookup import ledger_at, ledger_with_inbox, require_plan
from expci.report.documents import render
from expci.report.sections.removal import removal_document, removal_words
from expci.store.ledger import paths
from expci.store.ledger.ledger import Ledger
from expci.store.ledger.plans import Plan
from expci.store.ledger.removals import Removal, removal_of

_CHANGES_NO_ANALYSIS = (Decided, AlertRaised, AlertCleared, Learned)
NEGATIVE = ("rollback", "invalid")


@dataclass(frozen=True)
class Stored:
    """Why an analysis is the one on record and no new look: `removal` took the trials.

    `is_here` is whether the ledger that has them is.
    """

    removal: Removal
    is_here: bool


@dataclass(frozen=True)
class Report:
    """An analysis with what its report needs."""

    plan: Plan
    life: Life
    analysis: Analysis
    stored: Stored | None = None

    @property
    def negative(self) -> bool:
        """Whether `--check` fails: harm, or data that cannot be trusted."""
        return self.analysis.decision.verdict in NEGATIVE

    def render(self, form: Literal["text", "markdown", "json"], *, full: bool = True) -> str:
        """The report in a format; as text one screen of it unless it is `full`."""
        if form == "json":
            document = analysis_document(self.analysis)
            if self.stored is not None:
                document["stored"] = removal_document(self.stored.removal)
            return json.dumps(document, indent=2, ensure_ascii=False) + "\n"
        if form == "text" and not full:
            text = render.analysis_screen(self.plan.experiment, self.life, self.analysis)
        else:
            text = render.analysis_report(self.plan.experiment, self.life, self.analysis, form)
        return text + self._where_the_trials_are()

    def _where_the_trials_are(self) -> str:
        if self.stored is None:
            return ""
        name, removal = self.plan.experiment.id, self.stored.removal
        words = removal_words(name, removal, is_here=self.stored.is_here)
        return f"\nThis is the stored analysis: {words}\n"


def analyze(app: Context, name: str, *, at: str | None = None) -> Report:
    """Analyse everything that has arrived, or replay the report of the ledger commit `at`."""
    if at is not None:
        return _replay(app, name, at)
    ledger = ledger_with_inbox(app)
    plan = require_plan(ledger, name)
    life = ledger.life(name)
    analysis = current_analysis(ledger, plan, life, ledger.columns(name), app.clock())
    if analysis is None:
        raise ExpciError(f"{name} has nothing to analyse: it ended before it was ever analysed")
    return Report(plan, life, analysis, _stored(ledger, name, plan))


def _stored(ledger: Ledger, name: str, plan: Plan) -> Stored | None:
    removal = removal_of(ledger.removals(name), plan.id)
    if removal is None:
        return None
    return Stored(removal, ledger.git.resolve(removal.ledger) is not None)


def _replay(app: Context, name: str, revision: str) -> Report:
    """The report that stood at a ledger commit, reproduced; else the look of that time."""
    ledger = ledger_at(app, revision)
    plan = require_plan(ledger, name)
    life = ledger.life(name)
    stored = stored_analysis(ledger, paths.analysis(name))
    analysed = ledger.at(stored.ledger) if stored else ledger
    if stored is None or not _still_stands(stored, life, name, analysed, ledger):
        if (gone := _stored(ledger, name, plan)) and (final := final_look(ledger, plan, life)):
            return Report(plan, life, final, gone)
        at = parse_timestamp(
            app.git.text("show", "--no-patch", "--format=%cI", ledger.commit or "")
        )
        return Report(plan, life, analyse_ledger(ledger, plan, life, ledger.columns(name), at))
    at = parse_timestamp(stored.at)
    return Report(plan, life, analyse_ledger(analysed, plan, life, analysed.columns(name), at))


def _still_stands(
    stored: Analysis, life: Life, name: str, analysed: Ledger, ledger: Ledger
) -> bool:
    """Whether the report stored at `ledger` is what a pass would have written there."""
    if (stored.state, stored.plan) != (life.state, life.plan):
        return False
    since = life.events[len(analysed.events(name)) :]
    same_rules = all(isinstance(event, _CHANGES_NO_ANALYSIS) for event in since)
    same_evidence = _evidence(analysed, name) == _evidence(ledger, name)
    return life.state not in LIVE or (same_rules and same_evidence)


def _evidence(ledger: Ledger, name: str) -> dict[str, Blob]:
    """The records that an analysis rests on."""
    files = (paths.arrivals, paths.sources)
    directories = (paths.trials, paths.amendments)
    roots = (*(path(name) for path in files), *(path(name) + "/" for path in directories))
    return {path: blob for path, blob in ledger.entries.items() if path.startswith(roots)}

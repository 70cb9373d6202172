"""The values that the templates of one experiment start with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from expci.core.lifecycle.transitions import Life, State
from expci.core.model.experiment import Experiment
from expci.core.model.results import Analysis
from expci.report.sections import outlook, plan, plan_rules
from expci.report.sections.findings import not_excluded
from expci.report.sections.headline import headline, state_words
from expci.report.sections.portfolio import progress
from expci.report.sections.progress import progress_line
from expci.report.sections.registry import ReportParts
from expci.report.sections.sentences import units_counted
from expci.report.sections.whose_move import whose_move
from expci.report.text import escape, numbers, times
from expci.report.text.phrases import Code, Phrase, joined, phrase

EVERYTHING = ReportParts(log=None)

# What a comment gives up, in this order, until it fits.
SHORTER: tuple[ReportParts, ...] = (
    ReportParts(),
    ReportParts(log=10),
    ReportParts(log=0),
    ReportParts(log=0, numbers=False),
    ReportParts(log=0, numbers=False, plan=False, trials=False),
    ReportParts(log=0, numbers=False, plan=False, trials=False, criteria=False, most=15),
    ReportParts(0, numbers=False, plan=False, trials=False, criteria=False, findings=False, most=4),
)


def common_values(
    experiment: Experiment, life: Life, analysis: Analysis | None, base_branch: str
) -> dict[str, Any]:
    """What every report of one experiment starts with."""
    return {
        "headline": headline(experiment, life, analysis),
        "name": short_name(experiment),
        "id": Code(experiment.id),
        "state": state_words(life),
        "owner": experiment.owner or "",
        "hypothesis": experiment.hypothesis,
        "progress": progress(experiment, analysis) if life.state == State.RUNNING else "",
        "move": whose_move(experiment, life, analysis, base_branch),
        "progress_line": progress_line(experiment, life, analysis),
        "amount": units_counted(experiment, analysis, analysis.progress.per_arm)
        if analysis
        else "no trials",
        "looked": times.minute(analysis.at) if analysis else "",
        "next": outlook.next_steps(experiment, life, analysis, base_branch),
        "impact": outlook.impact(analysis),
        "not_excluded": not_excluded(experiment, analysis),
        "recommendation": outlook.recommendation(experiment, life, analysis),
        "learned": life.learned,
        "provenance": _provenance(life, analysis),
    }


def _provenance(life: Life, analysis: Analysis | None) -> Phrase:
    parts = [phrase("plan {}", Code(escape.short(life.plan)))] if life.plan else []
    if analysis is not None:
        parts += [phrase("ledger {}", Code(escape.short(analysis.ledger)))]
        parts += [phrase("expci {}", escape.clean(analysis.version or "of unknown version"))]
        parts += [phrase("looked {}", times.minute(analysis.at))]
    return joined(parts, " · ")


def source(analysis: Analysis) -> tuple[tuple[str, Code], ...]:
    """What it takes to compute this report again."""
    return (
        ("plan", Code(analysis.plan)),
        ("ledger", Code(analysis.ledger)),
        ("expci", Code(analysis.version or numbers.MISSING)),
        ("looked", Code(times.minute(analysis.at))),
    )


def design(
    experiment: Experiment, document: Mapping[str, Any], advice: Sequence[str]
) -> dict[str, Any]:
    return {
        "report": plan.plan_view(document, experiment, advice),
        "name": short_name(experiment),
        "id": Code(experiment.id),
        "owner": experiment.owner or "",
        "hypothesis": experiment.hypothesis,
        "plan": plan_rules.plan_parts(experiment),
        "start": Code(f"expci start {experiment.id}"),
        "merge_makes_live": experiment.slot is not None,
    }


def short_name(experiment: Experiment, limit: int = 200) -> str:
    return escape.clipped(experiment.name, limit) or experiment.id

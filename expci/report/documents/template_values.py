"""What the templates are given: the parts of a report as values that can be shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from expci.core.lifecycle.transitions import Life, State
from expci.core.model.experiment import Experiment
from expci.core.model.results import Analysis
from expci.report.sections import findings, outlook, plan, records, result_tables
from expci.report.sections.headline import headline
from expci.report.sections.portfolio import progress
from expci.report.sections.sentences import no_trials, units_of_design
from expci.report.text import escape, numbers, times
from expci.report.text.phrases import Code, Phrase, joined, phrase
from expci.report.text.tables import Table


@dataclass(frozen=True)
class ReportParts:
    """Which parts a report has. `log` and `most` are the latest events and first rows; `None` is
    all of them, a `log` of 0 none."""

    log: int | None = 40
    numbers: bool = True
    plan: bool = True
    trials: bool = True
    criteria: bool = True
    findings: bool = True
    most: int | None = None


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
        "state": escape.words(life.state),
        "owner": experiment.owner or "",
        "hypothesis": experiment.hypothesis,
        "progress": progress(experiment, analysis) if life.state == State.RUNNING else "",
        "amount": units_of_design(experiment, analysis.progress.per_arm)
        if analysis
        else "no trials",
        "looked": times.minute(analysis.at) if analysis else "",
        "arrivals": findings.arrivals_per_day(analysis) or "",
        "next": outlook.next_steps(experiment, life, analysis, base_branch),
        "impact": outlook.impact(analysis),
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


def details(
    experiment: Experiment, life: Life, analysis: Analysis | None, show: ReportParts
) -> dict[str, Any]:
    """The parts that a comment may have to give up, as `show` says."""
    found = findings.findings(experiment, analysis) if show.findings else None
    health = findings.health(life, analysis)
    if not show.findings:
        health = (
            phrase("{} notes; see {}", str(len(health)), Code(f"expci status {experiment.id}")),
        )
    parts: dict[str, Any] = {"findings": found, "health": health}
    parts |= {"plan": plan_parts(experiment) if show.plan else None}
    parts |= {"log": records.event_table(life, show.log) if show.log != 0 else None}
    parts |= {"log_hidden": max(0, len(life.events) - (show.log or len(life.events)))}
    if analysis is None or no_trials(analysis):
        nothing = ("results", "narrow_results", "numbers", "trials", "checks", "criteria")
        return parts | {"needed": "", "reasons": ()} | dict.fromkeys(nothing)
    return parts | {
        "results": result_tables.result_table(experiment, analysis, most=show.most, wide=True),
        "narrow_results": result_tables.result_table(experiment, analysis, most=None, wide=False),
        "needed": outlook.still_needed(experiment, analysis),
        "numbers": _numbers(experiment, analysis) if show.numbers else None,
        "trials": records.trial_table(experiment, analysis) if show.trials else None,
        "checks": records.check_table(analysis) if show.trials else None,
        "criteria_lines": [
            (mark, phrase("{}: {}", rule, detail) if detail else rule)
            for mark, rule, detail in findings.criteria(analysis)
        ],
        "check_lines": records.check_lines(analysis),
        "criteria": _criteria(analysis) if show.criteria else None,
        "reasons": analysis.decision.reasons if show.criteria else None,
    }


def _criteria(analysis: Analysis) -> Table:
    rows = findings.criteria(analysis)
    return Table("lll", ("criterion", "is", "detail"), tuple((r, m, d) for m, r, d in rows))


def _numbers(experiment: Experiment, analysis: Analysis) -> dict[str, Any]:
    return {
        "arms": result_tables.arm_table(analysis),
        "differences": result_tables.difference_table(analysis),
        "evidence": result_tables.evidence_table(experiment, analysis),
        "harms": result_tables.harm_table(analysis),
        "effect_sizes": result_tables.effect_size_table(analysis),
        "beside": result_tables.side_table(analysis),
        "classical": result_tables.classical_table(analysis),
        "orders": result_tables.order_table(analysis),
    }


def plan_parts(experiment: Experiment) -> dict[str, Any]:
    """What the folded plan of a comment is made of."""
    return {
        "arms": plan.arm_changes(experiment),
        "metrics": plan.metrics(experiment),
        "rules": plan.rules(experiment),
    }


def design(
    experiment: Experiment, document: Mapping[str, Any], advice: Sequence[str]
) -> dict[str, Any]:
    return {
        "report": plan.plan_view(document, experiment, advice),
        "name": short_name(experiment),
        "id": Code(experiment.id),
        "owner": experiment.owner or "",
        "hypothesis": experiment.hypothesis,
        "plan": plan_parts(experiment),
        "start": Code(f"expci start {experiment.id}"),
        "merge_makes_live": experiment.slot is not None,
    }


def short_name(experiment: Experiment, limit: int = 200) -> str:
    return escape.clipped(experiment.name, limit) or experiment.id

"""The sections that a report of one experiment can have, and when it has them.

A section is one module of this package that makes a value, one line in `SECTIONS`, and the
place in a template where the value stands. What a template gets is the value, or `None`
where there is nothing to say or where the comment would be too long with it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from expci.core.lifecycle.transitions import Life
from expci.core.model.experiment import Experiment
from expci.core.model.results import Analysis
from expci.report.sections import (
    cases,
    findings,
    health,
    outlook,
    plan_rules,
    records,
    result_tables,
)
from expci.report.sections.links import NOWHERE, WebPlace
from expci.report.sections.sentences import no_trials
from expci.report.text.phrases import Phrase


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


@dataclass(frozen=True)
class SectionInput:
    """The input of every section."""

    experiment: Experiment
    life: Life
    analysis: Analysis | None
    parts: ReportParts
    place: WebPlace = NOWHERE

    @property
    def look(self) -> Analysis:
        """The analysis of a section of counted trials."""
        if self.analysis is None:
            raise ValueError("this section needs an analysis")
        return self.analysis


@dataclass(frozen=True)
class ReportSection:
    """One section: its name in the templates, its value, and when it is part of a report.

    `of_trials`: whether it says nothing before a trial has been counted. `otherwise` is what
    the template gets where the section is dropped.
    """

    name: str
    make: Callable[[SectionInput], Any]
    of_trials: bool = True
    wanted: Callable[[ReportParts], bool] = lambda _: True
    otherwise: Any = None


def _health(s: SectionInput) -> tuple[Phrase, ...]:
    """In full; in the shortest comment only how many notes there are."""
    if s.parts.findings:
        return health.health(s.life, s.analysis)
    return (health.short_health(s.experiment, s.life, s.analysis),)


SECTIONS: tuple[ReportSection, ...] = (
    ReportSection(
        "findings",
        lambda s: findings.findings(s.experiment, s.analysis),
        of_trials=False,
        wanted=lambda parts: parts.findings,
    ),
    ReportSection("health", _health, of_trials=False),
    ReportSection("health_line", lambda s: health.health_line(s.life, s.analysis), of_trials=False),
    ReportSection(
        "glance", lambda s: result_tables.glance_table(s.experiment, s.look, s.parts.most)
    ),
    ReportSection(
        "plan",
        lambda s: plan_rules.plan_parts(s.experiment),
        of_trials=False,
        wanted=lambda parts: parts.plan,
    ),
    ReportSection(
        "log",
        lambda s: records.event_table(s.life, s.parts.log),
        of_trials=False,
        wanted=lambda parts: parts.log != 0,
    ),
    ReportSection(
        "log_hidden", lambda s: records.hidden_events(s.life, s.parts.log), of_trials=False
    ),
    ReportSection(
        "results",
        lambda s: result_tables.result_table(s.experiment, s.look, most=s.parts.most, wide=True),
        wanted=lambda parts: parts.findings,
    ),
    ReportSection(
        "narrow_results",
        lambda s: result_tables.result_table(s.experiment, s.look, most=None, wide=False),
    ),
    ReportSection("needed", lambda s: outlook.still_needed(s.experiment, s.look), otherwise=""),
    ReportSection(
        "numbers",
        lambda s: result_tables.number_tables(s.experiment, s.look),
        wanted=lambda parts: parts.numbers,
    ),
    ReportSection(
        "cases",
        lambda s: cases.case_table(s.experiment, s.look, repository=s.place.repository),
        wanted=lambda parts: parts.numbers,
    ),
    ReportSection("cases_hidden", lambda s: cases.hidden_cases(s.look), otherwise=""),
    ReportSection("worst_cases", lambda s: cases.case_table(s.experiment, s.look, cases.FEW_ROWS)),
    ReportSection(
        "other_cases", lambda s: cases.hidden_cases(s.look, cases.FEW_ROWS), otherwise=""
    ),
    ReportSection(
        "trials",
        lambda s: records.trial_table(s.experiment, s.look),
        wanted=lambda parts: parts.trials,
    ),
    ReportSection(
        "checks", lambda s: records.check_table(s.look), wanted=lambda parts: parts.trials
    ),
    ReportSection("check_lines", lambda s: records.check_lines(s.look), otherwise=()),
    ReportSection(
        "criteria",
        lambda s: findings.criteria_table(s.look),
        wanted=lambda parts: parts.criteria,
    ),
    ReportSection("criteria_lines", lambda s: findings.criteria_lines(s.look), otherwise=()),
    ReportSection(
        "reasons",
        lambda s: s.look.decision.reasons,
        wanted=lambda parts: parts.criteria,
        otherwise=(),
    ),
)


def section_values(
    experiment: Experiment,
    life: Life,
    analysis: Analysis | None,
    parts: ReportParts,
    place: WebPlace = NOWHERE,
) -> Mapping[str, Any]:
    """The value of every section, by its name in the templates; links lead to `place`."""
    given = SectionInput(experiment, life, analysis, parts, place)
    silent = no_trials(analysis)
    return {
        section.name: section.otherwise
        if (section.of_trials and silent) or not section.wanted(parts)
        else section.make(given)
        for section in SECTIONS
    }

"""Every section has a name of its own, and each template asks only for what there is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from expci.report.sections.registry import SECTIONS, ReportParts, section_values
from support import report_samples as samples

TEMPLATES = Path(__file__).parents[3] / "expci" / "report" / "templates"
NOTHING = ReportParts(0, False, False, False, False, False, most=4)


def test_names_are_unique_and_stand_in_a_template() -> None:
    names = [section.name for section in SECTIONS]
    assert len(names) == len(set(names))
    text = "\n".join(path.read_text() for path in TEMPLATES.iterdir())
    assert [name for name in names if not re.search(rf"\b{name}\b", text)] == []


@pytest.mark.parametrize("parts", [ReportParts(), NOTHING])
def test_a_report_without_trials_says_nothing_of_trials(parts: ReportParts) -> None:
    values = section_values(samples.experiment(), samples.life(), samples.no_data(), parts)
    silent = {section.name for section in SECTIONS if section.of_trials}
    assert not any(values[name] for name in silent)


def test_what_the_shortest_comment_drops() -> None:
    life, analysis = samples.life(), samples.analysis()
    full = section_values(samples.experiment(), life, analysis, ReportParts())
    short = section_values(samples.experiment(), life, analysis, NOTHING)
    dropped = {name for name, value in full.items() if value and not short[name]}
    assert dropped == {"findings", "plan", "log", "numbers", "trials", "checks", "criteria"} | {
        "reasons",
        "results",
    }
    assert len(short["health"]) == 1 < len(full["health"])

"""Reports on a terminal are never wider than it is."""

from __future__ import annotations

from contextvars import copy_context

import pytest

from expci.core.model.results import Analysis
from expci.report.documents import render
from expci.report.documents.environment import set_columns
from expci.report.sections.portfolio_row import PortfolioRow
from expci.report.text import escape
from support import report_samples as samples


def reports(columns: int, analysis: Analysis) -> list[str]:
    set_columns(columns)
    experiment, life = samples.experiment(), samples.lives()["watching"]
    row = PortfolioRow("parallel-review", experiment, samples.life(), analysis)
    several, of_several = samples.several()
    return [
        render.analysis_screen(experiment, samples.life(), analysis),
        render.analysis_screen(several, samples.life(), of_several),
        render.analysis_report(experiment, samples.life(), analysis),
        render.analysis_report(several, samples.life(), of_several),
        render.status_one(experiment, life, samples.watching()),
        render.status_report([row], all=True),
        render.plan_text(samples.plan_document(), experiment),
    ]


@pytest.mark.parametrize("columns", [80, 120, 200])
def test_no_line_is_wider_than_the_terminal(columns: int) -> None:
    for text in copy_context().run(reports, columns, samples.analysis()):
        widest = max(text.splitlines(), key=escape.width)
        assert escape.width(widest) <= columns, widest


def test_the_improvement_is_the_last_to_go() -> None:
    [screen, *_] = copy_context().run(reports, 80, samples.analysis())
    assert "+21.3%" in screen


def test_one_screen_is_one_screen() -> None:
    [screen, *_] = copy_context().run(reports, 80, samples.analysis())
    assert len(screen.splitlines()) <= 24
    assert screen.startswith("PROMOTE: treatment cuts duration_s by 21.3%")
    assert screen.rstrip().endswith("expci analyze parallel-review --full")

"""What a reader sees of a comment before scrolling, in a browser with GitHub's style sheet."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from playwright.sync_api import Page

from expci.core.lifecycle.transitions import Life, fold
from expci.core.model.events import PromoteOpened
from expci.core.model.experiment import Metric
from expci.report.documents import render
from expci.report.documents.proposal import Proposal, ProposingPullRequest, design_comment
from expci.report.sections.links import WebPlace
from expci.report.sections.review import WORKFLOW_BOT
from support import report_samples as samples
from support.browser.bench import show_comment

pytestmark = pytest.mark.slow

PLACE = WebPlace("https://github.com/octocat/tools", "https://octocat.github.io/tools")
COMMENT = 780  # px: a comment's text on a pull request, at a window of 1280
PHONE = 375 - 32  # px: the same on a phone
FIRST_SCREEN = 480  # px
LIVES = samples.lives()


def of(state: str, analysis: object) -> Callable[[], str]:
    def text() -> str:
        return render.comment(
            samples.experiment(),
            LIVES[state],
            analysis,  # type: ignore[arg-type]
            base_branch="main",
            place=PLACE,
        )

    return text


def several() -> str:
    experiment, analysis = samples.several()
    return render.comment(experiment, LIVES["running"], analysis, base_branch="main", place=PLACE)


def many_metrics() -> str:
    names = [f"median_duration_of_step_{number}_s" for number in range(20)]
    guards = [Metric(name, "guardrail", "duration", "decrease") for name in names]
    results = [replace(samples.duration(), name=name, role="guardrail") for name in names]
    experiment = samples.experiment(metrics=(samples.DURATION, *guards))
    analysis = samples.analysis(metrics=(samples.duration(), *results))
    return render.comment(experiment, LIVES["running"], analysis, base_branch="main", place=PLACE)


def promote_body(life: Life = LIVES["promoting"]) -> str:
    return render.promote_body(
        samples.experiment(),
        life,
        samples.analysis(),
        data_hash="ab" * 32,
        undo="expci rollback parallel-review --reason '…'",
        conflicts=[],
        place=PLACE,
    )


def held_promote_body() -> str:
    """Opened by a workflow's own token, on a branch that asks for a review."""
    *before, opened = LIVES["promoting"].events
    assert isinstance(opened, PromoteOpened)
    held = replace(opened, opened_by=WORKFLOW_BOT, rules="pull_request")
    return promote_body(fold([*before, held]))


def design() -> str:
    valid = Proposal("parallel-review", samples.experiment(), document=samples.plan_document())
    return design_comment(ProposingPullRequest(12, samples.BASE), [valid])


COMMENTS: dict[str, Callable[[], str]] = {
    "collecting": of("running", samples.collecting()),
    "promote": of("running", samples.analysis()),
    "promoting": of("promoting", samples.analysis()),
    "watching": of("watching", samples.watching()),
    "promoted": of("promoted", samples.watching()),
    "harm": of("running", samples.rollback()),
    "rolled-back": of("rolled_back", samples.rollback()),
    "invalid": of("paused", samples.invalid()),
    "expired": of("expired", samples.expired()),
    "no-effect": of("stopped", samples.stopped_no_effect()),
    "no-data": of("running", samples.no_data()),
    "several": several,
    "many-metrics": many_metrics,
    "promote-body": promote_body,
    "promote-body-held": held_promote_body,
    "design": design,
}


@pytest.mark.parametrize("case", COMMENTS)
def test_the_first_screen_holds_what_matters(page: Page, case: str) -> None:
    show_comment(page, COMMENTS[case](), COMMENT)
    assert page.locator("h3").first.bounding_box() is not None
    end = page.locator("details").first.bounding_box()
    assert end is not None
    assert end["y"] <= FIRST_SCREEN
    assert page.evaluate("document.documentElement.scrollWidth") <= COMMENT
    assert not page.locator("details[open]").count()
    assert page.evaluate(OVERFLOWING) == []


OVERFLOWING = """[...document.querySelectorAll("article > table")]
    .filter((table) => table.scrollWidth > table.clientWidth).map((table) => table.innerText)"""
BROKEN_UNITS = """[...document.querySelectorAll("article > table td")]
    .filter((cell) => /^\\S+ (s|MB|points)$/.test(cell.innerText)).map((cell) => cell.innerText)"""


@pytest.mark.parametrize("case", ["collecting", "promote", "several", "many-metrics"])
def test_a_phone_shows_the_improvement(page: Page, case: str) -> None:
    show_comment(page, COMMENTS[case](), PHONE)
    head = page.locator("article > table").first.locator("th")
    column = head.all_inner_texts().index("improvement")
    cell = page.locator("article > table").first.locator("tbody tr").first.locator("td")
    box = cell.nth(column).bounding_box()
    assert box is not None
    assert box["x"] + box["width"] <= PHONE
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE


def test_a_number_and_its_unit_stay_on_one_line(page: Page) -> None:
    show_comment(page, COMMENTS["promote"](), PHONE)
    assert page.evaluate(BROKEN_UNITS) == []
    heights = page.evaluate(
        """[...document.querySelectorAll("article > table tbody tr")].map((row) => row.cells)
        .map((cells) => cells[cells.length - 1].getClientRects().length)"""
    )
    assert set(heights) == {1}

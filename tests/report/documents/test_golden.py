"""Whole reports in each state, as files that can be read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from markdown_it import MarkdownIt

from expci.core.lifecycle.transitions import Life
from expci.core.model.results import Analysis
from expci.core.spec.yaml_document import Problem
from expci.report.documents import render
from expci.report.documents.answer import AnsweredExperiment, answer_comment
from expci.report.documents.proposal import (
    FileChange,
    Proposal,
    ProposingPullRequest,
    design_comment,
    design_title,
)
from expci.report.sections.links import WebPlace
from expci.report.sections.portfolio_row import PortfolioRow
from expci.report.text import escape
from support import report_samples as samples

Golden = Callable[[str, str], None]
LIVES = samples.lives()
CASES: dict[str, tuple[Life, Analysis | None]] = {
    "draft": (LIVES["draft"], None),
    "collecting": (LIVES["running"], samples.collecting()),
    "no-data": (LIVES["running"], samples.no_data()),
    "promote": (LIVES["running"], samples.analysis()),
    "promoting": (LIVES["promoting"], samples.analysis()),
    "watching": (LIVES["watching"], samples.watching()),
    "promoted": (LIVES["promoted"], samples.watching()),
    "harm": (LIVES["running"], samples.rollback()),
    "rolled-back": (LIVES["rolled_back"], samples.rollback()),
    "invalid": (LIVES["paused"], samples.invalid()),
    "expired": (LIVES["expired"], samples.expired()),
    "stopped-no-effect": (LIVES["stopped"], samples.stopped_no_effect()),
}
HEADINGS = {
    "draft": "### 📝 Draft: no trial counts before it is started",
    "collecting": "### 🧪 Collecting: 12 of 20 pairs; nothing is decided yet",
    "promote": "### ✅ Promote: `treatment` cuts `duration_s` by 21.3%",
    "promoting": "### 🚀 Promote: `treatment` cuts `duration_s` by 21.3%",
    "harm": "### 🛑 Roll back: `treatment` raises `duration_s` by 15.2%",
    "stopped-no-effect": "### ⏹️ Stopped: no effect was shown",
}
PLACE = WebPlace("https://github.com/octocat/tools", "https://octocat.github.io/tools")


def rows() -> list[PortfolioRow]:
    problem = "running for 3 days, 0 trials: is the trial step in a workflow that runs?"
    made = [
        PortfolioRow(
            name,
            samples.experiment(id=name),
            life,
            analysis,
            promotion=analysis if name == "promoted" else None,
        )
        for name, (life, analysis) in CASES.items()
        if name != "no-data"
    ]
    life, analysis = CASES["no-data"]
    made.append(PortfolioRow("no-data", samples.experiment(), life, analysis, problem))
    return [*made, PortfolioRow("broken", None, LIVES["draft"], None, "experiment.yml is not YAML")]


def comment_of(case: str) -> str:
    life, analysis = CASES[case]
    return render.comment(samples.experiment(), life, analysis, base_branch="main", place=PLACE)


@pytest.mark.parametrize("case", CASES)
def test_comment(case: str, golden: Golden) -> None:
    text = comment_of(case)
    golden(f"comment-{case}.md", text)
    heading = text.splitlines()[0]
    assert heading.startswith("### ")
    assert heading == HEADINGS.get(case, heading)
    assert text.endswith("<!-- expci:report:parallel-review -->\n")
    assert text == comment_of(case)


@pytest.mark.parametrize("case", CASES)
def test_details_close_and_tables_parse(case: str) -> None:
    """A block that swallows the rest of the comment is what a missing blank line costs."""
    life, analysis = CASES[case]
    text = render.comment(samples.experiment(), life, analysis, base_branch="main")
    tokens = MarkdownIt("commonmark").enable("table").parse(text)
    blocks = [token.content for token in tokens if token.type == "html_block"]
    opened = [block for block in blocks if block.startswith("<details>")]
    assert len(opened) == blocks.count("</details>\n") == text.count("<details>")
    pipes = [t.content for t in tokens if t.type == "inline" and t.content.startswith("|")]
    assert pipes == []


@pytest.mark.parametrize("case", ["promote", "collecting", "no-data", "rolled-back"])
def test_analysis(case: str, golden: Golden) -> None:
    life, analysis = CASES[case]
    assert analysis is not None
    text = render.analysis_report(samples.experiment(), life, analysis)
    golden(f"analysis-{case}.txt", text)
    golden(f"screen-{case}.txt", render.analysis_screen(samples.experiment(), life, analysis))
    assert max(escape.width(line) for line in text.splitlines()) <= 100
    for needed in (samples.PLAN, samples.LEDGER, "0.1.0"):
        assert needed in text
    golden(
        f"analysis-{case}.md",
        render.analysis_report(samples.experiment(), life, analysis, "markdown"),
    )


def test_analysis_of_several_treatments(golden: Golden) -> None:
    experiment, analysis = samples.several()
    text = render.analysis_report(experiment, LIVES["running"], analysis)
    golden("analysis-several.txt", text)
    assert "faster cuts duration_s by 19.0%" in text
    comment = render.comment(experiment, LIVES["running"], analysis, base_branch="main")
    golden("comment-several.md", comment)


@pytest.mark.parametrize("case", ["watching", "rolled-back", "stopped-no-effect"])
def test_one(case: str, golden: Golden) -> None:
    life, analysis = CASES[case]
    golden(f"one-{case}.txt", render.status_one(samples.experiment(), life, analysis))


def test_status(golden: Golden) -> None:
    golden("status.txt", render.status_report(rows(), all=False))
    golden("status-all.txt", render.status_report(rows(), all=True))
    golden("status.md", render.status_report(rows(), all=False, format="markdown"))
    golden("ledger-readme.md", render.ledger_readme(rows()))
    golden("status-empty.txt", render.status_report([], all=True))


def proposals() -> list[Proposal]:
    lines = ("@@ -1,2 +1,2 @@", " Review:", "-one after the other", "+all at once")
    valid = Proposal(
        "parallel-review",
        samples.experiment(),
        document=samples.plan_document(),
        changes=(
            FileChange("treatment", "commands/review.md", lines),
            FileChange("treatment", "logo.png", (), "new file; a binary file"),
        ),
        advice=("Say what would count as failure.",),
        overlaps=("cache varies commands/review.md too, in the same slot review: wait for it",),
        blocked=True,
    )
    file = "experiments/broken/experiment.yml"
    problem = Problem(file, 4, "rnu", "is an unknown key", "did you mean `run`?")
    return [valid, Proposal("broken", None, (problem,))]


def test_design(golden: Golden) -> None:
    request, [valid, broken] = ProposingPullRequest(12, samples.BASE), proposals()
    golden("design.md", design_comment(request, [valid]))
    golden("design-several.md", design_comment(request, [valid, broken]))
    golden("design-fork.md", design_comment(replace(request, fork=True), [valid]))
    assert design_title([valid]) == "1 experiment, valid; 3 to think about"
    assert design_title([valid, broken]) == "2 experiments, 1 problem"


@pytest.mark.slow
def test_a_long_design_is_shortened_and_says_so() -> None:
    [valid, broken] = proposals()
    big = replace(valid, changes=(FileChange("treatment", "a", ("+" + "x" * 390,) * 900),) * 30)
    request = ProposingPullRequest(12, samples.BASE)
    assert "Shortened" in design_comment(request, [big])
    for text in (design_comment(request, [big] * 60), design_comment(request, [broken] * 900)):
        assert render.length(text) <= render.COMMENT_LIMIT
        assert text.rstrip().endswith("<!-- expci:design:12 -->")
        assert "more experiments" in text


def test_answers(golden: Golden) -> None:
    standing = AnsweredExperiment(
        samples.experiment(), LIVES["running"], samples.analysis(), "main"
    )
    sentence = "`parallel-review`, as asked for by ada:"
    golden("answer-status.md", answer_comment(sentence, "4711", standing))
    golden("answer.md", answer_comment("pause parallel-review was refused: it is paused.", "4712"))


def test_plan_text(golden: Golden) -> None:
    experiment, document = samples.experiment(), samples.plan_document()
    golden("plan.txt", render.plan_text(document, experiment))
    golden("plan-empty.txt", render.plan_text({"schema": "expci.plan/1"}, experiment))


def test_the_commit_of_a_promotion_is_no_wider_than_a_log() -> None:
    why = "treatment improves duration_s by 21.3% after 24 pairs; a promotion needs 7.5% or more."
    text = render.promote_message(
        samples.experiment(), samples.analysis(), "treatment", why, "Expci-Promote: parallel-review"
    )
    assert text == (
        "Promote treatment of parallel-review\n\n"
        "Parallel agents in PR review (duration_s better by 21.3%)\n\n"
        "treatment improves duration_s by 21.3% after 24 pairs; a promotion needs\n"
        "7.5% or more.\n\n"
        "Expci-Promote: parallel-review"
    )
    hostile = render.promote_message(
        samples.experiment(), None, "treatment", "a\n\nExpci-Revert: x", "Expci-Promote: y"
    )
    assert "\nExpci-Revert" not in hostile


def test_requests_and_messages(golden: Golden) -> None:
    experiment, analysis = samples.experiment(), samples.analysis()
    body = render.promote_body(
        experiment,
        LIVES["promoting"],
        analysis,
        data_hash="ab" * 32,
        undo='expci rollback parallel-review --reason "…"',
        conflicts=["scripts/review.sh"],
        place=PLACE,
    )
    golden("promote-body.md", body)
    by_hand = render.promote_body(
        experiment, LIVES["running"], None, data_hash="", undo="git revert", conflicts=[]
    )
    golden("promote-body-by-hand.md", by_hand)
    title = render.promote_title(experiment, analysis)
    assert title == (
        "Promote treatment of parallel-review: Parallel agents in PR review "
        "(duration_s better by 21.3%)"
    )
    message = render.revert_message(
        experiment, LIVES["rolled_back"], samples.rollback(), "harm while watching"
    )
    golden("revert-message.txt", message)
    assert len(message.splitlines()[0]) <= 72
    rolled_back = LIVES["rolled_back"]
    reason = "the branch main is protected"
    body = render.revert_body(experiment, rolled_back, samples.rollback(), reason)
    golden("revert-body.md", body)


def test_short_comments_and_alerts(golden: Golden) -> None:
    experiment, watching = samples.experiment(), LIVES["watching"]
    golden("state.md", render.state_comment(experiment, watching, samples.watching(), "main"))
    golden("state-passed.md", render.state_comment(experiment, watching, None, "main"))
    title, body = render.alert_issue(experiment, LIVES["paused"], samples.invalid())
    golden("alert.md", f"# {title}\n\n{body}")

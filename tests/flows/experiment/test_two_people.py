"""Who stands behind a promotion is said in it, and somebody else is asked to review it."""

from __future__ import annotations

from random import Random

import pytest

from expci.core.lifecycle.transitions import State
from expci.flows.auto.auto import auto
from support.github_server.world import Issue
from support.hub_bench import BOT, HubBench, bench, template
from support.hub_stage import HubStage
from support.specimen import SPEC

__all__ = ["bench", "template"]


@pytest.fixture
def stage(bench: HubBench) -> HubStage:
    made = HubStage.of(bench)
    made.random = Random(5)
    bench.hub.people |= {"ada": "write", "grace": "write"}
    return made


def promoted_by_bot(stage: HubStage, starter: str, owner: str = "ada") -> Issue:
    """Ada proposes a change of her own; the promotion's pull request."""
    number = stage.request(spec=f"{SPEC}owner: {owner}\n", author="ada")
    stage.says(number, starter, "/expci start")
    assert auto(stage.context).problems == []
    stage.pairs(17, 0.8, context={"actor": "ada"})
    assert auto(stage.context).problems == []
    assert stage.life().state is State.PROMOTING
    [issue] = [i for i in stage.bench.hub.issues.values() if i.pull and "promote" in i.pull.head]
    return issue


def test_the_author_of_a_variant_is_not_asked_to_review_it(stage: HubStage) -> None:
    issue = promoted_by_bot(stage, starter="grace")
    assert issue.pull is not None
    assert issue.pull.requested == ["grace"]
    for line in (
        "- proposed by ada in #1",
        "- started by grace",
        "- trials by ada 34",
        f"- let somebody else than ada review it: {BOT} opened this, so GitHub lets ada approve it",
    ):
        assert line in issue.body.replace("\\", ""), issue.body
    before = issue.body
    auto(stage.context)
    assert issue.body == before, "the next pass writes the same"


def test_one_person_alone_is_told_so(stage: HubStage) -> None:
    issue = promoted_by_bot(stage, starter="ada")
    assert issue.pull is not None
    assert issue.pull.requested == []
    assert "let somebody else than ada review it" in issue.body


def test_the_rules_that_hold_a_promotion_are_named_in_it(stage: HubStage) -> None:
    rules = ["code_scanning", "merge_queue", "commit_author_email_pattern", "workflows"]
    stage.bench.hub.rules["main"] = [*rules, "deletion"]
    issue = promoted_by_bot(stage, starter="grace")
    body = issue.body.replace("\\", "")
    for words in (
        "results of code scanning",
        "the merge queue",
        "authors' addresses",
        "workflows of the",
    ):
        assert f"- the branch asks for {words}" in body or words in body, body
    assert "deletion" not in body
    assert "Approve workflows to run" in body, "the token is a workflow's own"

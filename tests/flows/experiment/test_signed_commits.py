"""Where a branch takes signed commits alone, promotions and reverts are made by GitHub."""

from __future__ import annotations

from random import Random

import pytest

from expci.core.lifecycle.transitions import State
from expci.flows.auto.auto import auto
from support.github_server.faults import Fault
from support.github_server.world import Issue
from support.hub_bench import HubBench, bench, template
from support.hub_stage import HubStage
from support.specimen import FAST, SPEC

__all__ = ["bench", "template"]

MERGES = f"{SPEC}decision: {{promote: merge}}\n"


@pytest.fixture
def stage(bench: HubBench) -> HubStage:
    made = HubStage.of(bench)
    made.random = Random(5)
    return made


def decide(stage: HubStage, spec: str = SPEC) -> Issue:
    """From a proposal to the pull request of its promotion."""
    number = stage.request(spec=spec)
    stage.says(number, "ada", "/expci start")
    assert auto(stage.context).problems == []
    stage.pairs(17, 0.5)
    assert auto(stage.context).problems == []
    return promotion(stage)


def promotion(stage: HubStage) -> Issue:
    pulls = [i for i in stage.bench.hub.issues.values() if i.pull and "promote" in i.pull.head]
    return pulls[-1]


def is_signed(stage: HubStage, ref: str) -> bool:
    return "\ngpgsig " in stage.bench.hub.bare.git("cat-file", "commit", ref)


def merge_by_hand(stage: HubStage) -> None:
    pull = stage.context.forge.pull_requests.of_branch("expci/promote/speed")
    assert pull is not None
    stage.context.forge.pull_requests.merge(pull, "Promote")
    assert auto(stage.context).problems == []
    assert stage.life().state is State.WATCHING


def test_the_stand_in_itself_refuses_what_is_unsigned(stage: HubStage) -> None:
    stage.bench.hub.require_signatures("main")
    stage.repository.write("a.txt", "a\n")
    stage.repository.commit("Unsigned")
    with pytest.raises(AssertionError, match="must have verified signatures"):
        stage.repository.push("HEAD:refs/heads/main")
    assert not is_signed(stage, "main")


def test_a_promotion_is_signed_and_merged_and_a_revert_is_pushed(stage: HubStage) -> None:
    stage.bench.hub.require_signatures("main")
    issue = decide(stage)
    assert is_signed(stage, "expci/promote/speed")
    assert issue.pull is not None
    opened = stage.life().promote_opened
    assert opened is not None
    assert opened.commit == issue.pull.head_sha
    assert "signed commits" not in issue.body, "nothing holds it"
    merge_by_hand(stage)
    stage.pairs(14, 1.6)
    assert auto(stage.context).problems == []
    life = stage.life()
    assert life.state is State.ROLLED_BACK
    assert life.reverted is not None
    assert life.reverted.commit == stage.bench.hub.bare.tip("refs/heads/main")
    assert is_signed(stage, "main")
    assert stage.repository.origin_file("work.sh") != FAST.strip()
    tips = stage.bench.hub.bare.tips()
    assert auto(stage.context).problems == []
    assert stage.bench.hub.bare.tips()["refs/heads/main"] == tips["refs/heads/main"], "once"


def test_a_signed_promotion_is_merged_by_the_plan(stage: HubStage) -> None:
    stage.bench.hub.require_signatures("main")
    decide(stage, MERGES)
    assert auto(stage.context).problems == []
    assert stage.life().state is State.WATCHING
    assert stage.repository.origin_file("work.sh") == FAST.strip()


def test_a_revert_that_needs_a_pull_request_too_has_a_signed_branch(stage: HubStage) -> None:
    decide(stage)
    merge_by_hand(stage)
    stage.bench.hub.require_signatures("main", "pull_request")
    stage.bench.hub.reviews_needed = True
    stage.pairs(14, 1.6)
    assert auto(stage.context).problems == []
    assert stage.life().state is State.ROLLED_BACK
    assert is_signed(stage, "expci/revert/speed")


def test_a_pass_that_was_killed_after_the_push_makes_no_second_commit(stage: HubStage) -> None:
    """The clock went on meanwhile, so a second commit would have another id."""
    stage.bench.hub.require_signatures("main")
    stage.bench.hub.faults.add(Fault.failure("POST", "/pulls$", status=403))
    number = stage.request()
    stage.says(number, "ada", "/expci start")
    assert auto(stage.context).problems == []
    stage.pairs(17, 0.5)
    assert auto(stage.context).problems != []
    first = stage.bench.hub.bare.tip("refs/heads/expci/promote/speed")
    assert auto(stage.context).problems == []
    assert stage.bench.hub.bare.tip("refs/heads/expci/promote/speed") == first
    assert promotion(stage).pull is not None


def test_protection_that_does_not_tell_beforehand_is_met_by_a_signature(stage: HubStage) -> None:
    """Classic protection names no rule; its refusal of the push does."""
    stage.bench.hub.require_signatures("main", is_told=False)
    stage.bench.hub.require_signatures("expci/promote/speed", is_told=False)
    decide(stage)
    assert is_signed(stage, "expci/promote/speed")


def test_for_a_persons_token_the_pull_request_names_what_holds_it(stage: HubStage) -> None:
    stage.bench.hub.require_signatures("main")
    stage.begin()
    stage.pairs(17, 0.5)
    stage.bench.token = stage.bench.hub.token_of("ada")
    auto(stage.context)  # check runs are for Apps alone, and it says so
    issue = promotion(stage)
    assert not is_signed(stage, "expci/promote/speed")
    assert "the branch asks for signed commits" in issue.body

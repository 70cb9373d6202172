"""A problem of one experiment is a warning: the pass fails only when it could do nothing."""

from __future__ import annotations

from datetime import timedelta

import pytest

from expci.flows.auto.auto import auto
from support.hub_bench import HubBench, bench, template
from support.hub_stage import HubStage

__all__ = ["bench", "template"]


@pytest.fixture
def stage(bench: HubBench) -> HubStage:
    return HubStage.of(bench)


def test_a_broken_experiment_on_the_default_branch_fails_no_pass(stage: HubStage) -> None:
    stage.repository.write("experiments/broken/experiment.yml", "version: 1\nname: x\n")
    stage.repository.commit("Broken")
    stage.repository.push("HEAD:main")
    stage.begin()
    done = auto(stage.context)
    assert [name for name, _ in done.problems] == ["broken"]
    assert [gathered.name for gathered in done.gathered] == ["speed"]
    assert not done.failed


def test_without_issues_an_alert_stands_in_the_pull_request(stage: HubStage) -> None:
    number = stage.request()
    stage.bench.hub.has_issues = False
    stage.start()
    auto(stage.context)
    stage.now += timedelta(days=2)
    done = auto(stage.context)
    assert done.problems == []
    assert ("speed", f"wrote the alert into pull request {number}") in done.actions
    alert = [body for body in stage.bench.comments(number) if "0 trials" in body]
    assert any(body.rstrip().endswith("<!-- expci:alert:speed -->") for body in alert)
    stage.now += timedelta(hours=1)
    auto(stage.context)  # the report no longer says that no pass ran for two days
    stage.now += timedelta(hours=1)
    assert auto(stage.context).actions == []


def test_a_pass_that_could_do_nothing_fails(stage: HubStage) -> None:
    stage.begin()
    auto(stage.context)
    context = stage.context
    stage.bench.hub.tokens.clear()
    done = auto(context)
    assert done.problems
    assert done.failed


def test_a_locked_pull_request_is_a_warning_and_holds_up_nothing(stage: HubStage) -> None:
    """GitHub answers 403 to a bot that comments where the conversation is locked."""
    number = stage.request()
    stage.start()
    auto(stage.context)
    stage.bench.hub.issues[number].locked = True
    stage.pairs(3, 1.0)
    done = auto(stage.context)
    assert not done.failed
    assert done.folded == {"speed": 6}
    assert all("locked" in what.lower() or "403" in what for _, what in done.problems)
    stage.bench.hub.issues[number].locked = False
    assert auto(stage.context).problems == []

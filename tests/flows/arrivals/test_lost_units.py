"""Lost units: who took part by the rule and said nothing, and who only seems to have."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from expci.core.dataset.recorded import trial_columns
from expci.core.model.trial import Trial, derived_trial_id
from expci.flows.experiment.stored_analysis import analyse_ledger
from expci.flows.verbs import lifecycle
from expci.flows.verbs.fsck import fsck
from support.github_server.world import Run
from support.ground import Field, as_file, begun, counted, ground, pushed
from support.hub_bench import template

__all__ = ["begun", "ground", "template"]

STEPS = [("Check out", "success"), ("Run expci/expci/.github/actions/assign@v1", "success")]


def quiet(ground: Field, **fields: Any) -> Run:
    return ground.run(**{"steps": STEPS, "conclusion": "failure", **fields})


def reporting(ground: Field, count: int = 3) -> list[Run]:
    """Runs that took part and said so; they make the workflow known."""
    runs = [ground.run(steps=STEPS) for _ in range(count)]
    for run in runs:
        ground.artifact(run)
    ground.pass_()
    return runs


def lost(ground: Field) -> list[Trial]:
    return [t for t in ground.trials() if t.context.get("source") == "ci-records"]


def test_a_run_that_took_part_and_said_nothing_is_lost(ground: Field) -> None:
    reporting(ground)
    run = quiet(ground, number=71)
    expected = ground.trial(run)
    ground.pass_()
    assert lost(ground) == []  # the grace period
    ground.now += timedelta(hours=1)
    assert ground.pass_().problems == ()
    [found] = lost(ground)
    plan = ground.exposure.plan
    assert found.id == derived_trial_id("lost", "speed", plan, f"run-{run.id}")
    assert (found.status, found.arm, found.unit) == ("lost", expected.arm, expected.unit)
    assert found.context["run_number"] == "71"
    assert ground.bench.calls("GET", "/jobs") == 1
    before = ground.ledger.commit
    ground.now += timedelta(hours=3)
    ground.pass_()
    assert ground.ledger.commit == before
    assert ground.bench.calls("GET", "/jobs") == 1
    assert fsck(ground.context).problems == []


def test_what_reports_late_counts_instead_of_the_loss(ground: Field) -> None:
    reporting(ground)
    run = quiet(ground)
    trial = ground.trial(run)
    ground.now += timedelta(hours=2)
    ground.pass_()
    assert [found.status for found in lost(ground)] == ["lost"]
    losing = counted(ground)
    assert losing["control"] + losing["treatment"] == 4
    ground.artifact(run, as_file(trial))
    ground.pass_()
    assert len(ground.trials()) == 5
    found = counted(ground)
    assert found["excluded"] == {"reported_late": 1}
    assert found["control"] + found["treatment"] == 4
    plan, life = ground.ledger.plan("speed"), ground.ledger.life("speed")
    assert plan is not None
    analysis = analyse_ledger(ground.ledger, plan, life, trial_columns(ground.trials()), ground.now)
    [success] = [metric for metric in analysis.metrics if metric.name == "success"]
    assert {arm.mean for arm in success.arms.values() if arm.n} == {1.0}


def test_a_cancelled_run_shows_and_is_no_failure(ground: Field) -> None:
    reporting(ground)
    quiet(ground, conclusion="cancelled")
    ground.now += timedelta(hours=2)
    ground.pass_()
    assert [trial.status for trial in lost(ground)] == ["cancelled"]


def edited(ground: Field) -> Run:
    """A commit whose own content of the varied file is not what control has."""
    ground.bench.repository.write("work.sh", "sleep 0.02\n", executable=True)
    return quiet(ground, head_sha=ground.bench.repository.commit("Another script"))


NOT_LOST: dict[str, Callable[[Field], Run]] = {
    "the step was skipped": lambda g: quiet(g, steps=[("expci", "skipped"), ("Work", "failure")]),
    "no step of ours": lambda g: quiet(g, steps=[("Work", "failure")]),
    "another workflow": lambda g: quiet(g, path=".github/workflows/pages.yml"),
    "a fork": lambda g: quiet(g, fork="mallory/copy"),
    "it still runs": lambda g: quiet(g, status="in_progress", conclusion=None),
    "a commit before the experiment": lambda g: quiet(
        g, head_sha=g.bench.repository.git("rev-list", "--max-parents=0", "HEAD")
    ),
    "a commit that edits the file": edited,
    "a commit that nobody has": lambda g: quiet(g, head_sha="d" * 40),
}


@pytest.mark.parametrize("make", NOT_LOST.values(), ids=list(NOT_LOST))
def test_who_did_not_take_part_is_not_lost(ground: Field, make: Callable[[Field], Run]) -> None:
    reporting(ground)
    make(ground)
    ground.now += timedelta(hours=2)
    assert ground.pass_().problems == ()
    assert lost(ground) == []
    control = quiet(ground)
    ground.now += timedelta(hours=2)
    ground.pass_()
    assert [trial.unit for trial in lost(ground)] == [f"run-{control.id}"]


def test_who_was_silent_before_the_first_report_is_found_too(ground: Field) -> None:
    quiet(ground)
    reporting(ground)
    ground.now += timedelta(hours=2)
    ground.pass_()
    assert len(lost(ground)) == 1


def test_nobody_is_asked_twice(ground: Field) -> None:
    """Though a run that goes on for long keeps the looks beginning before it."""
    reporting(ground)
    quiet(ground, status="in_progress", conclusion=None)
    quiet(ground, steps=[("Work", "failure")])
    ground.now += timedelta(hours=2)
    for _ in range(3):
        ground.pass_()
    assert ground.bench.calls("GET", "/jobs") == 1


def test_what_was_refused_or_pushed_is_not_lost(ground: Field) -> None:
    reporting(ground)
    refused, late = quiet(ground), quiet(ground)
    ground.artifact(refused, b"no archive")
    ground.now += timedelta(hours=2)
    pushed(ground, ground.trial(late))
    ground.pass_()
    ground.now += timedelta(hours=5)
    ground.pass_()
    assert lost(ground) == []
    assert len(ground.trials()) == 4


def test_where_a_workflow_draws_otherwise_nothing_is_foretold(ground: Field) -> None:
    run = ground.run(steps=STEPS)
    trial = ground.trial(run)
    other = "treatment" if trial.arm == "control" else "control"
    ground.artifact(run, as_file(replace(trial, arm=other)))
    ground.pass_()
    quiet(ground)
    ground.now += timedelta(hours=2)
    ground.pass_()
    assert lost(ground) == []
    assert ground.bench.calls("GET", "/jobs") == 0


def test_few_runs_are_asked_for_in_one_pass(ground: Field, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("expci.flows.arrivals.silent_runs.JOBS", 2)
    reporting(ground)
    for _ in range(3):
        quiet(ground)
    ground.now += timedelta(hours=2)
    ground.pass_()
    assert (len(lost(ground)), ground.bench.calls("GET", "/jobs")) == (2, 2)
    ground.pass_()
    ground.pass_()
    assert (len(lost(ground)), ground.bench.calls("GET", "/jobs")) == (3, 3)


def test_while_it_was_paused_nobody_was_lost(ground: Field) -> None:
    reporting(ground)
    context = replace(ground.context, make_forge=ground.without_a_server)
    lifecycle.pause(context, "speed", why="a break")
    quiet(ground)
    ground.now += timedelta(minutes=30)
    context = replace(ground.context, make_forge=ground.without_a_server)
    lifecycle.resume(context, "speed", why="on")
    ground.now += timedelta(hours=3)
    ground.pass_()
    assert lost(ground) == []


def test_two_passes_find_one_loss(ground: Field) -> None:
    reporting(ground)
    quiet(ground)
    ground.now += timedelta(hours=2)
    slow, fast = ground.gather(), ground.gather()
    ground.take(slow, meanwhile=lambda: ground.take(fast))
    assert len(lost(ground)) == 1
    assert ground.refusals() == []

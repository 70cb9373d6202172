"""One job must not decide an experiment: an artifact counts as far as the CI's records go."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from expci.core.assignment import Rule, assign
from expci.core.model.trial import Amendment, Trial, timestamp
from expci.flows.auto.auto import auto
from expci.runner.trial_ids import new_trial_id
from expci.store.ledger.run_quotas import LAB_TRIALS_A_RUN, TRIALS_A_JOB
from support.ground import LIVE, Field, as_file, begun, counted, ground
from support.hub_bench import HubBench, bench, template
from support.repositories import Repository
from support.specimen import SPEC

__all__ = ["begun", "bench", "ground", "template"]


def test_one_run_that_invents_120_units_counts_for_nothing(ground: Field) -> None:
    run = ground.run(path=".github/workflows/lint.yml")
    honest = ground.trial(run)
    invented = [
        replace(
            honest,
            id=new_trial_id(ground.now),
            unit=f"run-{n}",
            arm="treatment" if n % 2 else "control",
            metrics={"duration_s": 3.0 if n % 2 else 12.0, "success": 1.0},
        )
        for n in range(120)
    ]
    ground.artifact(run, as_file(*invented))
    ground.now += timedelta(hours=1)
    done = auto(ground.context)
    assert [event.word for _, event in done.events if event.word != "decided"] == []
    assert {trial.excluded for trial in ground.trials()} == {"unverified"}
    assert counted(ground)["excluded"] == {"unverified": 120}


def test_a_run_speaks_for_the_arm_that_the_rule_draws(ground: Field) -> None:
    run = ground.run()
    honest = ground.trial(run)
    other = {"control": "treatment", "treatment": "control"}[honest.arm]
    ground.artifact(run, as_file(replace(honest, arm=other)))
    second = ground.run()
    ground.artifact(second, as_file(ground.trial(second)))
    ground.pass_()
    by_run = {trial.unit: trial.excluded for trial in ground.trials()}
    assert by_run == {f"run-{run.id}": "unverified", f"run-{second.id}": None}


def test_a_run_without_a_step_of_ours_speaks_for_nothing(ground: Field) -> None:
    """An honest-looking trial of its own unit and arm, uploaded by a lint job."""
    run = ground.run(path=".github/workflows/lint.yml", steps=[("Run lint", "success")])
    ground.artifact(run)
    named = ground.run(path=".github/workflows/other.yml", steps=[("expci record", "success")])
    ground.artifact(named)
    late = Amendment(
        new_trial_id(ground.now),
        ground.trial(named).id,
        "speed",
        timestamp(ground.now),
        {"satisfaction": 0.0},
    )
    ground.artifact(run, as_file(late))
    harvest = ground.pass_()
    by_run = {trial.unit: trial.excluded for trial in ground.trials()}
    assert by_run == {f"run-{run.id}": "unverified", f"run-{named.id}": None}
    assert "no step of expci's is among the steps of its run" in harvest.problems[0][1]
    assert ground.refusals() == ["a late metric of a run without a step of expci's"]


def test_a_run_speaks_for_as_many_jobs_as_it_had(bench: HubBench) -> None:
    """A run with one job names sixty: one counts, in this pass and in the next."""
    ground = Field(bench)
    ground.begin(LIVE + "assignment: {unit: job, design: randomized}\n")
    run = ground.run(steps=[("expci record", "success")])

    def invent(n: int) -> Trial:
        unit = f"job-{run.id}-test-{n}"
        return ground.trial(run, unit=unit, arm=drawn(ground, unit), id=new_trial_id(ground.now))

    for n in range(30):
        ground.artifact(run, as_file(invent(n)))
    ground.pass_()
    for n in range(30, 60):
        ground.artifact(run, as_file(invent(n)))
    ground.pass_()
    assert len(ground.trials()) == 60
    assert [trial.excluded for trial in ground.trials()].count(None) == 1


def test_one_run_of_the_lab_has_a_quota(bench: HubBench) -> None:
    ground = Field(bench)
    ground.begin(SPEC)
    run = ground.run()
    names = [new_trial_id(ground.now) for _ in range(LAB_TRIALS_A_RUN + 50)]
    arms = {0: "control", 1: "treatment"}
    first = ground.trial(run, mode="lab")
    for part in (names[:300], names[300:]):
        trials = [
            replace(first, id=name, unit=f"pair-{n}", arm=arms[n % 2])
            for n, name in enumerate(part)
        ]
        ground.artifact(run, as_file(*trials))
        ground.pass_()
    verified = [trial for trial in ground.trials() if trial.excluded is None]
    assert len(verified) == LAB_TRIALS_A_RUN


def drawn(ground: Field, unit: str) -> str:
    """The arm of a unit by the rule, counted as `runner/ci/context.py` counts jobs."""
    exposure = ground.exposure
    rule = Rule(exposure.plan, exposure.salt, exposure.design, exposure.weights)
    return assign(rule, unit).arm or ""


def test_one_job_counts_a_few_times_and_no_more(ground: Field) -> None:
    run = ground.run()
    honest = ground.trial(run)
    again = [replace(honest, id=new_trial_id(ground.now), attempt=n + 1) for n in range(10)]
    ground.artifact(run, as_file(*again))
    ground.pass_()
    verified = [trial for trial in ground.trials() if trial.excluded is None]
    assert len(verified) == TRIALS_A_JOB


def test_a_trial_of_a_slot_does_not_pass_for_one_of_the_lab(ground: Field) -> None:
    run = ground.run()
    ground.artifact(run, as_file(replace(ground.trial(run), mode="lab", unit="job-1")))
    ground.pass_()
    [trial] = ground.trials()
    assert trial.excluded is not None


@pytest.fixture
def by_pull(template: Repository, tmp_path: Path) -> Iterator[Field]:
    """The same with pull requests as units."""
    made = Field(HubBench.of(template.copy(tmp_path)))
    made.begin(f"{LIVE}assignment: {{unit: pr}}\n")
    yield made
    assert made.bench.hub.violations == [], made.bench.hub.violations


def change(ground: Field, branch: str) -> int:
    """A pull request of this repository; its number."""
    repository = ground.bench.repository
    repository.git("switch", "-q", "-C", branch, "origin/main")
    repository.write(f"{branch}.txt", "x\n")
    repository.commit(branch)
    repository.push(branch)
    return ground.bench.hub.open_pull("ada", branch).number


def of_pull(ground: Field, branch: str, claimed: int, event: str = "pull_request") -> None:
    """A run on a branch, whose record says that it is of pull request `claimed`."""
    head = ground.bench.hub.bare.tip(f"refs/heads/{branch}")
    run = ground.run(event, head_branch=branch, head_sha=head)
    exposure = ground.exposure
    rule = Rule(exposure.plan, exposure.salt, exposure.design, exposure.weights)
    unit = f"pr-{claimed}"
    ground.artifact(run, as_file(ground.trial(run, unit=unit, arm=assign(rule, unit).arm)))


def test_a_run_speaks_for_its_own_pull_request_alone(by_pull: Field) -> None:
    first, second = change(by_pull, "one"), change(by_pull, "two")
    of_pull(by_pull, "one", first)
    of_pull(by_pull, "one", second)
    of_pull(by_pull, "two", second, event="push")
    by_pull.pass_()
    counts = sorted((trial.unit, trial.excluded or "") for trial in by_pull.trials())
    assert counts == [
        (f"pr-{first}", ""),
        (f"pr-{second}", "unverified"),
        (f"pr-{second}", "unverified"),
    ]


def test_once_it_is_closed_the_runs_branch_tells(by_pull: Field) -> None:
    """GitHub names only open pull requests in a run's record."""
    first, second = change(by_pull, "one"), change(by_pull, "two")
    of_pull(by_pull, "one", first)
    of_pull(by_pull, "one", second)
    for number in (first, second):
        by_pull.bench.hub.issues[number].state = "closed"
    by_pull.pass_()
    assert {trial.unit: trial.excluded for trial in by_pull.trials()} == {
        f"pr-{first}": None,
        f"pr-{second}": "unverified",
    }

"""One job must not decide an experiment: an artifact counts as far as the CI's records go."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from expci.core.model.trial import new_trial_id
from expci.flows.auto.auto import auto
from expci.store.ledger.vouching import TRIALS_A_JOB
from support.ground import Field, as_file, begun, counted, ground
from support.hub_bench import template

__all__ = ["begun", "ground", "template"]


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

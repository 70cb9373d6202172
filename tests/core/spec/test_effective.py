"""What a file leaves open is filled in, and each value says where it comes from."""

from __future__ import annotations

import json
from typing import Any

import pytest

from expci.core.model.experiment import (
    Budget,
    Limit,
    Metric,
    from_json,
    to_json,
)
from expci.core.spec.job_reader import read_plain
from support.spec_samples import MINIMAL, experiment, problems_of, read


def test_every_default_of_a_minimal_file() -> None:
    made = experiment(MINIMAL)
    assert made.name == "faster"
    assert made.metrics == (
        Metric(
            "duration_s",
            "primary",
            "duration",
            "decrease",
            minimum_effect=Limit(0.15, True),
            max_regression=Limit(0.1, True),
        ),
        Metric("success", "guardrail", "proportion", "increase", max_regression=Limit(0.05, False)),
    )
    assert made.assignment.design == "paired"
    assert made.assignment.weights == {"control": 1.0, "treatment": 1.0}
    assert (made.plan.alpha, made.plan.power, made.plan.min_trials) == (0.05, 0.8, 20)
    assert (made.plan.sample_size, made.plan.max_days) == (None, 14.0)
    assert made.decision.promote_at == Limit(0.075, True)
    assert (made.timeout_s, made.warmup, made.decision.holdback) == (1800.0, 0, 0.5)


def test_an_experiment_survives_the_ledger() -> None:
    made = experiment(MINIMAL)
    assert from_json(json.loads(json.dumps(to_json(made)))) == made


@pytest.mark.parametrize(
    ("line", "check"),
    [
        ("plan: {sample_size: 12}", lambda e: e.plan.min_trials == 12),
        ("plan: {sample_size: 30}", lambda e: e.plan.min_trials == 20),
        ("risk: high", lambda e: e.plan.alpha == 0.01),
        ("risk: high\nplan: {alpha: 0.02}", lambda e: e.plan.alpha == 0.02),
        ("timeout: 1h30m", lambda e: e.timeout_s == 5400.0),
        ("assignment: {traffic: 50%, design: blocked, weights: {treatment: 3}}",
         lambda e: e.assignment.traffic == 0.5
         and e.assignment.weights == {"control": 1.0, "treatment": 3.0}),
        ("prior: 70%", lambda e: e.prior == 0.7),
        ("rate: 50/month", lambda e: e.rate == 50.0),
        ("rate: 7 / week", lambda e: e.rate == pytest.approx(7 * 365.25 / 12 / 7)),
        ("rate: 1.5/day", lambda e: e.rate == pytest.approx(1.5 * 365.25 / 12)),
        ("decision: {promote_at: 0.3, holdback: 0.2}",
         lambda e: e.decision.promote_at == Limit(0.3, False) and e.decision.holdback == 0.2),
        ("slot: review", lambda e: e.slot == "review" and e.assignment.design == "paired"),
        ("name: |\n  A title\n", lambda e: e.name == "A title"),
    ],
)  # fmt: skip
def test_values_and_derivations(line: str, check: Any) -> None:
    assert check(experiment(MINIMAL + line + "\n"))


def test_without_a_command_the_design_is_blocked() -> None:
    made = experiment(MINIMAL.replace("run: ./build.sh", "slot: build"))
    assert made.assignment.design == "blocked"


def test_control_comes_first_and_may_be_empty() -> None:
    text = MINIMAL.replace(
        "  control: {}\n  treatment: {files: treatment/}\n",
        "  treatment: {files: treatment/}\n  control:\n",
    )
    assert [arm.name for arm in experiment(text).arms] == ["control", "treatment"]


DEFAULTS = """\
version: 1
timeout: 5m
owner: team
plan:
  alpha: 0.1
  max_days: 30
decision: {watch_days: 3}
assignment: {unit: pr}
"""


def test_defaults_lie_below_the_file_and_origins_say_so() -> None:
    text = MINIMAL + "plan: {max_days: 10}\n"
    reading = read(text, DEFAULTS)
    made = reading.experiment
    assert made is not None
    assert (made.timeout_s, made.plan.alpha, made.plan.max_days) == (300.0, 0.1, 10.0)
    assert (made.decision.watch_days, made.assignment.unit, made.owner) == (3.0, "pr", "team")
    origins = reading.origins
    assert origins["plan.max_days"] == "experiments/faster/experiment.yml:9"
    assert origins["plan.alpha"] == "experiments/expci.yml:5"
    assert origins["assignment.unit"] == "experiments/expci.yml:8"
    assert origins["plan.power"] == "default"
    assert origins["metrics[0].direction"] == "derived from the name duration_s"
    assert origins["decision.promote_at"] == "derived: half of minimum_effect"


def test_high_risk_is_stronger_than_the_repository() -> None:
    assert experiment(MINIMAL + "risk: high\n", DEFAULTS).plan.alpha == 0.01
    assert experiment(MINIMAL, "risk: high\nplan: {alpha: 0.001}").plan.alpha == 0.001


def test_the_keys_of_methods_are_kept_and_survive_the_ledger() -> None:
    text = MINIMAL.replace("15%}", "15%, denominator: items, winsorize: 99%}")
    text += (
        "plan: {inference: group-sequential, looks: 4, spending: power, rho: 2, futility: true}\n"
    )
    experiment = read(text).experiment
    assert experiment is not None
    assert experiment.primary.kind == "ratio"
    assert (experiment.primary.denominator, experiment.primary.winsorize) == ("items", 0.99)
    plan = experiment.plan
    assert (plan.looks, plan.spending, plan.rho, plan.futility) == (4, "power", 2.0, True)
    adjusted = read(MINIMAL.replace("15%}", "15%, adjust_by: [size, cpu]}")).experiment
    assert adjusted is not None
    assert adjusted.primary.adjust_by == ("size", "cpu")
    for found in (experiment, adjusted):
        assert from_json(json.loads(json.dumps(to_json(found)))) == found
    old = to_json(experiment)  # a plan that was frozen before these keys existed
    for key in ("looks", "spending", "rho", "futility"):
        del old["plan"][key]
    for metric in old["metrics"]:
        for key in ("denominator", "winsorize", "adjust_by"):
            del metric[key]
    assert from_json(old).plan.looks == 5


def test_whether_forks_count_is_said_in_the_plan_and_nowhere_else() -> None:
    assert experiment(MINIMAL).plan.count_forks is False
    own = MINIMAL + "plan: {count_forks: true}\n"
    assert experiment(own).plan.count_forks is True
    assert read_plain(own).arms == read_plain(MINIMAL).arms
    origins = read(own).origins
    assert origins["plan.count_forks"].startswith("experiments/faster/experiment.yml:")
    assert read(MINIMAL).origins["plan.count_forks"] == "default"
    usual = "version: 1\nplan: {count_forks: true}\n"
    assert experiment(MINIMAL, usual).plan.count_forks is True
    assert experiment(MINIMAL + "plan: {count_forks: false}\n", usual).plan.count_forks is False
    [problem] = read(MINIMAL + "plan: {count_forks: 1}\n").problems
    assert problem.path == "plan.count_forks"
    old = to_json(experiment(MINIMAL))  # a plan that was frozen before the key existed
    del old["plan"]["count_forks"]
    assert from_json(old).plan.count_forks is False


def test_a_budget_is_read_alike_and_survives_the_ledger() -> None:
    text = MINIMAL + "budget: {metric: cost_usd, most: 20}\n"
    read_budget = experiment(text).budget
    assert read_budget == Budget("cost_usd", 20.0)
    assert read_plain(text).budget == read_budget
    assert from_json(json.loads(json.dumps(to_json(experiment(text))))) == experiment(text)
    older = to_json(experiment(MINIMAL))
    del older["budget"]
    assert from_json(older) == experiment(MINIMAL)
    assert read(text).origins["budget.most"].endswith("experiment.yml:9")


@pytest.mark.parametrize(
    ("text", "path", "message"),
    [
        ("budget: {metric: cost_usd}", "budget.most", "is missing"),
        ("budget: {metric: cost_usd, most: 0}", "budget.most", "must be more than 0"),
        (
            "budget: {metric: cost usd, most: 2}",
            "budget.metric",
            "'cost usd' is not a valid metric name",
        ),
        ("budget: {metrik: cost_usd, most: 2}", "budget.metrik", "is an unknown key"),
        ("budget: 20", "budget", "must be a mapping of keys"),
    ],
)
def test_a_budget_that_cannot_be_kept_is_refused(text: str, path: str, message: str) -> None:
    assert (9, path, message) in problems_of(read(MINIMAL + text + "\n"))


def test_a_budget_without_lab_trials_is_refused() -> None:
    text = MINIMAL.replace("run: ./build.sh", "slot: build") + "budget: {metric: c, most: 2}\n"
    [problem] = read(text).problems
    assert problem.path == "budget"
    assert "limits lab trials" in problem.message


@pytest.mark.parametrize("design", ["", "assignment: {design: paired}\n"])
def test_an_experiment_may_be_recorded_only(design: str) -> None:
    reading = read(MINIMAL.replace("run: ./build.sh\n", design))
    assert reading.problems == ()
    assert reading.experiment is not None
    assert (reading.experiment.run, reading.experiment.slot) == (None, None)
    assert reading.experiment.assignment.design == ("paired" if design else "blocked")

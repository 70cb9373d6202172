"""`inference: auto`: what the file alone tells, and what older plans keep."""

from __future__ import annotations

import pytest

from expci.core.model.auto_inference import becoming
from expci.core.model.experiment import PlanRules, from_json, to_json
from expci.core.spec.parse import Defaults, read_defaults, read_experiment

LEAST = """\
version: 1
hypothesis: It is faster.
slot: review
arms: {control: {}, treatment: {env: {FAST: "1"}}}
metrics:
  - {name: duration_s, role: primary}
decision: {promote: never}
"""


def rules(plan: str, defaults: str = "") -> PlanRules:
    over = read_defaults(defaults) if defaults else Defaults()
    experiment = read_experiment("e", f"{LEAST}plan: {plan}\n", {}, over).experiment
    assert experiment is not None
    return experiment.plan


@pytest.mark.parametrize("plan", ["{sample_size: 40}", "{sample_size: 40, inference: auto}"])
def test_with_a_stated_size_looks_are_planned(plan: str) -> None:
    auto = rules(plan)
    assert (auto.inference, auto.inference_basis) == ("group-sequential", "stated_size")
    assert (auto.looks, auto.spending, auto.rho, auto.reserve) == (20, "power", 3.0, 0.1)
    assert auto.planned_alpha == pytest.approx(0.045)
    assert auto.planned_harm == 0.9


@pytest.mark.parametrize("plan", ["{}", "{inference: auto}", "{max_days: 7}"])
def test_without_a_size_every_look_counts(plan: str) -> None:
    auto = rules(plan)
    assert (auto.inference, auto.inference_basis, auto.reserve) == ("anytime", "no_size", 0.0)


@pytest.mark.parametrize("inference", ["anytime", "group-sequential", "fixed"])
def test_a_stated_inference_stays_what_it_is(inference: str) -> None:
    stated = rules(f"{{sample_size: 40, inference: {inference}}}")
    assert (stated.inference, stated.inference_basis) == (inference, "stated")
    assert (stated.looks, stated.spending, stated.reserve) == (5, "obrien-fleming", 0.0)
    assert stated.planned_harm == 0
    assert becoming(stated, "computed_size") == stated


def test_the_repository_may_state_the_inference_of_all() -> None:
    stated = rules("{sample_size: 40}", "version: 1\nplan: {inference: anytime}\n")
    assert (stated.inference, stated.inference_basis) == ("anytime", "stated")


def test_a_plan_frozen_before_there_was_auto_keeps_what_it_says() -> None:
    experiment = read_experiment("e", LEAST + "plan: {sample_size: 40}\n", {}, Defaults())
    old = to_json(experiment.experiment)
    old["plan"] |= {"inference": "anytime", "looks": 5, "spending": "obrien-fleming"}
    for later in ("inference_basis", "reserve", "planned_harm"):
        del old["plan"][later]
    frozen = from_json(old).plan
    assert (frozen.inference, frozen.inference_basis) == ("anytime", "stated")
    assert frozen.planned_alpha == frozen.alpha
    assert frozen.planned_harm == 0  # harm by the evidence at every look alone

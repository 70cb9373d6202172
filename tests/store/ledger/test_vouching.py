"""How far the CI's records carry a trial: its own unit, and the arm that is drawn for it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from expci.core.assignment import Counter, Rule, assign
from expci.core.lifecycle.transitions import Life
from expci.core.model.events import ArmDropped, Promoted, Started
from expci.core.model.experiment import Arm, Assignment, Experiment
from expci.store.ledger.plans import Plan
from expci.store.ledger.vouching import is_vouched_for
from support.ledger_samples import PLAN, experiment, trial

WHEN = "2026-11-22T10:00:00.000Z"
WEIGHTS = {"control": 1.0, "treatment": 1.0}


def plan_of(unit: str = "run", weights: dict[str, float] | None = None, **changes: Any) -> Plan:
    made: Experiment = replace(
        experiment(),
        slot="slot",
        run=None,
        assignment=Assignment(unit=unit, weights=weights or WEIGHTS),  # type: ignore[arg-type]
        arms=tuple(Arm(name) for name in weights or WEIGHTS),
    )
    return Plan(PLAN, replace(made, **changes), "c" * 40, "experiments/speed", {}, {}, {})


STARTED = Started(at=WHEN, by="ada", plan=PLAN, base="c" * 40, mode="live", salt="s")
LIFE = Life(plans=(PLAN,), started=STARTED)


def carried(plan: Plan, life: Life, arm: str, unit: str, **context: str) -> bool:
    record = trial(arm, mode="live", unit=unit, context=context)
    origin: dict[str, Any] = {"run": 42, "number": 7, "actor": "ada", "event": "pull_request"}
    return is_vouched_for(plan, life, record, pulls=(5,), **origin)


@pytest.mark.parametrize(
    ("kind", "unit", "own"),
    [
        ("run", "run-42", True),
        ("run", "run-41", False),
        ("run", "run-420", False),
        ("job", "job-42-test", True),
        ("job", "job-420-test", False),
        ("actor", "actor-ada", True),
        ("actor", "actor-bob", False),
        ("pr", "pr-5", True),
        ("pr", "pr-6", False),
        ("pr", "pr-55", False),
        ("pr", "run-42", False),
        ("custom", "whatever", True),
    ],
)
def test_a_trial_speaks_for_its_own_unit(kind: str, unit: str, own: bool) -> None:
    # without a workflow the place in a block is not known: any arm may be the drawn one
    for arm in ("control", "treatment"):
        assert carried(plan_of(kind), LIFE, arm, unit) is own


def test_a_pull_requests_unit_needs_a_run_of_a_pull_request() -> None:
    record = trial(mode="live", unit="pr-5")
    origin: dict[str, Any] = {"run": 42, "number": 7, "actor": "ada"}
    plan = plan_of("pr")
    assert is_vouched_for(plan, LIFE, record, event="pull_request_target", pulls=(5,), **origin)
    assert not is_vouched_for(plan, LIFE, record, event="pull_request_target", **origin)
    assert not is_vouched_for(plan, LIFE, record, event="push", pulls=(5,), **origin)


@pytest.mark.parametrize(
    ("kind", "unit", "counter"),
    [
        ("run", "run-42", Counter(7, "ci.yml")),
        ("job", "job-42-test", Counter(7, "ci.yml/test/3.12")),
        ("actor", "actor-ada", None),
    ],
)
def test_its_arm_is_what_the_rule_draws(kind: str, unit: str, counter: Counter | None) -> None:
    plan, context = plan_of(kind), {"workflow": "ci.yml", "job": "test", "leg": "3.12"}
    design = plan.experiment.assignment.design
    drawn = assign(Rule(PLAN, "s", design, WEIGHTS), unit, counter).arm
    for arm in ("control", "treatment"):
        assert carried(plan, LIFE, arm, unit, **context) is (arm == drawn)


THREE = {"control": 1.0, "a": 1.0, "b": 1.0}


def drawn(unit: str, weights: dict[str, float], dropped: dict[str, float] | None = None) -> Any:
    design = plan_of("actor", THREE).experiment.assignment.design
    return assign(Rule(PLAN, "s", design, weights, dropped=dropped or {}), unit).arm


def test_a_unit_of_a_dropped_treatment_may_have_its_old_arm_or_the_new_one() -> None:
    plan = plan_of("actor", THREE)
    life = replace(LIFE, dropped={"b": ArmDropped(at=WHEN, by="x", arm="b", reason_code="harm")})
    moved = 0
    for number in range(60):
        unit = f"actor-{number}"
        possible = {
            drawn(unit, THREE),
            drawn(unit, {"control": 1.0, "a": 1.0}, {"b": 1.0}),
            drawn(unit, {"control": 1.0, "a": 1.0}),  # by an expci that knows of no drop
        }
        moved += len(possible) > 1
        for arm in THREE:
            record = trial(arm, mode="live", unit=unit, context={"workflow": "ci.yml"})
            carried = is_vouched_for(
                plan, life, record, run=42, number=7, actor=str(number), event="push"
            )
            assert carried is (arm in possible), (unit, arm)
    assert moved > 10


def test_after_a_promotion_the_holdbacks_draw_counts_too() -> None:
    plan = plan_of("actor")
    promoted = Promoted(
        at=WHEN, by="x", arm="treatment", branch="b", merge="m", parent="p", holdback=0.1
    )
    life, later = replace(LIFE, promoted=promoted), {"control": 0.1, "treatment": 0.9}
    seen = set()
    for number in range(60):
        unit = f"actor-{number}"
        possible = drawn(unit, WEIGHTS), drawn(unit, later)
        seen.add(possible)
        for arm in WEIGHTS:
            record = trial(arm, mode="live", unit=unit, context={"workflow": "ci.yml"})
            carried = is_vouched_for(
                plan, life, record, run=1, number=7, actor=str(number), event="push"
            )
            assert carried is (arm in possible)
    assert ("control", "treatment") in seen


def test_nothing_is_drawn_before_the_plans_own_start() -> None:
    context = {"workflow": "ci.yml"}
    for life in (Life(), replace(LIFE, started=replace(STARTED, plan="cd" * 32))):
        assert not carried(plan_of(), life, "control", "run-42", **context)


def test_a_lab_trial_counts_where_the_experiment_has_a_lab() -> None:
    origin: dict[str, Any] = {"run": 42, "number": 7, "actor": "ada", "event": "push"}
    record = trial(mode="lab")
    assert is_vouched_for(plan_of(run="./work.sh"), LIFE, record, **origin)
    assert not is_vouched_for(plan_of(), LIFE, record, **origin)
    no_slot = plan_of(slot=None, run="./work.sh")
    assert is_vouched_for(no_slot, LIFE, trial(mode="live", unit="run-1"), **origin)

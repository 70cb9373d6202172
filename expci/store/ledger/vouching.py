"""How far the CI's own records carry a trial that a job of this repository uploaded.

An artifact is written by whoever ran the job: one run of any workflow could otherwise invent
a whole experiment. So a trial of a slot counts for its own run, job, pull request or actor,
and its arm is what the rule draws for that unit. What does not fit is kept and not counted.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import replace

from expci.core.assignment import Counter, Rule, assign
from expci.core.lifecycle.transitions import Life
from expci.core.model.arm import CONTROL
from expci.core.model.trial import Trial
from expci.store.ledger.plans import Plan

UNVERIFIED = "unverified"


def is_vouched_for(
    plan: Plan,
    life: Life,
    trial: Trial,
    *,
    run: int,
    number: int,
    actor: str,
    event: str,
    pulls: Collection[int] = (),
) -> bool:
    """Whether the records of run `run`, number `number` of its workflow, carry a live trial.

    `pulls` are the pull requests that it may be of.

    A lab trial is not of a slot: nothing is drawn for it, where the experiment has a lab.
    """
    experiment = plan.experiment
    if experiment.slot is None:
        return True
    if trial.mode != "live":
        return experiment.run is not None
    unit = experiment.assignment.unit
    if unit == "pr":
        is_own = event.startswith("pull_request") and trial.unit in {f"pr-{n}" for n in pulls}
    else:
        is_own = _is_own_unit(unit, trial.unit, run, actor)
    if not is_own:
        return False
    if not trial.context.get("workflow"):
        return True  # the place in a block is unknown; its unit is its own all the same
    counter = _counter(unit, trial, number)
    drawn = {assign(rule, trial.unit, counter).arm for rule in _rules(plan, life)}
    return trial.arm in drawn


def _is_own_unit(kind: str, unit: str, run: int, actor: str) -> bool:
    match kind:
        case "run":
            return unit == f"run-{run}"
        case "job":
            return unit.startswith(f"job-{run}-")
        case "actor":
            return unit == f"actor-{actor}"
    return True  # of the repository's own naming: the CI knows nothing of it


def _counter(kind: str, trial: Trial, number: int) -> Counter | None:
    """As the job's own step counts (`runner/ci/context.py`)."""
    context = trial.context
    workflow = context.get("workflow", "")
    strata = {
        "run": workflow,
        "job": f"{workflow}/{context.get('job', '')}/{context.get('leg', '')}",
    }
    return Counter(number, strata[kind]) if kind in strata and number else None


def _rules(plan: Plan, life: Life) -> Iterator[Rule]:
    """The rules that were in force since the plan started: as planned, without each of the
    treatments that were dropped in turn, and after its promotion."""
    started, promoted, assignment = life.started, life.promoted, plan.experiment.assignment
    if started is None or started.plan != plan.id:
        return
    rule = Rule(plan.id, started.salt, assignment.design, assignment.weights, assignment.traffic)
    yield rule
    for arm in life.dropped:
        weights, dropped = dict(rule.weights), dict(rule.dropped)
        dropped[arm] = weights.pop(arm, 0.0)
        rule = replace(rule, weights=weights, dropped=dropped)
        yield rule
        yield replace(rule, dropped={})  # as an expci draws that knows of no drop
    if promoted is not None:
        share = promoted.holdback
        weights = {CONTROL: share, promoted.arm: 1.0 - share}
        yield Rule(plan.id, started.salt, assignment.design, weights)

"""What jobs may know of a ledger: the document that `refs/expci/published` holds, derived.

A pure reading of plans and events. The document itself is in `store/published.py`, which
the trial path reads without any of this.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping

from expci.core.lifecycle.transitions import LIVE, Life, State
from expci.core.model.arm import CONTROL
from expci.core.model.content import Paths
from expci.core.model.events import Promoted
from expci.errors import LedgerDamaged
from expci.store.ledger import paths, plans
from expci.store.ledger.ledger import Ledger
from expci.store.ledger.plans import Plan
from expci.store.published import Exposure, Published


def derive(ledger: Ledger) -> Published:
    """What jobs may know of this ledger: a pure reading of it.

    An experiment whose own files are damaged is not exposed, and holds up no other.
    """
    names = ledger.experiments
    ledger.read_many(paths.events(name) for name in names)
    live = {n: life for n in names if (life := _life(ledger, n)) and life.state in LIVE}
    ledger.read_many(f"{paths.plan(n, life.plan or '')}/plan.json" for n, life in live.items())
    exposures = {}
    for name, life in live.items():
        with contextlib.suppress(LedgerDamaged):  # `expci fsck` and each pass name it
            plan = ledger.plan(name, life.plan)
            if plan is not None:
                exposures[name] = _exposure(ledger, plan, life)
    return Published(ledger.commit or "", exposures)


def _life(ledger: Ledger, name: str) -> Life | None:
    try:
        return ledger.life(name)
    except LedgerDamaged:
        return None


def _exposure(ledger: Ledger, plan: Plan, life: Life) -> Exposure:
    experiment = plan.experiment
    watching = life.state is State.WATCHING and life.promoted is not None
    started = life.started
    return Exposure(
        plan=plan.id,
        state=life.state,
        mode=life.mode,
        slot=experiment.slot,
        design=experiment.assignment.design,
        unit=experiment.assignment.unit,
        weights=_weights(plan, life),
        dropped={} if watching else _dropped(plan, life),
        traffic=1.0 if watching else experiment.assignment.traffic,
        salt=started.salt if started else "",
        base=plan.base,
        paths=_promoted_paths(ledger, plan, life.promoted)
        if watching and life.promoted
        else plan.arms[CONTROL],
        source=life.promoted.parent if watching and life.promoted else None,
        started=_phase_began(life),
        branch=started.branch if started and not watching else "",
        head=life.head if started and started.branch and not watching else "",
    )


def _phase_began(life: Life) -> str:
    """When trials of this phase began to count: at the start, or at the promotion."""
    if life.state is State.WATCHING and life.promoted is not None:
        return life.promoted.at
    return life.started.at if life.started else ""


def _weights(plan: Plan, life: Life) -> Mapping[str, float]:
    """While watching, `holdback` of the units keep the old content."""
    if life.state is State.WATCHING and life.promoted is not None:
        share = life.promoted.holdback
        return {CONTROL: share, life.promoted.arm: 1.0 - share}
    planned, dropped = plan.experiment.assignment.weights, _dropped(plan, life)
    return {arm: weight for arm, weight in planned.items() if arm not in dropped}


def _dropped(plan: Plan, life: Life) -> Mapping[str, float]:
    planned = plan.experiment.assignment.weights
    return {arm: planned[arm] for arm in life.dropped if arm in planned}


def _promoted_paths(ledger: Ledger, plan: Plan, promoted: Promoted) -> Paths:
    """What the promotion made of the varied paths, as the ledger keeps it, else as git has it."""
    path = paths.promoted(plan.experiment.id)
    with contextlib.suppress(ValueError, TypeError, AttributeError, RecursionError):
        if data := ledger.read(path):
            return plans.load_paths(json.loads(data))
    if ledger.git.resolve(promoted.merge) is None:
        raise LedgerDamaged(f"{path} is not in the ledger, nor the merge here; run `expci fsck`")
    return ledger.git.read_paths(promoted.merge, plan.varied)

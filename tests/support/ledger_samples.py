"""A started experiment in a ledger, without the flows."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from expci.core.model.content import Blob
from expci.core.model.events import Started
from expci.core.model.experiment import (
    Arm,
    Assignment,
    DecisionRules,
    Experiment,
    Limit,
    Metric,
    PlanRules,
)
from expci.core.model.trial import Trial, derived_trial_id, timestamp
from expci.runner.trial_ids import new_trial_id
from expci.store.git.git import Git
from expci.store.git.remote import Remote
from expci.store.inbox import send as inbox
from expci.store.ledger import paths, plans
from expci.store.ledger.plans import Plan
from expci.store.ledger.transaction import LedgerChange, Snapshot, Store

AT = datetime(2026, 11, 22, 10, tzinfo=UTC)
PLAN = "ab" * 32
# A record with words, numbers, and a name that is no word, as a job writes it.
TRIAL = Trial(
    id=derived_trial_id("1"),
    experiment="speed",
    plan="a" * 64,
    mode="live",
    arm="control",
    unit="run-7",
    started="2026-11-22T10:00:00.123Z",
    metrics={"duration_s": 1.5, "a.b-c": 12.0},
    covariates={"size": 3.0, "os": "linux"},
    context={"run_id": "7", "context_model": "m1", "actor": "ada"},
)


def experiment(name: str = "speed") -> Experiment:
    return Experiment(
        id=name,
        name="Speed",
        hypothesis="Faster by 15% within 14 days.",
        arms=(Arm("control"), Arm("treatment", files="treatment/")),
        metrics=(Metric("duration_s", "primary", "duration", "decrease", Limit(0.15, True)),),
        assignment=Assignment(weights={"control": 1.0, "treatment": 1.0}),
        plan=PlanRules(),
        decision=DecisionRules(),
        run="./work.sh",
    )


def store(directory: Path) -> Store:
    return Store(Remote.of(Git.at(directory)))


def start(store: Store, name: str = "speed") -> Snapshot:
    """Put a started experiment into the ledger that varies `work.sh`."""
    head = store.git.require("HEAD")
    [variant] = store.git.write_blobs([b"sleep 0\n"])
    before = store.git.read_paths(head, ["work.sh"])
    plan = Plan(
        id=PLAN,
        experiment=experiment(name),
        base=head,
        directory=f"experiments/{name}",
        files={},
        arms={"control": before, "treatment": {"work.sh": Blob("100755", variant)}},
        shipped={},
    )
    event = Started(at=timestamp(AT), by="ada", plan=PLAN, base=head, mode="lab", salt="s")

    def think(snapshot: Snapshot) -> LedgerChange:
        files = snapshot.ledger.with_events(name, [event])
        files[f"{paths.plan(name, PLAN)}/plan.json"] = plans.dump_plan(plan)
        return LedgerChange.of("started", files, plans.entries(plan))

    return store.transact(AT, think)[0]


def trial(arm: str = "control", **changes: object) -> Trial:
    values: dict[str, object] = {
        "id": new_trial_id(AT),
        "experiment": "speed",
        "plan": PLAN,
        "mode": "lab",
        "arm": arm,
        "unit": "u",
        "started": timestamp(AT),
        "metrics": {"duration_s": 1.0, "success": 1.0},
    }
    return Trial(**{**values, **changes})  # type: ignore[arg-type]


def send(store: Store, *trials: Trial) -> str:
    return inbox.send(store.remote, "speed", inbox.encode([t.line() for t in trials]))

"""What the ledger says around a proposed experiment: how it stands, what else is live."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from expci.core.lifecycle.transitions import LIVE
from expci.report.documents.proposal import ProposalStanding
from expci.store.ledger.ledger import Ledger
from expci.store.ledger.reviewed_pull_requests import ReviewedExperiment


@dataclass(frozen=True)
class Surroundings:
    """What the ledger has of experiments. `live` are slot and varied paths by name."""

    ledger: Ledger

    @cached_property
    def live(self) -> dict[str, tuple[str | None, frozenset[str]]]:
        ledger = self.ledger
        names = [name for name in ledger.experiments if ledger.life(name).state in LIVE]
        plans = {name: ledger.plan(name) for name in names}
        return {
            name: (plan.experiment.slot, frozenset(plan.varied))
            for name, plan in plans.items()
            if plan is not None
        }


def relation_to_ledger(ledger: Ledger, name: str, plan: str) -> ProposalStanding:
    """How the content of a pull request stands to what the ledger has of the experiment."""
    life = ledger.life(name) if name in ledger.experiments else None
    if life is None or life.plan is None:
        return "proposed"
    if life.plan == plan and life.state in LIVE:
        return "running"
    return "ran before" if plan in life.plans else "other content"


def overlaps(
    around: Surroundings, name: str, reviewed: ReviewedExperiment
) -> list[tuple[str, bool]]:
    """Live experiments that share files or the slot, and whether that keeps this from starting."""
    shared_with = []
    for other, (slot, varied) in around.live.items():
        shared = sorted(varied & {*reviewed.varied})
        same_slot = reviewed.slot is not None and reviewed.slot == slot
        if other != name and (shared or same_slot):
            words = _overlap(other, shared, reviewed.slot if same_slot else None)
            shared_with.append((words, bool(shared and same_slot)))
    return shared_with


def _overlap(other: str, shared: Sequence[str], slot: str | None) -> str:
    more = f" and {len(shared) - 1} more" if len(shared) > 1 else ""
    files = f"{other} varies {shared[0]} too{more}" if shared else f"{other} varies other files"
    if shared and slot:
        return f"{files}, in the same slot {slot}: wait for it to end"
    if slot:
        return f"{files} in the same slot {slot}: a job may get arms of both"
    return f"{files}: what one of them promotes changes what the other is compared with"


def surroundings_digest(around: Surroundings, experiments: Mapping[str, ReviewedExperiment]) -> str:
    """A digest of what the ledger has to say of a pull request's experiments."""
    rows = [
        [
            name,
            relation_to_ledger(around.ledger, name, reviewed.plan or ""),
            overlaps(around, name, reviewed),
        ]
        for name, reviewed in sorted(experiments.items())
        if reviewed.plan is not None
    ]
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()[:16]

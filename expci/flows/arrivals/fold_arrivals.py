"""Fold what has arrived, pushed and as artifacts, so that what is decided rests on all of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from expci.flows.arrivals import artifacts
from expci.flows.arrivals.artifacts import Collection
from expci.flows.context import Context
from expci.store.inbox.read_batches import RefusedRecord, collect
from expci.store.ledger.fold import Folded, fold_inbox
from expci.store.ledger.transaction import LedgerChange, Snapshot


@dataclass(frozen=True)
class FoldedArrivals:
    """What was folded, and the remote as it then stands.

    `refused` are lines that are not taken; those of forks are named here and stored nowhere.
    `pushed` is the inbox, where the repository lets trials be pushed.
    """

    snapshot: Snapshot
    collection: Collection
    folded: Folded
    refused: tuple[RefusedRecord, ...]
    pushed: Mapping[str, str]


def fold_arrivals(app: Context, *, dry_run: bool = False) -> FoldedArrivals:
    """Put what arrived into the ledger. What is in it then is to be deleted from the inbox."""
    collection = artifacts.collect_artifacts(app, app.store.snapshot(inbox=False))
    folded: list[tuple[Folded, tuple[RefusedRecord, ...]]] = []

    def think(snapshot: Snapshot) -> LedgerChange | None:
        inbox = collect(app.git, _pushed(app, snapshot))
        arrivals = artifacts.records_to_fold(snapshot.ledger, collection, inbox)
        result = fold_inbox(snapshot.ledger, arrivals.inbox, app.clock())
        folded[:] = [(result, arrivals.unkept)]
        changes = result.changes | arrivals.changes
        total = sum(result.added.values())
        message = f"Fold {total} record{'s' if total != 1 else ''}" if total else "Collect"
        return LedgerChange.of(message, changes) if changes else None

    if dry_run:
        snapshot = app.store.snapshot()
        change = think(snapshot)
        snapshot = app.store.preview(snapshot, change, app.clock()) if change else snapshot
    else:
        snapshot, _ = app.store.transact(app.clock(), think, inbox=True)
    result, unkept = folded[0]
    return FoldedArrivals(
        snapshot, collection, result, (*result.refused, *unkept), _pushed(app, snapshot)
    )


def _pushed(app: Context, snapshot: Snapshot) -> Mapping[str, str]:
    return snapshot.inbox if app.reads_inbox else {}

"""Fold what has arrived, so that a person's decision rests on all of it."""

from __future__ import annotations

from expci.flows.context import Context
from expci.store.inbox.read_batches import collect
from expci.store.ledger.fold import fold_inbox
from expci.store.ledger.transaction import LedgerChange, Snapshot


def fold_arrivals(app: Context) -> Snapshot:
    """Fold the inbox as the pass does; the next pass deletes its refs."""

    def think(snapshot: Snapshot) -> LedgerChange | None:
        pushed = snapshot.inbox if app.reads_inbox else {}
        folded = fold_inbox(snapshot.ledger, collect(app.git, pushed), app.clock())
        return LedgerChange.of("Fold what arrived", folded.changes) if folded.changes else None

    return app.store.transact(app.clock(), think, inbox=True)[0]

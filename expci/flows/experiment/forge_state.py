"""What the forge was last brought to say of an experiment, on record in the ledger."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from expci.flows.context import Context
from expci.forge.ports import PullRequest, PullRequestState
from expci.store.ledger import paths
from expci.store.ledger.fold import Changes
from expci.store.ledger.ledger import Ledger
from expci.store.ledger.transaction import LedgerChange, Snapshot


@dataclass(frozen=True)
class Shown:
    """Digests of the report and of the alert, the number of the request that proposes the
    experiment, its commit or what became of it, and how many events have been told."""

    said: str = ""
    request: int | None = None
    at: str = ""
    alert: str = ""
    told: int = 0

    @property
    def merged(self) -> bool:
        return self.at == PullRequestState.MERGED

    @property
    def place(self) -> tuple[int | None, str]:
        return self.request, self.at


def place(proposal: PullRequest | None) -> tuple[int | None, str]:
    """Where a report stands. A push to an open request moves its check to another commit."""
    if proposal is None:
        return None, ""
    is_open = proposal.is_open
    return proposal.number, proposal.head_commit if is_open else str(proposal.state)


def shown_of(ledger: Ledger, name: str) -> Shown:
    data = ledger.read(paths.shown(name))
    return Shown() if data is None else Shown(**json.loads(data))


def keep(app: Context, shown: Mapping[str, Shown]) -> None:
    """Put on record what the forge says, where that is new."""

    def think(snapshot: Snapshot) -> LedgerChange | None:
        changes: Changes = {
            paths.shown(name): json.dumps(asdict(item), indent=1).encode() + b"\n"
            for name, item in shown.items()
            if item != shown_of(snapshot.ledger, name)
        }
        return LedgerChange.of("What the forge says", changes) if changes else None

    app.store.transact(app.clock(), think)

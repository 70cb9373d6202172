"""What the forge says of an experiment since the last pass, on record in the ledger."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass

import msgspec

from expci.errors import LedgerDamaged
from expci.flows.context import Context
from expci.forge.ports import PullRequest, PullRequestState
from expci.store.ledger import paths
from expci.store.ledger.fold import Changes
from expci.store.ledger.ledger import Ledger
from expci.store.ledger.transaction import LedgerChange, Snapshot


@dataclass(frozen=True)
class ForgeState:
    """As the ledger stores it.

    `said` and `alert` are digests of the report and of the alert; `request` is the number of
    the pull request that proposes the experiment, `at` its commit or what became of it;
    `told` counts the events that a comment announced; `forge` counts the numbers.
    """

    said: str = ""
    request: int | None = None
    at: str = ""
    alert: str = ""
    told: int = 0
    forge: str = ""

    @property
    def merged(self) -> bool:
        return self.at == PullRequestState.MERGED

    @property
    def report_place(self) -> tuple[int | None, str]:
        return self.request, self.at

    def number_on(self, forge: str) -> int | None:
        """The number of the proposal, where this forge counts it."""
        return self.request if self.forge == forge else None


def report_place(proposal: PullRequest | None) -> tuple[int | None, str]:
    """Where a report stands. A push to an open pull request moves its check to another commit."""
    if proposal is None:
        return None, ""
    return proposal.number, proposal.head_commit if proposal.is_open else str(proposal.state)


def forge_state_of(ledger: Ledger, name: str) -> ForgeState:
    """As the last pass wrote it; a damaged one is none, so that everything is written again."""
    data = ledger.read(paths.forge_state(name))
    try:
        return ForgeState() if data is None else parse_forge_state(data)
    except LedgerDamaged:
        return ForgeState()


def parse_forge_state(data: bytes) -> ForgeState:
    """What `record_forge_states` wrote; `LedgerDamaged` where it cannot be read."""
    try:
        return msgspec.json.decode(data, type=ForgeState)
    except msgspec.MsgspecError as error:
        raise LedgerDamaged(str(error)) from error


def record_forge_states(app: Context, states: Mapping[str, ForgeState]) -> None:
    """Put on record what the forge says, where that is new."""

    def think(snapshot: Snapshot) -> LedgerChange | None:
        changes: Changes = {
            paths.forge_state(name): json.dumps(asdict(state), indent=1).encode() + b"\n"
            for name, state in states.items()
            if state != forge_state_of(snapshot.ledger, name)
        }
        return LedgerChange.of("What the forge says", changes) if changes else None

    app.store.transact(app.clock(), think)

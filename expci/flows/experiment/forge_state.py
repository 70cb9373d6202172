"""What the forge says of an experiment since the last pass, on record.

Beside the ledger, because it changes with every report; what is decided by, the pull request
that proposed the experiment, in the ledger.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass

import msgspec

from expci.errors import LedgerDamaged
from expci.flows.context import Context
from expci.forge.ports import PullRequest, PullRequestState
from expci.store.ledger import paths
from expci.store.ledger.ledger import Ledger
from expci.store.ledger.transaction import LedgerChange, Snapshot


@dataclass(frozen=True)
class ForgeState:
    """As it is stored.

    `said` and `alert` are digests of the report and of the alert; `request` is the number of
    the pull request that proposes the experiment, `at` its commit or what became of it;
    `told` counts the events that a comment announced; `forge` counts the numbers. `problem` is
    what kept the last pass from acting.
    """

    said: str = ""
    request: int | None = None
    at: str = ""
    alert: str = ""
    told: int = 0
    forge: str = ""
    problem: str = ""

    @property
    def merged(self) -> bool:
        return self.at == PullRequestState.MERGED

    @property
    def report_place(self) -> tuple[int | None, str]:
        return self.request, self.at


@dataclass(frozen=True)
class ProposalRecord:
    """The pull request `number` of `forge`, which proposed an experiment; `None`: unknown."""

    number: int | None = None
    forge: str = ""
    merged: bool = False

    @classmethod
    def of(cls, state: ForgeState) -> ProposalRecord:
        return cls(state.request, state.forge, state.merged)

    def number_on(self, forge: str) -> int | None:
        """Its number, where this forge counts it."""
        return self.number if self.forge == forge else None


def report_place(proposal: PullRequest | None) -> tuple[int | None, str]:
    """Where a report stands. A push to an open pull request moves its check to another commit."""
    if proposal is None:
        return None, ""
    return proposal.number, proposal.head_commit if proposal.is_open else str(proposal.state)


def forge_state_of(ledger: Ledger, name: str) -> ForgeState:
    """As the last pass wrote it; a damaged one is none, so that everything is written again."""
    data = ledger.read_derived(paths.forge_state(name))
    try:
        return ForgeState() if data is None else parse_forge_state(data)
    except LedgerDamaged:
        return ForgeState()


def proposal_record(ledger: Ledger, name: str) -> ProposalRecord:
    """As the ledger holds it; earlier versions put it among what the forge says."""
    data = ledger.read(paths.proposal(name))
    try:
        if data is not None:
            return parse_proposal(data)
        earlier = ledger.read(paths.forge_state(name))
        return ProposalRecord.of(parse_forge_state(earlier)) if earlier else ProposalRecord()
    except LedgerDamaged:
        return ProposalRecord()


def parse_proposal(data: bytes) -> ProposalRecord:
    """A record of a proposal; `LedgerDamaged` where it cannot be read."""
    try:
        return msgspec.json.decode(data, type=ProposalRecord)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise LedgerDamaged(str(error)) from error


def parse_forge_state(data: bytes) -> ForgeState:
    """What `record_forge_states` wrote; `LedgerDamaged` where it cannot be read."""
    try:
        return msgspec.json.decode(data, type=ForgeState)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise LedgerDamaged(str(error)) from error


def record_forge_states(app: Context, states: Mapping[str, ForgeState]) -> None:
    """Put on record what the forge says, where that is new."""

    def think(snapshot: Snapshot) -> LedgerChange | None:
        ledger = snapshot.ledger
        files, derived = dict[str, bytes | None](), dict[str, bytes | None]()
        for name, state in states.items():
            record = ProposalRecord.of(state)
            if record.number and record != proposal_record(ledger, name):
                files[paths.proposal(name)] = dump_record(record)
            if ledger.derived.read(paths.forge_state(name)) != dump_record(state):
                derived[paths.forge_state(name)] = dump_record(state)
        changes = LedgerChange.of("Pull requests that propose", files, derived=derived)
        return changes if files or derived else None

    app.store.transact(app.clock(), think)


def dump_record(item: ForgeState | ProposalRecord) -> bytes:
    """The JSON that is stored."""
    return json.dumps(asdict(item), indent=1).encode() + b"\n"

"""Carry over what earlier versions put into the ledger at every pass: once, to beside it."""

from __future__ import annotations

from dataclasses import dataclass, field

from expci.flows.experiment.forge_state import ProposalRecord, dump_record, proposal_record
from expci.store.ledger import paths
from expci.store.ledger.fold import Changes
from expci.store.ledger.ledger import Ledger


@dataclass(frozen=True)
class CarriedOver:
    """The changes to the ledger's files, and to those beside it."""

    files: Changes = field(default_factory=dict)
    derived: Changes = field(default_factory=dict)


def carried_over(ledger: Ledger) -> CarriedOver:
    """What of the ledger moves. Analyses and reports stay: each is the last of its time."""
    changes = CarriedOver()
    states = {paths.forge_state(name): name for name in ledger.experiments}
    for path in (paths.README, paths.REVIEWED, *states):
        if path not in ledger.entries:
            continue
        changes.files[path] = None
        if path not in ledger.derived.entries:
            changes.derived[path] = ledger.read(path)
        name = states.get(path, "")
        record = proposal_record(ledger, name) if name else ProposalRecord()
        if record.number and paths.proposal(name) not in ledger.entries:
            changes.files[paths.proposal(name)] = dump_record(record)
    return changes

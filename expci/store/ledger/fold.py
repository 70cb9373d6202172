"""Folding: arrived records become new segments of the ledger, each record once.

Values in, values out: what the ledger holds and what arrived give the changes to its
tree. A record's own id is its identity; the same id with other bytes is quarantined.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from expci.core.model.experiment import Experiment
from expci.core.model.trial import Amendment, Trial, load_line, parse_timestamp, timestamp
from expci.store.inbox.read_batches import Arrived, Inbox, RefusedRecord, refuse
from expci.store.ledger import paths, segments
from expci.store.ledger.arrived_artifacts import CLOCK_TOLERANCE, same_record
from expci.store.ledger.ledger import Ledger

Changes = dict[str, bytes | None]


@dataclass(frozen=True)
class Folded:
    """The changes to the ledger's tree and what they mean, per experiment."""

    changes: Changes
    added: Mapping[str, int] = field(default_factory=dict)
    refused: tuple[RefusedRecord, ...] = ()


def fold_inbox(ledger: Ledger, inbox: Inbox, at: datetime) -> Folded:
    """What the ledger becomes when the inbox is put in."""
    changes: Changes = {}
    refused = list(inbox.refused)
    added: dict[str, int] = {}
    for name, arrived in _by_experiment(inbox.arrived).items():
        accepted, bad = _accept(ledger, name, arrived, at)
        refused += bad
        for kind, directory in ((Trial, paths.trials(name)), (Amendment, paths.amendments(name))):
            records = [item for item in accepted if isinstance(item.record, kind)]
            fresh, clashing = _fresh(ledger.lines(directory), records)
            refused += clashing
            changes |= _append(ledger, directory, [item.line for item in fresh])
            added[name] = added.get(name, 0) + len(fresh)
    for item in refused:
        path = paths.quarantined(item.digest)
        if path not in ledger.entries:
            changes[path] = item.document(timestamp(at))
    return Folded(changes, {name: n for name, n in added.items() if n}, tuple(refused))


def _by_experiment(arrived: Sequence[Arrived]) -> dict[str, list[Arrived]]:
    grouped: dict[str, list[Arrived]] = {}
    for item in arrived:
        grouped.setdefault(item.record.experiment, []).append(item)
    return grouped


def _accept(
    ledger: Ledger, name: str, arrived: Sequence[Arrived], at: datetime
) -> tuple[list[Arrived], list[RefusedRecord]]:
    """Records that belong to a plan of this experiment, and the others with the reason."""
    experiments: dict[str, Experiment] = {}
    if name in ledger.experiments:
        for plan_id in ledger.life(name).plans:
            plan = ledger.plan(name, plan_id)
            if plan is not None:
                experiments[plan_id] = plan.experiment
    accepted: list[Arrived] = []
    refused: list[RefusedRecord] = []
    for item in arrived:
        reason = _objection(item.record, experiments, at)
        if reason is None:
            accepted.append(item)
        else:
            refused.append(refuse(f"{item.ref} {item.record.id}", reason, item.line))
    return accepted, refused


def _objection(
    record: Trial | Amendment, experiments: Mapping[str, Experiment], at: datetime
) -> str | None:
    if not experiments:
        return "no experiment of this name ever started"
    if isinstance(record, Amendment):
        return None
    experiment = experiments.get(record.plan)
    if experiment is None:
        return f"the plan {record.plan[:12]} never ran"
    if record.arm not in {arm.name for arm in experiment.arms}:
        return f"the plan has no arm {record.arm!r}"
    if parse_timestamp(record.started) > at + CLOCK_TOLERANCE:
        return f"started {record.started}, which is in the future: the machine's clock is wrong"
    return None


def _fresh(
    known: Sequence[bytes], arrived: Sequence[Arrived]
) -> tuple[list[Arrived], list[RefusedRecord]]:
    """Records whose id is new, and those whose id is taken by other bytes."""
    ids = {_identity(line): line for line in known} if arrived else {}
    fresh: list[Arrived] = []
    clashing: list[RefusedRecord] = []
    for item in arrived:
        held = ids.get(item.record.id)
        if held is None:
            ids[item.record.id] = item.line
            fresh.append(item)
        elif not same_record(held, item.line):
            reason = f"the id {item.record.id} is taken by another record"
            clashing.append(refuse(f"{item.ref} {item.record.id}", reason, item.line))
    return fresh, clashing


def _identity(line: bytes) -> str:
    record = load_line(line)
    return str(record.get("id") or record.get("amendment"))


def _append(ledger: Ledger, directory: str, lines: Sequence[bytes]) -> Changes:
    """A new segment with these lines; small neighbours merged by size tiers."""
    if not lines:
        return {}
    held = ledger.lines(directory)
    old = segments.ordered_segments(ledger.files(directory), len(held))
    start = segments.tail_start([*(segment.records for segment in old), len(lines)])
    first = old[start].first if start < len(old) else len(held) + 1
    data = b"".join(line + b"\n" for line in [*held[first - 1 :], *lines])
    changes: Changes = {f"{directory}/{segment.name}": None for segment in old[start:]}
    changes[f"{directory}/{segments.name_for(first, data)}"] = data
    return changes

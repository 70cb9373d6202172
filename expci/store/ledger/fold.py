"""Folding: arrived records become new segments of the ledger, each record once.

Values in, values out: what the ledger holds and what arrived give the changes to its
tree. A record's own id is its identity; the same id with other bytes is quarantined.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from expci.core.model import limits
from expci.core.model.experiment import Experiment
from expci.core.model.trial import Amendment, Trial, parse_timestamp, timestamp
from expci.store.git import refs
from expci.store.inbox.read_batches import Arrived, Inbox, RefusedRecord, refuse
from expci.store.ledger import paths, segments
from expci.store.ledger.arrivals import arrivals_line
from expci.store.ledger.arrived_artifacts import same_record
from expci.store.ledger.ledger import Ledger
from expci.store.ledger.removals import is_removed

Changes = dict[str, bytes | None]
# Why a record is refused, beside `malformed`.
NOT_STARTED, NO_ARM, CLOCK, ID_TAKEN = "not_started", "no_arm", "clock", "id_taken"
NOT_FROM_SOURCE = "not_from_source"
FROM_SOURCE = "source"  # where values come from that a pass read itself
FUTURE_TOLERANCE = timedelta(minutes=limits.FUTURE_MINUTES)
WAITS_FOR_A_PLAN = timedelta(days=30)


@dataclass(frozen=True)
class Folded:
    """The changes to the ledger's tree and what they mean, per experiment.

    `waiting` has the refs of batches that stay in the inbox, with the records that wait there for
    a plan which this ledger does not hold, or for a clock that is right; `waiting_by_arm` counts
    them by experiment and arm ("" unknown). `late` counts records that are not taken because
    `expci gc` has removed what they belong to: whether they are repeats is not known any more.
    """

    changes: Changes
    added: Mapping[str, int] = field(default_factory=dict)
    refused: tuple[RefusedRecord, ...] = ()
    waiting: Mapping[str, int] = field(default_factory=dict)
    waiting_by_arm: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    late: Mapping[str, int] = field(default_factory=dict)


def fold_inbox(ledger: Ledger, inbox: Inbox, at: datetime) -> Folded:
    """What the ledger becomes when the inbox is put in."""
    changes: Changes = {}
    refused = list(inbox.refused)
    added: dict[str, int] = {}
    waiting: Counter[str] = Counter()
    waiting_by_arm: dict[str, Counter[str]] = {}
    late: Counter[str] = Counter()
    for name, everything in _by_experiment(inbox.arrived).items():
        arrived = _not_removed(ledger, name, everything)
        late[name] += len(everything) - len(arrived)
        accepted, bad = _accept(ledger, name, arrived, at)
        is_behind = _is_behind(ledger, name, at)
        stays = [item for item, refusal in bad if _may_yet_count(item, refusal, at, is_behind)]
        waiting.update(item.ref for item in stays)
        if stays:
            waiting_by_arm[name] = Counter(_arm(item.record) for item in stays)
        refused += [refusal for item, refusal in bad if item not in stays]
        new: dict[type, list[bytes]] = {}
        for kind, directory in ((Trial, paths.trials(name)), (Amendment, paths.amendments(name))):
            records = [item for item in accepted if isinstance(item.record, kind)]
            present = ledger.lines_with_ids(directory, {item.record.id for item in records})
            fresh, clashing = _fresh(present, records)
            refused += clashing
            new[kind] = [item.line for item in fresh]
            changes |= _append(ledger, directory, new[kind])
            added[name] = added.get(name, 0) + len(fresh)
        changes |= _arrivals(ledger, name, len(new[Trial]), len(new[Amendment]))
    for item in refused:
        path = paths.quarantined(item.digest)
        if path not in ledger.entries:
            changes[path] = item.document(timestamp(at))
    refusals = tuple(refused)
    return Folded(changes, _some(added), refusals, waiting, waiting_by_arm, _some(late))


def _some(counts: Mapping[str, int]) -> dict[str, int]:
    return {name: count for name, count in counts.items() if count}


def _by_experiment(arrived: Sequence[Arrived]) -> dict[str, list[Arrived]]:
    grouped: dict[str, list[Arrived]] = {}
    for item in arrived:
        grouped.setdefault(item.record.experiment, []).append(item)
    return grouped


def _not_removed(ledger: Ledger, name: str, arrived: list[Arrived]) -> list[Arrived]:
    """The records but those of plans whose trials are gone."""
    removals = ledger.removals(name)
    if not removals:
        return arrived
    current = ledger.life(name).plan
    return [
        item
        for item in arrived
        if not is_removed(
            removals,
            current,
            item.record.plan if isinstance(item.record, Trial) else None,
            item.record.started if isinstance(item.record, Trial) else item.record.at,
        )
    ]


def _accept(
    ledger: Ledger, name: str, arrived: Sequence[Arrived], at: datetime
) -> tuple[list[Arrived], list[tuple[Arrived, RefusedRecord]]]:
    """Records that belong to a plan of this experiment, and the others with the reason."""
    experiments: dict[str, Experiment] = {}
    if name in ledger.experiments:
        for plan_id in ledger.life(name).plans:
            plan = ledger.plan(name, plan_id)
            if plan is not None:
                experiments[plan_id] = plan.experiment
    accepted: list[Arrived] = []
    refused: list[tuple[Arrived, RefusedRecord]] = []
    for item in arrived:
        objection = _objection(item.record, experiments, at) or _not_from_source(item, experiments)
        if objection is None:
            accepted.append(item)
        else:
            refused.append((item, _refusal(item, *objection)))
    return accepted, refused


def _refusal(item: Arrived, code: str, reason: str) -> RefusedRecord:
    record, arm = item.record, _arm(item.record)
    subject = f"{item.ref} {record.id}"
    return refuse(subject, reason, item.line, code=code, experiment=record.experiment, arm=arm)


def _arm(record: Trial | Amendment) -> str:
    return record.arm if isinstance(record, Trial) else ""


def _objection(
    record: Trial | Amendment, experiments: Mapping[str, Experiment], at: datetime
) -> tuple[str, str] | None:
    """(code, reason) why a record cannot be taken; `None` where it can."""
    if not experiments:
        return NOT_STARTED, "no experiment of this name ever started"
    if isinstance(record, Amendment):
        return _clock_objection("written", record.at, at)
    experiment = experiments.get(record.plan)
    if experiment is None:
        return NOT_STARTED, f"the plan {record.plan[:12]} never ran"
    if record.arm not in {arm.name for arm in experiment.arms}:
        return NO_ARM, f"the plan has no arm {record.arm!r}"
    return _clock_objection("started", record.started, at)


def _not_from_source(
    item: Arrived, experiments: Mapping[str, Experiment]
) -> tuple[str, str] | None:
    """Why a record may not have the value of a metric that is read from a database."""
    if item.ref == FROM_SOURCE:
        return None
    record = item.record
    of = experiments.values() if isinstance(record, Amendment) else [experiments[record.plan]]
    metrics = (metric for experiment in of for metric in experiment.metrics if metric.source)
    named = [metric.name for metric in metrics if metric.name in record.metrics]
    if not named:
        return None
    return NOT_FROM_SOURCE, f"{named[0]} is read from its source, so no record may state it"


def _clock_objection(verb: str, when: str, at: datetime) -> tuple[str, str] | None:
    if parse_timestamp(when) <= at + FUTURE_TOLERANCE:
        return None
    return CLOCK, f"{verb} {when}, which is in the future: the machine's clock is wrong"


def _is_behind(ledger: Ledger, name: str, at: datetime) -> bool:
    """Whether the clock of this machine is behind the experiment's newest event."""
    events = ledger.life(name).events if name in ledger.experiments else ()
    return bool(events) and parse_timestamp(events[-1].at) > at + FUTURE_TOLERANCE


def _may_yet_count(item: Arrived, refusal: RefusedRecord, at: datetime, is_behind: bool) -> bool:
    """Whether it was refused only because this ledger lacks its plan, which may come back.

    A ledger that is restored knows it again. What came from an artifact is taken again then.
    Where the clock of this machine `is_behind`, no record is from the future for good.
    """
    if refusal.code == CLOCK and is_behind:
        return item.ref.startswith(refs.INBOX)
    if refusal.code != NOT_STARTED or not item.ref.startswith(refs.INBOX):
        return False
    record = item.record
    written = parse_timestamp(record.started if isinstance(record, Trial) else record.at)
    return at - written < WAITS_FOR_A_PLAN


def _fresh(
    present: Mapping[str, bytes], arrived: Sequence[Arrived]
) -> tuple[list[Arrived], list[RefusedRecord]]:
    """Records whose id is new, and those whose id is taken by other bytes."""
    ids = dict(present)
    fresh: list[Arrived] = []
    clashing: list[RefusedRecord] = []
    for item in arrived:
        line = ids.get(item.record.id)
        if line is None:
            ids[item.record.id] = item.line
            fresh.append(item)
        elif not same_record(line, item.line):
            reason = f"the id {item.record.id} is taken by another record"
            clashing.append(_refusal(item, ID_TAKEN, reason))
    return fresh, clashing


def _arrivals(ledger: Ledger, name: str, trials: int, amendments: int) -> Changes:
    """The note that this fold's amendments came after its trials and all before them."""
    if not amendments:
        return {}
    path = paths.arrivals(name)
    trials += ledger.count(paths.trials(name))
    line = arrivals_line(ledger.count(paths.amendments(name)), amendments, trials)
    return {path: (ledger.read(path) or b"") + line}


def _append(ledger: Ledger, directory: str, lines: Sequence[bytes]) -> Changes:
    """A new segment with these lines; small neighbours merged by size tiers."""
    if not lines:
        return {}
    present = ledger.count(directory)
    old = segments.ordered_segments(ledger.files(directory), present)
    paths_before = [f"{directory}/{segment.name}" for segment in old]
    weights = [*ledger.sizes(paths_before), sum(len(line) + 1 for line in lines)]
    start = segments.tail_start([*(segment.records for segment in old), len(lines)], weights)
    first = old[start].first if start < len(old) else present + 1
    changes: Changes = dict.fromkeys(paths_before[start:])
    tail = ledger.read_many(paths_before[start:])
    merged = [line for path in paths_before[start:] for line in tail[path].splitlines()]
    for piece in segments.pieces([*merged, *lines]):
        data = b"".join(line + b"\n" for line in piece)
        changes[f"{directory}/{segments.name_for(first, data)}"] = data
        first += len(piece)
    return changes

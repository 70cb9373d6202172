"""What the pass has taken from CI artifacts and what it has yet to: state kept in the ledger.

It goes into the same commit as the trials themselves, so that a pass that was killed
takes the same artifacts again and counts them once. What two passes at once know adds up.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta

from expci.core.model.trial import parse_timestamp, timestamp
from expci.errors import InvalidRecord, LedgerDamaged
from expci.store.ledger import paths
from expci.store.ledger.ledger import Ledger

SCHEMA = "expci.harvest/1"
# An upload becomes visible some time after the moment that GitHub calls its creation.
OVERLAP = timedelta(hours=1)
# How far back runs are looked at (`flows/arrivals/silent_runs.py`), and a bit.
SETTLED = timedelta(days=3)


@dataclass(frozen=True)
class WaitingArtifact:
    """A listed artifact that is not taken yet, its name fit to be printed.

    `own`: its run's commit came from this repository. `failed`: a download was tried.
    """

    id: int
    name: str
    size: int
    created: str
    run: int
    own: bool
    expired: bool = False
    failed: bool = False


@dataclass(frozen=True)
class ArtifactCursor:
    """Times are UTC as in every record, "" before the first pass.

    Every artifact from before `since` is in the ledger, refused, or in `waiting`. `done` are
    those, taken or refused, that the next listing may show again (id → created). Every run
    created before `runs_since` was looked at; `settled` are later ones that left nothing
    to be taken and need not be asked for again (id → created). `workflows` are those that
    reported, by slot: the path of the file → the workflow's name.
    """

    since: str = ""
    done: Mapping[int, str] = field(default_factory=dict)
    waiting: tuple[WaitingArtifact, ...] = ()
    runs_since: str = ""
    settled: Mapping[int, str] = field(default_factory=dict)
    workflows: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    @property
    def listed(self) -> frozenset[int]:
        return frozenset(self.done) | {item.id for item in self.waiting}

    def dump(self) -> bytes:
        document = {"schema": SCHEMA, **asdict(self)}
        for key in ("done", "settled"):
            document[key] = {str(id): document[key][id] for id in sorted(document[key])}
        return json.dumps(document, indent=1, sort_keys=True).encode() + b"\n"


def read_artifact_cursor(ledger: Ledger) -> ArtifactCursor:
    """The state that the ledger holds; one that is damaged begins anew.

    Then everything is listed once more, and what was taken before is recognised by its ids.
    """
    data = ledger.read(paths.HARVEST)
    try:
        return ArtifactCursor() if data is None else parse_artifact_cursor(data)
    except LedgerDamaged:
        return ArtifactCursor()


def parse_artifact_cursor(data: bytes) -> ArtifactCursor:
    try:
        document = json.loads(data)
        if document.pop("schema") != SCHEMA:
            raise LedgerDamaged(f"{paths.HARVEST} is of another version: use a newer expci")
        for key in ("done", "settled"):
            document[key] = {int(id): created for id, created in document[key].items()}
        document["waiting"] = tuple(WaitingArtifact(**item) for item in document["waiting"])
        return ArtifactCursor(**document)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise LedgerDamaged(f"{paths.HARVEST} cannot be read: {error!r}") from error


def merged(ours: ArtifactCursor, theirs: ArtifactCursor) -> ArtifactCursor:
    """What both know, without what no listing will show again."""
    since, runs_since = max(ours.since, theirs.since), max(ours.runs_since, theirs.runs_since)
    done = {**ours.done, **theirs.done}
    waiting = {item.id: item for item in (*ours.waiting, *theirs.waiting) if item.id not in done}
    slots = sorted(ours.workflows.keys() | theirs.workflows.keys())
    return ArtifactCursor(
        since=since,
        done=_from(done, earlier(since, OVERLAP)),
        waiting=tuple(sorted(waiting.values(), key=lambda item: (item.created, item.id))),
        runs_since=runs_since,
        settled=_from({**ours.settled, **theirs.settled}, max(runs_since, earlier(since, SETTLED))),
        workflows={
            slot: {**ours.workflows.get(slot, {}), **theirs.workflows.get(slot, {})}
            for slot in slots
        },
    )


def says_more(ours: ArtifactCursor, theirs: ArtifactCursor) -> bool:
    """Whether `theirs` knows more than how far the listings were read.

    What was learned of workflows is in the listing again, as long as that is not moved on.
    """
    return (
        ours.waiting != theirs.waiting
        or not theirs.done.keys() <= ours.done.keys()
        or not theirs.settled.keys() <= ours.settled.keys()
    )


def earlier(moment: str, by: timedelta) -> str:
    """The time `by` before a recorded one; "" stays."""
    try:
        return timestamp(parse_timestamp(moment) - by) if moment else ""
    except InvalidRecord as error:
        raise LedgerDamaged(f"{paths.HARVEST} holds no time: {error}") from error


def moment(text: str) -> datetime | None:
    return parse_timestamp(text) if text else None


def _from(items: Mapping[int, str], since: str) -> dict[int, str]:
    """Timestamps of one form and zone sort as text."""
    return {id: created for id, created in items.items() if created >= since}

"""Trials from CI artifacts: what the network holds is gathered first, then thought about.

`collect_artifacts` reads the CI's records, and changes nothing. `arrivals` is pure and may be
called again with a newer ledger: another pass may have taken the same meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import islice

from expci.core.model.trial import Trial, parse_timestamp, timestamp
from expci.errors import ForgeError, NotOneFile, NotPermitted
from expci.flows.auto.silent_runs import SilentRuns, look_for_silent_runs, lost_records
from expci.flows.context import Context
from expci.forge.ports import Artifact, CIRecords, CIRun
from expci.store.inbox.read_batches import Arrived, Inbox, RefusedRecord, in_order
from expci.store.ledger import arrived_artifacts, artifact_cursor, paths
from expci.store.ledger.arrived_artifacts import BYTES, PREFIX, ArtifactBatch, Origin
from expci.store.ledger.artifact_cursor import OVERLAP, ArtifactCursor, WaitingArtifact
from expci.store.ledger.fold import Changes
from expci.store.ledger.ledger import Ledger
from expci.store.ledger.transaction import Snapshot

SUBJECT = "artifacts"  # the subject of its problems
# GitHub keeps artifacts for 90 days unless told otherwise.
KEPT = timedelta(days=90)
# Of a job's token there are 1,000 requests an hour; an artifact costs one or two.
DOWNLOADS = 200
LISTED = 2000  # artifacts of ours that one pass writes down
PAGE = 100
NAME = 100  # characters of an artifact's name
# As many failures in a row mean that the others would fail too.
PATIENCE = 3
_GONE = (404, 410)


@dataclass(frozen=True)
class Collection:
    """What one pass collected. `cursor` is where the next one goes on, for the ledger of the time.

    `far`: so much was listed that remembering how far is worth a commit of its own.
    """

    batches: tuple[ArtifactBatch, ...] = ()
    silent: SilentRuns = field(default_factory=SilentRuns)
    cursor: ArtifactCursor = field(default_factory=ArtifactCursor)
    problems: tuple[tuple[str, str], ...] = ()
    far: bool = False


@dataclass(frozen=True)
class Arrivals:
    """The inbox with what was collected, to be folded, and the changes that go with it."""

    inbox: Inbox
    changes: Changes


# --- gather ------------------------------------------------------------------------------


def collect_artifacts(app: Context, snapshot: Snapshot) -> Collection:
    """Read what is new. Nothing that goes wrong here holds up the pass."""
    now = app.clock()
    begin, ci = first_start(snapshot.ledger), app.forge.ci
    if begin is None or ci is None:
        return Collection()
    cursor = artifact_cursor.read_artifact_cursor(snapshot.ledger)
    since = artifact_cursor.moment(cursor.since)
    listing = _listed(ci, cursor, since - OVERLAP if since else max(begin - OVERLAP, now - KEPT))
    taking = Taking(ci)
    taking.take([*cursor.waiting, *map(_waiting, listing.fresh)])
    next_cursor = replace(
        cursor,
        since=cursor.since if listing.newest is None else timestamp(listing.newest),
        done={**cursor.done, **{batch.id: timestamp(batch.created) for batch in taking.batches}},
        waiting=tuple(taking.left),
    )
    silent = SilentRuns()
    if not listing.problem and not taking.stopped:
        reported = {batch.run for batch in taking.batches} | {item.run for item in taking.left}
        silent = look_for_silent_runs(app, ci, snapshot, cursor, reported, now)
    # One is enough: what stops the listing stops the rest.
    problem = listing.problem or taking.problem() or silent.problem
    return Collection(
        batches=tuple(taking.batches),
        silent=silent,
        cursor=_with_silence(next_cursor, silent, taking.batches),
        problems=((SUBJECT, problem),) if problem else (),
        far=listing.examined > PAGE or silent.examined > PAGE,
    )


def first_start(ledger: Ledger) -> datetime | None:
    """When the first experiment started: no trial is older."""
    ledger.read_many(paths.events(name) for name in ledger.experiments)
    lives = (ledger.life(name) for name in ledger.experiments)
    times = [event.at for life in lives for event in life.events[:1]]
    return parse_timestamp(min(times)) if times else None


@dataclass
class Listing:
    """`newest` is `None` where the listing did not come to its end: it is read again then."""

    fresh: list[Artifact] = field(default_factory=list)
    newest: datetime | None = None
    examined: int = 0
    problem: str = ""


def _listed(ci: CIRecords, cursor: ArtifactCursor, since: datetime) -> Listing:
    """What is new among all artifacts: others count too, or they would be read for ever."""
    listing, newest = Listing(), since
    try:
        for artifact in ci.artifacts("", since):
            listing.examined += 1
            newest = max(newest, artifact.created)
            if artifact.name.startswith(PREFIX) and artifact.id not in cursor.known:
                listing.fresh.append(artifact)
                if len(listing.fresh) == LISTED:
                    return listing
    except ForgeError as error:
        listing.problem = str(error)
        return listing
    listing.newest = newest if listing.examined else None
    return listing


def _waiting(artifact: Artifact) -> WaitingArtifact:
    return WaitingArtifact(
        id=artifact.id,
        name="".join(char for char in artifact.name if char.isprintable())[:NAME],
        size=artifact.size,
        created=timestamp(artifact.created),
        run=artifact.run,
        own=artifact.own,
        expired=artifact.expired,
    )


@dataclass
class Taking:
    """Artifacts taken one after the other, oldest first.

    Those of forks come after our own, so that nobody can crowd those out, and what failed
    before comes last.
    """

    ci: CIRecords
    batches: list[ArtifactBatch] = field(default_factory=list)
    left: list[WaitingArtifact] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    stopped: bool = False

    def take(self, waiting: Sequence[WaitingArtifact]) -> None:
        queue = sorted(waiting, key=lambda item: (item.failed, not item.own, item.created, item.id))
        now, self.left = queue[:DOWNLOADS], queue[DOWNLOADS:]
        in_a_row = 0
        self._read_runs(now)
        for item in now:
            if self.stopped or in_a_row == PATIENCE:
                self.left.append(item)
                continue
            try:
                self.batches.append(self._taken(item))
                in_a_row = 0
            except ForgeError as error:
                in_a_row += 1
                self.failures.append(str(error))
                self.stopped = isinstance(error, NotPermitted)
                self.left.append(replace(item, failed=True))

    def problem(self) -> str:
        if not self.failures:
            return ""
        count = len(self.left)
        them = "1 artifact waits" if count == 1 else f"{count} artifacts wait"
        return f"{them} for the next pass: {self.failures[0]}"

    def _read_runs(self, waiting: Iterable[WaitingArtifact]) -> None:
        """List the runs where that takes fewer calls than reading each, as is done else."""
        items = [item for item in waiting if _refusal(item) == ""]
        missing = {item.run for item in items}
        pages = len(missing) // 2
        if not pages:
            return
        since = parse_timestamp(min(item.created for item in items)) - timedelta(days=1)
        try:
            for run in islice(self.ci.runs(since), pages * PAGE):
                missing.discard(run.id)
                if not missing:
                    return
        except ForgeError:
            return

    def _taken(self, item: WaitingArtifact) -> ArtifactBatch:
        """What one artifact holds, or why it is refused; `ForgeError`: not now."""
        created = parse_timestamp(item.created)
        batch = ArtifactBatch(item.id, item.name, created, item.run, refusal=_refusal(item))
        if batch.refusal:
            return batch
        try:
            run = self.ci.run(item.run)
            if run is None:
                return replace(batch, refusal="its run is gone: nothing tells where it came from")
            artifact = Artifact(
                item.id, item.name, item.size, created, False, item.run, run.head_commit, item.own
            )
            data = self.ci.download(artifact, BYTES)
        except NotOneFile as error:
            return replace(batch, refusal=str(error), data=error.data)
        except ForgeError as error:
            if error.status not in _GONE:
                raise
            return replace(batch, refusal=_EXPIRED)
        return replace(batch, data=data, origin=origin_of(run, own=item.own))


_EXPIRED = (
    "expired or was deleted before a pass took it: its trials are lost. CIRun passes more often"
)


def _refusal(item: WaitingArtifact) -> str:
    """Why an artifact is not worth a download; "" where it is."""
    if item.expired:
        return _EXPIRED
    return f"{item.size} bytes; at most {BYTES}" if item.size > BYTES else ""


def origin_of(run: CIRun, *, own: bool) -> Origin:
    return Origin(
        run=run.id,
        repository=run.repository,
        head_repository=run.head_repository,
        event=run.event,
        head_commit=run.head_commit,
        actor=run.actor,
        workflow=run.workflow,
        number=run.number,
        conclusion=run.conclusion or "",
        created=run.created,
        own=own and run.own,
    )


def _with_silence(
    cursor: ArtifactCursor, silent: SilentRuns, batches: Iterable[ArtifactBatch]
) -> ArtifactCursor:
    """A run whose artifact was refused has reported, though nothing of it could be read."""
    refused = {batch.run: timestamp(batch.created) for batch in batches}
    return replace(
        cursor,
        settled={**cursor.settled, **refused, **silent.settled},
        runs_since=max(cursor.runs_since, silent.since),
        workflows={**cursor.workflows, **silent.workflows},
    )


# --- think -------------------------------------------------------------------------------


def records_to_fold(ledger: Ledger, collection: Collection, inbox: Inbox) -> Arrivals:
    """What is to be folded: the inbox, and what was collected and this ledger lacks."""
    cursor = artifact_cursor.read_artifact_cursor(ledger)
    arrived: list[Arrived] = list(inbox.arrived)
    refused: list[RefusedRecord] = list(inbox.refused)
    for batch in collection.batches:
        if batch.id not in cursor.done:
            taken, bad = arrived_artifacts.read_artifact(ledger, batch)
            arrived += taken
            refused += bad
    arrived += lost_records(ledger, cursor, collection.silent, _reporting(arrived))
    merged = artifact_cursor.merged(cursor, collection.cursor)
    changes: Changes = {}
    if artifact_cursor.says_more(cursor, merged) or (collection.far and merged != cursor):
        changes[paths.HARVEST] = merged.dump()
    return Arrivals(Inbox(tuple(in_order(arrived)), tuple(refused), inbox.refs), changes)


def _reporting(arrived: Iterable[Arrived]) -> set[tuple[str, str]]:
    """(experiment, run) of the trials that have just come."""
    trials = (item.record for item in arrived if isinstance(item.record, Trial))
    return {(trial.experiment, trial.context.get("run_id", "")) for trial in trials}

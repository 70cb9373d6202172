"""Trials from CI artifacts: what the network knows is gathered first, then thought about.

`gather_artifacts` asks the forge, and changes nothing. `reap` is pure and may be asked
again with a newer ledger: another pass may have taken the same meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import islice

from expci.core.model.trial import Trial, parse_timestamp, timestamp
from expci.errors import ForgeError, NotOneFile, NotPermitted
from expci.flows.auto import silent_runs as silence
from expci.flows.auto.silent_runs import Silence
from expci.flows.context import Context
from expci.forge.ports import Artifact, Forge, Run
from expci.store.inbox.read_batches import Arrived, Inbox, RefusedRecord, in_order
from expci.store.ledger import arrived_artifacts, artifact_cursor, paths
from expci.store.ledger.arrived_artifacts import BYTES, PREFIX, ArtifactBatch, Origin
from expci.store.ledger.artifact_cursor import OVERLAP, ArtifactCursor, WaitingArtifact
from expci.store.ledger.fold import Changes
from expci.store.ledger.ledger import Ledger
from expci.store.ledger.transaction import Snapshot

SUBJECT = "artifacts"  # what problems are said to be with
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
class Harvest:
    """What one pass found. `state` is what is known with it, by the ledger it was asked for.

    `far`: so much was listed that remembering how far is worth a commit of its own.
    """

    batches: tuple[ArtifactBatch, ...] = ()
    silence: Silence = field(default_factory=Silence)
    state: ArtifactCursor = field(default_factory=ArtifactCursor)
    problems: tuple[tuple[str, str], ...] = ()
    far: bool = False


@dataclass(frozen=True)
class Reaped:
    """The inbox with what was harvested, to be folded, and the changes that go with it."""

    inbox: Inbox
    changes: Changes


# --- gather ------------------------------------------------------------------------------


def gather_artifacts(app: Context, snapshot: Snapshot) -> Harvest:
    """Ask the forge for what is new. Nothing that goes wrong here holds up the pass."""
    now = app.clock()
    begin = first_start(snapshot.ledger)
    if begin is None:
        return Harvest()
    held = artifact_cursor.read_artifact_cursor(snapshot.ledger)
    seen = artifact_cursor.moment(held.since)
    listing = _listed(app.forge, held, seen - OVERLAP if seen else max(begin - OVERLAP, now - KEPT))
    haul = Haul(app.forge)
    haul.take([*held.waiting, *map(_waiting, listing.fresh)])
    state = replace(
        held,
        since=held.since if listing.newest is None else timestamp(listing.newest),
        done={**held.done, **{batch.id: timestamp(batch.created) for batch in haul.batches}},
        waiting=tuple(haul.left),
    )
    quiet = Silence()
    if not listing.problem and not haul.stopped:
        spoken = {batch.run for batch in haul.batches} | {item.run for item in haul.left}
        quiet = silence.listen(app, snapshot, held, spoken, now)
    # One is enough: what stops the listing stops the rest.
    problem = listing.problem or haul.problem() or quiet.problem
    return Harvest(
        batches=tuple(haul.batches),
        silence=quiet,
        state=_with_silence(state, quiet, haul.batches),
        problems=((SUBJECT, problem),) if problem else (),
        far=listing.examined > PAGE or quiet.examined > PAGE,
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


def _listed(forge: Forge, held: ArtifactCursor, since: datetime) -> Listing:
    """What is new among all artifacts: others count too, or they would be read for ever."""
    found, newest, known = Listing(), since, held.known
    try:
        for artifact in forge.artifacts("", since):
            found.examined += 1
            newest = max(newest, artifact.created)
            if artifact.name.startswith(PREFIX) and artifact.id not in known:
                found.fresh.append(artifact)
                if len(found.fresh) == LISTED:
                    return found
    except ForgeError as error:
        found.problem = str(error)
        return found
    found.newest = newest if found.examined else None
    return found


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
class Haul:
    """Artifacts taken one after the other, oldest first.

    Those of forks come after our own, so that nobody can crowd those out, and what failed
    before comes last.
    """

    forge: Forge
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
        """List the runs where that takes fewer requests than asking for each, as is done else."""
        items = [item for item in waiting if _refusal(item) == ""]
        missing = {item.run for item in items}
        pages = len(missing) // 2
        if not pages:
            return
        since = parse_timestamp(min(item.created for item in items)) - timedelta(days=1)
        try:
            for run in islice(self.forge.runs(since), pages * PAGE):
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
            run = self.forge.run(item.run)
            if run is None:
                return replace(batch, refusal="its run is gone: nothing tells where it came from")
            artifact = Artifact(
                item.id, item.name, item.size, created, False, item.run, run.head_commit, item.own
            )
            data = self.forge.download(artifact, BYTES)
        except NotOneFile as error:
            return replace(batch, refusal=str(error), data=error.data)
        except ForgeError as error:
            if error.status not in _GONE:
                raise
            return replace(batch, refusal=_EXPIRED)
        return replace(batch, data=data, origin=origin_of(run, own=item.own))


_EXPIRED = (
    "expired or was deleted before a pass took it: its trials are lost. Run passes more often"
)


def _refusal(item: WaitingArtifact) -> str:
    """Why an artifact is not worth a download; "" where it is."""
    if item.expired:
        return _EXPIRED
    return f"{item.size} bytes; at most {BYTES}" if item.size > BYTES else ""


def origin_of(run: Run, *, own: bool) -> Origin:
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
    state: ArtifactCursor, quiet: Silence, batches: Iterable[ArtifactBatch]
) -> ArtifactCursor:
    """A run whose artifact was refused has spoken, though nothing was understood."""
    refused = {batch.run: timestamp(batch.created) for batch in batches}
    return replace(
        state,
        settled={**state.settled, **refused, **quiet.settled},
        runs_since=max(state.runs_since, quiet.since),
        workflows={**state.workflows, **quiet.workflows},
    )


# --- think -------------------------------------------------------------------------------


def reap(ledger: Ledger, harvest: Harvest, inbox: Inbox) -> Reaped:
    """What is to be folded: the inbox, and what was harvested and this ledger does not know."""
    held = artifact_cursor.read_artifact_cursor(ledger)
    arrived: list[Arrived] = list(inbox.arrived)
    refused: list[RefusedRecord] = list(inbox.refused)
    for batch in harvest.batches:
        if batch.id not in held.done:
            taken, bad = arrived_artifacts.read_artifact(ledger, batch)
            arrived += taken
            refused += bad
    arrived += silence.lost_records(ledger, held, harvest.silence, _reporting(arrived))
    state = artifact_cursor.merged(held, harvest.state)
    changes: Changes = {}
    if artifact_cursor.says_more(held, state) or (harvest.far and state != held):
        changes[paths.HARVEST] = state.dump()
    return Reaped(Inbox(tuple(in_order(arrived)), tuple(refused), inbox.refs), changes)


def _reporting(arrived: Iterable[Arrived]) -> set[tuple[str, str]]:
    """(experiment, run) of the trials that have just come."""
    trials = (item.record for item in arrived if isinstance(item.record, Trial))
    return {(trial.experiment, trial.context.get("run_id", "")) for trial in trials}

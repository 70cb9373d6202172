"""Trials from CI artifacts: what the network holds is gathered first, then thought about.

`collect_artifacts` reads the CI's records, and changes nothing. `arrivals` is pure and may be
called again with a newer ledger: another pass may have taken the same meanwhile.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from expci.core.model.trial import Trial, parse_timestamp, timestamp
from expci.errors import ForgeError
from expci.flows.arrivals.artifact_downloads import PAGE, SECONDS, Downloads
from expci.flows.arrivals.provenance import Provenance
from expci.flows.arrivals.silent_runs import SilentRuns, look_for_silent_runs, lost_records
from expci.flows.context import Context
from expci.forge.ports import Artifact, CIRecords
from expci.store.inbox.read_batches import Arrived, Inbox, RefusedRecord, in_order
from expci.store.ledger import arrived_artifacts, artifact_cursor, paths
from expci.store.ledger.arrived_artifacts import PREFIX, ArtifactBatch, is_untrusted, of_fork
from expci.store.ledger.artifact_cursor import OVERLAP, ArtifactCursor, WaitingArtifact
from expci.store.ledger.fold import Changes
from expci.store.ledger.ledger import Ledger
from expci.store.ledger.run_quotas import quotas_of
from expci.store.ledger.transaction import Snapshot
from expci.store.ledger.uncounted import (
    ForkArtifact,
    read_uncounted,
    with_artifacts,
)

SUBJECT = "artifacts"  # the subject of its problems
# GitHub keeps artifacts for 90 days unless configured otherwise.
KEPT = timedelta(days=90)
LISTED = 2000  # artifacts of ours that one pass writes down
FORK_ARTIFACTS_A_RUN = 10  # that are looked at: a stranger's job may upload hundreds
NAME = 100  # characters of an artifact's name
NAMED = 10  # refused lines of forks that one pass names
DOUBTS = 5  # artifacts that one pass names because no step of expci's was in their run


@dataclass(frozen=True)
class Collection:
    """What one pass collected. `cursor` is where the next one goes on, for the ledger of the time.

    `far`: so much was listed that remembering how far is worth a commit of its own. `crowd` is how
    many artifacts of forks were beyond what is looked at. `incomplete` says what kept it from
    reading all, "" where nothing did; it is among the problems.
    """

    batches: tuple[ArtifactBatch, ...] = ()
    silent: SilentRuns = field(default_factory=SilentRuns)
    cursor: ArtifactCursor = field(default_factory=ArtifactCursor)
    problems: tuple[tuple[str, str], ...] = ()
    far: bool = False
    crowd: int = 0
    incomplete: str = ""


@dataclass(frozen=True)
class Arrivals:
    """The inbox with what was collected, to be folded, and the changes that go with it.

    `unkept` are refused lines of forks: they are named once and not stored.
    """

    inbox: Inbox
    changes: Changes
    unkept: tuple[RefusedRecord, ...] = ()


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
    downloads = Downloads(ci, Provenance(app, ci), counts_jobs=_counts_jobs(snapshot))
    downloads.fetch([*cursor.waiting, *map(_waiting, listing.fresh)])
    next_cursor = replace(
        cursor,
        since=cursor.since if listing.newest is None else timestamp(listing.newest),
        done={**cursor.done, **{batch.id: timestamp(batch.created) for batch in downloads.batches}},
        waiting=tuple(downloads.left),
    )
    silent = SilentRuns()
    if not listing.problem and not downloads.stopped:
        reported = {batch.run for batch in downloads.batches} | {
            item.run for item in downloads.left
        }
        silent = look_for_silent_runs(app, ci, snapshot, cursor, reported, now)
    # One is enough: what stops the listing stops the rest.
    problem = listing.problem or downloads.problem() or silent.problem
    return Collection(
        batches=tuple(downloads.batches),
        silent=silent,
        cursor=_with_silence(next_cursor, silent, downloads.batches),
        problems=tuple((SUBJECT, what) for what in (problem, *downloads.doubts[:DOUBTS]) if what),
        far=listing.examined > PAGE or silent.examined > PAGE,
        crowd=listing.crowd,
        incomplete=problem or "",
    )


def _counts_jobs(snapshot: Snapshot) -> bool:
    """Whether a run may name several units of an experiment: as many as it had jobs."""
    exposures = snapshot.published.experiments.values()
    return any(exposure.unit in ("job", "custom") for exposure in exposures)


def first_start(ledger: Ledger) -> datetime | None:
    """When the first experiment started: no trial is older."""
    ledger.read_many(paths.events(name) for name in ledger.experiments)
    lives = (ledger.life(name) for name in ledger.experiments)
    times = [event.at for life in lives for event in life.events[:1]]
    return parse_timestamp(min(times)) if times else None


@dataclass
class ArtifactListing:
    """`newest` is `None` where the listing did not come to its end: it is read again then."""

    fresh: list[Artifact] = field(default_factory=list)
    newest: datetime | None = None
    examined: int = 0
    problem: str = ""
    crowd: int = 0


def _listed(ci: CIRecords, cursor: ArtifactCursor, since: datetime) -> ArtifactListing:
    """What is new among all artifacts: others count too, or they would be read for ever."""
    listing, newest = ArtifactListing(), since
    of_fork_run: Counter[int] = Counter(item.run for item in cursor.waiting if not item.own)
    end = time.monotonic() + SECONDS
    try:
        for artifact in ci.artifacts("", since):
            listing.examined += 1
            newest = max(newest, artifact.created)
            if artifact.name.startswith(PREFIX) and artifact.id not in cursor.listed:
                of_fork_run[artifact.run] += not artifact.own
                if not artifact.own and of_fork_run[artifact.run] > FORK_ARTIFACTS_A_RUN:
                    listing.crowd += 1
                    continue
                listing.fresh.append(artifact)
            if len(listing.fresh) == LISTED or time.monotonic() > end:
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
    forks: list[ForkArtifact] = []
    unkept: list[RefusedRecord] = []
    quotas = quotas_of(ledger)
    for batch in collection.batches:
        if batch.id not in cursor.done:
            taken, bad = arrived_artifacts.read_artifact(ledger, batch, quotas)
            arrived += [item for item in taken if not is_untrusted(item)]
            if batch.is_own:
                refused += bad
            else:
                forks.append(of_fork(ledger, batch, taken, bad))
                unkept += bad
    arrived += lost_records(ledger, cursor, collection.silent, _reporting(arrived))
    merged = artifact_cursor.merged(cursor, collection.cursor)
    changes: Changes = {}
    if artifact_cursor.says_more(cursor, merged) or (collection.far and merged != cursor):
        changes[paths.HARVEST] = merged.dump()
    if forks:
        counters = read_uncounted(ledger.read(paths.UNCOUNTED))
        changes[paths.UNCOUNTED] = with_artifacts(counters, forks).dump()
    taken_in = Inbox(tuple(in_order(arrived)), tuple(refused), inbox.refs)
    return Arrivals(taken_in, changes, tuple(unkept[:NAMED]))


def _reporting(arrived: Iterable[Arrived]) -> set[tuple[str, str]]:
    """(experiment, run) of the trials that have just come."""
    trials = (item.record for item in arrived if isinstance(item.record, Trial))
    return {(trial.experiment, trial.context.get("run_id", "")) for trial in trials}

"""Downloading CI artifacts one after the other, each within the share of the account behind it."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from itertools import islice

from expci.core.model.trial import parse_timestamp
from expci.errors import ForgeError, NotOneFile, NotPermitted
from expci.flows.arrivals.provenance import NO_STEP, Provenance
from expci.forge.ports import Artifact, CIRecords, CIRun
from expci.store.ledger.arrived_artifacts import BYTES, ArtifactBatch, Origin
from expci.store.ledger.artifact_cursor import WaitingArtifact

# Of a job's token there are 1,000 requests an hour; an artifact costs two or three.
DOWNLOADS = 200
PAGE = 100
SECONDS = 240.0  # of one pass; what is left then waits for the next
FORK_ARTIFACTS_A_PASS = 30  # of one fork or person
# As many failures in a row mean that the others would fail too.
PATIENCE = 3
_GONE = (404, 410)


@dataclass
class Downloads:
    """Artifacts taken one after the other, oldest first.

    Those of forks come after our own, so that nobody can crowd those out, and what failed
    before comes last.
    """

    ci: CIRecords
    provenance: Provenance
    counts_jobs: bool = False
    batches: list[ArtifactBatch] = field(default_factory=list)
    left: list[WaitingArtifact] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    doubts: list[str] = field(default_factory=list)
    stopped: bool = False
    _shares: Counter[str] = field(default_factory=Counter)

    def fetch(self, waiting: Sequence[WaitingArtifact]) -> None:
        queue = sorted(waiting, key=lambda item: (item.failed, not item.own, item.created, item.id))
        now, self.left = queue[:DOWNLOADS], queue[DOWNLOADS:]
        in_a_row, end = 0, time.monotonic() + SECONDS
        self._read_runs(now)
        for item in now:
            if self.stopped or in_a_row == PATIENCE or time.monotonic() > end:
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
        """What to say where something failed; "" where nothing did."""
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
        batch = ArtifactBatch(
            item.id, item.name, created, item.run, refusal=_refusal(item), own=item.own
        )
        if batch.refusal:
            return batch
        try:
            run = self.ci.run(item.run)
            if run is None:
                return replace(batch, refusal="its run was deleted, so its origin is unknown")
            batch = replace(batch, origin=origin_of(run, own=item.own))
            if refusal := self._beyond_share(run, item):
                return replace(batch, refusal=refusal)
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
        return replace(batch, data=data, origin=self._vetted(run, batch))

    def _beyond_share(self, run: CIRun, item: WaitingArtifact) -> str:
        """Why a fork's artifact is not read: one fork or person must not crowd out the others."""
        if item.own and run.own:
            return ""
        names = (f"fork {run.head_repository}", f"actor {run.actor}")
        self._shares.update(names)
        if max(self._shares[name] for name in names) <= FORK_ARTIFACTS_A_PASS:
            return ""
        return f"more than {FORK_ARTIFACTS_A_PASS} artifacts of one fork or person in one pass"

    def _vetted(self, run: CIRun, batch: ArtifactBatch) -> Origin:
        """The origin of what was read, with how far the run's records carry it."""
        if not (batch.own and run.own):
            return replace(origin_of(run, own=False), pulls=self.provenance.pulls(run))
        took_part = self.provenance.took_part(run)
        if not took_part:
            self.doubts.append(f"{batch.subject}: {NO_STEP}")
        jobs = self.provenance.jobs(run) if self.counts_jobs else None
        pulls = self.provenance.pulls(run)
        return replace(origin_of(run, own=True), took_part=took_part, jobs=jobs, pulls=pulls)


_EXPIRED = (
    "expired or was deleted before a pass took it: its trials are lost. Run passes more often"
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

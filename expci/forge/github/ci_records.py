"""What GitHub Actions recorded: runs, and the artifacts that they left behind.

An artifact's content was written by whoever ran the job, a stranger's fork included.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import islice
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import quote

import requests
from github import GithubException
from github.Artifact import Artifact as GitHubArtifact
from github.PaginatedList import PaginatedList
from github.WorkflowRun import WorkflowRun
from requests.adapters import HTTPAdapter

from expci.errors import ForgeError, NotOneFile
from expci.forge.github.retries import PatientRetry
from expci.forge.github.session import ACTIONS, GitHubSession
from expci.forge.ports import Artifact, CIRun, Job, JobStep

# Of these `zipfile` unpacks no more than it is asked for; of bzip2 and LZMA all that is there:
# half a kilobyte becomes a gigabyte in memory.
PACKED_BY = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


class GitHubCIRecords:
    """Workflow runs and artifacts of one repository."""

    def __init__(self, session: GitHubSession) -> None:
        self._session = session
        self._runs: dict[int, CIRun] = {}
        self._runs_of: dict[tuple[str, int], tuple[CIRun, ...]] = {}

    # --- runs --------------------------------------------------------------------------

    def run(self, id: int) -> CIRun | None:
        if id not in self._runs:
            try:
                with self._session.asking(f"read run {id}", ACTIONS):
                    self._runs[id] = _run(self._session.repository.get_workflow_run(id))
            except ForgeError as error:
                if error.status != 404:
                    raise
                return None
        return self._runs[id]

    def runs(self, since: datetime) -> Iterator[CIRun]:
        """Newest first. GitHub answers with the newest 1,000 at most."""
        with self._session.asking("list the workflow runs", ACTIONS):
            records = self._session.repository.get_workflow_runs(created=_since(since))
            yield from self._read(records)

    def runs_of(self, workflow: str, since: datetime, most: int) -> tuple[CIRun, ...]:
        key = (workflow, most)  # `since` moves with the clock during a pass
        if key not in self._runs_of:
            self._runs_of[key] = tuple(islice(self._list_runs_of(workflow, since), most))
        return self._runs_of[key]

    def _list_runs_of(self, workflow: str, since: datetime) -> Iterator[CIRun]:
        """PyGithub lists a workflow's runs only after asking for the workflow: a call more."""
        repository, file = self._session.repository, quote(PurePosixPath(workflow).name)
        try:
            with self._session.asking(f"list the runs of {workflow}", ACTIONS):
                address = f"{repository.url}/actions/workflows/{file}/runs"
                yield from self._read(
                    PaginatedList(
                        WorkflowRun,
                        repository.requester,
                        address,
                        {"created": _since(since)},
                        list_item="workflow_runs",
                    )
                )
        except ForgeError as error:
            if error.status != 404:
                raise

    def _read(self, records: Iterable[WorkflowRun]) -> Iterator[CIRun]:
        for record in records:
            self._runs[record.id] = _run(record)
            yield self._runs[record.id]

    def jobs(self, run: int) -> tuple[Job, ...]:
        """One page: a run with more jobs is judged by its first hundred."""
        with self._session.asking(f"list the jobs of run {run}", ACTIONS):
            path = f"actions/runs/{run}/jobs?filter=all&per_page=100"
            _, answer = self._session.request("GET", path)
            return tuple(_job(job) for job in answer["jobs"])

    # --- artifacts ---------------------------------------------------------------------

    def artifacts(self, prefix: str, since: datetime | None) -> Iterator[Artifact]:
        """Newest first, until one is older than `since`."""
        listed: set[int] = set()
        with self._session.asking("list the artifacts", ACTIONS):
            for record in self._session.repository.get_artifacts():
                if since is not None and record.created_at < since:
                    return
                # One that arrives while we read moves the others to the next page.
                if record.name.startswith(prefix) and record.id not in listed:
                    listed.add(record.id)
                    artifact = _artifact(record)
                    if artifact is not None:
                        yield artifact

    def download(self, artifact: Artifact, limit: int) -> bytes:
        what = f"the artifact {artifact.name}"
        if artifact.size > limit:
            raise NotOneFile(f"{what} has {artifact.size} bytes; the limit is {limit}")
        with self._session.asking(f"download {what}", ACTIONS):
            headers, _ = self._session.request("GET", f"actions/artifacts/{artifact.id}/zip")
            data = self._fetch(headers.get("location", ""), limit)
        if len(data) > limit:
            raise NotOneFile(f"{what} has more than {limit} bytes", data)
        return only_file(data, limit, what)

    def _fetch(self, address: str, limit: int) -> bytes:
        """At most one byte more than `limit` of a signed address, which gets no token.

        PyGithub would read an answer of any size into memory.
        """
        with requests.Session() as client:
            for scheme in ("http://", "https://"):
                client.mount(scheme, HTTPAdapter(max_retries=PatientRetry(self._session.limits)))
            client.auth = _nobody
            with client.get(address, stream=True, timeout=self._session.access.timeout) as answer:
                if answer.status_code >= 400:
                    reason = {"message": "the store of artifacts failed"}
                    raise GithubException(answer.status_code, reason)
                data = bytearray()
                for chunk in answer.iter_content(1 << 16):
                    data += chunk
                    if len(data) > limit:
                        break
                return bytes(data)


def _since(moment: datetime) -> str:
    return f">={moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def _nobody(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """Keeps the credentials of ~/.netrc out of it."""
    return request


def only_file(data: bytes, limit: int, what: str) -> bytes:
    """The content of an archive's one file, whatever its header says of the size."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries, content = archive.infolist(), b""
            objection = _objection(entries)
            if not objection:
                with archive.open(entries[0]) as file:
                    content = file.read(limit + 1)
    # Damaged bytes make zipfile and zlib raise a dozen kinds of errors, undocumented ones
    # too (IndexError, UnicodeDecodeError); any that gets out would end every pass.
    except Exception as error:
        raise NotOneFile(f"{what} is not a readable archive: {error}", data) from error
    if objection:
        raise NotOneFile(f"{what} {objection}", data)
    if len(content) > limit:
        raise NotOneFile(f"{what} unpacks to more than {limit} bytes", data)
    return content


def _objection(entries: Sequence[zipfile.ZipInfo]) -> str:
    """Why an archive is not to be unpacked; "" where it is."""
    plain = [e for e in entries if not e.is_dir() and not set(e.filename) & set("/\\")]
    if len(entries) != 1 or not plain:
        return f"holds {len(entries)} entries; it must be one file"
    readable = plain[0].compress_type in PACKED_BY
    return (
        ""
        if readable
        else "is not packed as actions/upload-artifact does: neither stored nor deflated"
    )


def _artifact(record: GitHubArtifact) -> Artifact | None:
    """`None` for one that names no run: nothing tells its origin."""
    run = record.raw_data.get("workflow_run") or {}
    if not run.get("id"):
        return None
    home, origin = run.get("repository_id"), run.get("head_repository_id")
    return Artifact(
        id=record.id,
        name=record.name,
        size=record.size_in_bytes,
        created=record.created_at,
        expired=record.expired,
        run=run["id"],
        head_commit=run.get("head_sha") or "",
        own=home is not None and home == origin,
    )


def _run(record: WorkflowRun) -> CIRun:
    origin = record.head_repository.full_name if record.head_repository else ""
    return CIRun(
        id=record.id,
        workflow=record.path.partition("@")[0],  # a required workflow's has `@branch` at its end
        event=record.event,
        status=record.status,
        conclusion=record.conclusion,
        attempt=record.run_attempt,
        actor=record.actor.login if record.actor else "ghost",
        head_branch=record.head_branch or "",
        head_commit=record.head_sha,
        head_repository=origin,
        own=bool(origin) and origin == record.repository.full_name,
        created=record.created_at,
        repository=record.repository.full_name,
        number=record.run_number,
        changed=record.updated_at,
        pulls=tuple(pull.number for pull in record.pull_requests or ()),
    )


def _job(record: Mapping[str, Any]) -> Job:
    steps = (JobStep(step["name"], step["conclusion"]) for step in record.get("steps") or ())
    return Job(record["name"], record["conclusion"], tuple(steps))

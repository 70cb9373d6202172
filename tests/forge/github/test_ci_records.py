"""Artifacts and runs: what strangers left behind, and what the CI says of them."""

from __future__ import annotations

import contextlib
import io
import tracemalloc
import zipfile
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from expci.errors import ForgeError, ForgeUnreachable, InvalidRecord, NotOneFile
from expci.forge.github.ci_records import only_file
from expci.forge.ports import Artifact
from support.github_server import Fault
from support.hub_bench import HubBench, bench, template
from support.ports import ci_of
from support.properties import examples

__all__ = ["bench", "template"]

LIMIT = 10_000


def packed(*files: tuple[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", method) as archive:
        for name, data in files:
            archive.writestr(name, data)
    return made.getvalue()


def only(bench: HubBench) -> Artifact:
    [artifact] = ci_of(bench.forge()).artifacts("expci-", None)
    return artifact


def test_artifacts_come_newest_first_with_their_origin(bench: HubBench) -> None:
    ours = bench.hub.add_run("push")
    fork = bench.hub.add_run("pull_request", fork="mallory/copy", head_sha="f" * 40)
    gone = bench.hub.add_run("pull_request", head_repository=None)
    for name, run in [("ours", ours), ("fork", fork), ("gone", gone), ("nobody", None)]:
        bench.hub.add_artifact(f"expci-{name}", packed(("t", b"")), run)
    bench.hub.add_artifact("coverage", b"", ours)
    found = {artifact.name: artifact for artifact in ci_of(bench.forge()).artifacts("expci-", None)}
    assert list(found) == ["expci-gone", "expci-fork", "expci-ours"]
    assert [artifact.own for artifact in found.values()] == [False, False, True]
    assert (found["expci-fork"].run, found["expci-fork"].head_commit) == (fork.id, "f" * 40)


def test_only_what_is_new_is_read(bench: HubBench) -> None:
    run = bench.hub.add_run()
    for number in range(250):
        at = f"2026-11-22T{10 + number // 60:02}:{number % 60:02}:00Z"
        bench.hub.add_artifact(f"expci-{number}", b"", run, created=at)
    forge = bench.forge()
    since = datetime(2026, 11, 22, 13, 0, tzinfo=UTC)
    assert [a.name for a in ci_of(forge).artifacts("expci-", since)][-1] == "expci-180"
    assert bench.calls("GET", "/actions/artifacts") == 1
    assert len(list(ci_of(forge).artifacts("expci-", None))) == 250
    assert bench.calls("GET", "/actions/artifacts") == 4


def test_one_that_arrives_while_the_pages_are_read_hides_none(bench: HubBench) -> None:
    run = bench.hub.add_run()
    for number in range(150):
        bench.hub.add_artifact(f"expci-{number}", b"", run)
    arrival = Fault.meanwhile(
        "GET", "/artifacts", lambda: bench.hub.add_artifact("expci-new", b"", run)
    )
    arrival.skip = 1
    bench.hub.faults.add(arrival)
    names = [artifact.name for artifact in ci_of(bench.forge()).artifacts("expci-", None)]
    assert sorted(names) == sorted(f"expci-{number}" for number in range(150))


def test_the_one_file_of_an_artifact_is_downloaded(bench: HubBench) -> None:
    bench.hub.add_artifact("expci-1", packed(("trials.jsonl", b'{"v":1}\n')), bench.hub.add_run())
    bench.hub.faults.add(Fault.failure("GET", "/_blobs/"), Fault.reset("GET", "/zip"))
    assert ci_of(bench.forge()).download(only(bench), LIMIT) == b'{"v":1}\n'


HOSTILE = {
    "two files": (packed(("a", b"1"), ("b", b"2")), "2 entries"),
    "no file": (packed(), "0 entries"),
    "a path upwards": (packed(("../../.bashrc", b"1")), "one file"),
    "an absolute path": (packed(("/etc/passwd", b"1")), "one file"),
    "a windows path": (packed(("..\\evil", b"1")), "one file"),
    "a bomb": (packed(("trials.jsonl", b"0" * 5_000_000)), "unpacks to more than"),
    "a bomb by bzip2": (
        packed(("trials.jsonl", b"0" * 5_000_000), method=zipfile.ZIP_BZIP2),
        "neither stored nor deflated",
    ),
    "a bomb by LZMA": (
        packed(("trials.jsonl", b"0" * 5_000_000), method=zipfile.ZIP_LZMA),
        "neither stored nor deflated",
    ),
    "no archive": (b"PK\x03\x04 but not really", "not a readable archive"),
    "cut short": (packed(("t", bytes(range(256)) * 8))[:-30], "not a readable archive"),
}


@pytest.mark.parametrize(("data", "why"), HOSTILE.values(), ids=list(HOSTILE))
def test_hostile_content_is_refused(bench: HubBench, data: bytes, why: str) -> None:
    bench.hub.add_artifact("expci-1", data, bench.hub.add_run())
    with pytest.raises(InvalidRecord, match=why):
        ci_of(bench.forge()).download(only(bench), LIMIT)


def test_damaged_bytes_are_refused(bench: HubBench) -> None:
    data = bytearray(packed(("trials.jsonl", b"the same line\n" * 40)))
    data[45] ^= 0xFF
    bench.hub.add_artifact("expci-1", bytes(data), bench.hub.add_run())
    with pytest.raises(InvalidRecord, match="not a readable archive"):
        ci_of(bench.forge()).download(only(bench), LIMIT)


ARCHIVES = [
    packed(("trials.jsonl", b"the same line\n" * 40), method=method)
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
]


@examples(1500)
@given(
    st.sampled_from(ARCHIVES),
    st.lists(st.tuples(st.integers(0, 10**4), st.integers(0, 255)), min_size=1, max_size=4),
    st.integers(0, 2),
)
def test_no_damage_gets_past_the_reader(
    data: bytes, places: list[tuple[int, int]], cut: int
) -> None:
    """Any other error would end every pass; zipfile and its decompressors have many."""
    damaged = bytearray(data)
    for place, byte in places:
        damaged[place % len(damaged)] = byte
    with contextlib.suppress(NotOneFile):
        only_file(bytes(damaged[cut:]), LIMIT, "it")


def test_a_large_one_is_not_downloaded_and_a_lie_about_its_size_does_not_help(
    bench: HubBench,
) -> None:
    honest = bench.hub.add_artifact("expci-1", bytes(LIMIT + 1), bench.hub.add_run())
    with pytest.raises(InvalidRecord, match=f"has {LIMIT + 1} bytes"):
        ci_of(bench.forge()).download(only(bench), LIMIT)
    assert bench.calls("GET", "/zip") == 0
    honest.claimed_size = 7
    with pytest.raises(InvalidRecord, match=f"more than {LIMIT} bytes"):
        ci_of(bench.forge()).download(only(bench), LIMIT)


def test_no_more_than_the_limit_is_held_in_memory(bench: HubBench) -> None:
    bench.hub.add_artifact("expci-1", bytes(30_000_000), bench.hub.add_run(), claimed_size=7)
    artifact, forge = only(bench), bench.forge()
    tracemalloc.start()
    with pytest.raises(InvalidRecord):
        ci_of(forge).download(artifact, LIMIT)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 5_000_000


def test_what_has_expired_is_said_to_be_gone(bench: HubBench) -> None:
    bench.hub.add_artifact("expci-1", b"", bench.hub.add_run(), expired=True)
    artifact = only(bench)
    assert artifact.expired
    with pytest.raises(ForgeError) as caught:
        ci_of(bench.forge()).download(artifact, LIMIT)
    assert caught.value.status == 410


def test_a_store_that_fails_is_reported(bench: HubBench) -> None:
    bench.hub.add_artifact("expci-1", packed(("t", b"1")), bench.hub.add_run())
    bench.hub.faults.add(Fault.failure("GET", "/_blobs/", times=4))
    with pytest.raises(ForgeUnreachable, match="cannot download the artifact expci-1"):
        ci_of(bench.forge()).download(only(bench), LIMIT)


def test_the_runs_of_one_workflow_are_read_page_by_page(bench: HubBench) -> None:
    bench.hub.add_run(path=".github/workflows/nightly.yml", created="2026-01-01T00:00:00Z")
    own = [
        bench.hub.add_run(path=f".github/workflows/nightly.yml{'@main' * (n % 2)}").id
        for n in range(130)
    ]
    bench.hub.add_run(path=".github/workflows/ci.yml")
    ci = ci_of(bench.forge())
    since = datetime(2026, 6, 1, tzinfo=UTC)
    before = bench.calls()
    [newest] = ci.runs_of(".github/workflows/nightly.yml", since, 1)
    assert (newest.id, newest.workflow) == (own[-1], ".github/workflows/nightly.yml")
    assert bench.calls() == before + 1
    listed = [run.id for run in ci.runs_of(".github/workflows/nightly.yml", since, 300)]
    assert listed == own[::-1]
    assert ci.runs_of(".github/workflows/absent.yml", since, 300) == ()


def test_runs_are_as_the_ci_recorded_them(bench: HubBench) -> None:
    old = bench.hub.add_run("push", created="2026-01-01T00:00:00Z")
    new = bench.hub.add_run(
        "pull_request", fork="mallory/copy", conclusion=None, status="in_progress", attempt=2
    )
    forge = bench.forge()
    [found] = ci_of(forge).runs(datetime(2026, 6, 1, tzinfo=UTC))
    assert (found.id, found.event, found.attempt) == (new.id, "pull_request", 2)
    assert (found.own, found.head_repository) == (False, "mallory/copy")
    assert (found.status, found.conclusion) == ("in_progress", None)
    calls = bench.calls()
    assert ci_of(forge).run(new.id) == found
    assert bench.calls() == calls
    by_id = ci_of(forge).run(old.id)
    assert by_id is not None
    assert (by_id.own, by_id.conclusion) == (True, "success")
    assert by_id.workflow == ".github/workflows/ci.yml"
    assert ci_of(forge).run(1) is None
    gone = bench.hub.add_run("pull_request", head_repository=None)
    ghost = ci_of(forge).run(gone.id)
    assert ghost is not None
    assert not ghost.own


def test_jobs_tell_which_steps_ran(bench: HubBench) -> None:
    run = bench.hub.add_run(steps=[("Run expci/expci/assign", "success"), ("Work", "skipped")])
    [job] = ci_of(bench.forge()).jobs(run.id)
    assert [(step.name, step.conclusion) for step in job.steps] == run.steps
    assert ci_of(bench.forge()).jobs(bench.hub.add_run().id) == ()
    assert bench.calls("GET", f"/runs/{run.id}/jobs") == 1


def test_a_run_knows_its_number_its_file_and_its_end(bench: HubBench) -> None:
    made = bench.hub.add_run(
        number=17, path=".github/workflows/ci.yml@main", changed="2026-11-22T12:00:00Z"
    )
    run = ci_of(bench.forge()).run(made.id)
    assert run is not None
    assert (run.number, run.workflow) == (17, ".github/workflows/ci.yml")
    assert (run.repository, run.changed) == (bench.hub.name, datetime(2026, 11, 22, 12, tzinfo=UTC))

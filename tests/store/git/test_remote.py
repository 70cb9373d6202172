"""Fetching into a private place, and pushes that never overwrite another writer's."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from expci.errors import ExpciError, LostRace, Refused, Unreachable
from expci.store import published
from expci.store.git import refs
from expci.store.git.git import Git
from expci.store.git.remote import Remote, Update
from expci.store.inbox import send
from expci.store.published import Exposure, Published
from support.repositories import git


@pytest.fixture
def remote(repository: Any) -> Remote:
    return Remote.of(Git(repository.path))


def commit(remote: Remote, text: str) -> str:
    return remote.git.commit_tree(remote.git.write_tree(None, {}), [], text)


def test_a_create_only_push_never_replaces(remote: Remote) -> None:
    one, two = commit(remote, "one"), commit(remote, "two")
    remote.push([Update("refs/expci/x", one, old="")])
    with pytest.raises(LostRace):
        remote.push([Update("refs/expci/x", two, old="")])
    assert remote.fetch("refs/expci/x") == {"refs/expci/x": one}
    remote.push([Update("refs/expci/x", two, old=one)])
    remote.push([Update("refs/expci/x", None, old=two)])
    assert remote.fetch("refs/expci/x") == {}
    # Deleting what another writer has deleted already is done, not lost.
    remote.push([Update("refs/expci/x", None, old=two)])


def test_an_atomic_push_is_all_or_nothing(remote: Remote) -> None:
    one, two = commit(remote, "one"), commit(remote, "two")
    remote.push([Update("refs/expci/a", one, old="")])
    updates = [Update("refs/expci/a", two, old=two), Update("refs/expci/b", two, old="")]
    with pytest.raises(LostRace):
        remote.push(updates, atomic=True)
    assert remote.fetch("refs/expci/*") == {"refs/expci/a": one}


def test_a_fetch_moves_nothing_of_the_user_s(remote: Remote) -> None:
    oid = commit(remote, "x")
    remote.push([Update(refs.PUBLISHED, oid), Update(f"{refs.PUBLISHED}-by-a-stranger", oid)])
    git_dir = remote.git.git_dir
    before = (remote.git.refs(), sorted(path.name for path in git_dir.iterdir()))
    assert remote.fetch(refs.PUBLISHED) == {refs.PUBLISHED: oid}
    assert (remote.git.refs(), sorted(path.name for path in git_dir.iterdir())) == before


def test_a_fetch_of_a_branch_leaves_the_user_s_view_of_it(
    remote: Remote, repository: Any, tmp_path: Path
) -> None:
    before = repository.git("rev-parse", "origin/main")
    git(tmp_path, "clone", "-q", str(repository.origin), "other")
    git(tmp_path / "other", "commit", "-q", "--allow-empty", "-m", "Later")
    git(tmp_path / "other", "push", "-q", "origin", "HEAD:main")
    assert remote.fetch("refs/heads/main")["refs/heads/main"] != before
    assert repository.git("rev-parse", "origin/main") == before


def test_what_was_listed_is_fetched_by_its_id(remote: Remote, repository: Any) -> None:
    origin, heads = repository.origin, "refs/heads/*"
    before = remote.fetch(heads)
    tree = git(origin, "rev-parse", "main^{tree}")
    new, gone = (git(origin, "commit-tree", "-m", name, tree) for name in ("new", "gone"))
    git(origin, "update-ref", "refs/heads/new", new)
    assert remote.fetch(heads) == {**before, "refs/heads/new": new}
    assert remote.git.resolve(new) == new
    assert remote.git.refs(refs.FETCHED) == {}
    with remote.listed_once():
        git(origin, "update-ref", "refs/heads/gone", gone)
        assert "refs/heads/gone" in remote.names(heads)
        git(origin, "update-ref", "-d", "refs/heads/gone")
        git(origin, "prune", "--expire=now")  # nobody can give it any more
        assert remote.fetch(heads) == {**before, "refs/heads/new": new}


@pytest.mark.slow
def test_parallel_fetches_in_one_clone(remote: Remote, repository: Any) -> None:
    oid = commit(remote, "x")
    sent = {f"refs/expci/inbox/e/{n}": oid for n in range(20)}
    remote.push([Update(ref, oid) for ref in sent])

    def fetch(_: int) -> dict[str, str]:
        """By one that knows nothing yet: else a listing would be enough."""
        return Remote.of(Git(repository.path)).fetch("refs/expci/inbox/*")

    with ThreadPoolExecutor(12) as pool:
        assert list(pool.map(fetch, range(24))) == [sent] * 24
    assert not remote.git.refs(refs.FETCHED)


def test_parallel_listings_are_whole(remote: Remote) -> None:
    oid = commit(remote, "x")
    sent = {f"refs/expci/inbox/e/{n}": oid for n in range(20)}
    remote.push([Update(ref, oid) for ref in sent])
    with ThreadPoolExecutor(12) as pool:
        listings = pool.map(lambda _: remote.fetch("refs/expci/inbox/*"), range(24))
        assert list(listings) == [sent] * 24


def test_a_fetch_waits_for_whoever_deletes_refs_at_the_time(
    remote: Remote, repository: Any
) -> None:
    """Longer than the second for which git waits by itself."""
    oid = commit(remote, "x")
    remote.push([Update("refs/expci/x", oid)])
    lock = remote.git.git_dir / "packed-refs.lock"
    lock.touch()
    threading.Timer(1.5, lock.unlink).start()
    fetched = Remote.of(Git(repository.path)).fetch("refs/expci/x")
    assert fetched == {"refs/expci/x": oid}
    assert not remote.git.refs(refs.FETCHED)


def test_refused_and_unreachable_are_told_apart(remote: Remote, repository: Any) -> None:
    oid = commit(remote, "x")
    hook = repository.origin / "hooks" / "pre-receive"
    hook.write_text("#!/bin/sh\nexit 1\n")
    hook.chmod(0o755)
    with pytest.raises(Refused, match="refused the push"):
        remote.push([Update("refs/expci/x", oid, old="")])
    repository.origin.rename(repository.origin.with_name("away"))
    with pytest.raises(Unreachable) as error:
        remote.push([Update("refs/expci/x", oid, old="")])
    assert not isinstance(error.value, Refused)
    with pytest.raises(Unreachable, match="could not be read"):
        remote.fetch("refs/expci/x")


def test_without_an_origin_the_repository_is_its_own_remote(tmp_path: Path) -> None:
    alone = Git(tmp_path)
    alone.run("init", "-q")
    remote = Remote.of(alone)
    oid = commit(remote, "x")
    remote.push([Update("refs/expci/x", oid, old="")])
    assert (remote.is_self, remote.fetch("refs/expci/x")) == (True, {"refs/expci/x": oid})
    with pytest.raises(ExpciError, match="no remote named 'upstream'"):
        Remote.of(alone, "upstream")


def test_a_batch_sent_twice_is_there_once(remote: Remote) -> None:
    data = send.encode(['{"a":1}'])
    assert send.send(remote, "e", data) == send.send(remote, "e", data)
    assert len(remote.fetch(f"{refs.INBOX}/*")) == 1
    sent = send.send_all(remote, [("e", data), ("e", send.encode(['{"a":2}']))])
    assert sorted(remote.fetch(f"{refs.INBOX}/*")) == sorted(sent)


def test_a_batch_s_name_that_is_taken_by_something_else_is_not_sent(remote: Remote) -> None:
    data = send.encode(['{"a":1}'])
    ref = refs.inbox("e", send.batch_name(data))
    remote.push([Update(ref, commit(remote, "a stranger's"), old="")])
    with pytest.raises(LostRace):
        send.send(remote, "e", data)


def test_one_ref_is_fetched_as_the_remote_has_it_now(remote: Remote) -> None:
    """The clone keeps what it fetched last; that is never the answer for what is gone."""

    def fetched() -> str | None:
        return Remote.of(Git(remote.git.root)).fetch_one(refs.PUBLISHED)

    one, two = commit(remote, "one"), commit(remote, "two")
    assert fetched() is None
    remote.push([Update(refs.PUBLISHED, one), Update(f"{refs.PUBLISHED}-by-a-stranger", two)])
    assert fetched() == one
    remote.push([Update(refs.PUBLISHED, two, old=one)])
    assert fetched() == two
    remote.push([Update(refs.PUBLISHED, None, old=two)])
    assert fetched() is None


def test_one_ref_is_fetched_while_another_process_moves_it(remote: Remote) -> None:
    """The ref that keeps it here is locked: the objects come without it."""
    one = commit(remote, "one")
    remote.push([Update(refs.PUBLISHED, one)])
    lock = remote.git.git_dir / f"{remote.kept_ref(refs.PUBLISHED)}.lock"
    lock.parent.mkdir(parents=True)
    lock.touch()
    assert Remote.of(Git(remote.git.root)).fetch_one(refs.PUBLISHED) == one


def test_batches_stay_below_the_limit_and_keep_the_order() -> None:
    lines = [str(number) * 1000 for number in range(5000)]
    parts = list(send.split(lines))
    assert [line for part in parts for line in part] == lines
    assert all(len(send.encode(part)) <= send.BATCH_BYTES for part in parts)
    assert list(send.split([])) == []


def test_the_published_document_round_trips(remote: Remote) -> None:
    exposure = Exposure(
        plan="a" * 64,
        state="running",
        mode="live",
        slot="review",
        design="blocked",
        unit="run",
        weights={"control": 0.2, "treatment": 0.8},
        traffic=0.5,
        salt="s",
        base="b" * 40,
        paths={"new": None},
        source=None,
        started="2026-11-22T10:00:00.000Z",
    )
    document = Published("c" * 40, {"e": exposure})
    assert published.parse_published(document.dump()) == document
    remote.push([Update(refs.PUBLISHED, published.write_published(remote.git, document))])
    found = published.fetch_published(remote)
    assert found is not None
    assert found[0] == document

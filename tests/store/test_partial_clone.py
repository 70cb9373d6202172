"""A clone without files (`filter: blob:none`): what expci reads comes at once, not one by one."""

from __future__ import annotations

from pathlib import Path

import pytest

from expci.store.git import refs
from expci.store.git.git import Git
from expci.store.git.remote import Remote
from expci.store.merges import last_merges
from support.repositories import Repository, git


@pytest.fixture
def partial(repository: Repository, tmp_path: Path) -> Git:
    """Of a repository with ten commits and a ledger of ten files."""
    for number in range(10):
        repository.write(f"part-{number}.txt", f"{number}\n" * (number + 1))
        repository.commit(f"Part {number}")
    repository.push("HEAD:main", f"HEAD:{refs.LEDGER}")
    git(repository.origin, "config", "uploadpack.allowFilter", "true")
    git(repository.origin, "config", "uploadpack.allowAnySHA1InWant", "true")
    address = repository.origin.as_uri()
    git(tmp_path, "clone", "-q", "--no-checkout", "--filter=blob:none", address, "partial")
    return Git.at(tmp_path / "partial")


def missing(git: Git, revision: str) -> int:
    listed = git.text("rev-list", "--objects", "--missing=print", revision)
    return sum(line.startswith("?") for line in listed.splitlines())


def test_a_fetched_ref_has_its_files(partial: Git, repository: Repository) -> None:
    repository.write("segment.jsonl", "{}\n")
    repository.commit("Fold")
    repository.push(f"HEAD:{refs.LEDGER}")
    before = missing(partial, "HEAD")
    commit = Remote.of(partial).fetch(refs.LEDGER)[refs.LEDGER]
    assert missing(partial, f"HEAD..{commit}") == 0
    assert 0 < missing(partial, "HEAD") <= before, "and no more than what was asked for"


def test_merges_to_replay_bring_all_files_at_once(partial: Git, repository: Repository) -> None:
    assert missing(partial, "HEAD") >= 10
    merges, notes = last_merges(partial, "HEAD", 5)
    assert missing(partial, "HEAD") == 0
    whole = Git.at(repository.path)
    assert (merges, notes) == last_merges(whole, partial.require("HEAD"), 5)
    assert [merge.title for merge in merges] == [f"Part {n}" for n in (9, 8, 7, 6, 5)]
    # Nothing is asked again, so a step without a token can go on from here.
    git(partial.root, "remote", "set-url", "origin", "/nowhere")
    assert last_merges(partial, "HEAD", 5)[0] == merges


def test_a_whole_clone_asks_nobody(repository: Repository) -> None:
    repository.write("part.txt", "1\n")
    repository.commit("Part")
    repository.git("remote", "set-url", "origin", "/nowhere")
    assert last_merges(Git.at(repository.path), "HEAD", 1)[0]

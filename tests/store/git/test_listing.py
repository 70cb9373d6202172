"""One listing serves a pass; what was pushed, lost or failed is never answered from the past."""

from __future__ import annotations

from typing import Any

import pytest

from expci.errors import LostRace, Refused
from expci.store.git import refs
from expci.store.git.git import Git
from expci.store.git.remote import Remote, Update
from support.repositories import Repository, git


@pytest.fixture
def remote(repository: Repository) -> Remote:
    return Remote.of(Git(repository.path))


@pytest.fixture
def asked(remote: Remote, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The calls of git that ask the remote for its refs."""
    calls: list[str] = []
    ask = Git.attempt_remote

    def noted(self: Git, *arguments: str, **options: Any) -> Any:
        calls.extend(word for word in arguments[:1] if word == "ls-remote")
        return ask(self, *arguments, **options)

    monkeypatch.setattr(Git, "attempt_remote", noted)
    return calls


def another(repository: Repository) -> str:
    """A commit that is here alone."""
    return repository.git("commit-tree", "-p", "HEAD", "-m", "Next", "HEAD^{tree}")


def test_one_listing_with_what_this_process_pushed(
    remote: Remote, repository: Repository, asked: list[str]
) -> None:
    head, later = repository.git("rev-parse", "HEAD"), another(repository)
    ref, main = refs.backup("speed"), refs.head("main")
    with remote.listed_once():
        assert remote.names("HEAD", f"{refs.HEADS}*") == {"HEAD": head, main: head}
        remote.push([Update(ref, head, "")])
        remote.push([Update(main, later, head)])
        assert remote.names("HEAD", f"{refs.HEADS}*") == {"HEAD": later, main: later}
        assert remote.fetch(ref) == {ref: head}
        remote.push([Update(ref, None, head)])
        assert remote.fetch(ref) == {}
        assert remote.default_branch() == "main"
        assert asked == ["ls-remote"]
    assert remote.names(main) == {main: later}
    assert len(asked) == 2


@pytest.mark.parametrize("how", ["lost", "refused"])
def test_after_a_push_that_failed_the_remote_is_asked(
    remote: Remote, repository: Repository, how: str
) -> None:
    head, later = repository.git("rev-parse", "HEAD"), another(repository)
    ref, main = refs.backup("speed"), refs.head("main")
    with remote.listed_once():
        assert remote.fetch(ref, main) == {main: head}
        repository.git("push", "-q", "origin", f"{later}:{main}")  # somebody else
        if how == "refused":
            hook = repository.origin / "hooks" / "update"
            hook.parent.mkdir(exist_ok=True)
            hook.write_text("#!/bin/sh\nexit 1\n")
            hook.chmod(0o755)
        assert remote.fetch(ref, main) == {main: head}
        with pytest.raises(LostRace if how == "lost" else Refused):
            remote.push([Update(main if how == "lost" else ref, head, "")])
        assert remote.fetch(ref, main) == {main: later}


def test_what_a_fetch_brings_is_newer_than_the_listing(
    remote: Remote, repository: Repository
) -> None:
    head, later = repository.git("rev-parse", "HEAD"), another(repository)
    main = refs.head("main")
    with remote.listed_once():
        assert remote.names(main) == {main: head}
        repository.git("push", "-q", "origin", f"{later}:{main}")
        assert remote.fetch(main) == {main: later}
        assert (
            remote.names(main) == {main: later} == {main: git(repository.origin, "rev-parse", main)}
        )


def test_the_repository_itself_as_the_remote(repository: Repository) -> None:
    remote = Remote.of(Git(repository.path), ".")
    head, main = repository.git("rev-parse", "HEAD"), refs.head("main")
    later = remote.git.commit_tree(remote.git.tree_of(head), [head], "Next")
    with remote.listed_once():
        assert remote.names(main) == {main: head}
        remote.advance("main", head, later)  # it is checked out: no push
        assert remote.names(main) == {main: later}


def test_what_this_clone_keeps_is_known_where_the_remote_holds_nothing(
    remote: Remote, repository: Repository
) -> None:
    head = repository.git("rev-parse", "HEAD")
    remote.keep(refs.LEDGER, head)
    git(repository.origin, "update-ref", "-d", refs.head("main"))
    fresh = Remote.of(Git(repository.path))
    with fresh.listed_once():
        assert fresh.fetch(refs.LEDGER, refs.head("main")) == {}
    assert fresh.kept[fresh.kept_ref(refs.LEDGER)] == head

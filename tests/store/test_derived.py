"""Files beside the ledger: without history, gone on with or not, and never in the way."""

from __future__ import annotations

import pytest

from expci.core.model.content import Blob
from expci.store.git import refs
from expci.store.ledger.ledger import Ledger
from expci.store.ledger.transaction import LedgerChange, Store
from support.ledger_samples import AT, start, store
from support.repositories import Repository, git


@pytest.fixture
def target(repository: Repository) -> Store:
    repository.write("work.sh", "sleep 1\n")
    repository.commit("Work")
    repository.push("HEAD:main")
    target = store(repository.path)
    start(target)
    return target


def put(target: Store, files: dict[str, bytes | None], **derived: bytes | None) -> Ledger:
    named = {f"{name}.md": data for name, data in derived.items()}
    change = LedgerChange.of("Some", files, derived=named)
    return target.transact(AT, lambda _: change)[0].ledger


def elsewhere(target: Store) -> Ledger:
    """As another process reads it."""
    return store(target.git.root).snapshot(inbox=False).ledger


def test_they_are_one_commit_without_a_past_and_leave_the_ledger_alone(
    target: Store, repository: Repository
) -> None:
    before = target.snapshot(inbox=False).ledger.commit
    put(target, {}, a=b"1", b=b"2")
    put(target, {}, a=b"3", b=None, c=b"4")
    assert elsewhere(target).commit == before
    there = elsewhere(target).derived
    assert there.read_many(["a.md", "b.md", "c.md"]) == {"a.md": b"3", "c.md": b"4"}
    assert git(repository.origin, "rev-list", "--count", refs.DERIVED) == "1"


def test_they_go_with_the_ledger_in_one_push(target: Store, repository: Repository) -> None:
    hook = repository.origin / "hooks" / "post-receive"
    hook.write_text('#!/bin/sh\nwhile read old new ref; do echo "$ref"; done >> pushes\n')
    hook.chmod(0o755)
    put(target, {"accepted.txt": b"x"}, a=b"1")
    assert (repository.origin / "pushes").read_text().split() == [
        refs.LEDGER,
        refs.PUBLISHED,
        refs.DERIVED,
    ]


def test_what_is_the_same_already_is_not_pushed(target: Store, repository: Repository) -> None:
    put(target, {}, a=b"1")
    before = git(repository.origin, "rev-parse", refs.DERIVED)
    put(target, {}, a=b"1")
    assert git(repository.origin, "rev-parse", refs.DERIVED) == before


@pytest.mark.slow
@pytest.mark.parametrize("what", ["gone", "blob", "tree", "below", "a symbolic ref", "huge"])
def test_whatever_stands_there_holds_up_nothing(
    target: Store, repository: Repository, what: str
) -> None:
    origin = repository.origin
    put(target, {}, a=b"1")
    git(origin, "update-ref", "-d", refs.DERIVED)
    if what == "blob":
        git(origin, "update-ref", refs.DERIVED, git(origin, "rev-parse", "main:work.sh"))
    if what == "tree":
        git(origin, "update-ref", refs.DERIVED, git(origin, "rev-parse", "main^{tree}"))
    if what == "below":
        git(origin, "update-ref", f"{refs.DERIVED}/in/the/way", "main")
    if what == "a symbolic ref":
        git(origin, "symbolic-ref", refs.DERIVED, "refs/heads/gone")
    if what == "huge":
        objects = store(origin).git
        [big] = objects.write_blobs([b"x" * 20_000_001])
        tree = objects.write_tree(None, {"a.md": Blob("100644", big)})
        big_commit = objects.require(objects.commit_tree(tree, [], "big"))
        git(origin, "update-ref", refs.DERIVED, big_commit)
    assert elsewhere(target).derived.read("a.md") is None
    put(store(repository.path), {"accepted.txt": b"x"}, a=b"2")
    assert elsewhere(target).read("accepted.txt") == b"x"
    put(store(repository.path), {}, c=b"3")
    if what != "a symbolic ref":
        assert elsewhere(target).derived.read("c.md") == b"3"


def test_a_server_that_takes_none_gets_the_ledger_alone(
    target: Store, repository: Repository
) -> None:
    hook = repository.origin / "hooks" / "update"
    hook.write_text(f'#!/bin/sh\ntest "$1" != {refs.DERIVED}\n')
    hook.chmod(0o755)
    put(target, {"accepted.txt": b"x"}, a=b"1")
    assert elsewhere(target).read("accepted.txt") == b"x"
    assert elsewhere(target).derived.read("a.md") is None
    assert target.snapshot(inbox=False).ledger.derived.read("a.md") is None
    put(target, {}, a=b"1")


def test_a_past_ledger_has_none(target: Store) -> None:
    ledger = put(target, {}, a=b"1")
    assert ledger.at(ledger.commit).derived.read("a.md") is None
    assert ledger.read_derived("a.md") == b"1"

"""Changes that are written together: seen at once, one commit, thought again after a lost race."""

from __future__ import annotations

import pytest

from expci.errors import LedgerDamaged, Overtaken
from expci.store.git import refs
from expci.store.ledger.transaction import LedgerChange, Snapshot, Store
from support.ledger_samples import AT, start, store
from support.repositories import Repository, git


class Write:
    """Adds a number to a file that counts, unless it stands at `most`."""

    def __init__(self, path: str, most: int = 100) -> None:
        self.path, self.most = path, most

    def __call__(self, snapshot: Snapshot) -> LedgerChange | None:
        count = int(snapshot.ledger.read(self.path) or b"0")
        if count >= self.most:
            return None
        return LedgerChange.of(f"Count {self.path}", {self.path: b"%d" % (count + 1)})


def counted(target: Store, *paths: str) -> list[int]:
    ledger = target.snapshot(inbox=False).ledger
    return [int(ledger.read(path) or b"0") for path in paths]


def commits(repository: Repository) -> int:
    return int(git(repository.origin, "rev-list", "--count", refs.LEDGER))


@pytest.fixture
def target(repository: Repository) -> Store:
    made = store(repository.path)
    start(made)
    return made


def test_one_commit_for_all_and_each_sees_those_before_it(
    target: Store, repository: Repository
) -> None:
    before = commits(repository)
    with target.together(AT):
        for path in ("a", "b", "a"):
            assert target.transact(AT, Write(path))[1]
        assert counted(target, "a", "b") == [2, 1]
        assert counted(store(repository.path), "a", "b") == [0, 0]
    assert counted(store(repository.path), "a", "b") == [2, 1]
    assert commits(repository) == before + 1
    message = git(repository.origin, "log", "-1", "--format=%B", refs.LEDGER)
    assert message.split("\n\n") == ["Count a; Count b; Count a", "Count a", "Count b", "Count a"]


def test_nothing_to_change_is_no_commit(target: Store, repository: Repository) -> None:
    before = commits(repository)
    with target.together(AT):
        assert not target.transact(AT, Write("a", most=0))[1]
    assert commits(repository) == before


def test_another_writer_in_between_loses_nothing(target: Store, repository: Repository) -> None:
    with target.together(AT):
        target.transact(AT, Write("a"))
        target.transact(AT, Write("b"))
        store(repository.path).transact(AT, Write("a"))
    assert counted(target, "a", "b") == [2, 1]


def test_what_another_writer_did_first_is_told_and_the_rest_is_written(
    target: Store, repository: Repository
) -> None:
    with pytest.raises(Overtaken, match="Count a"), target.together(AT):  # noqa: PT012
        target.transact(AT, Write("a", most=1))
        target.transact(AT, Write("b"))
        store(repository.path).transact(AT, Write("a", most=1))
    assert counted(target, "a", "b") == [1, 1]


def test_what_ends_with_an_error_writes_nothing(target: Store, repository: Repository) -> None:
    before = commits(repository)
    with pytest.raises(LedgerDamaged), target.together(AT):  # noqa: PT012
        target.transact(AT, Write("a"))
        raise LedgerDamaged("on purpose")
    assert commits(repository) == before
    target.transact(AT, Write("b"))
    assert counted(target, "a", "b") == [0, 1]


def test_a_file_comes_and_goes(target: Store) -> None:
    with target.together(AT):
        target.transact(AT, Write("a"))
        target.transact(AT, lambda _: LedgerChange.of("Remove", {"a": None}))
        assert target.snapshot(inbox=False).ledger.read("a") is None
    assert target.snapshot(inbox=False).ledger.read("a") is None


def test_within_another_one_an_error_takes_back_its_own(
    target: Store, repository: Repository
) -> None:
    before = commits(repository)
    with target.together(AT):
        with pytest.raises(LedgerDamaged), target.together(AT):  # noqa: PT012
            target.transact(AT, Write("a"))
            raise LedgerDamaged("one experiment's")
        target.transact(AT, Write("b"))
        with pytest.raises(LedgerDamaged), target.together(AT):  # noqa: PT012
            target.transact(AT, Write("b"))
            raise LedgerDamaged("another's")
        assert counted(target, "a", "b") == [0, 1]
    assert counted(store(repository.path), "a", "b") == [0, 1]
    assert commits(repository) == before + 1

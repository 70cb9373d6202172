"""The ledger on the remote is the one that it was, or nothing is done."""

from __future__ import annotations

import pytest

from expci.errors import LedgerDamaged
from expci.store import published
from expci.store.derived import Derived
from expci.store.git import refs
from expci.store.ledger import paths
from expci.store.ledger.continuity import Continuity
from expci.store.ledger.ledger import Ledger
from expci.store.ledger.traces import PROMOTE_TRAILER, REVERT_TRAILER
from expci.store.ledger.transaction import LedgerChange
from support.ledger_samples import AT, start, store
from support.repositories import Repository, git


def continuity(repository: Repository) -> Continuity:
    return Continuity(store(repository.path).remote, refs.LEDGER)


def empty(repository: Repository) -> Ledger:
    return Ledger(store(repository.path).git)


def test_a_ledger_goes_on_from_what_it_grew_out_of(repository: Repository) -> None:
    target = store(repository.path)
    old = target.snapshot().ledger.commit
    first = start(target).ledger.commit
    second = target.transact(AT, lambda _: LedgerChange.of("more", {"notes/x": b"x"}))[0]
    check = continuity(repository)
    assert old is None
    assert first is not None
    newer = second.ledger.commit
    assert check.goes_on_from(newer, first)
    assert check.goes_on_from(newer, None)
    assert check.goes_on_from(None, None)
    assert not check.goes_on_from(first, newer)
    assert not check.goes_on_from(None, first)
    check.require_not_moved_back(newer, first)
    check.require_not_moved_back(first, None)
    with pytest.raises(LedgerDamaged, match=r"is behind what this clone has seen .*--restore"):
        check.require_not_moved_back(first, newer)
    with pytest.raises(LedgerDamaged, match=r"is missing .*this clone keeps"):
        check.require_not_moved_back(None, newer)


def test_a_repository_that_never_had_a_ledger_may_begin(repository: Repository) -> None:
    continuity(repository).require_unused(empty(repository))


@pytest.mark.parametrize("name", ["refs/expci/backup/x", "refs/heads/expci/promote/speed"])
def test_refs_of_a_past_life_are_traces(repository: Repository, name: str) -> None:
    repository.git("push", "--quiet", "origin", f"HEAD:{name}")
    with pytest.raises(LedgerDamaged, match=f"origin holds {name}.*--begin-anew"):
        continuity(repository).require_unused(empty(repository))


def test_many_traces_are_not_all_listed(repository: Repository) -> None:
    for number in range(5):
        repository.git("push", "--quiet", "origin", f"HEAD:refs/expci/backup/x{number}")
    with pytest.raises(LedgerDamaged, match=r"x0, refs/expci/backup/x1, .*x2 and 2 more"):
        continuity(repository).require_unused(empty(repository))


@pytest.mark.parametrize("trailer", [REVERT_TRAILER, PROMOTE_TRAILER])
def test_a_commit_of_a_past_life_is_a_trace(repository: Repository, trailer: str) -> None:
    repository.write("README.md", "more\n")
    repository.commit(f"Faster\n\n{trailer}: speed")
    with pytest.raises(LedgerDamaged, match=r"the history holds \w+ Faster"):
        continuity(repository).require_unused(empty(repository))


def test_what_a_clone_saw_published_is_a_trace_until_it_is_forgotten(
    repository: Repository,
) -> None:
    target = store(repository.path)
    commit = start(target).ledger.commit
    target.snapshot()
    for ref in repository.git("ls-remote", "origin", "refs/expci/*").splitlines():
        git(repository.origin, "update-ref", "-d", ref.split()[1])
    check = continuity(repository)
    published.cache_path(check.git).parent.mkdir(parents=True, exist_ok=True)
    published.cache_path(check.git).write_bytes(published.Published(str(commit), {}, "").dump())
    with pytest.raises(LedgerDamaged, match=f"this clone knows of the ledger {str(commit)[:12]}"):
        check.require_unused(empty(repository))
    check.forget()
    assert not published.cache_path(check.git).exists()
    check.require_unused(empty(repository))
    check.forget()  # nothing is left to forget


def test_a_damaged_cache_is_no_trace(repository: Repository) -> None:
    check = continuity(repository)
    published.cache_path(check.git).parent.mkdir(parents=True, exist_ok=True)
    published.cache_path(check.git).write_bytes(b"{")
    check.require_unused(empty(repository))


def test_what_a_reviewed_file_names_must_be_there(repository: Repository) -> None:
    target = store(repository.path)
    first = start(target).ledger.commit
    second = target.transact(AT, lambda _: LedgerChange.of("more", {"notes/x": b"x"}))[0]
    check = Continuity(target.remote, refs.LEDGER, str(first))
    check.require_reviewed(first)
    check.require_reviewed(second.ledger.commit)
    newer = Continuity(target.remote, refs.LEDGER, str(second.ledger.commit))
    with pytest.raises(LedgerDamaged, match=r"behind what experiments/expci.yml names.*--restore"):
        newer.require_reviewed(first)
    with pytest.raises(LedgerDamaged, match="is missing"):
        check.require_reviewed(None)
    with pytest.raises(LedgerDamaged, match="is behind"):  # begun anew: no such commit anywhere
        Continuity(target.remote, refs.LEDGER, "1" * 40).require_reviewed(first)


def test_results_without_a_ledger_are_a_trace_and_reviews_are_none(repository: Repository) -> None:
    target = store(repository.path)
    reviewed = Derived(target.git).after({paths.proposal("speed"): b"{}", paths.REVIEWED: b"{}"})
    continuity(repository).require_unused(Ledger(target.git, None, reviewed))
    results = reviewed.after({paths.analysis("speed"): b"{}"})
    with pytest.raises(LedgerDamaged, match="refs/expci/derived holds results of speed"):
        continuity(repository).require_unused(Ledger(target.git, None, results))

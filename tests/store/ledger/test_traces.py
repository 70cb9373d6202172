"""What promotions leave tells a ledger of before them; what else is put there tells nothing."""

from __future__ import annotations

import pytest

from expci.store.git import refs
from expci.store.ledger import paths
from expci.store.ledger.ledger import Ledger
from expci.store.ledger.traces import PROMOTE_TRAILER, Traces
from expci.store.ledger.transaction import LedgerChange
from support.ledger_samples import AT, start, store
from support.repositories import Repository, git

BRANCH = refs.head(refs.promote_branch("other"))
ELSEWHERE = "1" * 40  # a commit of a ledger that is gone


@pytest.fixture(autouse=True)
def ledger(repository: Repository) -> Ledger:
    return start(store(repository.path)).ledger


def newer(repository: Repository) -> list[str]:
    """As a clone sees it that begins with this."""
    target = store(repository.path)
    commit = git(repository.origin, "rev-parse", refs.LEDGER)
    return Traces(target.remote).newer(Ledger(target.git, commit))


def put(repository: Repository, ref: str, what: str) -> str:
    git(repository.origin, "update-ref", ref, what)
    return git(repository.origin, "rev-parse", ref)


def write_ref(repository: Repository, ref: str, oid: str) -> None:
    """As a damaged server has it: git itself refuses an object that is not there."""
    path = repository.origin / ref
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{oid}\n")


@pytest.mark.parametrize(
    "ref",
    [
        "refs/expci/backup/junk",
        "refs/expci/backup/speed/below",
        "refs/expci/backup/a/b",
        "refs/expci/backup/No-Id",
        "refs/expci/promoted/junk",
        "refs/expci/promoted/speed",
        "refs/heads/expci/promote/junk",
        "refs/heads/expci/promote/speed/below",
        "refs/heads/expci-promote-speed",
        "refs/heads/expci/revert/speed",
        "refs/expci/nonsense",
    ],
)
def test_whatever_somebody_put_there_is_no_trace(repository: Repository, ref: str) -> None:
    put(repository, ref, "main")
    assert newer(repository) == []


@pytest.mark.parametrize("kind", ["blob", "tree", "symbolic", "missing"])
def test_nor_is_what_is_no_commit(repository: Repository, kind: str) -> None:
    origin = repository.origin
    if kind == "symbolic":
        for ref in (refs.backup("junk"), BRANCH):
            git(origin, "symbolic-ref", ref, "refs/heads/main")
    elif kind == "missing":
        write_ref(repository, refs.backup("junk"), ELSEWHERE)
        write_ref(repository, BRANCH, ELSEWHERE)
    else:
        put(repository, refs.backup("junk"), {"blob": "main:work.sh", "tree": "main^{tree}"}[kind])
    assert newer(repository) == []


def test_nor_are_hundreds_of_them(repository: Repository) -> None:
    main = git(repository.origin, "rev-parse", "main")
    for number in range(300):
        write_ref(repository, refs.backup(f"junk{number}"), main)
    assert newer(repository) == []


def test_the_base_of_an_experiment_that_this_ledger_does_not_know_is_one(
    repository: Repository,
) -> None:
    repository.write("experiments/other/experiment.yml", "version: 1\n")
    repository.commit("Propose")
    repository.push("HEAD:main")
    oid = put(repository, refs.backup("other"), "main")
    assert newer(repository) == [f"{refs.backup('other')} {oid}"]


@pytest.mark.parametrize("name", ["speed", "other"])
@pytest.mark.parametrize(
    "form", ["refs/heads/expci/promote/{}", "refs/heads/expci-promote-{}", "refs/expci/promoted/{}"]
)
def test_a_promotion_that_rests_on_a_ledger_that_is_gone_is_one(
    repository: Repository, name: str, form: str
) -> None:
    repository.git("switch", "-q", "-c", "promotion")
    repository.write("work.sh", "faster\n")
    repository.commit(f"Promote\n\n{PROMOTE_TRAILER}: {name} {ELSEWHERE}")
    repository.write("work.sh", "by a person\n")
    repository.commit("Go on from there")
    repository.push(f"HEAD:{form.format(name)}")
    repository.git("switch", "-q", "main")
    assert newer(repository) == [f"{form.format(name)} {repository.git('rev-parse', 'promotion')}"]


def test_one_that_rests_on_this_ledger_is_none(repository: Repository, ledger: Ledger) -> None:
    """A pass that is killed has pushed the branch, and recorded no event yet."""
    repository.git("switch", "-q", "-c", "promotion")
    repository.write("work.sh", "faster\n")
    repository.commit(f"Promote\n\n{PROMOTE_TRAILER}: speed {ledger.commit}")
    repository.push("HEAD:refs/heads/expci/promote/speed")
    assert newer(repository) == []


def test_a_damaged_list_of_what_was_accepted_stops_nobody(repository: Repository) -> None:
    target = store(repository.path)
    change = LedgerChange.of("damage", {paths.ACCEPTED: b"\xff\xe9\n"})
    target.transact(AT, lambda _: change)
    put(repository, refs.backup("junk"), "main")
    assert newer(repository) == []

"""A fresh clone reads the newest ledger without its past, and brings that where it is needed."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from expci.errors import LedgerDamaged
from expci.store.git import refs
from expci.store.ledger.ledger import Ledger
from expci.store.ledger.transaction import LedgerChange, Store
from support.clones import run_git
from support.hub_bench import HubBench
from support.ledger_samples import AT, start, store
from support.repositories import Repository, git, project


def put(target: Store, text: str, name: str = "notes/x", derived: str = "") -> Ledger:
    beside: dict[str, bytes | None] = {"a.md": derived.encode()} if derived else {}
    change = LedgerChange.of(f"More: {text}", {name: text.encode()}, derived=beside)
    return target.transact(AT, lambda _: change)[0].ledger


@pytest.fixture(scope="module")
def grown(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    """A project whose ledger has a past."""
    made = project(tmp_path_factory.mktemp("grown"))
    target = store(made.path)
    start(target)
    for text in ("one", "two", "three é"):
        put(target, text * 50, derived=text)
    return made


@pytest.fixture
def origin(grown: Repository, tmp_path: Path) -> Repository:
    return grown.copy(tmp_path / "grown")


def fresh(origin: Repository, name: str = "fresh", *options: str) -> Store:
    """What a pass has in a clone of its own."""
    place = origin.origin.parent
    git(place, "clone", "-q", *options, f"file://{origin.origin}", name)
    return without_history(place / name)


def without_history(directory: Path) -> Store:
    target = store(directory)
    target.do_without_history()
    return target


def git_in(directory: Path, text: str, *arguments: str) -> str:
    return run_git(directory, *arguments, stdin=text.encode()).strip()


def has_past(target: Store) -> bool:
    commit = target.snapshot(inbox=False).ledger.commit or ""
    return target.git.attempt("rev-list", commit).returncode == 0


@pytest.mark.parametrize("options", [(), ("--depth=1",), ("--bare",), ("--filter=blob:none",)])
def test_it_reads_and_writes_what_a_whole_clone_would(
    origin: Repository, options: tuple[str, ...]
) -> None:
    whole = store(origin.path).snapshot().ledger
    git(origin.origin, "config", "uploadpack.allowFilter", "true")
    target = fresh(origin, "fresh", *options)
    ledger = target.snapshot().ledger
    assert (ledger.commit, ledger.entries) == (whole.commit, whole.entries)
    assert ledger.read("notes/x") == ("three é" * 50).encode()
    # A partial clone loads what git misses, so there it is not tried.
    assert "--filter=blob:none" in options or not has_past(target)
    written = [put(target, f"{n}", derived=f"derived {n}").commit for n in range(2)]
    line = git(origin.origin, "rev-list", refs.LEDGER).split()
    assert line[:3] == [written[1], written[0], whole.commit]
    assert len(line) == 6
    git(origin.origin, "fsck", "--strict", "--connectivity-only")
    assert store(origin.path).snapshot().ledger.derived.read("a.md") == b"derived 1"
    # The clone is what git takes for a sound one, and as shallow as it was.
    shallow = git(target.git.root, "rev-parse", "--is-shallow-repository")
    assert shallow == ("true" if "--depth=1" in options else "false")
    git(target.git.root, "gc", "--quiet", "--prune=now")
    git(target.git.root, "fsck", "--strict")


def test_the_next_command_in_that_clone_has_the_past_and_keeps_it(origin: Repository) -> None:
    first = fresh(origin)
    assert not has_past(first)
    commit = put(first, "written there").commit
    again = without_history(first.git.root)
    assert again.snapshot(inbox=False).ledger.commit == commit
    assert has_past(again)
    kept = again.continuity.kept
    git(origin.origin, "update-ref", refs.LEDGER, f"{commit}^")
    assert kept == commit
    with pytest.raises(LedgerDamaged, match="is behind"):
        without_history(first.git.root).snapshot(inbox=False)


def test_a_ledger_that_another_moved_is_gone_on_with(origin: Repository) -> None:
    target = fresh(origin)
    before = target.snapshot(inbox=False).ledger.commit
    other = put(store(origin.path), "by another", "notes/y").commit
    after = put(target, "here").commit
    assert git(origin.origin, "rev-list", "-n3", refs.LEDGER).split() == [after, other, before]


@pytest.mark.parametrize("new", ["{commit}^", "main", ""])
def test_a_ledger_that_moves_back_meanwhile_is_refused(origin: Repository, new: str) -> None:
    target = fresh(origin)
    commit = target.snapshot(inbox=False).ledger.commit or ""
    target.withdraw(target.snapshot(inbox=False), ["speed"])  # published names no ledger
    if new:
        git(origin.origin, "update-ref", refs.LEDGER, new.format(commit=commit))
    else:
        git(origin.origin, "update-ref", "-d", refs.LEDGER)
    with pytest.raises(LedgerDamaged, match=r"is behind|is missing"):
        target.snapshot(inbox=False)
    git(target.git.root, "fsck")


def test_the_past_comes_where_something_asks_for_it(origin: Repository) -> None:
    parent = git(origin.origin, "rev-parse", f"{refs.LEDGER}^")
    ledger = fresh(origin).snapshot(inbox=False).ledger
    assert ledger.at(parent).read("notes/x") == ("two" * 50).encode()


def test_the_past_comes_where_published_names_an_older_ledger(origin: Repository) -> None:
    other = store(origin.path)
    older = git(origin.origin, "rev-parse", refs.PUBLISHED)
    newest = put(other, "more").commit
    git(origin.origin, "update-ref", refs.PUBLISHED, older)
    target = fresh(origin)
    assert target.snapshot(inbox=False).ledger.commit == newest
    assert has_past(target)


@pytest.mark.parametrize("how", ["other bytes", "other tree", "no tree", "gone", "older", "blob"])
def test_what_is_carried_counts_only_where_it_is_that_ledger(origin: Repository, how: str) -> None:
    place = origin.origin
    commit, tree = (git(place, "rev-parse", f"{refs.LEDGER}{end}") for end in ("", "^{tree}"))
    raw = git(place, "cat-file", "commit", refs.DERIVED)
    other = git(place, "rev-parse", f"{refs.LEDGER}^^{{tree}}")
    _, _, message = raw.partition("\n\n")
    rows = {"other tree": f"040000 tree {other}\tledger", "no tree": ""}
    row = rows.get(how, f"040000 tree {tree}\tledger")
    if how == "other bytes":
        message = message.replace("More", "Less").replace(tree, other)
    if how == "gone":
        git(place, "update-ref", "-d", refs.DERIVED)
    elif how == "blob":
        git(place, "update-ref", refs.DERIVED, git(place, "rev-parse", "main:work.sh"))
    elif how == "older":
        newer = git(place, "commit-tree", tree, "-p", commit, "-m", "x")
        git(place, "update-ref", refs.LEDGER, newer)
    else:
        made = git_in(place, f"{row}\n" if row else "", "mktree")
        git(place, "update-ref", refs.DERIVED, git_in(place, message, "commit-tree", made))
    target = fresh(origin)
    ledger = target.snapshot(inbox=False).ledger
    assert ledger.commit == git(place, "rev-parse", refs.LEDGER)
    assert ledger.read("notes/x") == ("three é" * 50).encode()
    assert has_past(target)


def test_it_is_the_same_over_http(origin: Repository) -> None:
    bench = HubBench.of(origin)
    secret = base64.b64encode(f"x-access-token:{bench.token.secret}".encode()).decode()
    setting = f"http.extraHeader=AUTHORIZATION: basic {secret}"
    place = origin.origin.parent
    git(place, "-c", setting, "clone", "-q", bench.hub.git_url, "fresh")
    git(place / "fresh", "config", *setting.split("=", 1))
    target = without_history(place / "fresh")
    before = target.snapshot(inbox=False).ledger.commit
    assert not has_past(target)
    after = put(target, "over HTTP").commit
    assert git(origin.origin, "rev-list", "-n2", refs.LEDGER).split() == [after, before]

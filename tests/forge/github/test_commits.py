"""Commits that GitHub makes and signs, from trees that git wrote."""

from __future__ import annotations

import pytest

from expci.errors import LostRace, Refused
from expci.flows.experiment.signed_commits import is_same_change
from expci.forge.ports import NewCommit
from expci.store.git.git import Git
from support.hub_bench import HubBench, bench, template
from support.repositories import git

__all__ = ["bench", "template"]

ICON = b"\x89PNG\r\n\x1a\n\x00\xff"


def new_commit(bench: HubBench, *, base: str = "HEAD") -> NewCommit:
    """A script that may be run, an image, a link and a deletion, written by plain git."""
    repository = bench.repository
    work, parent = repository.path, repository.git("rev-parse", base)
    repository.git("checkout", "-q", "--detach", parent)
    (work / "tools").mkdir(exist_ok=True)
    (work / "tools" / "run.sh").write_text("echo ü\n")
    (work / "tools" / "run.sh").chmod(0o755)
    (work / "icon.png").write_bytes(ICON)
    (work / "latest").symlink_to("tools/run.sh")
    (work / "work.sh").unlink()
    repository.git("add", "--all")
    tree = repository.git("write-tree")
    repository.git("reset", "-q", "--hard", parent)
    files: dict[str, tuple[str, bytes] | None] = {
        "tools/run.sh": ("100755", "echo ü\n".encode()),
        "icon.png": ("100644", ICON),
        "latest": ("120000", b"tools/run.sh"),
        "work.sh": None,
    }
    return NewCommit(
        "Title\n\nText", tree, parent, repository.git("rev-parse", "HEAD^{tree}"), files
    )


def put(bench: HubBench, branch: str, commit: NewCommit, *, is_forward: bool = True) -> str | None:
    commits = bench.forge().commits
    assert commits is not None
    return commits.put(branch, commit, is_forward=is_forward)


def tip(bench: HubBench, branch: str) -> str:
    return bench.hub.bare.tip(f"refs/heads/{branch}") or ""


def test_the_tree_is_the_one_that_was_asked_for_and_the_commit_is_signed(bench: HubBench) -> None:
    wanted = new_commit(bench)
    made = put(bench, "expci/promote/x", wanted)
    assert made is not None
    assert made == tip(bench, "expci/promote/x")
    assert git(bench.repository.origin, "rev-parse", f"{made}^{{tree}}") == wanted.tree
    raw = git(bench.repository.origin, "cat-file", "commit", made)
    assert "\ngpgsig " in raw
    assert raw.endswith("Title\n\nText")
    bench.repository.git("fetch", "-q", "origin", "expci/promote/x")
    again = bench.repository.git(
        "commit-tree", wanted.tree, "-p", wanted.parent, "-m", wanted.message
    )
    assert is_same_change(Git.at(bench.repository.path), made, again)
    assert not is_same_change(Git.at(bench.repository.path), made, wanted.parent)


def test_a_branch_that_is_there_is_moved(bench: HubBench) -> None:
    wanted = new_commit(bench)
    first = put(bench, "main", wanted)
    assert tip(bench, "main") == first
    with pytest.raises(LostRace, match="main moved meanwhile"):
        put(bench, "main", NewCommit("Other", *_parts(wanted)))
    assert tip(bench, "main") == first
    other = put(bench, "main", NewCommit("Other", *_parts(wanted)), is_forward=False)
    assert tip(bench, "main") == other != first


def _parts(commit: NewCommit) -> tuple[str, str, str, dict[str, tuple[str, bytes] | None]]:
    return commit.tree, commit.parent, commit.base, dict(commit.files)


def test_a_branch_whose_name_begins_like_another_is_made(bench: HubBench) -> None:
    wanted = new_commit(bench)
    put(bench, "expci/promote/speed-2", wanted)
    made = put(bench, "expci/promote/speed", wanted)
    assert tip(bench, "expci/promote/speed") == made


def test_for_a_persons_token_github_signs_nothing_and_nothing_moves(bench: HubBench) -> None:
    before = bench.hub.bare.tips()
    bench.token = bench.hub.token_of("ada")
    assert put(bench, "main", new_commit(bench)) is None
    assert bench.hub.bare.tips() == before


def test_another_tree_than_the_one_asked_for_is_not_used(bench: HubBench) -> None:
    before = bench.hub.bare.tips()
    wanted = new_commit(bench)
    fewer = {path: file for path, file in wanted.files.items() if path != "icon.png"}
    commit = NewCommit(wanted.message, wanted.tree, wanted.parent, wanted.base, fewer)
    assert put(bench, "main", commit) is None
    assert bench.hub.bare.tips() == before


def test_a_path_that_json_cannot_name_is_left_to_git(bench: HubBench) -> None:
    wanted = new_commit(bench)
    files = {**wanted.files, "caf\udce9": ("100644", b"x")}
    commit = NewCommit(wanted.message, wanted.tree, wanted.parent, wanted.base, files)
    assert put(bench, "main", commit) is None


def test_a_rule_that_forbids_it_is_named(bench: HubBench) -> None:
    bench.hub.require_signatures("main", "pull_request")
    with pytest.raises(Refused, match="Changes must be made through a pull request"):
        put(bench, "main", new_commit(bench))

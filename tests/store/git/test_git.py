"""The door to git: objects in, objects out, and nothing of the user's moved."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from expci.core.model.content import Blob
from expci.errors import ExpciError, GitError
from expci.store.git.git import Git


@pytest.fixture
def git(repository: Any) -> Git:
    return Git(repository.path)


def test_blobs_and_trees_round_trip(git: Git) -> None:
    contents = [b"", b"one\n", b"\0binary\xff", b"blob\nmark :1\n", b"one\n"]
    oids = git.write_blobs(contents)
    assert oids[1] == oids[4]
    assert [git.cat(oids)[oid] for oid in oids] == contents
    names = ["plain", 'with space/"q"', "new\nline", "ünï", "-rf", "\udcff-not-utf8"]
    changes = {name: Blob("100755", oids[1]) for name in names}
    tree = git.write_tree(None, changes)
    assert git.read_tree(tree) == changes
    assert git.read_paths(tree, [*names, "absent"]) == {**changes, "absent": None}
    # A directory gives way to a file, and the reverse.
    turned = git.write_tree(tree, {"plain": None, "plain/now": changes["-rf"]})
    assert set(git.read_tree(turned, "plain")) == {"now"}
    back = git.write_tree(turned, {"plain/now": None, "plain": changes["-rf"]})
    assert back == tree


def test_a_single_blob_is_what_git_itself_makes(git: Git) -> None:
    expected = subprocess.run(
        ["git", "hash-object", "--stdin"], input=b"a\r\n", capture_output=True, check=True
    )
    assert git.write_blobs([b"a\r\n"]) == [expected.stdout.decode().strip()]


def test_what_is_missing_is_told_apart_from_what_is_empty(git: Git) -> None:
    absent = "1" * 40
    assert git.sizes([absent]) == {absent: None}
    with pytest.raises(GitError, match="missing"):
        git.cat([absent])
    assert git.read_tree("HEAD", "no/such/directory") == {}
    with pytest.raises(GitError):
        git.read_tree(absent)
    assert git.resolve(absent) is None
    with pytest.raises(ExpciError, match="no such commit"):
        git.require("nowhere")


def test_read_paths_next_to_their_own_directories(git: Git) -> None:
    [oid] = git.write_blobs([b"x"])
    paths = {"a/b/c": Blob("100644", oid), "a/d": Blob("100644", oid)}
    tree = git.write_tree(None, paths)
    found = git.read_paths(tree, ["a", "a/b", "a/b/c", "a/d", "a/d/e"])
    assert found == {**paths, "a": None, "a/b": None, "a/d/e": None}


def test_the_same_commit_on_every_machine(git: Git, monkeypatch: pytest.MonkeyPatch) -> None:
    tree = git.write_tree(None, {})
    one = git.commit_tree(tree, [], "A message")
    monkeypatch.setenv("GIT_AUTHOR_NAME", "Somebody Else")
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    git.run("config", "user.name", "Another")
    assert git.commit_tree(tree, [], "A message") == one


def test_the_git_around_us_is_not_followed(
    git: Git, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    head = git.require("HEAD")
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(tmp_path / "index"))
    assert git.require("HEAD") == head


def test_three_way_merges_and_their_conflicts(git: Git) -> None:
    def commit(text: bytes, parents: list[str]) -> str:
        [oid] = git.write_blobs([text])
        return git.commit_tree(git.write_tree(None, {"f": Blob("100644", oid)}), parents, "m")

    base = commit(b"1\n2\n3\n4\n5\n", [])
    ours = commit(b"one\n2\n3\n4\n5\n", [base])
    theirs = commit(b"1\n2\n3\n4\nfive\n", [base])
    tree, conflicts = git.merge_trees(ours, theirs)
    blob = git.read_tree(tree)["f"]
    assert (git.cat([blob.oid])[blob.oid], conflicts) == (b"one\n2\n3\n4\nfive\n", [])
    assert git.merge_trees(ours, commit(b"eins\n2\n3\n4\n5\n", [base]))[1] == ["f"]


def test_merges_and_differences_of_commits_are_asked_for_once(
    git: Git, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree, [oid] = git.tree_of("HEAD"), git.write_blobs([b"more\n"])
    base = git.commit_tree(tree, [], "base")
    ours = git.commit_tree(git.write_tree(tree, {"ours": Blob("100644", oid)}), [base], "ours")
    theirs = git.commit_tree(git.write_tree(tree, {"more": Blob("100644", oid)}), [base], "theirs")
    merged, changed = git.merge_trees(ours, theirs), git.changed_paths(ours, theirs)
    assert (set(git.read_tree(merged[0])) >= {"ours", "more"}, changed) == (True, ["more", "ours"])
    before = git.changed_paths("HEAD", ours)
    monkeypatch.setenv("PATH", "")  # there is no git any more
    assert (git.merge_trees(ours, theirs), git.changed_paths(ours, theirs)) == (merged, changed)
    with pytest.raises(OSError, match="git"):  # HEAD may be another one by now
        git.changed_paths("HEAD", ours)
    assert before == ["ours"]


def test_what_was_just_made_is_read_before_git_has_it(
    git: Git, monkeypatch: pytest.MonkeyPatch
) -> None:
    [oid] = git.write_blobs([b"new\n"])
    head = git.tree_of("HEAD")
    monkeypatch.setenv("PATH", "")
    tree = git.write_tree(head, {"new": Blob("100644", oid)})
    commit = git.commit_tree(tree, [], "New")
    assert git.tree_of(commit) == git.tree_of(tree) == tree
    assert git.read_tree(commit)["new"] == git.read_paths(tree, ["new"])["new"]
    monkeypatch.undo()
    assert git.text("rev-parse", f"{commit}:new") == oid


@pytest.mark.parametrize(
    "key", ["user.name", "User.NAME", "remote.Up.v.url", "core.none", "an.empty", "no.value"]
)
def test_a_setting_is_what_git_says(git: Git, key: str) -> None:
    with (git.common_dir / "config").open("a") as config:
        config.write("[user]\nname = first\nName = 'the  last' \n[an]\nempty =\n[no]\nvalue\n")
        config.write('[remote "Up.v"]\nurl = one\nurl = two\n[remote "up.v"]\nurl = other\n')
    asked = git.attempt("config", "--get", key)
    assert git.config(key) == (asked.stdout.decode().strip() if asked.returncode == 0 else None)


def test_where_there_is_no_repository(tmp_path: Path) -> None:
    with pytest.raises(ExpciError, match="git init"):
        Git.at(tmp_path)
    with pytest.raises(ExpciError, match="no such directory"):
        Git.at(tmp_path / "absent")


def test_a_linked_worktree_shares_the_private_directory(git: Git, tmp_path: Path) -> None:
    git.run("worktree", "add", "-q", "--detach", str(tmp_path / "linked"))
    linked = Git.at(tmp_path / "linked")
    assert linked.private_dir == git.private_dir
    assert linked.git_dir != git.git_dir

"""Trees and merges in repositories of both object formats (gitformat-pack(5): SHA-1, SHA-256)."""

from __future__ import annotations

from pathlib import Path

import pytest

from expci.core.model.content import Blob
from expci.store.git.git import Git
from support.clones import run_git


@pytest.mark.parametrize(("form", "length"), [("sha1", 40), ("sha256", 64)])
def test_files_are_added_replaced_and_removed(tmp_path: Path, form: str, length: int) -> None:
    run_git(tmp_path, "init", "-q", f"--object-format={form}", "repository")
    git = Git(tmp_path / "repository")
    one, two = (Blob("100644", oid) for oid in git.write_blobs([b"one\n", b"two\n"]))
    assert len(one.oid) == length
    first = git.write_tree(None, {"a": one, "d/b": one, "c": one})
    second = git.write_tree(first, {"a": two, "d/b": None, "c": None, "d": one})
    assert git.read_tree(second) == {"a": two, "d": one}
    base = git.commit_tree(first, [], "base")
    ours = git.commit_tree(git.write_tree(first, {"a": two}), [base], "ours")
    theirs = git.commit_tree(git.write_tree(first, {"c": None}), [base], "theirs")
    tree, conflicts = git.merge_trees(ours, theirs)
    assert (git.read_tree(tree), conflicts) == ({"a": two, "d/b": one}, [])

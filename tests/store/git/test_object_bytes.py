"""Objects as git itself makes them, in both object formats."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from expci.core.model.content import Blob
from expci.store.git.object_bytes import (
    TREE_MODE,
    commit_bytes,
    object_id,
    pack,
    tree_bytes,
    tree_rows,
)
from support.clones import run_git

SIZES = (0, 1, 15, 16, 2047, 2048, 300_000)  # where the size in a pack takes one more byte


@pytest.fixture(params=["sha1", "sha256"])
def form(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    run_git(tmp_path, "init", "-q", f"--object-format={request.param}")
    return str(request.param)


def test_what_the_pack_carries_git_stores_whole(form: str, tmp_path: Path) -> None:
    objects = [("blob", bytes(i % 251 for i in range(size))) for size in SIZES]
    run_git(tmp_path, "unpack-objects", "-q", "--strict", stdin=pack(form, objects))
    for kind, data in objects:
        oid = run_git(tmp_path, "hash-object", "-w", "--stdin", stdin=data).strip()
        assert object_id(form, kind, data) == oid
        assert run_git(tmp_path, "cat-file", "-s", oid).strip() == str(len(data))
    run_git(tmp_path, "fsck", "--strict")


def test_a_tree_has_git_s_order(form: str, tmp_path: Path) -> None:
    blob = run_git(tmp_path, "hash-object", "-w", "--stdin", stdin=b"x").strip()
    below = run_git(tmp_path, "mktree", stdin=f"100644 blob {blob}\tf\n".encode()).strip()
    # git-fsck(1), treeNotSorted: a directory sorts as if its name ended in a slash.
    rows = {
        "a": Blob(TREE_MODE, below),
        "a.b": Blob("100644", blob),
        "a-b": Blob("100755", blob),
        "a0": Blob("120000", blob),
        "ä": Blob("100644", blob),
        "\udcff": Blob("160000", "1" * len(blob)),
    }
    kinds = {TREE_MODE: "tree", "160000": "commit"}
    lines = (f"{b.mode} {kinds.get(b.mode, 'blob')} {b.oid}\t{n}\0" for n, b in rows.items())
    stdin = "".join(lines).encode(errors="surrogateescape")
    oid = run_git(tmp_path, "mktree", "-z", stdin=stdin).strip()
    assert object_id(form, "tree", tree_bytes(rows)) == oid
    assert tree_rows(tree_bytes(rows), len(oid)) == rows


@pytest.mark.parametrize("at", ["1970-01-01T00:00:00Z", "2026-11-22T10:00:00.987Z"])
def test_a_commit_is_git_s_own(
    form: str, tmp_path: Path, at: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for role in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{role}_NAME", "Ada")
        monkeypatch.setenv(f"GIT_{role}_EMAIL", "ada@example.org")
        monkeypatch.setenv(f"GIT_{role}_DATE", at)
    tree = run_git(tmp_path, "mktree", stdin=b"").strip()
    root = run_git(tmp_path, "commit-tree", tree, "-m", "root").strip()
    other = run_git(tmp_path, "commit-tree", tree, "-m", "ünï\n\nmore").strip()
    parents = ["-p", root, "-p", other, "-p", root]
    oid = run_git(tmp_path, "commit-tree", tree, *parents, "-m", "both").strip()
    when, who = datetime.fromisoformat(at).astimezone(UTC), ("Ada", "ada@example.org")
    assert object_id(form, "commit", commit_bytes(tree, [], who, when, "ünï\n\nmore")) == other
    assert (
        object_id(form, "commit", commit_bytes(tree, [root, other, root], who, when, "both")) == oid
    )

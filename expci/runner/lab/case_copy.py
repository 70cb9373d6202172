"""A copy of a case for one run, outside of its work tree: what a run does to it, no other sees."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from expci.core.model.content import Blob
from expci.runner.lab import worktree
from expci.store.cases import CaseContent
from expci.store.git.git import Git
from expci.store.merges import Merge

_LINE_FILE = "case.json"


@contextlib.contextmanager
def case_copy(git: Git, directory: Path, content: CaseContent) -> Iterator[Path]:
    """The case's file or directory below `directory`, gone afterwards.

    A line of a JSONL file is a file of its own; a merge is a directory with `merged.diff` and
    `message.txt`.
    """
    top = directory / "case"
    worktree.remove_tree(top)
    top.mkdir()
    try:
        yield _written(git, top, content)
    finally:
        worktree.remove_tree(top)


def _written(git: Git, top: Path, content: CaseContent) -> Path:
    if content.merge is not None:
        return _merge(git, top, content.merge)
    if content.line is not None:
        path = top / _LINE_FILE
        path.write_bytes(content.line + b"\n")
        return path
    rows = "".join(_row(path, blob) for path, blob in content.files.items())
    env = {"GIT_INDEX_FILE": str(top.parent / "index-of-case")}
    git.run("read-tree", "--empty", env=env)
    data = rows.encode(errors="surrogateescape")
    git.run("update-index", "--add", "-z", "--index-info", stdin=data, env=env)
    git.run("checkout-index", "--all", "--force", "--quiet", f"--prefix={top}/", env=env)
    return top / content.path


def _row(path: str, blob: Blob) -> str:
    return f"{blob.mode} {blob.oid}\t{path}\0"


def _merge(git: Git, top: Path, merge: Merge) -> Path:
    diff = git.run(
        *("diff-tree", "-p", "--no-renames", "--full-index", "--no-color", "--no-ext-diff"),
        *("--no-textconv", merge.before, merge.commit, "--"),
    )
    (top / "merged.diff").write_bytes(diff)
    of_all = ("log", "--first-parent", "--reverse", "--format=%B")
    message = git.run(*of_all, f"{merge.before}..{merge.commit}", "--")
    (top / "message.txt").write_bytes(message)
    return top

"""Files on disk as git would commit them, and what git leaves out or turns into other bytes."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from expci.core.model.content import File
from expci.store.git.git import Git

_TURNING = ("text", "eol", "crlf", "filter", "working-tree-encoding", "ident")


def as_committed(git: Git, paths: Iterable[str]) -> dict[str, File]:
    """Regular files of the work tree through git's filters and line-end rules, by path.

    The blobs are in the repository afterwards. `GitError` where a required filter fails.
    """
    # A line of `--stdin-paths` ends at either; no variant may have such a name.
    wanted = [path for path in paths if not {"\n", "\r"} & set(path)]
    if not wanted:
        return {}
    data = "".join(path + "\n" for path in wanted).encode(errors="surrogateescape")
    written = git.run("hash-object", "-w", "--stdin-paths", stdin=data, cwd=git.root)
    oids = written.decode().split()
    contents = git.cat(oids)
    return {
        path: File(_mode(git.root / path), contents[oid])
        for path, oid in zip(wanted, oids, strict=True)
    }


def _mode(path: Path) -> str:
    return "100755" if os.access(path, os.X_OK) else "100644"


def ignored(git: Git, directory: str) -> list[str]:
    """Files below `directory` that no commit will hold, since git ignores them."""
    output = git.run(
        *("ls-files", "--others", "--ignored", "--exclude-standard", "-z"),
        *("--", f":(literal,top){directory}"),
        cwd=git.root,
    )
    return [path for path in output.decode(errors="surrogateescape").split("\0") if path]


def concealed(git: Git, directory: str) -> list[str]:
    """Files below `directory` that differ from the index, which a bit of it keeps git from seeing.

    `assume-unchanged` and `skip-worktree` (git-update-index(1)): no commit picks the change up.
    """
    output = git.run("ls-files", "-v", "-s", "-z", "--", f":(literal,top){directory}", cwd=git.root)
    rows = [
        row.split(None, 3) for row in output.decode(errors="surrogateescape").split("\0") if row
    ]
    marked = {
        rest.partition("\t")[2]: oid for tag, _, oid, rest in rows if tag == "S" or tag.islower()
    }
    regular = [path for path in marked if (git.root / path).is_file()]
    committed = as_committed(git, regular)
    oids = git.write_blobs([file.data for file in committed.values()])
    return [path for path, oid in zip(committed, oids, strict=True) if oid != marked[path]]


def differing_bytes(git: Git, places: Mapping[str, tuple[str, str]]) -> list[str]:
    """Of blobs at two places (`path: (other path, oid)`), the paths where a checkout writes
    other bytes than at the other place: `.gitattributes` treats the two differently.
    """
    attributes = _attributes(git, [path for row in places.items() for path in (row[0], row[1][0])])
    return [
        path
        for path, (other, oid) in places.items()
        if attributes[path] != attributes[other]
        and _checked_out(git, oid, path) != _checked_out(git, oid, other)
    ]


def _attributes(git: Git, paths: Iterable[str]) -> dict[str, dict[str, str]]:
    """What makes git turn bytes into others, by path (gitattributes(5))."""
    turning: dict[str, dict[str, str]] = {path: {} for path in paths}
    data = "".join(path + "\0" for path in turning).encode(errors="surrogateescape")
    output = git.run("check-attr", "--stdin", "-z", *_TURNING, stdin=data, cwd=git.root)
    fields = output.decode(errors="surrogateescape").split("\0")
    for path, name, value in zip(fields[::3], fields[1::3], fields[2::3], strict=False):
        turning[path][name] = value
    return turning


def _checked_out(git: Git, oid: str, path: str) -> bytes:
    return git.run("cat-file", "--filters", f"--path={path}", oid, cwd=git.root)

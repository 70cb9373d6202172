"""The cases of an experiment as a commit holds them. Standard library only (the trial path).

`case_list` names them with their content hashes; a run gets a copy of one by `CaseContent`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import PurePosixPath

from expci.core.model import limits
from expci.core.model.cases import (
    BadCases,
    Case,
    CaseSource,
    content_hash,
    lines_by_id,
    matches,
    require_ids,
)
from expci.core.model.content import Blob
from expci.core.value_class import dataclass, field
from expci.errors import GitError
from expci.store.git.git import Git
from expci.store.merges import Merge, last_merges

_BATCH_BYTES = 20_000_000  # of blobs that are in memory at once
_LINK = "120000"


@dataclass(frozen=True)
class CaseContent:
    """One case and where its content is.

    `files` are blobs by path in the repository, `path` is the case's own (a file or a directory);
    a case of a JSONL file has its `line`, a replayed merge its `merge`.
    """

    case: Case
    path: str = ""
    files: Mapping[str, Blob] = field(default_factory=dict)
    line: bytes | None = None
    merge: Merge | None = None


@dataclass(frozen=True)
class CaseList:
    """The cases by id; `notes` say what is excluded."""

    contents: tuple[CaseContent, ...]
    notes: tuple[str, ...] = ()

    @property
    def cases(self) -> tuple[Case, ...]:
        return tuple(content.case for content in self.contents)


def read_cases(git: Git, tree: str, source: CaseSource, base: str | None = None) -> CaseList:
    """The cases of `source` at a commit or tree, by id; `BadCases` says why there are none.

    Merges are those up to the commit `base` (the commit itself).
    """
    if source.merged is not None:
        merges, notes = last_merges(git, base or tree, source.merged)
        contents = [CaseContent(Case(one.id, one.hash), merge=one) for one in merges]
    elif source.is_lines:
        contents, notes = _of_lines(git, tree, source.path or ""), ()
    else:
        contents, notes = _of_files(git, tree, source), ()
    require_ids(content.case.id for content in contents)
    return CaseList(tuple(sorted(contents, key=lambda one: one.case.id)), notes)


def _of_lines(git: Git, tree: str, path: str) -> list[CaseContent]:
    blob = git.read_paths(tree, [path])[path]
    if blob is None:
        return []
    if not blob.mode.startswith("100"):
        raise BadCases(f"{path} is not a plain file", "put the file itself there")
    _require_size(git, [blob])
    lines = lines_by_id(git.cat([blob.oid])[blob.oid], path)
    return [
        CaseContent(Case(id, hashlib.sha256(line).hexdigest()), path, {path: blob}, line)
        for id, line in lines.items()
    ]


def _of_files(git: Git, tree: str, source: CaseSource) -> list[CaseContent]:
    prefix = f"{source.directory}/" if source.directory else ""
    grouped: dict[str, dict[str, Blob]] = {}
    for path, blob in git.read_tree(tree, source.directory).items():
        name = path.split("/")[0]
        if matches(source, name):
            grouped.setdefault(name, {})[prefix + path] = blob
    if len(grouped) > limits.CASES:
        raise BadCases(f"are {len(grouped):,}, more than {limits.CASES:,}", "choose among them")
    blobs = [blob for files in grouped.values() for blob in files.values()]
    _refuse_submodules(grouped)
    _require_size(git, blobs)
    hashes = _hashes(git, blobs)
    _refuse_stray_links(git, prefix, grouped)
    return [
        CaseContent(Case(name, _hash(prefix + name, files, hashes)), prefix + name, files)
        for name, files in grouped.items()
    ]


def _hash(path: str, files: Mapping[str, Blob], hashes: Mapping[str, str]) -> str:
    rows = ((name.removeprefix(path), blob.mode, hashes[blob.oid]) for name, blob in files.items())
    return content_hash(rows)


def _hashes(git: Git, blobs: Iterable[Blob]) -> dict[str, str]:
    """SHA-256 of the bytes of each blob, a batch in memory at a time."""
    sizes = git.sizes(blob.oid for blob in blobs)
    hashes: dict[str, str] = {}
    for batch in _batches({oid: size[1] for oid, size in sizes.items() if size is not None}):
        contents = git.cat(batch)
        hashes |= {oid: hashlib.sha256(data).hexdigest() for oid, data in contents.items()}
    return hashes


def _batches(sizes: Mapping[str, int]) -> Iterator[list[str]]:
    batch, total = list[str](), 0
    for oid, size in sizes.items():
        if batch and total + size > _BATCH_BYTES:
            yield batch
            batch, total = [], 0
        batch.append(oid)
        total += size
    if batch:
        yield batch


def _require_size(git: Git, blobs: Iterable[Blob]) -> None:
    sizes = git.sizes(blob.oid for blob in blobs)
    if any(size is None for size in sizes.values()):
        raise GitError("the files of some cases are not in this clone; fetch its history")
    total = sum(size[1] for size in sizes.values() if size is not None)
    if total > limits.CASE_BYTES:
        most = f"{limits.CASE_BYTES / 1e6:.0f} MB"
        fix = "have large data fetched by `setup:`, and name it in the case"
        raise BadCases(f"hold {total / 1e6:.0f} MB, more than {most}", fix)


def _refuse_submodules(grouped: Mapping[str, Mapping[str, Blob]]) -> None:
    for files in grouped.values():
        for path, blob in files.items():
            if blob.mode == "160000":
                raise BadCases(f"{path!a} is a submodule", "put the files themselves there")


def _refuse_stray_links(git: Git, prefix: str, grouped: Mapping[str, Mapping[str, Blob]]) -> None:
    """A link in a case leads to something in the same case: only that is copied with it."""
    links = {
        path: (prefix + name, blob.oid)
        for name, files in grouped.items()
        for path, blob in files.items()
        if blob.mode == _LINK
    }
    targets = git.cat(oid for _, oid in links.values())
    for path, (case, oid) in links.items():
        target = targets[oid].decode(errors="surrogateescape")
        if path == case:
            raise BadCases(f"the case {path!a} is a symlink", "put the file itself there")
        if not _stays_in(case, path, target):
            fix = "put the file itself there: only the case is copied for a run"
            raise BadCases(f"{path!a} is a symlink that leaves its case", fix)


def _stays_in(case: str, path: str, target: str) -> bool:
    if target.startswith("/"):
        return False
    parts = list(PurePosixPath(path).parent.parts)
    depth = len(PurePosixPath(case).parts)
    for part in target.split("/"):
        if part == ".." and parts:
            parts.pop()
        elif part not in ("", ".", ".."):
            parts.append(part)
        if len(parts) < depth:
            return False
    return parts[:depth] == list(PurePosixPath(case).parts)


def working_tree(git: Git, source: CaseSource) -> str:
    """A tree of HEAD with the cases as they lie on disk, for what has not started yet."""
    head = git.resolve("HEAD")
    if source.path is None:
        return git.require("HEAD")
    place = source.path if source.is_lines else source.directory
    with git.scratch_index(head) as env:
        if not place or (git.root / place).exists():
            git.run("add", "--all", "--", f":(top,literal){place}", env=env, cwd=git.root)
        return git.run("write-tree", env=env).decode().strip()

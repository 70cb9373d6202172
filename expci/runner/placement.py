"""Putting an arm's content of the varied paths into a work tree, and proving it stayed.

git itself writes the files (`checkout-index` from an index that holds nothing else), so
line endings, filters and executable bits are what a checkout of that content would give.
"""

from __future__ import annotations

import contextlib
import hashlib
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path

from expci.core.model.content import Paths
from expci.core.spec.variant_paths import ancestors
from expci.core.value_class import dataclass
from expci.errors import ExpciError
from expci.store.git.git import DEEPEN, Git
from expci.store.variant import refuse_path

Fingerprint = Mapping[str, str | None]  # of each path on disk; `None` is "nothing there"


@dataclass(frozen=True)
class Placement:
    """One arm's content, as an index file that holds the varied paths and nothing else."""

    arm: str
    paths: Paths
    index: Path


def prepare(
    git: Git, arms: Mapping[str, Paths], directory: Path, present: Paths | None = None
) -> dict[str, Placement]:
    """An index for every arm, in `directory`. Missing blobs are loaded now, not in the run.

    An arm whose content is `present` in its work tree gets its index once it is needed.
    """
    placements = {}
    for number, (arm, paths) in enumerate(arms.items()):
        for path in paths:
            refuse_path(path)
        placements[arm] = Placement(arm, paths, directory / f"index-{number}")
        if paths != present:
            _write_index(git, placements[arm])
    oids = {blob.oid for paths in arms.values() for blob in paths.values() if blob}
    missing = [oid for oid, size in git.sizes(oids).items() if size is None]
    if missing:
        raise ExpciError(f"{len(missing)} files of the experiment are not in this clone; {DEEPEN}")
    return placements


def _write_index(git: Git, placement: Placement) -> None:
    rows = [f"{blob.mode} {blob.oid}\t{path}" for path, blob in placement.paths.items() if blob]
    if rows:
        data = "".join(row + "\0" for row in rows).encode()
        env = {"GIT_INDEX_FILE": str(placement.index)}
        git.run("update-index", "--add", "-z", "--index-info", stdin=data, env=env)


def put(git: Git, root: Path, placement: Placement) -> Fingerprint:
    """Write the arm's files below `root` and remove what it does not have."""
    refuse_passages(root, placement.paths)
    for path, blob in placement.paths.items():
        if blob is None:
            (root / path).unlink(missing_ok=True)
            _remove_empty(root, path)
    if not placement.index.exists():
        _write_index(git, placement)
    if placement.index.exists():
        env = {"GIT_INDEX_FILE": str(placement.index)}
        git.run("checkout-index", "--all", "--force", "--quiet", env=env, cwd=root)
    return fingerprint(root, placement.paths)


def refuse_passages(root: Path, paths: Iterable[str]) -> None:
    """No varied path may lead through a link out of `root`, or replace a directory."""
    for path in paths:
        for parent in ancestors(path):
            mode = _mode(root / parent)
            if mode is not None and not stat.S_ISDIR(mode):
                raise ExpciError(f"{parent!r} is not a directory, so {path!r} cannot be placed")
        mode = _mode(root / path)
        if mode is not None and not stat.S_ISREG(mode):
            raise ExpciError(f"{path!r} is not a regular file here, so nothing can be put there")


def fingerprint(root: Path, paths: Iterable[str]) -> dict[str, str | None]:
    """ExperimentFiles, kind and executable bit of each path as it is on disk now."""
    return {path: _fingerprint(root / path) for path in paths}


def _fingerprint(path: Path) -> str | None:
    mode = _mode(path)
    if mode is None:
        return None
    if stat.S_ISLNK(mode):
        return f"link {path.readlink()}"
    if not stat.S_ISREG(mode):
        return "directory" if stat.S_ISDIR(mode) else "special"
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        return f"unreadable {error.strerror}"
    return f"{'executable' if mode & 0o100 else 'file'} {digest}"


def _mode(path: Path) -> int | None:
    try:
        return path.lstat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return None


def _remove_empty(root: Path, path: str) -> None:
    # As git does when the last file of a directory goes.
    with contextlib.suppress(OSError):
        for parent in reversed(list(ancestors(path))):
            (root / parent).rmdir()

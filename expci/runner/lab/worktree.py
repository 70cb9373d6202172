"""Temporary worktrees of HEAD, one per arm, outside the user's checkout.

Each run writes down where its worktrees are, in a file that it keeps locked. Where the
lock is free the run is dead, and the next one removes what it left, and only that.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from expci.store.git.git import Git
from expci.store.variant import refuse_path

_PREFIX = "expci-trial-"
_PAUSES = (0.05, 0.1, 0.2, 0.4)  # seconds


@contextlib.contextmanager
def scratch(git: Git) -> Iterator[Path]:
    """A private directory of this run; it and the worktrees in it are gone afterwards."""
    registry = git.private_dir / "running"
    registry.mkdir(parents=True, exist_ok=True)
    directory = Path(tempfile.mkdtemp(prefix=_PREFIX)).resolve()
    note = registry / f"{directory.name}.json"
    try:
        handle = os.open(note.with_suffix(".new"), os.O_CREAT | os.O_RDWR, 0o600)
        fcntl.flock(handle, fcntl.LOCK_EX)
        os.write(handle, json.dumps({"directory": str(directory)}).encode())
        note.with_suffix(".new").rename(note)
        yield directory
    finally:
        _remove(git, directory)
        note.unlink(missing_ok=True)
        os.close(handle)


def add(git: Git, directory: Path, names: Sequence[str], commit: str) -> dict[str, Path]:
    """A full worktree of `commit` for each name, also where the checkout is sparse."""
    roots = places(git, directory, names)
    for root in roots.values():
        _add(git, root, commit)
    return roots


def _add(git: Git, root: Path, commit: str) -> None:
    """One worktree; a large tree is written by as many processes as there are processors."""
    arguments = ("worktree", "add", "--quiet", "--detach", str(root), commit)
    config = ("core.sparseCheckout=false", "checkout.workers=0")
    for pause in _PAUSES:
        result = git.attempt(*arguments, config=config)
        if result.returncode == 0:
            return
        # git reads all worktrees first, and fails at one that another trial is just putting up.
        if b"failed to read" not in result.stderr:
            break
        time.sleep(pause)
    git.run(*arguments, config=config)


def places(git: Git, directory: Path, names: Sequence[str]) -> dict[str, Path]:
    """A work tree's root for each name.

    The same length for every arm: paths end up in caches, logs and binaries.
    """
    return {name: directory / f"{number}" / git.root.name for number, name in enumerate(names)}


def share(git: Git, roots: Sequence[Path], paths: Sequence[str]) -> list[str]:
    """Link untracked paths of the user's checkout into the worktrees; what could not be."""
    warnings = []
    for path in paths:
        refuse_path(path)
        source = git.root / path
        if not source.exists():
            warnings.append(f"share: {path} does not exist in {git.root}")
            continue
        for root in roots:
            target = root / path
            if os.path.lexists(target):
                warnings.append(f"share: {path} is tracked by git, so each arm has its own")
                break
            target.parent.mkdir(parents=True, exist_ok=True)
            target.symlink_to(source)
    return warnings


def remove_stale(git: Git) -> int:
    """Remove what killed runs left behind; how many there were."""
    count = 0
    for note in (git.private_dir / "running").glob("*.json"):
        with contextlib.suppress(BlockingIOError, FileNotFoundError), note.open("r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            directory = _noted(file.read())
            if directory is not None:
                _end_leftovers(directory)
                _remove(git, directory)
            note.unlink(missing_ok=True)
            count += 1
    return count


def _noted(data: bytes) -> Path | None:
    """The directory that a note names, if it can be one of ours."""
    try:
        directory = Path(json.loads(data)["directory"])
    except (ValueError, KeyError, TypeError):
        return None
    return directory if directory.name.startswith(_PREFIX) and directory.is_absolute() else None


def _remove(git: Git, directory: Path) -> None:
    # Not `git worktree prune`, which would also forget worktrees of the user's that are on
    # a disk not mounted now; nor `git worktree remove`, which wants them intact.
    registered = git.common_dir / "worktrees"
    for entry in registered.glob("*/gitdir"):
        with contextlib.suppress(OSError):
            if Path(os.fsdecode(entry.read_bytes()).strip()).is_relative_to(directory):
                remove_tree(entry.parent)
    with contextlib.suppress(OSError):
        registered.rmdir()
    if directory.exists():
        remove_tree(directory)


def remove_tree(path: Path) -> None:
    """Remove a directory with all that is in it, also where the command left parts read-only."""
    shutil.rmtree(path, ignore_errors=True)
    if not path.exists():
        return
    # The work left read-only directories (a Go module cache, say).
    for directory, _, _ in os.walk(path):
        with contextlib.suppress(OSError):
            Path(directory).chmod(0o700)
    shutil.rmtree(path, ignore_errors=True)


def _end_leftovers(directory: Path) -> None:
    """End what a killed run left running: it would disturb the next measurement.

    Such processes carry the variable that only that run's commands were given;
    where the system does not show environments, they are left.
    """
    mark = f"EXPCI_METRICS={directory}/".encode()
    for entry in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            if any(value.startswith(mark) for value in entry.read_bytes().split(b"\0")):
                os.kill(int(entry.parent.name), signal.SIGKILL)

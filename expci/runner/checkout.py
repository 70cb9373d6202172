"""The user's own checkout, lent for a while: varied paths set aside and given back.

The originals are renamed into the git directory, so that giving them back is a rename
too: the same inode, bytes, mode and times. A journal is written before anything moves;
whoever comes next after a kill finishes what it says.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from expci.core.model.content import Paths
from expci.core.spec.variant_paths import ancestors
from expci.runner.placement import Fingerprint, fingerprint, refuse_passages
from expci.store.git import durable
from expci.store.git.git import Git


@dataclass(frozen=True)
class Journal:
    """What was set aside under one name.

    `originals` maps each path to the name of its backup, `None` where there was no file.
    `made` are directories that did not exist. `hidden` are tracked paths that got the
    skip-worktree bit; `excluded` is the text that was added to `info/exclude`.
    """

    originals: Mapping[str, str | None]
    made: tuple[str, ...]
    hidden: tuple[str, ...] = ()
    excluded: str = ""


def changed(git: Git, wanted: Paths) -> list[str]:
    """The paths whose content in the checkout is not `wanted`, line endings set aside."""
    at_head = git.read_paths("HEAD", wanted)
    found = {path for path, blob in wanted.items() if at_head[path] != blob}
    found |= {path for path, blob in wanted.items() if _exists(git, path) != (blob is not None)}
    tracked = [path for path, blob in wanted.items() if blob is not None]
    if tracked:
        output = git.run(
            "--literal-pathspecs",
            "status",
            "--porcelain=v1",
            "-z",
            "--no-renames",
            "--untracked-files=no",
            "--ignore-submodules=all",
            "--",
            *tracked,
        )
        rows = output.decode(errors="surrogateescape").split("\0")
        found |= {row[3:] for row in rows if row}
    return sorted(found & wanted.keys())


def _exists(git: Git, path: str) -> bool:
    return os.path.lexists(git.root / path)


def set_aside(git: Git, name: str, paths: Iterable[str]) -> None:
    """Rename what stands at the paths out of the way, under `name`."""
    wanted = sorted(paths)
    refuse_passages(git.root, wanted)
    originals = {p: str(n) if _exists(git, p) else None for n, p in enumerate(wanted)}
    parents = {parent for path in wanted for parent in ancestors(path)}
    made = tuple(sorted(parent for parent in parents if not _exists(git, parent)))
    _backups(git, name).mkdir(parents=True, exist_ok=True)
    _write(git, name, Journal(originals, made))
    for path, backup in originals.items():
        if backup is not None:
            _move(git.root / path, _backups(git, name) / backup)


def give_back(git: Git, name: str, put: Fingerprint | None = None) -> list[str]:
    """Put everything back as it was; the paths that were left alone.

    With `put`, a path that no longer holds what was put there is somebody else's work
    and stays as it is. Safe to call again, and when nothing is set aside.
    """
    journal = read(git, name)
    if journal is None:
        return []
    now = fingerprint(git.root, journal.originals) if put is not None else {}
    kept = [path for path in now if put is not None and now[path] != put.get(path)]
    for path, backup in journal.originals.items():
        if path not in kept:
            _restore(git.root / path, None if backup is None else _backups(git, name) / backup)
    for directory in reversed(journal.made):
        with contextlib.suppress(OSError):
            (git.root / directory).rmdir()
    # The files come first: they can be put back though the index is locked by somebody.
    _write(git, name, replace(journal, originals={}, made=()))
    unhide(git, name)
    _journal(git, name).unlink(missing_ok=True)
    shutil.rmtree(_backups(git, name), ignore_errors=True)
    with contextlib.suppress(OSError):
        _journal(git, name).parent.rmdir()
    return kept


def _restore(target: Path, backup: Path | None) -> None:
    if backup is None:
        _clear(target)
    elif os.path.lexists(backup):  # else it was never moved, or is back already
        _clear(target)
        target.parent.mkdir(parents=True, exist_ok=True)
        _move(backup, target)


def _clear(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _move(source: Path, target: Path) -> None:
    try:
        source.rename(target)
    except OSError as error:
        if error.errno != errno.EXDEV:  # the git directory may be on another file system
            raise
        scratch = target.with_name(target.name + ".expci-copy")
        shutil.copy2(source, scratch, follow_symlinks=False)
        scratch.rename(target)
        source.unlink()


def hide(git: Git, name: str, before: Paths, now: Paths) -> None:
    """Keep `git add -A` in the job from picking up what was put in place."""
    journal = read(git, name)
    if journal is None:
        return
    tracked = [path for path, blob in before.items() if blob is not None and blob != now[path]]
    fresh = [path for path, blob in before.items() if blob is None and now[path] is not None]
    hidden = tuple(sorted(set(tracked) - _skipped(git, tracked)))
    excluded = _exclusions(git, name, fresh)
    _write(git, name, replace(journal, hidden=hidden, excluded=excluded))
    _mark(git, "--skip-worktree", hidden)
    if excluded:
        path = git.common_dir / "info" / "exclude"
        path.parent.mkdir(exist_ok=True)
        with path.open("ab") as file:
            file.write(excluded.encode())


def unhide(git: Git, name: str) -> None:
    """Undo `hide`."""
    journal = read(git, name)
    if journal is None:
        return
    _mark(git, "--no-skip-worktree", sorted(_skipped(git, journal.hidden)))
    path = git.common_dir / "info" / "exclude"
    if journal.excluded and path.exists():
        data = path.read_bytes()
        path.write_bytes(data.replace(journal.excluded.encode(), b"", 1))
    _write(git, name, replace(journal, hidden=(), excluded=""))


def _exclusions(git: Git, name: str, paths: Iterable[str]) -> str:
    lines = ["/" + _escaped(path) for path in paths]
    if not lines:
        return ""
    exclude = git.common_dir / "info" / "exclude"
    before = exclude.read_bytes() if exclude.exists() else b""
    start = "\n" if before and not before.endswith(b"\n") else ""
    return start + "\n".join([f"# expci {name}", *lines, f"# expci {name} ends"]) + "\n"


def _escaped(path: str) -> str:
    """A path as a gitignore pattern that matches nothing else (gitignore(5))."""
    special = "".join("\\" + char if char in "\\*?[" else char for char in path)
    bare = special.rstrip(" ")
    return bare + "\\ " * (len(special) - len(bare))


def _skipped(git: Git, paths: Iterable[str]) -> set[str]:
    """Those of the paths that have the skip-worktree bit."""
    wanted = list(paths)
    if not wanted:
        return set()
    output = git.run("--literal-pathspecs", "ls-files", "-t", "-z", "--", *wanted)
    rows = output.decode(errors="surrogateescape").split("\0")
    return {row[2:] for row in rows if row.startswith("S ")}


def _mark(git: Git, option: str, paths: Iterable[str]) -> None:
    data = "".join(path + "\0" for path in paths).encode()
    if data:
        git.run("update-index", option, "-z", "--stdin", stdin=data)


def names(git: Git) -> list[str]:
    """Every name under which something is set aside in this checkout."""
    return sorted(path.stem for path in _home(git).glob("*.json"))


def read(git: Git, name: str) -> Journal | None:
    try:
        data = json.loads(_journal(git, name).read_bytes())
    except FileNotFoundError:
        return None
    return Journal(data["originals"], tuple(data["made"]), tuple(data["hidden"]), data["excluded"])


def _write(git: Git, name: str, journal: Journal) -> None:
    durable.replace_file(_journal(git, name), json.dumps(asdict(journal)).encode())


def _home(git: Git) -> Path:
    return git.git_dir / "expci" / "set-aside"


def _journal(git: Git, name: str) -> Path:
    return _home(git) / f"{name}.json"


def _backups(git: Git, name: str) -> Path:
    return _home(git) / f"{name}.files"

"""The user's own checkout, lent for a while: varied paths set aside and given back.

The originals are renamed into the git directory, so that giving them back is a rename
too: the same inode, bytes, mode and times. A journal is written before anything moves;
whoever comes next after a kill finishes what it says. If another commit was checked out
meanwhile, what it holds counts, and the originals are history.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from expci.core.model.content import Blob, Paths
from expci.core.spec.variant_paths import ancestors
from expci.core.value_class import asdict, dataclass, field, replace
from expci.errors import ExpciError
from expci.runner import hiding
from expci.runner.placement import Fingerprint, fingerprint, prepare, put, refuse_passages
from expci.store.git import durable
from expci.store.git.git import Git


@dataclass(frozen=True)
class Journal:
    """What was set aside under one name.

    `originals` maps each path to the name of its backup, `None` where there was no file;
    `before` to the object id that the commit had there, `placed` to those that the arms have.
    `directories` did not exist. `hidden` are tracked paths that git overlooks in this job;
    `excluded` is the text that was added to `info/exclude`. With `has_bits` an
    earlier version wrote it, which hid tracked paths by skip-worktree bits.
    """

    originals: Mapping[str, str | None]
    directories: tuple[str, ...] = ()
    before: Mapping[str, str | None] = field(default_factory=dict)
    placed: Mapping[str, Sequence[str | None]] = field(default_factory=dict)
    hidden: tuple[str, ...] = ()
    excluded: str = ""
    has_bits: bool = False


def changed(git: Git, wanted: Paths) -> list[str]:
    """The paths whose content in the checkout is not `wanted`, line endings set aside."""
    at_head = git.read_paths("HEAD", wanted)
    differing = {path for path, blob in wanted.items() if at_head[path] != blob}
    differing |= {path for path, blob in wanted.items() if _exists(git, path) != (blob is not None)}
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
        differing |= {row[3:] for row in rows if row}
    return sorted(differing & wanted.keys())


def _exists(git: Git, path: str) -> bool:
    return os.path.lexists(git.root / path)


def set_aside(git: Git, name: str, arms: Iterable[Paths]) -> None:
    """Rename what stands at the arms' paths out of the way, under `name`."""
    contents = list(arms)
    wanted = sorted({path for paths in contents for path in paths})
    refuse_passages(git.root, wanted)
    originals = {p: str(n) if _exists(git, p) else None for n, p in enumerate(wanted)}
    parents = {parent for path in wanted for parent in ancestors(path)}
    _backups(git, name).mkdir(parents=True, exist_ok=True)
    journal = Journal(
        originals,
        directories=tuple(sorted(parent for parent in parents if not _exists(git, parent))),
        before={path: _oid(blob) for path, blob in git.read_paths("HEAD", wanted).items()},
        placed={path: [_oid(paths.get(path)) for paths in contents] for path in wanted},
    )
    _write(git, name, journal)
    for path, backup in originals.items():
        if backup is not None:
            _move(git.root / path, _backups(git, name) / backup)


def _oid(blob: Blob | None) -> str | None:
    return None if blob is None else blob.oid


def give_back(git: Git, name: str, put: Fingerprint | None = None) -> list[str]:
    """Put everything back as it was; the paths that were left alone.

    With `put`, a path that no longer holds what was put there is somebody else's work
    and stays as it is. Where another commit is checked out by now, its content is put
    back instead. Safe to call again, and when nothing is set aside.
    """
    journal = read(git, name)
    if journal is None:
        return []
    now = fingerprint(git.root, journal.originals)
    moved_on = _moved_on(git, journal)
    kept = [p for p in now if p not in moved_on and put is not None and now[p] != put.get(p)]
    for path, backup in journal.originals.items():
        if path not in kept and path not in moved_on:
            _restore(git.root / path, None if backup is None else _backups(git, name) / backup)
    ours = put if put is not None else _placed(git, journal, moved_on, now)
    _check_out(git, {p: blob for p, blob in moved_on.items() if now[p] == ours.get(p, now[p])})
    for directory in reversed(journal.directories):
        with contextlib.suppress(OSError):
            (git.root / directory).rmdir()
    # The files come first: they can be put back though the index is locked by somebody.
    _write(git, name, replace(journal, originals={}, directories=()))
    unhide(git, name)
    _journal(git, name).unlink(missing_ok=True)
    import shutil

    shutil.rmtree(_backups(git, name), ignore_errors=True)
    with contextlib.suppress(OSError):
        _journal(git, name).parent.rmdir()
    return kept


def _moved_on(git: Git, journal: Journal) -> Paths:
    """Paths for which HEAD has other content than when they were set aside: what it has now."""
    if git.resolve("HEAD") is None:
        return {}
    at_head = git.read_paths("HEAD", journal.before)
    return {p: blob for p, blob in at_head.items() if _oid(blob) != journal.before[p]}


def _placed(git: Git, journal: Journal, paths: Paths, now: Fingerprint) -> Fingerprint:
    """Fingerprints of those `paths` that hold an arm's content or nothing; "" for the others."""
    files = [path for path in paths if (now[path] or "").startswith(("file ", "executable "))]
    data = "".join(path + "\n" for path in files).encode(errors="surrogateescape")
    oids = git.run("hash-object", "--stdin-paths", stdin=data, cwd=git.root).decode().split()
    hashes: dict[str, str | None] = dict(zip(files, oids, strict=True))
    ours = {p: hashes.get(p) in journal.placed.get(p, ()) or now[p] is None for p in paths}
    return {path: now[path] if ours[path] else "" for path in paths}


def _check_out(git: Git, paths: Paths) -> None:
    """Write what HEAD holds at the paths."""
    if not paths:
        return
    import tempfile

    with tempfile.TemporaryDirectory(prefix="expci-restore-") as scratch:
        for path, blob in paths.items():
            # The new commit may have put a link or a directory there: that stays.
            with contextlib.suppress(ExpciError, OSError):
                [placement] = prepare(git, {"HEAD": {path: blob}}, Path(scratch)).values()
                put(git, git.root, placement)
                placement.index.unlink(missing_ok=True)


def _restore(target: Path, backup: Path | None) -> None:
    if backup is None:
        _clear(target)
    elif os.path.lexists(backup):  # else it was never moved, or is back already
        _clear(target)
        target.parent.mkdir(parents=True, exist_ok=True)
        _move(backup, target)


def _clear(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        import shutil

        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _move(source: Path, target: Path) -> None:
    try:
        source.rename(target)
    except OSError as error:
        if error.errno != errno.EXDEV:  # the git directory may be on another file system
            raise
        import shutil

        scratch = target.with_name(target.name + ".expci-copy")
        shutil.copy2(source, scratch, follow_symlinks=False)
        scratch.rename(target)
        source.unlink()


def hide(git: Git, name: str, before: Paths, now: Paths, job: Sequence[str]) -> None:
    """Keep `git add -A` in the job from picking up what was put in place."""
    journal = read(git, name)
    if journal is None:
        return
    tracked = [path for path, blob in before.items() if blob is not None and blob != now[path]]
    fresh = [path for path, blob in before.items() if blob is None and now[path] is not None]
    excluded = hiding.exclude(git, name, fresh)
    _write(git, name, replace(journal, hidden=tuple(tracked), excluded=excluded))
    if tracked or excluded:
        hiding.hide_tracked(git, _hidden(git), job)


def unhide(git: Git, name: str) -> None:
    """Undo `hide`."""
    journal = read(git, name)
    if journal is None:
        return
    hiding.include(git, journal.excluded)
    if journal.has_bits:
        hiding.clear_bits(git, journal.hidden)
    _write(git, name, replace(journal, hidden=(), excluded=""))
    if not _hides_anything(git):
        hiding.show_tracked(git)


def _hidden(git: Git) -> list[str]:
    """Every tracked path that git overlooks in this job, for whichever experiment."""
    journals = [read(git, name) for name in names(git)]
    return sorted({path for journal in journals if journal for path in journal.hidden})


def _hides_anything(git: Git) -> bool:
    journals = [read(git, name) for name in names(git)]
    return any(journal.hidden or journal.excluded for journal in journals if journal)


def names(git: Git) -> list[str]:
    """Every name under which something is set aside in this checkout."""
    return sorted(path.stem for path in _home(git).glob("*.json"))


def read(git: Git, name: str) -> Journal | None:
    try:
        data = json.loads(_journal(git, name).read_bytes())
    except FileNotFoundError:
        return None
    return Journal(
        data["originals"],
        tuple(data.get("directories") or data.get("made", ())),
        data["before"] if "before" in data else _backed_up(git, name, data["originals"]),
        data.get("placed", {}),
        tuple(data["hidden"]),
        data["excluded"],
        data.get("has_bits", "before" not in data),
    )


def _backed_up(git: Git, name: str, originals: Mapping[str, str | None]) -> dict[str, str | None]:
    """The object ids of what an older version set aside: it did not write them down."""
    backups = {path: _backups(git, name) / backup for path, backup in originals.items() if backup}
    present = {path: file for path, file in backups.items() if file.is_file()}
    names = "".join(f"{file}\n" for file in present.values())
    oids = git.run("hash-object", "--stdin-paths", stdin=os.fsencode(names)).decode().split()
    return {**dict.fromkeys(originals), **dict(zip(present, oids, strict=True))}


def _write(git: Git, name: str, journal: Journal) -> None:
    durable.replace_file(_journal(git, name), json.dumps(asdict(journal)).encode())


def _home(git: Git) -> Path:
    return git.git_dir / "expci" / "set-aside"


def _journal(git: Git, name: str) -> Path:
    return _home(git) / f"{name}.json"


def _backups(git: Git, name: str) -> Path:
    return _home(git) / f"{name}.files"

"""What the ledger's own history proves: it only ever grew.

Every commit is compared with the one before it: events and records may be appended,
segments may merge, plans may be added, and nothing that was once written may change, but
for trials that the same commit names as removed by `expci gc`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from expci.errors import LedgerDamaged
from expci.store.git.git import Git
from expci.store.ledger import paths, segments
from expci.store.ledger.removals import read_removals

_ONLY_GROW = ("/events.jsonl", "/arrivals.jsonl", "/removed.jsonl")


@dataclass(frozen=True)
class Edit:
    """One path that a commit changed; `before` or `after` is `None` where there was no file."""

    path: str
    before: str | None
    after: str | None


def violations(git: Git, tip: str) -> Iterator[str]:
    """What some commit up to `tip` changed that must never change, oldest first."""
    for commit, every in commits_with_edits(git, tip):
        removed = _removed(git, every)
        edits = [edit for edit in every if not _is_declared(edit, removed)]
        for edit in edits:
            if _is_frozen(edit.path) and edit.before is not None:
                yield f"commit {commit[:12]} changed {edit.path}, which is frozen"
            if edit.path.endswith(_ONLY_GROW) and not _grew(git, edit):
                yield f"commit {commit[:12]} rewrote {edit.path}, which only grows"
        for directory, touched in _segments(edits).items():
            if not _kept_records(git, touched):
                yield f"commit {commit[:12]} lost or changed records of {directory}"


def commits_with_edits(git: Git, tip: str) -> Iterator[tuple[str, list[Edit]]]:
    """Each commit of the first-parent line, oldest first, with the paths that it changed."""
    output = git.run(
        "log", "--first-parent", "--reverse", "--root", "--raw", "--no-renames", "--no-abbrev",
        "-z", "--format=%x01%H", tip,
    )  # fmt: skip
    for block in output.decode(errors="surrogateescape").split("\x01")[1:]:
        commit, _, rest = block.partition("\0")
        fields = [field.lstrip("\n") for field in rest.split("\0") if field.strip("\n")]
        edits = []
        for meta, path in zip(fields[::2], fields[1::2], strict=True):
            _, _, before, after, _ = meta.split()
            edits.append(Edit(path, _oid(before), _oid(after)))
        yield commit.strip(), edits


def _oid(text: str) -> str | None:
    return None if set(text) == {"0"} else text


def _removed(git: Git, edits: list[Edit]) -> Mapping[str, str]:
    """The files (path → blob) that this commit says `expci gc` removed."""
    removed: dict[str, str] = {}
    for edit in edits:
        if edit.path.endswith("/removed.jsonl") and edit.after is not None:
            oids = [oid for oid in (edit.before, edit.after) if oid is not None]
            *before, after = map(git.cat(oids).__getitem__, oids)
            with contextlib.suppress(LedgerDamaged):
                for removal in read_removals(after[len(b"".join(before)) :]):
                    own = edit.path.removesuffix("removed.jsonl")
                    removed |= {own + path: oid for path, oid in removal.files.items()}
    return removed


def _is_declared(edit: Edit, removed: Mapping[str, str]) -> bool:
    """Whether an edit removes records that the same commit names as removed."""
    directory, _, file = edit.path.rpartition("/")
    are_records = directory.endswith(("/trials", "/amendments")) or file == "arrivals.jsonl"
    return are_records and edit.after is None and removed.get(edit.path) == edit.before


def _is_frozen(path: str) -> bool:
    parts = path.split("/")
    return len(parts) > 3 and parts[0] == paths.EXPERIMENTS and parts[2] in ("plan", "final")


def _grew(git: Git, edit: Edit) -> bool:
    if edit.before is None or edit.after is None:
        return edit.before is None
    data = git.cat([edit.before, edit.after])
    return data[edit.after].startswith(data[edit.before])


def _segments(edits: list[Edit]) -> Mapping[str, list[Edit]]:
    by_directory: dict[str, list[Edit]] = {}
    for edit in edits:
        directory, _, name = edit.path.rpartition("/")
        if directory.endswith(("/trials", "/amendments")) and name.endswith(".jsonl"):
            by_directory.setdefault(directory, []).append(edit)
    return by_directory


def _kept_records(git: Git, edits: list[Edit]) -> bool:
    """Whether what was removed stands again, in order, at the head of what was added.

    A segment of either side is in memory at a time.
    """
    try:
        removed, added = _in_order(edits, "before"), _in_order(edits, "after")
    except ValueError:
        return False
    rest = b""
    for oid in removed:
        data = git.cat([oid])[oid]
        while len(rest) < len(data):
            following = next(added, None)
            if following is None:
                return False
            rest += git.cat([following])[following]
        if not rest.startswith(data):
            return False
        rest = rest[len(data) :]
    return True


def _in_order(edits: list[Edit], side: str) -> Iterator[str]:
    """The contents of one side in the ledger's order; `ValueError` for no segment's name."""
    chosen = [(edit.path.rpartition("/")[2], getattr(edit, side)) for edit in edits]
    wanted = [(segments.position(name), oid) for name, oid in chosen if oid is not None]
    return (oid for _, oid in sorted(wanted))

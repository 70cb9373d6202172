"""Reading the inbox: what arrived, what may be counted, what goes to quarantine.

Everything here came from outside. Shape and size are checked before a byte is read;
what is refused is kept as excerpt, hash and reason, never silently dropped.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from expci.core.model import ID_PATTERN
from expci.core.trials import Amendment, Trial, parse_line
from expci.errors import InvalidRecord
from expci.store import inbox, refs
from expci.store.git import Git

EXCERPT = 300
LINES_PER_BATCH = 20_000


@dataclass(frozen=True)
class Refused:
    """What could not be taken. `subject` is a ref, or a ref and a line."""

    subject: str
    reason: str
    digest: str
    excerpt: str = ""

    def document(self, at: str) -> bytes:
        data = {"subject": self.subject, "reason": self.reason, "sha256": self.digest}
        data |= {"excerpt": self.excerpt, "at": at}
        return json.dumps(data, indent=1, ensure_ascii=True).encode() + b"\n"


@dataclass(frozen=True)
class Arrived:
    """One valid record with the bytes it came in."""

    record: Trial | Amendment
    line: bytes
    ref: str


@dataclass(frozen=True)
class Inbox:
    """What was found: `refs` (name → commit) are all to be deleted once folded."""

    arrived: tuple[Arrived, ...]
    refused: tuple[Refused, ...]
    refs: Mapping[str, str]


def collect(git: Git, found: Mapping[str, str]) -> Inbox:
    """Read the batches behind inbox refs (name → object id)."""
    blobs: dict[str, str] = {}
    refused: list[Refused] = []
    for ref, commit in found.items():
        try:
            blobs[ref] = _batch_blob(git, ref, commit)
        except InvalidRecord as error:
            refused.append(refuse(ref[:EXCERPT], str(error), f"{ref} {commit}".encode()))
    data = git.cat(blobs.values())
    arrived: list[Arrived] = []
    for ref, oid in blobs.items():
        taken, bad = read_batch(ref, data[oid])
        arrived += taken
        refused += bad
    # The ledger's order: by start, so that evidence reads as it happened; ids break ties.
    arrived.sort(key=_order)
    return Inbox(tuple(arrived), tuple(refused), dict(found))


def read_batch(ref: str, data: bytes) -> tuple[list[Arrived], list[Refused]]:
    """The valid records of one batch and what is wrong with the others."""
    arrived: list[Arrived] = []
    refused: list[Refused] = []
    split = refs.split_inbox(ref)
    experiment = split[0] if split else ""
    for number, line in enumerate(data.splitlines(), 1):
        if not line.strip():
            continue
        try:
            if number > LINES_PER_BATCH:
                raise InvalidRecord(f"more than {LINES_PER_BATCH} lines in one batch")
            record = parse_line(line)
            if record.experiment != experiment:
                raise InvalidRecord(f"a record of another experiment, in the inbox of {experiment}")
        except InvalidRecord as error:
            refused.append(refuse(f"{ref}:{number}", str(error), line))
        else:
            arrived.append(Arrived(record, _canonical(line), ref))
    return arrived, refused


def refuse(subject: str, reason: str, data: bytes) -> Refused:
    excerpt = data[:EXCERPT].decode(errors="backslashreplace")
    return Refused(subject, reason, hashlib.sha256(data).hexdigest(), excerpt)


def _canonical(line: bytes) -> bytes:
    """The record's one form in the ledger, so that equal records have equal bytes."""
    return parse_line(line).line().encode()


def _order(item: Arrived) -> tuple[str, str]:
    record = item.record
    return (record.started if isinstance(record, Trial) else record.at, record.id)


def _batch_blob(git: Git, ref: str, commit: str) -> str:
    """The blob of a well-formed batch; `InvalidRecord` says what is wrong, nothing is read."""
    split = refs.split_inbox(ref)
    if split is None or not re.fullmatch(ID_PATTERN, split[0]):
        raise InvalidRecord("not a batch: its name is not refs/expci/inbox/<id>/<sha256>")
    kind = git.sizes([commit])[commit]
    if kind is None or kind[0] != "commit":
        raise InvalidRecord(f"not a batch: a {kind[0] if kind else 'missing object'}, not a commit")
    if git.parents(commit):
        raise InvalidRecord("not a batch: the commit has parents")
    tree = git.attempt("ls-tree", "-z", commit).stdout
    rows = [row for row in tree.split(b"\0") if row]
    if len(rows) != 1 or not rows[0].endswith(b"\t" + inbox.FILE.encode()):
        raise InvalidRecord(f"not a batch: its tree is not one file {inbox.FILE}")
    mode, _, oid = rows[0].split(b"\t")[0].decode().split()
    size = git.sizes([oid])[oid]
    if not mode.startswith("100") or size is None or size[0] != "blob":
        raise InvalidRecord(f"not a batch: {inbox.FILE} is not a regular file")
    if size[1] > inbox.BATCH_BYTES:
        raise InvalidRecord(f"{size[1]} bytes in one batch; at most {inbox.BATCH_BYTES}")
    return oid


def chunks(items: Iterable[str], size: int = 500) -> list[list[str]]:
    listed = list(items)
    return [listed[start : start + size] for start in range(0, len(listed), size)]

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

from expci.core.model.arm import ID_PATTERN
from expci.core.model.trial import Amendment, Trial
from expci.core.model.trial_reader import parse_line
from expci.errors import InvalidRecord
from expci.store.git import refs
from expci.store.git.git import Git
from expci.store.inbox import send

EXCERPT = 300
MALFORMED = "malformed"
_REASON = 1000  # characters; a hostile record may be quoted in it
LINES_PER_BATCH = 20_000
_SMALL = 10_000  # bytes of a batch's commit and of its tree


@dataclass(frozen=True)
class RefusedRecord:
    """What could not be taken. `subject` is a ref, or a ref and a line; `code` says why.

    `experiment` and `arm` are "" where the record does not tell them.
    """

    subject: str
    reason: str
    digest: str
    excerpt: str = ""
    code: str = MALFORMED
    experiment: str = ""
    arm: str = ""

    def document(self, at: str) -> bytes:
        """What the ledger keeps of it, below `quarantine/`."""
        data = {"subject": self.subject, "reason": self.reason, "sha256": self.digest}
        data |= {"excerpt": self.excerpt, "at": at, "code": self.code}
        data |= {"experiment": self.experiment, "arm": self.arm}
        return json.dumps(data, indent=1, ensure_ascii=True).encode() + b"\n"


@dataclass(frozen=True)
class Arrived:
    """One valid record with the bytes it came in. `ref` is where: a batch's ref, an artifact."""

    record: Trial | Amendment
    line: bytes
    ref: str


@dataclass(frozen=True)
class Inbox:
    """What was listed: `refs` (name → commit) are all to be deleted once folded."""

    arrived: tuple[Arrived, ...]
    refused: tuple[RefusedRecord, ...]
    refs: Mapping[str, str]


def collect(git: Git, listed: Mapping[str, str]) -> Inbox:
    """Read the batches behind inbox refs (name → object id), with six calls of git in all."""
    shape = _Shapes.of(git, listed)
    blobs: dict[str, str] = {}
    refused: list[RefusedRecord] = []
    for ref, commit in listed.items():
        try:
            blobs[ref] = shape.batch_blob(ref, commit)
        except InvalidRecord as error:
            name = f"{ref} {commit}".encode(errors="surrogateescape")
            refused.append(refuse(ref[:EXCERPT], str(error), name))
    data = git.cat(blobs.values())
    arrived: list[Arrived] = []
    for ref, oid in blobs.items():
        taken, bad = read_pushed_batch(ref, data[oid])
        arrived += taken
        refused += bad
    return Inbox(tuple(in_order(arrived)), tuple(refused), dict(listed))


def read_pushed_batch(ref: str, data: bytes) -> tuple[list[Arrived], list[RefusedRecord]]:
    """The valid records of one batch and what is wrong with the others."""
    arrived: list[Arrived] = []
    refused: list[RefusedRecord] = []
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
            subject, arm = f"{ref}:{number}", stated_arm(line)
            refused.append(refuse(subject, str(error), line, experiment=experiment, arm=arm))
        else:
            # One form in the ledger, so that equal records have equal bytes.
            arrived.append(Arrived(record, record.line().encode(), ref))
    return arrived, refused


def stated_arm(line: bytes) -> str:
    """The arm that a line names, which is no record besides; "" where it names none.

    >>> stated_arm(b'{"arm": "control", "metrics": 7}'), stated_arm(b'{"arm": "con')
    ('control', '')
    """
    try:
        arm = json.loads(line)["arm"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return ""
    return arm if isinstance(arm, str) and re.fullmatch(ID_PATTERN, arm) else ""


def refused_of(document: bytes) -> RefusedRecord | None:
    """What `RefusedRecord.document` wrote; `None` where it cannot be read.

    Older versions named neither code nor experiment: the subject's ref tells the latter.
    """
    try:
        data = json.loads(document)
        subject = str(data["subject"])
        split = refs.split_inbox(re.split("[ :]", subject, maxsplit=1)[0])
        return RefusedRecord(
            subject,
            str(data["reason"]),
            str(data["sha256"]),
            str(data.get("excerpt", "")),
            str(data.get("code", MALFORMED)),
            str(data.get("experiment") or (split[0] if split else "")),
            str(data.get("arm", "")),
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def refuse(
    subject: str,
    reason: str,
    data: bytes,
    *,
    code: str = MALFORMED,
    experiment: str = "",
    arm: str = "",
) -> RefusedRecord:
    """What is kept of `data`, which cannot be taken: an excerpt, its hash and the reason.

    A subject may hold any bytes, as names of refs do; what is kept of it can be printed.
    """
    subject = subject.encode(errors="backslashreplace").decode()
    excerpt = data[:EXCERPT].decode(errors="backslashreplace")
    digest = hashlib.sha256(data).hexdigest()
    return RefusedRecord(subject, reason[:_REASON], digest, excerpt, code, experiment, arm)


def in_order(arrived: Iterable[Arrived]) -> list[Arrived]:
    """The ledger's order: by start, so that evidence reads as it happened; ids break ties."""
    return sorted(arrived, key=_order)


def _order(item: Arrived) -> tuple[str, str]:
    record = item.record
    return (record.started if isinstance(record, Trial) else record.at, record.id)


@dataclass(frozen=True)
class _Shapes:
    """What stands behind the inbox refs, looked at before any of it is read.

    `kinds` has (type, bytes) of every object by id; `commits` and `trees` the bytes of
    those that are small enough to be a batch's.
    """

    kinds: Mapping[str, tuple[str, int] | None]
    commits: Mapping[str, bytes]
    trees: Mapping[str, bytes]

    @classmethod
    def of(cls, git: Git, listed: Mapping[str, str]) -> _Shapes:
        kinds = git.sizes(listed.values())
        commits = git.cat(oid for oid, kind in kinds.items() if _is_small(kind, "commit"))
        kinds |= git.sizes(_header(data, b"tree")[0] for data in commits.values())
        trees = git.cat(oid for oid, kind in kinds.items() if _is_small(kind, "tree"))
        kinds |= git.sizes(oid for data in trees.values() for _, _, oid in _tree_rows(data))
        return cls(kinds, commits, trees)

    def batch_blob(self, ref: str, commit: str) -> str:
        """The blob of a well-formed batch; `InvalidRecord` says what is wrong."""
        split = refs.split_inbox(ref)
        if split is None or not re.fullmatch(ID_PATTERN, split[0]):
            raise InvalidRecord("not a batch: its name is not refs/expci/inbox/<id>/<sha256>")
        if commit not in self.commits:
            kind = self.kinds.get(commit)
            raise InvalidRecord(f"not a batch: a {kind[0] if kind else 'missing object'}")
        if _header(self.commits[commit], b"parent"):
            raise InvalidRecord("not a batch: the commit has parents")
        rows = _tree_rows(self.trees.get(_header(self.commits[commit], b"tree")[0], b""))
        if [name for _, name, _ in rows] != [send.FILE]:
            raise InvalidRecord(f"not a batch: its tree is not one file {send.FILE}")
        [(mode, _, oid)] = rows
        size = self.kinds.get(oid)
        if not mode.startswith("100") or size is None or size[0] != "blob":
            raise InvalidRecord(f"not a batch: {send.FILE} is not a regular file")
        if size[1] > send.BATCH_BYTES:
            raise InvalidRecord(f"{size[1]} bytes in one batch; at most {send.BATCH_BYTES}")
        return oid


def _is_small(kind: tuple[str, int] | None, wanted: str) -> bool:
    return kind is not None and kind[0] == wanted and kind[1] <= _SMALL


def _header(commit: bytes, name: bytes) -> list[str]:
    """The values of a header of a raw commit."""
    lines = commit.partition(b"\n\n")[0].splitlines()
    return [line.split()[1].decode() for line in lines if line.startswith(name + b" ")]


def _tree_rows(tree: bytes) -> list[tuple[str, str, str]]:
    """(mode, name, object id) of a raw tree whose ids are as long as SHA-1's or SHA-256's."""
    for length in (20, 32):
        rows: list[tuple[str, str, str]] = []
        position = 0
        while 0 <= position < len(tree):
            end = tree.find(b"\0", position)
            oid = tree[end + 1 : end + 1 + length]
            mode, _, name = tree[position:end].partition(b" ")
            if end < 0 or len(oid) < length or not mode.isdigit():
                rows, position = [], -1
                break
            rows.append((mode.decode(), name.decode(errors="surrogateescape"), oid.hex()))
            position = end + 1 + length
        if position == len(tree):
            return rows
    return []

"""Trials that wait on this machine until the remote takes them.

Every record is written here *before* it is pushed and removed after, so a dead network,
a refused push or a killed process loses nothing. One file per batch, named by its hash:
sending twice is sending once, so several processes may flush at the same time.

A run of several trials keeps its records in a `.part` file under a lock; where the lock
is free its owner is dead, and whoever flushes next takes the records over. Standard
library only (the trial path).
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path

from expci.core.model.arm import DEFAULTS_FILE, ID_PATTERN
from expci.core.model.trial import Trial
from expci.core.model.trial_reader import parse_line
from expci.core.spec.job_reader import read_plain_defaults
from expci.core.spec.strict_yaml import NotPlain
from expci.core.value_class import dataclass, field
from expci.errors import InvalidRecord, LostRace, Refused, Unreachable
from expci.store.git import bounded, durable
from expci.store.git.git import Git
from expci.store.git.remote import Remote
from expci.store.inbox import send
from expci.store.local.sending_turn import turn

_AT_ONCE = 100  # batches in one push
_BYTES_AT_ONCE = 20_000_000
_REFUSALS = 3  # after so many the remote refuses everything


@dataclass(frozen=True)
class WaitingBatch:
    """One batch on this machine. `name` is the hash of its bytes."""

    experiment: str
    path: Path

    @property
    def name(self) -> str:
        return self.path.stem


_Batches = Sequence[tuple[WaitingBatch, bytes]]


@dataclass(frozen=True)
class Flushed:
    """What went and what still waits, in trial lines; `problems` are for the user.

    `by_arm` are the trials among those that wait; late metrics name no arm.
    """

    sent: int = 0
    waiting: int = 0
    problems: tuple[str, ...] = field(default=())
    by_arm: Mapping[str, int] = field(default_factory=dict)

    @property
    def warnings(self) -> tuple[str, ...]:
        if NOT_PUSHED in self.problems:
            return self.problems
        if not self.waiting:
            return self.problems
        return (*self.problems, waits(self.waiting, self.by_arm))


NOT_PUSHED = (
    f"nothing is pushed from here: {DEFAULTS_FILE} says `transport: artifact`, so only what a CI "
    "run uploads counts, by the actions `assign` and `record` or `lab` (docs/github.md)"
)


def takes_pushes(git: Git) -> bool:
    """Whether pushed trials count in this repository (`transport:` in its defaults at HEAD)."""
    head = git.resolve("HEAD")
    blob = git.read_paths(head, [DEFAULTS_FILE])[DEFAULTS_FILE] if head else None
    if blob is None:
        return True
    try:
        text = git.cat([blob.oid])[blob.oid].decode(errors="replace")
        return read_plain_defaults(text).transport != "artifact"
    except (NotPlain, Unreachable):
        return True  # `expci validate` names what is wrong in it; a silent remote takes nothing


def waits(count: int, by_arm: Mapping[str, int]) -> str:
    """What to tell the user about records that have not gone."""
    arms = ", ".join(f"{arm} {number}" for arm, number in sorted(by_arm.items()))
    return (
        f"{count} record{'s wait' if count != 1 else ' waits'} on this machine"
        f"{f' ({arms})' if arms else ''}; they go with the next verb, or with "
        "`expci record --flush`"
    )


def directory(git: Git) -> Path:
    return git.private_dir / "spool"


def keep_batches(git: Git, experiment: str, lines: Iterable[str]) -> list[WaitingBatch]:
    """Put lines on disk, durably, in batches that the inbox takes."""
    batches = []
    for part in send.split(lines):
        data = send.encode(part)
        path = directory(git) / experiment / f"{send.batch_name(data)}.jsonl"
        durable.replace_file(path, data)
        batches.append(WaitingBatch(experiment, path))
    return batches


class Recording:
    """The records of a run that is still going on, each durable as soon as it is added."""

    def __init__(self, git: Git, experiment: str) -> None:
        self._git, self._experiment = git, experiment
        self._path = directory(git) / experiment / f"{os.urandom(16).hex()}.part"
        self._lines: list[str] = []
        self._handle: int | None = None

    def add(self, line: str) -> None:
        if self._handle is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            scratch = self._path.with_suffix(".new")
            self._handle = os.open(scratch, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
            # Locked before it has a name that others look for.
            fcntl.flock(self._handle, fcntl.LOCK_EX)
            scratch.rename(self._path)
        os.write(self._handle, line.encode() + b"\n")
        os.fsync(self._handle)
        self._lines.append(line)

    def close(self) -> list[WaitingBatch]:
        """Turn what was added into batches that wait to be sent; more may be added after it."""
        if self._handle is None:
            return []
        batches = keep_batches(self._git, self._experiment, self._lines)
        self._path.unlink(missing_ok=True)
        os.close(self._handle)
        self._handle, self._lines = None, []
        return batches


@contextlib.contextmanager
def recording(git: Git, experiment: str) -> Iterator[Recording]:
    """A `Recording` whose records are kept whatever happens."""
    run = Recording(git, experiment)
    try:
        yield run
    finally:
        run.close()


def waiting(git: Git) -> list[WaitingBatch]:
    """Every whole batch on this machine, by experiment and name."""
    return [
        WaitingBatch(path.parent.name, path)
        for path in sorted(directory(git).glob("*/*.jsonl"))
        if re.fullmatch(ID_PATTERN, path.parent.name)
    ]


def flush(remote: Remote, through: Remote | None = None) -> Flushed:
    """Send all that waits. Never raises for the remote's sake: what did not go, waits.

    `through` is the same remote reached from another repository. What another process of this
    clone sends meanwhile is sent.
    """
    git = remote.git
    problems = _take_over(git)
    if not waiting(git):
        return Flushed(problems=tuple(problems))
    ahead: dict[Path, int] = {}  # what waits while another process sends: its lines
    with turn(git.private_dir / "sending.lock", lambda: ahead.update(_line_counts(git))):
        sent = sum(lines for path, lines in ahead.items() if not path.exists())
        return _sent(git, through or remote, problems, sent)


def _line_counts(git: Git) -> Iterator[tuple[Path, int]]:
    for batch in waiting(git):
        with contextlib.suppress(OSError):
            yield batch.path, bounded.read_file(batch.path, 2 * send.BATCH_BYTES).count(b"\n")


def _sent(git: Git, remote: Remote, problems: list[str], sent: int) -> Flushed:
    """What became of all that waits, with the `sent` lines that others sent."""
    chunks = _chunks(git, problems)
    first = next(chunks, None)
    if first is None:
        return Flushed(sent, problems=tuple(problems))
    if not takes_pushes(git):
        left = _by_arm(chain.from_iterable(chain([first], chunks)))
        return Flushed(sent, left.total(), (*problems, NOT_PUSHED), _arms(left))
    left = Counter[str]()
    for chunk in chain([first], chunks):
        gone, problem = _send(remote, chunk)
        sent += _lines(gone)
        left += _by_arm(row for row in chunk if row not in gone)
        for batch, _ in gone:
            batch.path.unlink(missing_ok=True)
        if problem is not None:
            problems.append(problem)
            left += _by_arm(chain.from_iterable(chunks))
            break
    return Flushed(sent, left.total(), tuple(problems), _arms(left))


def _by_arm(batches: Iterable[tuple[WaitingBatch, bytes]]) -> Counter[str]:
    """How many records of each arm; "" are late metrics."""
    records = (parse_line(line) for _, data in batches for line in data.splitlines())
    return Counter(record.arm if isinstance(record, Trial) else "" for record in records)


def _arms(records: Counter[str]) -> dict[str, int]:
    return {arm: number for arm, number in records.items() if arm}


def _chunks(git: Git, problems: list[str]) -> Iterator[_Batches]:
    """What waits, as many batches at a time as one push takes."""
    chunk: list[tuple[WaitingBatch, bytes]] = []
    size = 0
    for batch in waiting(git):
        data = _read(git, batch, problems)
        if data is None:
            continue
        if len(chunk) == _AT_ONCE or (chunk and size + len(data) > _BYTES_AT_ONCE):
            yield chunk
            chunk, size = [], 0
        chunk.append((batch, data))
        size += len(data)
    if chunk:
        yield chunk


def set_aside_all(git: Git) -> Path | None:
    """Move what waits out of every later flush's way; where to, `None` when nothing waits."""
    place = directory(git)
    if not any(place.glob("*/*.jsonl")) and not any(place.glob("*/*.part")):
        return None
    aside = git.private_dir / f"spool-of-earlier-jobs-{os.urandom(4).hex()}"
    place.rename(aside)
    return aside


def _send(remote: Remote, chunk: _Batches) -> tuple[_Batches, str | None]:
    """(batches that the remote has now, why the others have not gone)."""
    try:
        send.send_all(remote, [(batch.experiment, data) for batch, data in chunk])
    except (LostRace, Refused) as error:
        if len(chunk) == 1:
            return [], str(error)
    except Unreachable as error:
        return [], str(error)
    else:
        return chunk, None
    return _send_singly(remote, chunk)


def _send_singly(remote: Remote, chunk: _Batches) -> tuple[_Batches, str | None]:
    """One that the remote refuses must not hold up the others."""
    gone: list[tuple[WaitingBatch, bytes]] = []
    refusals: list[str] = []
    for batch, data in chunk:
        try:
            send.send(remote, batch.experiment, data)
        except (Unreachable, LostRace) as error:
            refusals.append(str(error))
            if len(refusals) >= _REFUSALS or not isinstance(error, Refused):
                break
        else:
            gone.append((batch, data))
    return gone, refusals[0] if refusals else None


def _lines(batches: _Batches) -> int:
    return sum(data.count(b"\n") for _, data in batches)


def _read(git: Git, batch: WaitingBatch, problems: list[str]) -> bytes | None:
    try:
        data = bounded.read_file(batch.path, 2 * send.BATCH_BYTES)
    except FileNotFoundError:
        return None  # another process has sent it meanwhile
    except OSError as error:
        problems.append(f"{batch.path} cannot be read: {error.strerror}")
        return None
    try:
        if send.batch_name(data) != batch.name:
            raise InvalidRecord("its bytes are not what was written (a damaged disk, or an edit)")
        for line in data.splitlines():
            parse_line(line)
    except InvalidRecord as error:
        problems.append(_set_aside(git, batch.path, error))
        return None
    return data


def _set_aside(git: Git, path: Path, why: Exception) -> str:
    place = git.private_dir / "spool-corrupt"
    place.mkdir(parents=True, exist_ok=True)
    target = place / f"{path.parent.name}-{path.name}"
    with contextlib.suppress(FileNotFoundError):
        path.replace(target)
    return f"trials that waited in {path.name} cannot be sent: {why}; they are kept in {target}"


def _take_over(git: Git) -> list[str]:
    """Make batches of what killed processes left behind; problems for the user."""
    problems: list[str] = []
    for path in sorted(directory(git).glob("*/*.part")):
        try:
            with path.open("r+b") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if path.exists():
                    _salvage(git, path, file.read(), problems)
        except (BlockingIOError, FileNotFoundError):
            continue
    return problems


def _salvage(git: Git, path: Path, data: bytes, problems: list[str]) -> None:
    whole, torn = [], 0
    for line in data.splitlines(keepends=True):
        try:
            parse_line(line)
        except InvalidRecord:
            torn += 1
        else:
            whole.append(line.decode().rstrip("\n"))
    if whole:
        keep_batches(git, path.parent.name, whole)
    if torn:
        problems.append(_set_aside(git, path, InvalidRecord(f"{torn} lines are incomplete")))
    else:
        path.unlink(missing_ok=True)

"""The one way to write: read a snapshot, make the next ledger commit, compare and swap.

The ledger and what is derived from it go in one atomic push, each with a lease. A lost
race reads again and thinks again; nothing is ever forced. Stopping exposure is the
exception that goes first and alone, because an atomic push that one protected branch
refuses would leave the exposure on.
"""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property

from expci.core.model.content import Blob
from expci.core.model.trial import timestamp
from expci.errors import LostRace, Overtaken, Refused, Unreachable
from expci.store import published
from expci.store.derived import Derived
from expci.store.git import refs, refusal
from expci.store.git.git import Git
from expci.store.git.remote import Remote, Update
from expci.store.ledger.continuity import Continuity
from expci.store.ledger.exposure import derive
from expci.store.ledger.fold import Changes
from expci.store.ledger.ledger import Ledger
from expci.store.ledger.mirror import update_mirror
from expci.store.published import Published

ATTEMPTS = 10
DELETED_AT_ONCE = 250  # git compares each of them with every ref of the remote
DELETING_SECONDS = 60.0  # of one pass
MOST_OF_A_LINE = 90  # characters of the first line of a commit's message


@dataclass(frozen=True)
class Snapshot:
    """Everything of expci's that the remote held at one moment."""

    ledger: Ledger
    published: Published
    published_commit: str | None
    inbox: Mapping[str, str]


@dataclass(frozen=True)
class LedgerChange:
    """What a flow wants the ledger to become. `blobs` exist already in the repository.

    `derived` are files beside it; where nothing else changes, the ledger gets no commit.
    """

    message: str
    files: Changes
    blobs: Mapping[str, Blob]
    derived: Changes

    @classmethod
    def of(
        cls,
        message: str,
        files: Changes,
        blobs: Mapping[str, Blob] | None = None,
        derived: Changes | None = None,
    ) -> LedgerChange:
        return cls(message, files, blobs or {}, derived or {})


@dataclass(frozen=True)
class Deletion:
    """How many inbox refs are gone, how many are left, and why where a server refused.

    `symbolic` are refs that stand for others, which are never deleted.
    """

    done: int = 0
    left: int = 0
    why: str = ""
    symbolic: tuple[str, ...] = ()


class Store:
    """The remote's expci refs.

    `ledger_ref`, `mirror` and `contains` come from `experiments/expci.yml`.
    """

    def __init__(
        self,
        remote: Remote,
        *,
        ledger_ref: str = refs.LEDGER,
        mirror: bool = False,
        contains: str = "",
    ) -> None:
        self.remote = remote
        self.git: Git = remote.git
        self.ledger_ref = ledger_ref
        self.mirror = mirror
        self.continuity = Continuity(remote, ledger_ref, contains)
        # Objects never change, so what the last snapshot read of them is not read again.
        self._last = Snapshot(Ledger(self.git), Published(), None, {})
        self._collected: _Collected | None = None

    def snapshot(self, *, inbox: bool = True) -> Snapshot:
        """Read everything in one fetch; `LedgerDamaged` when the ledger is not what it was.

        Without `inbox` the batches that wait are left where they are: they may be thousands.
        """
        if self._collected and not inbox:
            return self._collected.snapshot
        return self.newest(inbox=inbox)

    def newest(self, *, inbox: bool) -> Snapshot:
        """The same, without changes that wait to be written together."""
        snapshot = self._fetch(inbox=inbox)
        kept = self.continuity.kept
        if not self.continuity.goes_on_from(snapshot.ledger.commit, kept):
            # Another process of this clone may have been the newer of the two.
            snapshot = self._fetch(inbox=inbox)
        commit = snapshot.ledger.commit
        self.continuity.require_whole(commit, snapshot.published)
        self.continuity.require_not_moved_back(commit, kept)
        self.continuity.require_reviewed(commit)
        if commit is None:
            self.continuity.require_unused(snapshot.ledger)
        else:
            if kept is None:
                self.continuity.require_no_newer_traces(snapshot.ledger)
            self.remote.keep(refs.LEDGER, commit)
        return snapshot

    def _fetch(self, *, inbox: bool) -> Snapshot:
        waiting = (refs.INBOX + "*",) if inbox else ()
        here = self.read_refs(self.ledger_ref, refs.PUBLISHED, *waiting)
        commit = here.get(refs.PUBLISHED)
        self._last = Snapshot(
            self._ledger(here.get(self.ledger_ref), here.get(refs.DERIVED)),
            self._document(commit),
            commit,
            {ref: oid for ref, oid in here.items() if ref.startswith(refs.INBOX)},
        )
        return self._last

    def read_refs(self, *wanted: str) -> dict[str, str]:
        """The refs with the derived one, or without it where it is what cannot be fetched."""
        try:
            return self.remote.fetch(*wanted, refs.DERIVED)
        except Unreachable:
            return self.remote.fetch(*wanted)

    def _ledger(self, commit: str | None, derived: str | None) -> Ledger:
        last = self._last.ledger
        ledger = last if commit == last.commit else last.at(commit)
        if derived == ledger.derived.commit:
            return ledger
        return ledger.with_derived(Derived(self.git, derived))

    def _document(self, commit: str | None) -> Published:
        if commit == self._last.published_commit:
            return self._last.published
        return published.read_published(self.git, commit) if commit else Published()

    def commit(self, snapshot: Snapshot, change: LedgerChange, at: datetime) -> Snapshot:
        """The snapshot after `change`; `LostRace` when the remote moved meanwhile."""
        if not (change.files or change.blobs):
            self._last = replace(snapshot, ledger=self._keep_derived(snapshot.ledger, change))
            return self._last
        ledger = self._next_ledger(snapshot.ledger, change, at)
        document = replace(derive(ledger), passed=snapshot.published.passed)
        commit = published.write_published(self.git, document)
        lease = snapshot.ledger.commit or ""
        updates = [
            Update(self.ledger_ref, ledger.commit, lease),
            Update(refs.PUBLISHED, commit, snapshot.published_commit or ""),
        ]
        ledger = self._push(updates, ledger, snapshot.ledger.derived.commit)
        if ledger.commit:
            self.remote.keep(refs.LEDGER, ledger.commit)
        published.cache(self.git, document)
        self._last = replace(snapshot, ledger=ledger, published=document, published_commit=commit)
        return self._last

    def _keep_derived(self, ledger: Ledger, change: LedgerChange) -> Ledger:
        """The ledger with new files beside it; one that cannot have them is as good as before."""
        before = ledger.derived
        try:
            return self._push([], ledger.with_derived(before.after(change.derived)), before.commit)
        except Refused:
            return ledger

    def _push(self, updates: Sequence[Update], ledger: Ledger, before: str | None) -> Ledger:
        """Push all in one, the files beside the ledger too; those never hold up the ledger.

        `before` is the commit that held them.
        """
        derived = ledger.derived.written()
        beside = [Update(refs.DERIVED, derived.commit, before or "")]
        if derived.commit == before:
            beside = []
        try:
            self.remote.push([*updates, *beside], atomic=True)
        except (LostRace, Refused):
            if not (updates and beside):
                raise
            self.remote.push(updates, atomic=True)
            derived = self._without_obstacles(ledger.derived, before)
        ledger = ledger if derived is ledger.derived else ledger.with_derived(derived)
        if self.mirror:
            update_mirror(self.remote, ledger)
        return ledger

    def _without_obstacles(self, derived: Derived, before: str | None) -> Derived:
        """Files beside the ledger where the push of them was refused, or another was first.

        A ref below theirs is in their way, or what is there cannot be gone on with.
        """
        alone = derived.alone().written()
        with contextlib.suppress(LostRace, Unreachable):
            there = self.remote.names(refs.DERIVED, f"{refs.DERIVED}/*")
            if there.pop(refs.DERIVED, None) != before:
                return Derived(self.git, before)  # another pass has just written them
            self.remote.push([Update(ref, None, oid) for ref, oid in there.items()])
            self.remote.push([Update(refs.DERIVED, alone.commit, before or "")])
            return alone
        return Derived(self.git, before)

    def preview(self, snapshot: Snapshot, change: LedgerChange, at: datetime) -> Snapshot:
        """The snapshot as `change` would make it, pushed nowhere."""
        return replace(snapshot, ledger=self._next_ledger(snapshot.ledger, change, at))

    @contextlib.contextmanager
    def together(self, at: datetime) -> Iterator[None]:
        """Within, changes of the ledger are visible at once and written as one commit at the end.

        Where another writer was first, each is thought again; `Overtaken` when one of them
        has nothing to change any more. What ends with an error writes nothing: inside another
        one, nothing of its own.
        """
        if self._collected:
            with self._collected.savepoint():
                yield
            return
        collected = self._collected = _Collected(self)
        try:
            yield
        finally:
            self._collected = None
        if collected.thoughts:
            self.transact(at, collected.think)
            if collected.missed:
                raise Overtaken(f"another writer was first: {', '.join(collected.missed)}")

    @property
    def is_collecting(self) -> bool:
        """Whether changes wait to be written together, so that a crash would lose them."""
        return self._collected is not None

    def transact(
        self,
        at: datetime,
        think: Callable[[Snapshot], LedgerChange | None],
        *,
        inbox: bool = False,
    ) -> tuple[Snapshot, bool]:
        """Apply what `think` makes of the newest snapshot; again after a lost race.

        Answers the last snapshot and whether anything was written.
        """
        if self._collected and not inbox:
            return self._collected.add(think)
        words = ""
        for attempt in range(ATTEMPTS):
            snapshot = self.snapshot(inbox=inbox)
            change = think(snapshot)
            if change is None:
                return snapshot, False
            try:
                return self.commit(snapshot, change, at), True
            except LostRace as error:
                words = str(error)
                # Not for statistics: it only keeps two writers from meeting again.
                time.sleep(random.uniform(0, 0.1 * 2 ** min(attempt, 5)))  # noqa: S311
        raise LostRace(refusal.after_races(words))

    def publish(self, snapshot: Snapshot, at: datetime) -> bool:
        """Make the published document say what the ledger says; whether it did not.

        And that a pass looks after it, where it last wrote so hours ago.
        """
        document = replace(derive(snapshot.ledger), passed=timestamp(at))
        same = document.experiments == snapshot.published.experiments
        if same and not (document.experiments and published.is_beat_due(snapshot.published, at)):
            return False
        commit = published.write_published(self.git, document)
        self.remote.push([Update(refs.PUBLISHED, commit, snapshot.published_commit or "")])
        return not same

    def withdraw(self, snapshot: Snapshot, names: Iterable[str]) -> Snapshot:
        """Stop the exposure of experiments: one small push that nothing else can hold up."""
        last = self._last  # newer than `snapshot` where this pass has just stopped another one
        snapshot = replace(
            snapshot, published=last.published, published_commit=last.published_commit
        )
        stopped = set(names) & snapshot.published.experiments.keys()
        if not stopped:
            return snapshot
        words = ""
        for _ in range(ATTEMPTS):
            left = {n: e for n, e in snapshot.published.experiments.items() if n not in stopped}
            document = replace(snapshot.published, experiments=left)
            commit = published.write_published(self.git, document)
            try:
                self.remote.push([Update(refs.PUBLISHED, commit, snapshot.published_commit or "")])
            except LostRace as error:
                words = str(error)
                snapshot = self._fetch(inbox=False)
                continue
            self._last = replace(self._last, published=document, published_commit=commit)
            return replace(snapshot, published=document, published_commit=commit)
        raise LostRace(f"the exposure could not be stopped: {refusal.after_races(words)}")

    def delete_inbox(self, folded: Mapping[str, str]) -> Deletion:
        """Remove inbox refs that are in the ledger, each only if it is still what was read.

        What cannot be removed is harmless: its records are recognised by their ids.
        """
        if not folded:
            return Deletion()
        # The server would delete what a symbolic ref points to.
        symbolic = self.remote.symbolic(refs.INBOX + "*")
        updates = [Update(ref, None, oid) for ref, oid in folded.items() if ref not in symbolic]
        done, began = 0, time.monotonic()
        for start in range(0, len(updates), DELETED_AT_ONCE):
            if time.monotonic() - began > DELETING_SECONDS:
                break  # the others go with the next pass
            chunk = updates[start : start + DELETED_AT_ONCE]
            try:
                self._delete(chunk)
            except Unreachable as error:
                return Deletion(done, len(folded) - done, str(error), tuple(sorted(symbolic)))
            done += len(chunk)
        return Deletion(done, len(folded) - done, "", tuple(sorted(symbolic & folded.keys())))

    def _delete(self, updates: Sequence[Update]) -> None:
        """One transaction of the server's, which costs it a fraction of many; else one by one."""
        try:
            self.remote.push(updates, atomic=True, patient=True)
        except (LostRace, Unreachable):
            self.remote.push(updates, patient=True)

    def _next_ledger(self, ledger: Ledger, change: LedgerChange, at: datetime) -> Ledger:
        entries = self.entries(change)
        tree = self.git.write_tree(ledger.commit, entries)
        parents = [ledger.commit] if ledger.commit else []
        commit = self.git.commit_tree(tree, parents, change.message, at=timestamp(at))
        derived = ledger.derived.after(change.derived)
        return ledger.after(entries, commit).with_derived(derived)

    def entries(self, change: LedgerChange) -> dict[str, Blob | None]:
        """What becomes of each path that `change` touches."""
        contents = {path: data for path, data in change.files.items() if data is not None}
        oids = self.git.write_blobs(contents.values())
        entries: dict[str, Blob | None] = dict.fromkeys(
            path for path, data in change.files.items() if data is None
        )
        entries |= {p: Blob("100644", oid) for p, oid in zip(contents, oids, strict=True)}
        entries |= change.blobs
        return entries


Think = Callable[[Snapshot], LedgerChange | None]


class _Collected:
    """Changes that wait to be written together: `snapshot` is as they make it."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.thoughts: list[tuple[Think, LedgerChange]] = []  # with what came of each
        self.missed: list[str] = []

    @cached_property
    def base(self) -> Snapshot:
        """What they are changes of."""
        return self._store.newest(inbox=False)

    @cached_property
    def snapshot(self) -> Snapshot:
        return self.base

    def add(self, think: Think) -> tuple[Snapshot, bool]:
        """The snapshot after what `think` makes of it, and whether that is a change."""
        change = think(self.snapshot)
        if change is None:
            return self.snapshot, False
        self.snapshot = self._after(self.snapshot, change)
        self.thoughts.append((think, change))
        return self.snapshot, True

    @contextlib.contextmanager
    def savepoint(self) -> Iterator[None]:
        """What is added within an error takes back."""
        count, snapshot = len(self.thoughts), self.snapshot
        try:
            yield
        except BaseException:
            del self.thoughts[count:]
            self.snapshot = snapshot
            raise

    def think(self, snapshot: Snapshot) -> LedgerChange | None:
        """All of them as one change of this snapshot."""
        self.missed = []
        before, now = self.base.ledger, snapshot.ledger
        if (now.commit, now.derived.commit) == (before.commit, before.derived.commit):
            return _as_one([change for _, change in self.thoughts])
        return _as_one(list(self._again(snapshot)))

    def _again(self, snapshot: Snapshot) -> Iterator[LedgerChange]:
        for think, before in self.thoughts:
            change = think(snapshot)
            if change is None:
                self.missed.append(before.message.splitlines()[0])
                continue
            snapshot = self._after(snapshot, change)
            yield change

    def _after(self, snapshot: Snapshot, change: LedgerChange) -> Snapshot:
        ledger = snapshot.ledger
        entries = self._store.entries(change)
        ledger = ledger.after(entries, ledger.commit)
        derived = ledger.derived.after(change.derived)
        return replace(snapshot, ledger=ledger.with_derived(derived))


def _as_one(changes: Sequence[LedgerChange]) -> LedgerChange | None:
    """Changes that follow each other as one; `None` where there are none."""
    files: Changes = {}
    blobs: dict[str, Blob] = {}
    derived: Changes = {}
    for change in changes:
        for path in change.files:
            blobs.pop(path, None)
        files |= change.files
        blobs |= change.blobs
        derived |= change.derived
    messages = [change.message for change in changes if change.files or change.blobs]
    return LedgerChange.of(_message(messages), files, blobs, derived) if changes else None


def _message(messages: Sequence[str]) -> str:
    """What happened, one after the other; the first line names as much of it as fits."""
    if len(messages) < 2:
        return "".join(messages)
    first, *others = [message.splitlines()[0] for message in messages]
    for number, other in enumerate(others, start=1):
        if len(first) + len(other) > MOST_OF_A_LINE:
            first += f" and {len(messages) - number} more"
            break
        first += f"; {other}"
    return "\n\n".join([first, *messages])

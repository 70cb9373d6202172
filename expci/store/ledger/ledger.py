"""The ledger as one immutable snapshot: plans, events and trials at one commit.

Reading is lazy and by path; nothing here writes. `store/ledger/transaction.py` makes the next
snapshot.
"""

from __future__ import annotations

import re
import sys
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, TypeVar

from expci.core.lifecycle.transitions import Life, apply, fold
from expci.core.model.content import Blob
from expci.core.model.events import Event, parse_event
from expci.core.model.trial import Arrived, Trial, amend, arrived_by_trial, parse_timestamp
from expci.errors import ExpciError, InvalidRecord, LedgerDamaged
from expci.store.derived import Derived
from expci.store.git.git import Git
from expci.store.inbox.read_batches import RefusedRecord, refused_of
from expci.store.ledger import paths, plans, record_ids, records, segments
from expci.store.ledger.arrivals import with_arrivals
from expci.store.ledger.plans import Plan
from expci.store.ledger.removals import Removal, read_removals
from expci.store.ledger.segment_cache import SMALLEST, SegmentCache
from expci.store.ledger.uncounted import UNTRUSTED, read_uncounted

if TYPE_CHECKING:
    from expci.core.dataset.joining import ColumnsPart
    from expci.core.dataset.trial_columns import TrialColumns

_SLOW = timedelta(days=1)  # beyond it, nobody knows whose clock is wrong
_PLAN = re.compile(r'"plan":"([0-9a-f]{64})"')
Record = TypeVar("Record")
Reader = Callable[[Sequence[bytes]], list[Record]]
AnyTrial = records.TrialLine | Trial


@dataclass(frozen=True)
class Ledger:
    """`commit` is `None` before the first start: an empty ledger.

    `beside` are the files that were made from it; a past commit has none.
    """

    git: Git
    commit: str | None = None
    beside: Derived | None = field(default=None, compare=False, repr=False)
    _cache: dict[str, bytes] = field(default_factory=dict, compare=False, repr=False)
    _damage: dict[str, int] = field(default_factory=dict, compare=False, repr=False)
    _lives: dict[str, Life] = field(default_factory=dict, compare=False, repr=False)
    _plans: dict[str, Plan] = field(default_factory=dict, compare=False, repr=False)
    _refused: dict[str, RefusedRecord | None] = field(
        default_factory=dict, compare=False, repr=False
    )
    _entries: Mapping[str, Blob] | None = field(default=None, compare=False, repr=False)

    @cached_property
    def entries(self) -> Mapping[str, Blob]:
        if self._entries is not None:
            return self._entries
        return {} if self.commit is None else self.git.read_tree(self.commit)

    @cached_property
    def experiments(self) -> tuple[str, ...]:
        """Ids of all experiments that ever started, sorted."""
        prefix = paths.EXPERIMENTS + "/"
        return tuple(sorted({p.split("/")[1] for p in self.entries if p.startswith(prefix)}))

    def read(self, path: str) -> bytes | None:
        """The bytes at a path of the ledger; `None` when there is nothing."""
        return self.read_many([path]).get(path)

    def read_many(self, wanted: Iterable[str]) -> dict[str, bytes]:
        """The bytes of the paths that exist, with one call of git for those not read yet."""
        blobs = {path: self.entries[path].oid for path in wanted if path in self.entries}
        missing = [oid for oid in blobs.values() if oid not in self._cache]
        self._cache.update(self.git.cat(missing))
        return {path: self._cache[oid] for path, oid in blobs.items()}

    @property
    def derived(self) -> Derived:
        """Files that were made from this ledger: whatever anybody put there."""
        return self.beside or Derived(self.git)

    def read_derived(self, path: str) -> bytes | None:
        """A file that can be made again, as it was last made; where a version before put it, too.

        `None` when it was not made yet. Nothing is decided by it.
        """
        data = self.derived.read(path)
        return self.read(path) if data is None else data

    def files(self, directory: str) -> list[str]:
        """Names directly below a directory."""
        return self._names.get(directory, [])

    @cached_property
    def _names(self) -> Mapping[str, list[str]]:
        """The names in each directory, sorted: a thousand experiments ask for theirs."""
        names: dict[str, list[str]] = defaultdict(list)
        for path in sorted(self.entries):
            directory, _, name = path.rpartition("/")
            names[directory].append(name)
        return names

    # --- one experiment --------------------------------------------------------------

    def events(self, name: str) -> list[Event]:
        data = self.read(paths.events(name)) or b""
        try:
            return [parse_event(line) for line in data.splitlines()]
        except InvalidRecord as error:
            raise LedgerDamaged(
                f"{paths.events(name)} cannot be read: {error}; run `expci fsck`"
            ) from error

    def life(self, name: str) -> Life:
        blob = self.entries.get(paths.events(name))
        oid = blob.oid if blob else ""
        if oid not in self._lives:
            try:
                self._lives[oid] = fold(self.events(name))
            except ExpciError as error:
                raise LedgerDamaged(f"the events of {name} do not add up: {error}") from error
        return self._lives[oid]

    def plan(self, name: str, plan_id: str | None = None) -> Plan | None:
        """The plan with that id, or the one that runs; `None` before the first start."""
        wanted = plan_id or self.life(name).plan
        if wanted is None:
            return None
        path = f"{paths.plan(name, wanted)}/plan.json"
        data = self.read(path)
        if data is None:
            raise LedgerDamaged(f"the plan {wanted[:12]} of {name} is not in the ledger")
        oid = self.entries[path].oid
        if oid not in self._plans:
            self._plans[oid] = plans.parse_plan(data)
        return self._plans[oid]

    def removals(self, name: str) -> list[Removal]:
        """What `expci gc` took out of an experiment, oldest first."""
        return read_removals(self.read(paths.removed(name)))

    def trials(self, name: str) -> list[Trial]:
        """All trials in the ledger's own order, late metrics put in, with when they came."""
        parts = self._parts(paths.trials(name), records.read_trials)
        rows = list(enumerate((row for part in parts for row in part), 1))
        trials = [records.as_trial(row) for _, row in rows if row is not None]
        late = self._late(name, [number for number, row in rows if row is not None])
        return [amend(trial, late[trial.id]) if trial.id in late else trial for trial in trials]

    def each_trial(self, name: str) -> Iterator[Trial]:
        """The same trials, a portion in memory at a time."""
        late = self._late(name, range(1, sys.maxsize))
        for part in self._parts(paths.trials(name), records.read_trials):
            for row in part:
                if row is not None:
                    yield records.as_trial(_with_late(row, late))

    def columns(self, name: str) -> TrialColumns:
        """All trials in the ledger's own order, late metrics put in, as columns."""
        from expci.core.dataset.joining import joined_columns  # numpy, which few verbs need
        from expci.core.dataset.late_values import with_late
        from expci.core.dataset.recorded import columns_part

        parts = [*self._columns(paths.trials(name))]
        late = self._late(name, range(1, sys.maxsize))  # counted by line, as the columns count
        columns = joined_columns(parts or [columns_part([])])
        return with_late(columns, late) if late else columns

    def _columns(self, directory: str) -> Iterator[ColumnsPart]:
        """The columns of each segment: as this clone keeps them, or made of its bytes."""
        from expci.store.ledger import packed_columns
        from expci.store.ledger.segment_columns import segment_columns

        kept = SegmentCache(self.git.private_dir, "columns", packed_columns.FORMAT)
        for name in sorted(self.files(directory), key=segments.position):
            oid = self.entries[f"{directory}/{name}"].oid
            packed = kept.read(oid)
            if packed is not None:
                part = packed_columns.load_columns(packed)
            else:
                data = self._bytes(oid)
                part = segment_columns(data)
                if len(data) >= SMALLEST:
                    kept.write(oid, packed_columns.dump_columns(part), self._oids)
            self.note_damage(f"{directory}/{name}", part.damaged)
            yield part

    @cached_property
    def _oids(self) -> frozenset[str]:
        return frozenset(blob.oid for blob in self.entries.values())

    def lines(self, directory: str) -> list[bytes]:
        """All record lines of a directory of segments, in order."""
        return [*self.each_line(directory)]

    def each_line(self, directory: str) -> Iterator[bytes]:
        """The same, a segment in memory at a time."""
        for data in self._segments(directory):
            yield from data.splitlines()

    def lines_with_ids(self, directory: str, wanted: Collection[str]) -> dict[str, bytes]:
        """The lines of a directory that may be of records with these ids, by their id.

        Of large segments an index is kept: most are not read.
        """
        kept = SegmentCache(self.git.private_dir, "ids", record_ids.FORMAT)
        lines: dict[str, bytes] = {}
        for name in sorted(self.files(directory), key=segments.position) if wanted else ():
            oid = self.entries[f"{directory}/{name}"].oid
            index = kept.read(oid)
            if index is not None and not record_ids.is_any_in(index, wanted):
                continue
            data = self._bytes(oid)
            lines |= record_ids.lines_with_ids(data.splitlines(), wanted)
            if index is None and len(data) >= SMALLEST:
                kept.write(oid, record_ids.dump_index(data), self._oids)
        return lines

    def count(self, directory: str) -> int:
        """How many lines a directory of segments has: their names tell, but for the last one."""
        names = sorted(self.files(directory), key=segments.position)
        if not names:
            return 0
        newest = self.read(f"{directory}/{names[-1]}") or b""
        return segments.position(names[-1]) - 1 + len(newest.splitlines())

    def sizes(self, wanted: Iterable[str]) -> list[int]:
        """The bytes of files, without reading them."""
        oids = [self.entries[path].oid for path in wanted]
        sizes = self.git.sizes(oids)
        return [item[1] if (item := sizes[oid]) else 0 for oid in oids]

    def lines_naming(self, directory: str, pattern: re.Pattern[bytes]) -> Iterator[bytes]:
        """The lines in which a pattern matches; most of a large ledger is only searched."""
        for data in self._segments(directory):
            end = 0
            while match := pattern.search(data, end):
                start = data.rfind(b"\n", 0, match.start()) + 1
                end = data.find(b"\n", match.end()) + 1 or len(data)
                yield data[start:end].rstrip(b"\r\n")

    def refused(self, name: str, plan: str | None = None) -> dict[str, dict[str, int]]:
        """How many records were refused, by the code of the reason and the arm ("" unknown).

        With `plan` those of other plans are excluded, as far as their excerpt tells.
        Lines of the ledger itself that are no records any more are among them, as `damaged`, and
        a fork's records, of which only the number is kept, as `untrusted`.
        """
        counts: dict[str, dict[str, int]] = {}
        for item in self.quarantine.get(name, ()):
            if _is_of(item.excerpt, plan):
                by_arm = counts.setdefault(item.code, {})
                by_arm[item.arm] = by_arm.get(item.arm, 0) + 1
        damaged = self._damaged(paths.trials(name), records.read_trials)
        damaged += self._damaged(paths.amendments(name), records.read_amendments)
        forks = read_uncounted(self.read(paths.UNCOUNTED)).of(name, plan)
        more = {"damaged": {"": damaged} if damaged else {}, UNTRUSTED: forks}
        return counts | {code: by_arm for code, by_arm in more.items() if by_arm}

    @cached_property
    def quarantine(self) -> Mapping[str, list[RefusedRecord]]:
        """The refused records of each experiment, read once; "" those that name none."""
        named = [f"{paths.QUARANTINE}/{file}" for file in self.files(paths.QUARANTINE)]
        new = [path for path in named if self.entries[path].oid not in self._refused]
        for path, data in self.read_many(new).items():
            self._refused[self.entries[path].oid] = refused_of(data)
        by_experiment: dict[str, list[RefusedRecord]] = {}
        for item in (self._refused[self.entries[path].oid] for path in named):
            if item is not None:
                by_experiment.setdefault(item.experiment, []).append(item)
        return by_experiment

    def _late(self, name: str, trial_numbers: Sequence[int]) -> Mapping[str, list[Arrived]]:
        """The amendments by trial, each with the ledger's note of its arrival."""
        parts = self._parts(paths.amendments(name), records.read_amendments)
        rows = enumerate((row for part in parts for row in part), 1)
        late = [(number, row) for number, row in rows if row is not None]
        return arrived_by_trial(with_arrivals(late, trial_numbers, self.read(paths.arrivals(name))))

    def segments(self, directory: str) -> Iterator[tuple[str, bytes]]:
        """Each file of a directory of records with its bytes, in order; none is kept."""
        for name in sorted(self.files(directory), key=segments.position):
            oid = self.entries[f"{directory}/{name}"].oid
            yield name, self._bytes(oid)

    def _bytes(self, oid: str) -> bytes:
        return self._cache.get(oid) or self.git.cat([oid])[oid]

    def note_damage(self, path: str, lines: int) -> None:
        """How many lines of a segment are no records: whoever has read it need not again."""
        self._damage[self.entries[path].oid] = lines

    def _parts(self, directory: str, read: Reader[Record]) -> Iterator[list[Record]]:
        """The records of a directory, some at a time; `None`: a damaged line stops nothing."""
        for name, data in self.segments(directory):
            damaged = 0
            for lines in records.portions(data):
                part = read(lines)
                damaged += sum(row is None for row in part)
                yield part
            self.note_damage(f"{directory}/{name}", damaged)

    def _segments(self, directory: str) -> Iterator[bytes]:
        return (data for _, data in self.segments(directory))

    def _damaged(self, directory: str, read: Reader[Record]) -> int:
        """How many lines of a directory are no records."""
        oids = [self.entries[f"{directory}/{name}"].oid for name in self.files(directory)]
        if not self._damage.keys() >= set(oids):
            for _ in self._parts(directory, read):
                pass
        return sum(self._damage[oid] for oid in oids)

    def with_events(self, name: str, events: Iterable[Event]) -> dict[str, bytes | None]:
        """The change that appends events; `IllegalEvent` when the state forbids one.

        No event is before the one that it follows: a slow clock would move trials across it.
        """
        life = self.life(name)
        data = self.read(paths.events(name)) or b""
        for event in events:
            before = life.events[-1].at if life.events else ""
            dated = replace(event, at=_in_order(before, event.at))
            life = apply(life, dated)
            data += dated.line().encode() + b"\n"
        return {paths.events(name): data}

    def after(self, changes: Mapping[str, Blob | None], commit: str | None) -> Ledger:
        """The ledger at the `commit` that makes `changes` to this one (`None` removes a path)."""
        there: dict[str, Blob] = dict(self.entries)
        for path, blob in changes.items():
            if blob is not None:
                there[path] = blob
            else:
                there.pop(path, None)
        return replace(self, commit=commit, _entries=there)

    def at(self, commit: str | None) -> Ledger:
        """The ledger as it was at another commit; blobs already read are shared."""
        return replace(self, commit=commit, beside=None, _entries=None)

    def with_derived(self, derived: Derived) -> Ledger:
        """The same ledger with other files beside it."""
        return replace(self, beside=derived, _entries=self.entries)


def _is_of(excerpt: str, plan: str | None) -> bool:
    """Whether a refused record may be of this plan; `True` where it does not tell."""
    named = _PLAN.search(excerpt)
    return plan is None or named is None or named[1] == plan


def _with_late(row: AnyTrial, late: Mapping[str, list[Arrived]]) -> AnyTrial:
    return amend(records.as_trial(row), late[row.id]) if row.id in late else row


def _in_order(before: str, at: str) -> str:
    """The later of two moments, unless they are more than a day apart: that is no slow clock."""
    late = parse_timestamp(before) - parse_timestamp(at) if before else timedelta()
    return before if timedelta() < late <= _SLOW else at

"""Records of the ledger, each read once, a portion of a segment in memory at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from expci.core.model.trial_reader import parse_line
from expci.errors import InvalidRecord
from expci.store.ledger import records, segments
from expci.store.ledger.ledger import Ledger

Read = Callable[[Sequence[bytes]], Sequence[Any]]


class RecordCheck:
    """The records of one directory of segments. `problems` are in the ledger's order."""

    def __init__(self, ledger: Ledger, directory: str) -> None:
        self._ledger, self._directory = ledger, directory
        self._firsts: list[tuple[int, str]] = []  # number of each file's first line, and its path
        self._problems: list[tuple[int, str]] = []
        self._ids, self._numbers = bytearray(), bytearray()
        self.lines = 0

    @property
    def problems(self) -> list[str]:
        return [problem for _, problem in sorted(self._problems, key=lambda item: item[0])]

    def run(self, read: Read) -> None:
        for file, data in self._ledger.segments(self._directory):
            path, damaged = f"{self._directory}/{file}", 0
            self._firsts.append((self.lines + 1, path))
            if file != segments.name_for(self.lines + 1, data):
                what = f"{path} does not match its name, or one before it is missing"
                self._problems.append((self.lines, what))
            for lines in records.portions(data):
                damaged += self._add(lines, read(lines))
            self._ledger.note_damage(path, damaged)
        self._problems += self._repeated()

    def _add(self, lines: Sequence[bytes], rows: Sequence[Any]) -> int:
        """Take a portion's records; how many of its lines are none."""
        import numpy as np

        damaged = [n for n, row in enumerate(rows) if row is None]
        for n in damaged:
            number = self.lines + n + 1
            why = _fault(lines[n])
            what = f"{self._place(number)} is not a record and is excluded from every analysis: "
            self._problems.append((number, what + why))
        numbers = np.arange(self.lines + 1, self.lines + len(rows) + 1, dtype=np.int64)
        self._numbers += np.delete(numbers, damaged).tobytes()
        self._ids += "".join([row.id for row in rows if row is not None]).encode()
        self.lines += len(rows)
        return len(damaged)

    def _repeated(self) -> Iterator[tuple[int, str]]:
        """Every record but the first of each id that stands more than once."""
        import numpy as np

        if not self._ids:
            return
        ids = np.frombuffer(self._ids, dtype="S26")
        numbers = np.frombuffer(self._numbers, dtype=np.int64)
        order = np.argsort(ids, kind="stable")
        again = np.flatnonzero(ids[order[1:]] == ids[order[:-1]]) + 1
        for row in order[again].tolist():
            number = int(numbers[row])
            yield number, f"{self._place(number)}: the record {ids[row].decode()} stands twice"

    def _place(self, number: int) -> str:
        """The file and line of a record by its number among all, from 1."""
        ends = [*(first for first, _ in self._firsts[1:]), number + 1]
        for (first, path), end in zip(self._firsts, ends, strict=True):
            if first <= number < end:
                return f"{path}:{number - first + 1}"
        raise LookupError(number)


def _fault(line: bytes) -> str:
    """Why a line is no record of its directory."""
    try:
        record = parse_line(line)
    except InvalidRecord as error:
        return str(error)
    return f"{type(record).__name__.lower()}s do not belong here"

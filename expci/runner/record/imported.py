"""Trials that were imported: checked as a whole, kept on disk, and read again where they are used.

A file may hold more of them than fit into memory. They stand in a file without a name, which is
gone with the process, until all have been checked.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from expci.core.model.trial import Trial, load_line
from expci.core.model.trial_reader import parse_trial
from expci.runner.record.by_arm import ArmCounts, ArmRecords
from expci.runner.record.importing import Partners


class Imported(Collection[Trial]):
    """`metrics` are the names of all that were measured; `arms` the trials counted by arm."""

    def __init__(self, directory: Path, trials: Iterable[Trial]) -> None:
        """Take all of `trials` into a file of the `directory`, or none where they end in error."""
        import tempfile

        directory.mkdir(parents=True, exist_ok=True)
        self._file: BinaryIO = tempfile.TemporaryFile("w+b", dir=directory)  # noqa: SIM115
        self._count = 0
        self.metrics: set[str] = set()
        counts, self._partners = ArmCounts(), Partners()
        for trial in trials:
            self._file.write(trial.line().encode() + b"\n")
            self._count += 1
            self.metrics.update(trial.metrics)
            counts.add(trial)
            self._partners.add(trial)
        self.arms: dict[str, ArmRecords] = counts.by_arm()

    @property
    def without_partner(self) -> str:
        """The warning about trials that no trial of another arm shares a block with."""
        return self._partners.warning

    def lines(self) -> Iterator[str]:
        """The records as they are sent."""
        self._file.seek(0)
        return (line.decode().removesuffix("\n") for line in self._file)

    def latest_ids(self, number: int) -> Iterator[str]:
        """The ids of the last of them."""
        lines = islice(self.lines(), max(0, self._count - number), None)
        return (load_line(line)["id"] for line in lines)

    def __iter__(self) -> Iterator[Trial]:
        return (parse_trial(load_line(line)) for line in self.lines())

    def __len__(self) -> int:
        return self._count

    def __contains__(self, item: object) -> bool:
        return any(trial == item for trial in self)

"""The files of other tools that a lab run writes (`metrics_from`): read once, right after it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from expci.core.model.arm import MetricsFile
from expci.core.model.trial import MEASURED
from expci.core.value_class import dataclass, field
from expci.errors import InvalidRecord
from expci.runner import formats, metrics
from expci.store.git import bounded

MOST_BYTES = 50_000_000

_State = tuple[int, int, int] | None


@dataclass(frozen=True)
class ToolFiles:
    """The files as they lie in a work tree before a run: one left by an earlier run is no result.

    `states` are by file: modification time in nanoseconds, size and inode, `None` for no file.
    """

    root: Path
    states: Mapping[MetricsFile, _State]
    conditions: dict[str, str] = field(default_factory=dict)  # what the files read so far state

    @staticmethod
    def before(root: Path, files: Sequence[MetricsFile]) -> ToolFiles:
        return ToolFiles(root, {file: _state(root / file.path) for file in files})

    def read(
        self, room: int, wanted: Collection[str], *, has_failed: bool
    ) -> tuple[dict[str, float], metrics.Warnings]:
        """Return the metrics of the files that the run wrote, and what is wrong with the others.

        A run that `has_failed` may have written none. Without what expci measures itself.
        """
        values: dict[str, float] = {}
        warnings: list[str] = []
        for file in self.states:
            try:
                values |= self._metrics(file)
            except InvalidRecord as error:
                if not has_failed:
                    warnings.append(f"metrics_from: {file.path}: {error}")
        taken, complaints = metrics.accepted(values, room, wanted)
        return taken, (*warnings, *complaints)

    def _metrics(self, file: MetricsFile) -> dict[str, float]:
        path = self.root / file.path
        state = _state(path)
        if state is None:
            raise InvalidRecord("the run wrote no such file")
        if state == self.states[file]:
            raise InvalidRecord("the run did not write it; it is an earlier run's")
        try:
            data = bounded.read_file(path, MOST_BYTES)
        except OSError as error:
            raise InvalidRecord(f"it cannot be read ({error.strerror})") from error
        runs = formats.read(file.format, data)
        self.conditions.update(runs.conditions)
        measured = runs.as_one_trial()
        return {name: value for name, value in measured.items() if name not in MEASURED}


def _state(path: Path) -> _State:
    try:
        status = path.stat()
    except (OSError, ValueError):
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino

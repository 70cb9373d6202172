"""Which experiment a trial of this machine belongs to, for metrics that come later."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from itertools import islice
from pathlib import Path

from expci.core.model.trial import Trial
from expci.store.git.bounded import append_file, read_file
from expci.store.git.git import Git

KEPT = 30_000  # trials
_KEPT_BYTES = 2_000_000  # about as many
_AT_ONCE = 10_000  # trials
_MOST_BYTES = 2 * _KEPT_BYTES


def note(git: Git, trials: Iterable[Trial]) -> None:
    """Remember trials; the oldest are forgotten when there are too many."""
    note_ids(git, ((trial.id, trial.experiment) for trial in trials))


def note_ids(git: Git, ids: Iterable[tuple[str, str]]) -> None:
    """The same by (id, experiment) of each."""
    path, rest = _path(git), iter(ids)
    with contextlib.suppress(OSError):  # a convenience: the record does not depend on it
        path.parent.mkdir(parents=True, exist_ok=True)
        while lines := [f"{id} {experiment}\n" for id, experiment in islice(rest, _AT_ONCE)]:
            if path.exists() and path.stat().st_size > _KEPT_BYTES:
                path.replace(path.with_suffix(".old"))
            append_file(path, "".join(lines).encode())


def experiment_of(git: Git, trial: str) -> str | None:
    for path in (_path(git), _path(git).with_suffix(".old")):
        with contextlib.suppress(OSError):
            for line in read_file(path, _MOST_BYTES).decode(errors="replace").splitlines():
                if line.startswith(trial + " "):
                    return line.split(" ", 1)[1]
    return None


def _path(git: Git) -> Path:
    return git.private_dir / "recent.txt"

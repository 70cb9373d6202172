"""How often this clone has run each case of a plan: the least visited one comes first."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from expci.store.git.bounded import append_file, read_file
from expci.store.git.git import Git

_MOST_BYTES = 16_000_000


def visits(git: Git, plan: str, *, is_pilot: bool) -> Counter[str]:
    """Visits by case; none where nothing was kept."""
    with contextlib.suppress(OSError):
        data = read_file(_path(git, plan, is_pilot), _MOST_BYTES)
        return Counter(data.decode(errors="replace").splitlines())
    return Counter()


def note_visits(git: Git, plan: str, cases: Iterable[str], *, is_pilot: bool) -> None:
    """Remember visits; a convenience, which no record depends on."""
    path, lines = _path(git, plan, is_pilot), "".join(f"{case}\n" for case in cases)
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        append_file(path, lines.encode())


def _path(git: Git, plan: str, is_pilot: bool) -> Path:
    return git.private_dir / "visits" / f"{plan}{'-pilot' if is_pilot else ''}.txt"

"""How often this clone has run each case of a plan: the least visited one comes first."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from expci.store.git.git import Git


def visits(git: Git, plan: str, *, is_pilot: bool) -> Counter[str]:
    """Visits by case; none where nothing was kept."""
    with contextlib.suppress(OSError):
        return Counter(_path(git, plan, is_pilot).read_text().splitlines())
    return Counter()


def note_visits(git: Git, plan: str, cases: Iterable[str], *, is_pilot: bool) -> None:
    """Remember visits; a convenience, which no record depends on."""
    path, lines = _path(git, plan, is_pilot), "".join(f"{case}\n" for case in cases)
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a") as file:
            file.write(lines)


def _path(git: Git, plan: str, is_pilot: bool) -> Path:
    return git.private_dir / "visits" / f"{plan}{'-pilot' if is_pilot else ''}.txt"

"""A remote's refs as they were listed once. Standard library only (the trial path)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from fnmatch import fnmatchcase

from expci.store.git import refs

_COVERED = ("HEAD", "refs/heads/", "refs/expci/")


class Listing:
    """Lines of `git ls-remote --symref`, kept while a pass lasts if it asks for that.

    What this process pushes is put in. Whoever lost a race, or does not know what a push
    did, forgets the lines: the next question asks the remote.
    """

    def __init__(self) -> None:
        self.is_kept = False
        self._lines: list[str] | None = None

    def lines(
        self, patterns: Sequence[str], ask: Callable[[Sequence[str]], list[str]]
    ) -> list[str]:
        """The lines of refs that match, from `ask` where they are not kept."""
        if not self.is_kept or not all(pattern.startswith(_COVERED) for pattern in patterns):
            return ask(patterns)
        if self._lines is None:
            self._lines = ask(refs.LISTED)
        return [
            line
            for line in self._lines
            if any(fnmatchcase(line.partition("\t")[2], pattern) for pattern in patterns)
        ]

    def note(self, updates: Iterable[tuple[str, str | None]]) -> None:
        """Put in what was pushed: a ref and its new id, `None` where it was deleted."""
        if self._lines is None:
            return
        for ref, oid in updates:
            # HEAD, and whatever else stands for this ref, moves along.
            same = {ref}
            same |= {n for t, n in map(_parts, self._lines) if t == f"ref: {ref}"}
            self._lines = [
                line
                for line in self._lines
                if line.startswith("ref: ") or _parts(line)[1] not in same
            ]
            self._lines += [f"{oid}\t{name}" for name in sorted(same) if oid is not None]

    def forget(self) -> None:
        """Ask the remote at the next question."""
        self._lines = None


def _parts(line: str) -> tuple[str, str]:
    what, _, name = line.partition("\t")
    return what, name

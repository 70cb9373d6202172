"""Whether runs open their arm's files, or other copies of them.

`ways_back` finds links and installations before anything runs. Whatever else leads a run out of its
work tree (a directory that git names, `$HOME/project`, a path in a build directory or a cache)
shows only while it runs.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

from expci.core.value_class import dataclass, field
from expci.runner.lab.file_opens import FileOpens

_MOST_FILES = 400  # of each tree
_EXAMPLES = 3


@dataclass
class ExposureWatch:
    """What the setups and runs of each arm opened so far.

    `roots` are the arms' work trees, `checkout` is the user's, `varied` are the paths that the
    arms vary, `shared` what every arm's work tree links.
    """

    roots: Mapping[str, Path]
    checkout: Path
    varied: Collection[str]
    shared: Sequence[str] = ()
    _own: dict[str, set[str]] = field(default_factory=dict)
    _elsewhere: dict[str, dict[str, Path]] = field(default_factory=dict)
    _is_unknown: bool = False

    @contextlib.contextmanager
    def watching(self, arm: str) -> Iterator[None]:
        """Note what is opened meanwhile, by `arm`'s setup or run."""
        paths = sorted(self.varied)[:_MOST_FILES]
        own = self.roots[arm]
        others = [tree for tree in (self.checkout, *self.roots.values()) if tree != own]
        opens = FileOpens([tree / path for tree in (own, *others) for path in paths])
        try:
            yield
            self._note(arm, opens.opened(), others)
        finally:
            opens.close()

    def _note(self, arm: str, opened: Collection[Path] | None, others: Sequence[Path]) -> None:
        self._is_unknown |= opened is None
        for file in opened or ():
            if file.is_relative_to(self.roots[arm]):
                path = file.relative_to(self.roots[arm]).as_posix()
                self._own.setdefault(arm, set()).add(path)
                continue
            tree = next(tree for tree in others if file.is_relative_to(tree))
            path = file.relative_to(tree).as_posix()
            self._elsewhere.setdefault(arm, {})[path] = tree

    def not_exposed(self, arm: str) -> str:
        """Return why the arm is not in force: other copies of its files were opened, never its own.

        An empty text where it is in force as far as is known.
        """
        elsewhere = self._elsewhere.get(arm)
        if not elsewhere or self._own.get(arm):
            return ""
        return (
            f"it opened {self._places(elsewhere)}, and no file of its arm's work tree, so it would "
            "see the same files under every arm. Have `run:` use paths relative to the directory "
            "that it starts in, or use --in-place"
        )

    def doubts(self, arm: str) -> Iterator[str]:
        """Yield what makes it doubtful that the arm's files are what is run."""
        own, elsewhere = self._own.get(arm, set()), self._elsewhere.get(arm, {})
        files = [path for path in sorted(self.varied) if (self.roots[arm] / path).is_file()]
        if own and (both := {path: at for path, at in elsewhere.items() if path not in own}):
            yield (
                f"{arm}: beside files of its own work tree the run opened "
                f"{self._places(both)}; what it reads there is the same under every arm"
            )
        if own or elsewhere or self._is_unknown or not 0 < len(files) <= _MOST_FILES:
            return
        shared = f"what `share:` links ({', '.join(self.shared)}), " if self.shared else ""
        yield (
            f"{arm}: neither its setup nor its run opened any file of the arm "
            f"({_examples(files)}). What ran may come from {shared}another checkout, git's own "
            "objects, a cache or an installed copy, and be the same under every arm; `expci trial "
            "--prove` shows whether the arm is in force"
        )

    def _places(self, elsewhere: Mapping[str, Path]) -> str:
        [tree, *_] = elsewhere.values()
        whose = "the checkout" if tree == self.checkout else "another arm's work tree"
        return f"{_examples(sorted(elsewhere))} in {whose} ({tree})"


def _examples(paths: Sequence[str]) -> str:
    more = f" and {len(paths) - _EXAMPLES} more" if len(paths) > _EXAMPLES else ""
    return ", ".join(paths[:_EXAMPLES]) + more

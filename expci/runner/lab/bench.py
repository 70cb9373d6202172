"""Where a lab trial's arms stand: a worktree each, or the user's checkout in turns."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from expci.core.model.content import Paths
from expci.core.value_class import dataclass, field
from expci.errors import ExpciError
from expci.runner import checkout
from expci.runner.lab import in_place, worktree
from expci.runner.lab.isolation import Hidden, Isolation
from expci.runner.measure.interrupts import Interrupts
from expci.runner.placement import Fingerprint, Placement, fingerprint, prepare, put
from expci.store.git.git import Git

SLOW_S = 4.0


@dataclass
class Bench:
    """The arms of one run, ready to be put in place. `scratch` is a private directory."""

    git: Git
    scratch: Path
    roots: Mapping[str, Path]
    placements: Mapping[str, Placement]
    interrupts: Interrupts
    warnings: list[str] = field(default_factory=list)
    isolation: Isolation | None = None
    _expected: dict[str, Fingerprint] = field(default_factory=dict)

    @property
    def is_in_place(self) -> bool:
        """Whether the arms take turns in the user's checkout."""
        return self.git.root in self.roots.values()

    @property
    def varied(self) -> frozenset[str]:
        """Every path that the arms vary."""
        return frozenset(path for item in self.placements.values() for path in item.paths)

    def stand(self, arm: str, commit: str | None = None) -> bool:
        """Have the arm's files in place; whether its work tree is new, and needs its setup.

        An isolated one starts from `commit`, where that is named.
        """
        root, is_new = self.roots[arm], False
        if self.isolation is not None:
            with self.interrupts.shield():
                is_new = self.isolation.renew(root, self.placements[arm].paths, commit)
            self.interrupts.check()
        if is_new:
            self._expected.pop(arm, None)
        if self.strayed(arm):
            with self.interrupts.shield():
                self._expected[arm] = put(self.git, root, self.placements[arm])
            self.interrupts.check()
        return is_new

    def seal(self, arm: str) -> None:
        """Take the arm's work tree after its setup for what every run starts from."""
        if self.isolation is not None:
            with self.interrupts.shield():
                self.isolation.seal(self.roots[arm])
            self.interrupts.check()

    def home(self, arm: str, environment: dict[str, str], *, is_setup: bool) -> dict[str, str]:
        """The environment with a fresh home directory, where runs are isolated."""
        if self.isolation is None:
            return environment
        fresh = self.isolation.home(self.roots[arm], is_setup=is_setup)
        return {**self.isolation.without_homes(environment), **fresh}

    def strayed(self, arm: str) -> list[str]:
        """Varied paths that do not hold what this arm put there."""
        paths = self.placements[arm].paths
        expected = self._expected.get(arm)
        if expected is None:
            return list(paths) or [""]
        now = fingerprint(self.roots[arm], paths)
        return [path for path in paths if now[path] != expected[path]]


@contextlib.contextmanager
def in_worktrees(
    git: Git,
    arms: Mapping[str, Paths],
    share: Sequence[str],
    interrupts: Interrupts,
    hidden: Hidden | None = None,
) -> Iterator[Bench]:
    """A worktree of HEAD for each arm, gone afterwards whatever happens.

    With `hidden` paths the arms are isolated: repositories of their own without these.
    """
    # Set up and torn down as a whole: a signal meanwhile is heeded at the next check.
    with contextlib.ExitStack() as stack:
        with interrupts.shield():
            directory = stack.enter_context(_shielded(worktree.scratch(git), interrupts))
            head, warnings, isolation = git.require("HEAD"), list[str](), None
            present = git.read_paths(head, next(iter(arms.values()), {}))
            placements = prepare(git, arms, directory, None if hidden else present)
            expected: dict[str, Fingerprint] = {}
            if hidden is None:
                began = time.monotonic()
                roots = worktree.add(git, directory, list(arms), head)
                warnings += slow_set_up(time.monotonic() - began)
                # git itself has just written what the commit holds.
                own = [arm for arm, paths in arms.items() if paths == present]
                expected = {arm: fingerprint(roots[arm], present) for arm in own}
                warnings += worktree.share(git, list(roots.values()), share)
            else:
                roots = worktree.places(git, directory, list(arms))
                isolation = Isolation(git, head, hidden, share, warnings)
        interrupts.check()
        if git.read_paths(head, [".gitmodules"])[".gitmodules"] is not None:
            warnings.append(
                "submodules are empty in a trial's worktree; have `setup:` run "
                "`git submodule update --init`, or use --in-place"
            )
        yield Bench(git, directory, roots, placements, interrupts, warnings, isolation, expected)


def slow_set_up(seconds: float) -> list[str]:
    """What to say of work trees that took long to put up: a large checkout has a shorter way."""
    if seconds < SLOW_S:
        return []
    return [
        f"creating the arms' work trees took {seconds:.0f} s. Several --pairs in one call share "
        "them; where `run:` leaves the checkout as it is, --in-place runs both arms there and "
        "needs none"
    ]


@contextlib.contextmanager
def in_checkout(git: Git, arms: Mapping[str, Paths], interrupts: Interrupts) -> Iterator[Bench]:
    """The user's checkout, each arm in turn, given back byte for byte afterwards."""
    paths = next(iter(arms.values()))
    with contextlib.ExitStack() as stack:
        with interrupts.shield():
            stack.enter_context(in_place.lock(git))
            _refuse_dirty(git, paths)
            directory = stack.enter_context(_shielded(worktree.scratch(git), interrupts))
            placements = prepare(git, arms, directory)
            stack.enter_context(_shielded(in_place.borrowed(git, arms), interrupts))
        interrupts.check()
        yield Bench(git, directory, dict.fromkeys(arms, git.root), placements, interrupts)


@contextlib.contextmanager
def _shielded(
    inner: contextlib.AbstractContextManager[Path], interrupts: Interrupts
) -> Iterator[Path]:
    """The same, with an end that no signal cuts short."""
    value = inner.__enter__()
    try:
        yield value
    finally:
        with interrupts.shield():
            inner.__exit__(None, None, None)


def _refuse_dirty(git: Git, paths: Paths) -> None:
    dirty = checkout.changed(git, git.read_paths("HEAD", paths))
    if dirty:
        raise ExpciError(
            f"{', '.join(dirty[:3])} {'have' if len(dirty) > 1 else 'has'} changes that are not "
            "committed; commit or remove them, or leave out --in-place"
        )

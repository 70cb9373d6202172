"""Each pass in a clone of its own, as a CI makes it, takes an experiment through its whole life."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from expci.core.lifecycle.transitions import State
from expci.flows.verbs.fsck import fsck
from expci.store.git import refs
from support.repositories import Repository, git
from support.stage import Stage


def cloned(stage: Stage, directory: Path) -> Stage:
    """The stage in a new clone over git's own transport."""
    origin = stage.repository.origin
    git(origin, "clone", "-q", f"file://{origin}", str(directory))
    return replace(stage, repository=Repository(directory, origin))


def has_past(stage: Stage) -> bool:
    first = git(stage.repository.origin, "rev-list", "--max-parents=0", refs.LEDGER)
    found = subprocess.run(["git", "cat-file", "-e", first], cwd=stage.repository.path, check=False)
    return found.returncode == 0


def test_passes_in_fresh_clones_promote_watch_and_end(winning: Stage, tmp_path: Path) -> None:
    first = cloned(winning, tmp_path / "1")
    first.auto()
    assert first.life().state is State.PROMOTING
    winning.context.forge.pull_requests.merge(winning.pull("expci/promote/speed"), "Promote")
    second = cloned(first, tmp_path / "2")
    second.auto()
    assert not has_past(second)
    second.now += timedelta(days=8)
    third = cloned(second, tmp_path / "3")
    third.auto()
    assert third.life().state is State.PROMOTED
    git(tmp_path / "3", "gc", "--quiet", "--prune=now")
    git(tmp_path / "3", "fsck", "--strict")
    assert fsck(cloned(third, tmp_path / "4").context).problems == []

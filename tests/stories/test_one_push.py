"""All experiments that a pass starts are one commit and one push."""

from __future__ import annotations

from pathlib import Path

import pytest

from expci.core.lifecycle.transitions import State
from expci.store.git import refs
from support.repositories import Repository, git, project
from support.specimen import FAST, SPEC
from support.stage import Stage

NAMES = ("first", "second", "third", "fourth")


@pytest.fixture(scope="module")
def merged(tmp_path_factory: pytest.TempPathFactory) -> Stage:
    """Drafts on the default branch, none of which has started."""
    stage = Stage(project(tmp_path_factory.mktemp("merged")))
    repository = stage.repository
    repository.git("switch", "-q", "main")
    for name in NAMES:
        script = f"{name}.sh"
        repository.write(script, "sleep 0.01\n", executable=True)
        repository.write(f"experiments/{name}/experiment.yml", SPEC.replace("work.sh", script))
        repository.write(f"experiments/{name}/treatment/{script}", FAST, executable=True)
    repository.commit("Merge the drafts")
    repository.push("HEAD:main")
    return stage


def pushes(repository: Repository) -> list[list[str]]:
    """The refs of each push since the last call."""
    log, hook = repository.origin / "pushes", repository.origin / "hooks" / "post-receive"
    if not hook.exists():
        hook.write_text(
            '#!/bin/sh\nwhile read old new ref; do printf "%s " "$ref"; done >> pushes\n'
            "echo >> pushes\n"
        )
        hook.chmod(0o755)
    rows = [line.split() for line in log.read_text().splitlines()] if log.exists() else []
    log.unlink(missing_ok=True)
    return rows


def test_all_starts_of_a_pass_are_one_push(merged: Stage, tmp_path: Path) -> None:
    stage = merged.copy(tmp_path)
    pushes(stage.repository)
    stage.auto()
    first, *_ = pushes(stage.repository)
    assert set(first) == {refs.LEDGER, refs.PUBLISHED}
    [commit] = git(stage.repository.origin, "rev-list", "--max-parents=0", refs.LEDGER).split()
    files = git(stage.repository.origin, "ls-tree", "-r", "--name-only", commit).split()
    assert {f"experiments/{name}/events.jsonl" for name in NAMES} <= set(files)
    assert {stage.life(name).state for name in NAMES} == {State.RUNNING}

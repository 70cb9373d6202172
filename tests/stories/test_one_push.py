"""What a pass starts and what it decides is one commit and one push, for all experiments."""

from __future__ import annotations

from pathlib import Path

import pytest

from expci.core.lifecycle.transitions import State
from expci.flows.auto.auto import auto
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


COMMIT = {refs.LEDGER, refs.PUBLISHED}


def test_all_starts_and_all_events_of_a_pass_are_one_push_each(
    merged: Stage, tmp_path: Path
) -> None:
    stage = merged.copy(tmp_path)
    pushes(stage.repository)
    stage.auto()
    starts, decide, reports, passed = map(set, pushes(stage.repository))
    assert (starts, decide, reports, passed) == (COMMIT, COMMIT, {refs.DERIVED}, {refs.PUBLISHED})
    [commit] = git(stage.repository.origin, "rev-list", "--max-parents=0", refs.LEDGER).split()
    files = git(stage.repository.origin, "ls-tree", "-r", "--name-only", commit).split()
    assert {f"experiments/{name}/events.jsonl" for name in NAMES} <= set(files)
    for name in NAMES:
        assert [event.word for event in stage.life(name).events] == ["started", "decided"]
        stage.pairs(14, 0.98, name)
    pushes(stage.repository)
    stage.auto()
    fold, decide, reports, delete = map(set, pushes(stage.repository))
    assert (fold, decide, reports) == (COMMIT, COMMIT, {refs.DERIVED})
    assert all(ref.startswith(refs.INBOX) for ref in delete)
    message = git(stage.repository.origin, "log", "-1", "--format=%B", refs.LEDGER)
    assert all(f"{name}: decided\n" in message for name in NAMES)


def test_what_protects_users_is_on_record_before_the_next_look(
    merged: Stage, tmp_path: Path
) -> None:
    """Or a commit of another writer would expose it again for as long as the looks take."""
    stage = merged.copy(tmp_path)
    stage.auto()
    for name in NAMES:
        stage.pairs(14, 2.0 if name == "first" else 0.5, name)
    pushes(stage.repository)
    stage.auto()
    fold, withdrawn, stopped, others = map(set, pushes(stage.repository)[:4])
    assert (fold, withdrawn, stopped) == (COMMIT, {refs.PUBLISHED}, COMMIT)
    assert others >= COMMIT
    assert stage.life("first").state is State.ROLLED_BACK
    assert {stage.life(name).state for name in NAMES[1:]} == {State.PROMOTING}
    log = git(stage.repository.origin, "log", "--format=%B%x00", refs.LEDGER).split("\0")
    [message] = [entry for entry in log if "first: rolled_back" in entry]
    assert not any(f"{name}: " in message for name in NAMES[1:])


def test_a_refusal_in_one_leaves_the_others(merged: Stage, tmp_path: Path) -> None:
    stage = merged.copy(tmp_path)
    stage.auto()
    for name in NAMES:
        stage.pairs(14, 0.5, name)
    hook = stage.repository.origin / "hooks" / "update"
    hook.write_text('#!/bin/sh\ncase "$1" in refs/heads/*third) exit 1 ;; esac\n')
    hook.chmod(0o755)
    done = auto(stage.context)
    assert [name for name, _ in done.problems] == ["third"]
    others = {stage.life(name).state for name in NAMES if name != "third"}
    assert (others, stage.life("third").state) == ({State.PROMOTING}, State.RUNNING)
    hook.unlink()
    stage.auto()
    assert stage.life("third").state is State.PROMOTING

"""Killed at any push, the next pass ends in the same state, with nothing done twice.

A pass that is killed before a push leaves the world as one that is killed after the push before
it; these are killed under `make seeds` alone.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from expci.core.lifecycle.transitions import State
from expci.flows.auto.auto import auto
from expci.flows.auto.part import WHOLE, Part
from expci.flows.verbs.fsck import fsck
from expci.forge.ports import PullRequestState
from support.properties import PROFILE
from support.repositories import Repository, git
from support.specimen import FAST, SPEC
from support.stage import Stage

KILLED_BEFORE = PROFILE == "nightly"  # and not only after
EACH = 2 if KILLED_BEFORE else 1
# The origin kills the process that pushes, before the push is applied or after.
HOOK = """#!/bin/sh
cat > /dev/null
kill -9 $(cat "$GIT_DIR/victim")
sleep 0.1
"""


def arm(origin: Path, hook: str) -> None:
    script = origin / "hooks" / hook
    script.write_text(HOOK + ("exit 1\n" if hook == "pre-receive" else ""))
    script.chmod(0o755)


def disarm(origin: Path) -> None:
    for name in ("pre-receive", "post-receive"):
        (origin / "hooks" / name).unlink(missing_ok=True)


def run_pass(stage: Stage, part: Part = WHOLE) -> int:
    """A pass as a process of its own; its exit code, negative for a signal."""
    child = os.fork()
    if child == 0:
        (stage.repository.origin / "victim").write_text(str(os.getpid()))
        os._exit(1 if auto(stage.context, part=part).problems else 0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def kill_at_every_push(stage: Stage) -> int:
    """Kill passes before and after each push is applied, until one has nothing to push.

    How many were killed, in the gate only after it.
    """
    for kills in range(60):
        hook = "pre-receive" if KILLED_BEFORE and kills % 2 == 0 else "post-receive"
        arm(stage.repository.origin, hook)
        code = run_pass(stage)
        disarm(stage.repository.origin)
        if code >= 0:
            assert hook == ("pre-receive" if KILLED_BEFORE else "post-receive")
            return kills
    raise AssertionError("no pass ever came to its end")


@pytest.mark.wide
def test_a_pass_killed_at_every_push_ends_as_an_undisturbed_one(repository: Repository) -> None:
    stage = Stage(repository)
    stage.begin()
    sent = stage.pairs(14, 0.5)
    # fold, decide, branch, backup, pull request with its event, report with comments, delete
    assert kill_at_every_push(stage) >= EACH * 7
    _settled(stage, {trial.id for trial in sent})


def _settled(stage: Stage, ids: set[str]) -> None:
    """The state of an undisturbed run: all trials once, one request, one branch, in order."""
    stage.auto()
    context = stage.context
    snapshot = context.store.snapshot()
    found = [trial.id for trial in snapshot.ledger.trials("speed")]
    assert sorted(found) == sorted(ids)
    assert snapshot.inbox == {}
    assert stage.life().state is State.PROMOTING
    words = [event.word for event in stage.life().events]
    assert words == ["started", "decided", "promote_opened"]
    assert stage.pull("expci/promote/speed").state is PullRequestState.OPEN
    assert len(snapshot.ledger.files("pulls")) == 2
    assert stage.repository.origin_file("work.sh", "expci/promote/speed") == FAST.strip()
    assert git(stage.repository.origin, "rev-list", "--count", "main..expci/promote/speed") == "1"
    assert fsck(context).problems == []


@pytest.mark.wide
def test_a_merge_by_plan_killed_at_every_push_ends_as_an_undisturbed_one(
    repository: Repository,
) -> None:
    """Decided, opened, merged and watched within one pass."""
    stage = Stage(repository)
    stage.begin(spec=SPEC + "decision: {promote: merge}\n")
    stage.pairs(14, 0.5)
    assert kill_at_every_push(stage) >= EACH * 7
    stage.auto()
    assert stage.life().state is State.WATCHING
    words = [event.word for event in stage.life().events]
    assert words == ["started", "decided", "promote_opened", "promoted", "decided"]
    merges = git(repository.origin, "rev-list", "--count", "--merges", "main")
    assert merges == "1"
    assert fsck(stage.context).problems == []


@pytest.mark.wide
def test_a_revert_killed_at_every_push_is_made_once(watching: Stage) -> None:
    stage, repository = watching, watching.repository
    stage.pairs(14, 1.6)
    main = git(repository.origin, "rev-parse", "main")
    assert kill_at_every_push(stage) >= EACH * 4
    stage.auto()
    assert git(repository.origin, "rev-list", "--count", f"{main}..main") == "1"
    life = stage.life()
    assert [event.word for event in life.events].count("reverted") == 1
    assert life.reverted is not None
    assert life.reverted.commit == git(repository.origin, "rev-parse", "main")

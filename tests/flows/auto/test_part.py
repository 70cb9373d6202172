"""A pass in parts: each experiment is of one part, and a whole pass does what a part did not."""

from __future__ import annotations

import os
from datetime import timedelta
from signal import SIGKILL

import pytest

from expci.core.model.events import Decided
from expci.errors import UsageError
from expci.flows.auto.auto import auto
from expci.flows.auto.part import WHOLE, Part
from stories.test_crash import arm, disarm, run_pass
from support.repositories import Repository
from support.specimen import SPEC
from support.stage import Stage

NAMES = ("ada", "bob", "cyd", "dan")
PARTS = [Part(number, 2) for number in range(3)]


@pytest.fixture
def stage(repository: Repository) -> Stage:
    """Four experiments that begin on one commit, each with harm that has just arrived."""
    stage = Stage(repository)
    repository.git("switch", "-q", "-C", "main", "origin/main")
    for name in NAMES:
        repository.write(f"experiments/{name}/experiment.yml", SPEC)
        repository.write(f"experiments/{name}/treatment/work.sh", f"sleep 0 # {name}\n")
    repository.commit("All")
    repository.push("main")
    auto(stage.context, part=Part(0, 2))
    for name in NAMES:
        stage.pairs(12, 1.6, name)
    return stage


def ended_once(stage: Stage) -> bool:
    """Whether each was rolled back once, and no decision stands there twice."""
    for name in NAMES:
        events = stage.life(name).events
        decided = [event.verdict for event in events if isinstance(event, Decided)]
        assert decided in (["rollback"], ["continue", "rollback"]), name
        others = [event.word for event in events if not isinstance(event, Decided)]
        assert others == ["started", "rolled_back"], name
    return stage.context.store.snapshot().published.experiments == {}


def trials(stage: Stage) -> list[int]:
    snapshot = stage.context.store.snapshot()
    assert snapshot.inbox == {}
    return [len(snapshot.ledger.trials(name)) for name in NAMES]


def test_every_experiment_is_of_one_part() -> None:
    names = [f"experiment-{number}" for number in range(300)]
    for of in (1, 2, 7):
        holders = [[part for part in range(1, of + 1) if Part(part, of).holds(n)] for n in names]
        assert all(len(holder) == 1 for holder in holders)
        sizes = [sum(holder == [part] for holder in holders) for part in range(1, of + 1)]
        assert min(sizes) > 300 / of / 2
    assert not any(Part(0, 3).holds(name) for name in names)
    assert all(WHOLE.holds(name) for name in names)


@pytest.mark.parametrize("text", ["3/2", "1/0", "0/0", "x", "1", "-1/2", "1/2/3", "1/99999"])
def test_what_is_no_part_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="write i/n"):
        Part.of_text(text)


def test_parts_one_after_another_do_what_a_whole_pass_does(stage: Stage) -> None:
    shared, first, second = (auto(stage.context, part=part) for part in PARTS)
    assert shared.folded == dict.fromkeys(NAMES, 24)
    assert shared.events == []
    looked_at = [[g.name for g in done.gathered] for done in (first, second)]
    assert sorted(looked_at[0] + looked_at[1]) == sorted(NAMES)
    assert ended_once(stage)
    assert trials(stage) == [24] * 4
    stage.now += timedelta(minutes=5)
    merging = stage.auto()
    assert merging.events == []
    assert ended_once(stage)


def test_parts_and_whole_passes_at_once_lose_and_double_nothing(stage: Stage) -> None:
    """One part twice; another whole pass is the merging step."""
    children = []
    for part in (*PARTS, Part(1, 2), WHOLE):
        child = os.fork()
        if child == 0:
            try:
                auto(stage.context, part=part)
            finally:
                os._exit(0)
        children.append(child)
    for child in children:
        os.waitpid(child, 0)
    stage.auto()
    assert ended_once(stage)
    assert trials(stage) == [24] * 4


@pytest.mark.parametrize("hook", ["pre-receive", "post-receive"])
def test_a_part_that_is_killed_is_made_good_by_the_merging_step(stage: Stage, hook: str) -> None:
    origin = stage.repository.origin
    (origin / "hooks").mkdir(exist_ok=True)
    for part in PARTS:
        arm(origin, hook)
        assert run_pass(stage, part) == -SIGKILL
        disarm(origin)
    stage.auto()
    stage.auto()
    assert ended_once(stage)
    assert trials(stage) == [24] * 4

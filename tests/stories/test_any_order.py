"""Verbs, merges and reverts by hand, kills and races in any order, held to a simple model."""

from __future__ import annotations

import os
import shutil
import tempfile
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from expci.core.lifecycle.transitions import ENDED, LIVE, State
from expci.errors import ExpciError
from expci.flows.auto.auto import auto
from expci.flows.auto.part import WHOLE, Part
from expci.flows.verbs.fsck import fsck
from expci.flows.verbs.lifecycle import pause, resume, stop
from expci.store.inbox import send
from expci.store.ledger import paths
from expci.store.ledger.transaction import LedgerChange
from stories.test_crash import arm, disarm, run_pass
from support.properties import PROFILE
from support.repositories import git, project
from support.specimen import FAST, SPEC
from support.stage import Stage

SLOW = "sleep 0.01"
NIGHTLY = PROFILE == "nightly"


class AnyOrder(RuleBasedStateMachine):
    """The model: which trials were sent, whether the base holds the change, and where it ended."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = Path(tempfile.mkdtemp(prefix="expci-any-order-"))
        self.sent: dict[str, str] = {}
        self.is_merged = self.is_reverted_by_hand = self.is_fresh = False
        self.ended: State | None = None
        self.versions = 0

    def teardown(self) -> None:
        shutil.rmtree(self.directory, ignore_errors=True)

    @initialize()
    def begin(self) -> None:
        self.stage = Stage(project(self.directory))
        self.stage.begin()

    @property
    def state(self) -> State:
        return self.stage.life().state

    def on_base(self) -> str:
        return self.stage.repository.origin_file("work.sh")

    # --- what people, jobs and machines do ------------------------------------------------

    @rule(ratio=st.sampled_from([0.5, 1.0, 1.6]), count=st.sampled_from([3, 12]))
    def trials_arrive(self, ratio: float, count: int) -> None:
        for trial in self.stage.pairs(count, ratio):
            self.sent[trial.id] = trial.line()
        self.is_fresh = False

    @precondition(lambda self: self.sent)
    @rule(data=st.data())
    def records_come_again_late(self, data: st.DataObject) -> None:
        lines = data.draw(st.lists(st.sampled_from(sorted(self.sent.values())), min_size=1))
        send.send(self.stage.context.store.remote, "speed", send.encode(lines))
        self.is_fresh = False

    @rule(days=st.sampled_from([0, 2]))
    def a_pass(self, days: int) -> None:
        self.stage.now += timedelta(days=days, minutes=1)
        for _ in range(3):
            whole = auto(self.stage.context, dry_run=True)  # looks at all, whatever is at rest
            done = self.stage.auto()
            assert done.settled.keys().isdisjoint(name for name, _ in whole.events)
        self.is_fresh = True

    @rule(size=st.sampled_from([None, 0, 60]))
    def the_map_of_what_rests_is_damaged(self, size: int | None) -> None:
        """Gone, empty or cut off; the files beside the ledger are anybody's."""
        store = self.stage.context.store
        data = store.snapshot(inbox=False).ledger.derived.read(paths.SETTLED) or b""
        bad = {paths.SETTLED: None if size is None else data[:size]}
        change = LedgerChange.of("By hand", {}, derived=bad)
        store.transact(self.stage.now, lambda _: change)

    @rule()
    def a_pass_and_its_parts_at_once(self) -> None:
        children = []
        for part in (WHOLE, Part(0, 2), Part(1, 2), Part(2, 2)):
            child = os.fork()
            if child == 0:
                try:
                    auto(self.stage.context, part=part)
                finally:
                    os._exit(0)
            children.append(child)
        for child in children:
            os.waitpid(child, 0)
        self.is_fresh = False

    @rule(hook=st.sampled_from(["pre-receive", "post-receive"]))
    def a_pass_that_is_killed_as_it_pushes(self, hook: str) -> None:
        (self.stage.repository.origin / "hooks").mkdir(exist_ok=True)
        arm(self.stage.repository.origin, hook)
        run_pass(self.stage)
        disarm(self.stage.repository.origin)
        self.is_fresh = False

    @precondition(lambda self: self.is_fresh and self.state is State.PROMOTING)
    @rule(how=st.sampled_from(["--no-ff", "--squash"]))
    def the_promotion_is_merged_by_hand(self, how: str) -> None:
        repository = self.stage.repository
        repository.git("fetch", "-q", "origin")
        repository.git("switch", "-q", "-C", "main", "origin/main")
        repository.git("merge", "-q", how, "--no-commit", "origin/expci/promote/speed")
        repository.git("commit", "-q", "-m", "Merge by hand")
        repository.push("main")
        self.is_merged, self.is_fresh = True, False

    @precondition(lambda self: self.is_fresh and self.state is State.WATCHING)
    @rule()
    def the_change_is_reverted_by_hand(self) -> None:
        repository, merge = self.stage.repository, self.stage.merge()
        repository.git("fetch", "-q", "origin")
        repository.git("switch", "-q", "-C", "main", "origin/main")
        parents = repository.git("rev-list", "--parents", "-n", "1", merge).split()
        repository.git("revert", "--no-edit", *(["-m", "1"] if len(parents) > 2 else []), merge)
        repository.push("main")
        self.is_reverted_by_hand, self.is_fresh = True, False

    @rule(verb=st.sampled_from([pause, resume, stop]))
    def a_verb(self, verb: object) -> None:
        """One that is refused in this state changes nothing."""
        before = [event.word for event in self.stage.life().events]
        try:
            if verb is stop:
                stop(self.stage.context, "speed", "enough", None)
            elif verb is pause:
                pause(self.stage.context, "speed", "wait")
            else:
                resume(self.stage.context, "speed", "go on")
        except ExpciError:
            assert [event.word for event in self.stage.life().events] == before

    @precondition(lambda self: self.is_fresh and self.state in (State.RUNNING, State.PAUSED))
    @rule()
    def the_plan_changes(self) -> None:
        self.versions += 1
        self.stage.begin(spec=SPEC.replace("60", str(60 + 2 * self.versions)))
        self.is_fresh = False

    # --- what holds whatever happened ------------------------------------------------------

    @invariant()
    def no_trial_is_lost_or_counted_twice(self) -> None:
        if not self.is_fresh:
            return
        snapshot = self.stage.context.store.snapshot()
        assert sorted(t.id for t in snapshot.ledger.trials("speed")) == sorted(self.sent)
        assert snapshot.inbox == {}
        assert fsck(self.stage.context).problems == []

    @invariant()
    def the_base_holds_what_was_decided(self) -> None:
        if not hasattr(self, "stage"):
            return
        has_change = self.is_merged and not self.is_reverted_by_hand
        has_change = has_change and self.stage.life().reverted is None
        assert self.on_base() == (FAST.strip() if has_change else SLOW)

    @invariant()
    def what_ended_stays_ended_and_exposes_nobody(self) -> None:
        if not hasattr(self, "stage"):
            return
        state = self.state
        assert self.ended in (None, state)
        self.ended = state if state in ENDED else None
        if self.is_fresh:
            exposed = self.stage.context.store.snapshot().published.experiments
            assert set(exposed) == ({"speed"} if state in LIVE else set())

    @invariant()
    def nothing_is_made_twice(self) -> None:
        if not hasattr(self, "stage"):
            return
        words = [event.word for event in self.stage.life().events]
        assert max(words.count("promoted"), words.count("reverted"), 1) == 1
        origin = self.stage.repository.origin
        heads = git(origin, "for-each-ref", "--format=%(refname)", "refs/heads/expci").splitlines()
        assert len(heads) <= 2  # one to promote, one to revert


@pytest.mark.slow
def test_any_order_ends_well() -> None:
    run_state_machine_as_test(
        AnyOrder,
        settings=settings(
            max_examples=60 if NIGHTLY else 3,
            stateful_step_count=14 if NIGHTLY else 7,
            deadline=None,
            # To shorten a failure takes many more walks: `make seeds` does that.
            phases=tuple(Phase) if NIGHTLY else (Phase.explicit, Phase.generate),
        ),
    )

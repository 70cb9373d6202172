"""What is made from the ledger: lost, forged or of an earlier version, it changes no decision."""

from __future__ import annotations

from datetime import timedelta

import pytest

from expci.core.lifecycle.transitions import State
from expci.flows.auto.auto import auto
from expci.flows.experiment.forge_state import proposal_record
from expci.flows.experiment.look_history import looks_of
from expci.flows.verbs.fsck import fsck
from expci.store.git import refs
from expci.store.ledger import paths
from expci.store.ledger.ledger import Ledger
from expci.store.ledger.transaction import LedgerChange
from support.repositories import git
from support.stage import Stage

SPEED = (paths.analysis("speed"), paths.report("speed"), paths.looks("speed"))
FILES = {*SPEED, paths.README, paths.SETTLED, paths.forge_state("speed")}


def ledger_of(stage: Stage) -> Ledger:
    return stage.context.store.snapshot(inbox=False).ledger


def forge(stage: Stage, **files: bytes | None) -> None:
    """Put something of a stranger's beside the ledger."""
    change = LedgerChange.of("", {}, derived=dict(files))
    stage.context.store.transact(stage.now, lambda _: change)


def look_again(stage: Stage, pairs: int = 2) -> None:
    stage.now += timedelta(hours=6)
    stage.pairs(pairs, 0.97)
    stage.auto()


def test_a_look_that_decides_nothing_leaves_records_alone_in_the_ledger(running: Stage) -> None:
    look_again(running, 3)
    before = ledger_of(running)
    look_again(running)
    after = ledger_of(running)
    changed = {p for p, blob in after.entries.items() if before.entries.get(p) != blob}
    kinds = {path.split("/")[2] for path in changed if path.startswith(paths.EXPERIMENTS)}
    assert kinds == {"trials"}
    assert after.derived.entries.keys() == FILES
    assert before.derived.read(SPEED[0]) != after.derived.read(SPEED[0])


def test_what_is_lost_is_made_again(running: Stage) -> None:
    look_again(running)
    look_again(running)
    before = ledger_of(running)
    git(running.repository.origin, "update-ref", "-d", refs.DERIVED)
    assert auto(running.context).problems == []
    after = ledger_of(running)
    assert after.derived.entries.keys() == FILES
    assert after.derived.read(paths.README) == before.derived.read(paths.README)
    units = [point.units for point in looks_of(after, ["speed"])["speed"]]
    assert units == [point.units for point in looks_of(before, ["speed"])["speed"]] == [2, 4]
    assert after.derived.read(paths.forge_state("speed")) is not None


@pytest.mark.parametrize("data", [b"{", b"null\n", b"\xff" * 9, b'{"v": [1], "said": 7}\n'])
def test_what_is_damaged_is_named_repaired_and_in_nobodys_way(winning: Stage, data: bytes) -> None:
    forge(winning, **dict.fromkeys(FILES - {paths.README, SPEED[1]}, data))
    named = "\n".join(fsck(winning.context).problems)
    assert paths.forge_state("speed") in named
    assert SPEED[0] in named
    assert paths.SETTLED in named
    assert fsck(winning.context, repair=True).repaired
    assert fsck(winning.context).problems == []
    forge(winning, **dict.fromkeys(FILES, data))
    winning.auto()
    assert winning.life().state is State.PROMOTING


def test_a_forged_look_decides_nothing(running: Stage, winning: Stage) -> None:
    """The analysis of an experiment that wins, put beside one that has just begun."""
    winning.auto()
    won = ledger_of(winning).read(SPEED[0]) or b""
    assert b'"promote"' in won
    look_again(running)
    forge(running, **{SPEED[0]: won})
    running.auto()
    assert running.life().state is State.RUNNING
    assert b'"promote"' not in (ledger_of(running).derived.read(SPEED[0]) or b'"promote"')


def test_a_decision_is_in_the_ledger_with_what_it_rests_on(winning: Stage) -> None:
    winning.auto()
    log = git(winning.repository.origin, "log", "--format=%H", "--", paths.events("speed"))
    for commit in log.split()[:-1]:
        there = git(winning.repository.origin, "show", f"{commit}:{SPEED[0]}")
        assert '"promote"' in there
        assert git(winning.repository.origin, "show", f"{commit}:{SPEED[1]}")


def test_a_ledger_of_an_earlier_version_is_carried_over_once(running: Stage) -> None:
    look_again(running)
    derived = ledger_of(running).derived
    state = derived.read(paths.forge_state("speed"))
    reviewed = b'{"v": 1, "requests": {}}'
    old = {paths.forge_state("speed"): state, paths.README: b"# Old\n", paths.REVIEWED: reviewed}
    gone: dict[str, bytes | None] = dict.fromkeys(derived.entries)
    change = LedgerChange.of("As it was", {**old, paths.proposal("speed"): None}, derived=gone)
    running.context.store.transact(running.now, lambda _: change)
    running.auto()
    after = ledger_of(running)
    assert not old.keys() & after.entries.keys()
    assert proposal_record(after, "speed").number == 1
    assert after.derived.read(paths.README) not in (None, b"# Old\n")
    assert fsck(running.context).problems == []
    commit = after.commit
    running.auto()
    assert ledger_of(running).commit == commit


def test_the_mirror_shows_both(running: Stage) -> None:
    repository = running.repository
    repository.git("switch", "-q", "main")
    repository.write("experiments/expci.yml", "version: 1\nmirror_branch: true\n")
    repository.commit("Mirror")
    repository.push("HEAD:main")
    look_again(running)
    look_again(running)
    origin, branch = repository.origin, refs.MIRROR_BRANCH
    assert git(origin, "rev-parse", f"{branch}^") == ledger_of(running).commit
    assert "speed" in git(origin, "show", f"{branch}:{paths.README}")
    assert git(origin, "show", f"{branch}:{SPEED[1]}")
    assert git(origin, "show", f"{branch}:{paths.events('speed')}")

"""A ledger that is gone or went back is never gone on with; the way back is drilled here."""

from __future__ import annotations

from pathlib import Path

import pytest

from expci import app
from expci.errors import ExpciError, LedgerDamaged
from expci.flows.auto.auto import auto
from expci.flows.context import Context
from expci.flows.verbs.fsck import fsck
from expci.flows.verbs.restore import accept_older, begin_anew, restore
from expci.flows.verbs.start import start
from expci.settings import Settings
from expci.store.git import refs
from support.repositories import Repository, git, project
from support.stage import Stage


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> Stage:
    stage = Stage(project(tmp_path_factory.mktemp("honest")))
    stage.begin()
    stage.pairs(2, 0.9)
    stage.auto()
    return stage


@pytest.fixture
def stage(honest: Stage, tmp_path: Path) -> Stage:
    return honest.copy(tmp_path)


def tip(stage: Stage, ref: str = refs.LEDGER) -> str:
    return git(stage.repository.origin, "for-each-ref", "--format=%(objectname)", ref)


def trials(stage: Stage) -> set[str]:
    return {trial.id for trial in stage.context.store.snapshot().ledger.trials("speed")}


def fresh(stage: Stage, tmp_path: Path) -> Context:
    """A colleague's clone, or a CI's: nothing of expci's was ever kept in it."""
    tmp_path.mkdir(exist_ok=True)
    git(tmp_path, "clone", "-q", str(stage.repository.origin), "fresh")
    settings = Settings(actor="bob")
    return app.open_context(tmp_path / "fresh", settings, clock=lambda: stage.now)


def mirror_push(stage: Stage, tmp_path: Path) -> None:
    """What `git push --mirror` from an ordinary clone does to refs/expci."""
    git(tmp_path, "clone", "-q", str(stage.repository.origin), "colleague")
    git(tmp_path / "colleague", "push", "-q", "--mirror", "origin")
    assert not tip(stage, "refs/expci")


def test_a_mirror_push_is_noticed_and_the_copy_brings_all_back(
    stage: Stage, tmp_path: Path
) -> None:
    before, ids = tip(stage), trials(stage)
    mirror_push(stage, tmp_path)
    with pytest.raises(LedgerDamaged, match="fsck --restore"):
        auto(stage.context)
    with pytest.raises(LedgerDamaged, match="fsck --restore"):
        start(stage.context, "speed")
    assert "fsck --restore" in fsck(stage.context).problems[0]
    assert not tip(stage)
    restored = restore(stage.context)
    assert (restored.ledger, tip(stage), trials(stage)) == (before, before, ids)
    assert fsck(stage.context).problems == []
    stage.pairs(1, 0.9)
    stage.auto()
    assert len(trials(stage)) == len(ids) + 2
    assert restore(stage.context).changed is False


def test_an_old_backup_of_both_is_noticed_by_the_newer_copy(stage: Stage) -> None:
    old = {ref: tip(stage, ref) for ref in (refs.LEDGER, refs.PUBLISHED)}
    stage.pairs(2, 0.9)
    stage.auto()
    newer, ids = tip(stage), trials(stage)
    for ref, oid in old.items():
        git(stage.repository.origin, "update-ref", ref, oid)
    with pytest.raises(LedgerDamaged, match="is behind what this clone has seen"):
        stage.context.store.snapshot()
    assert git(stage.repository.path, "rev-parse", refs.fetched(refs.LEDGER)) == newer
    restore(stage.context)
    assert (tip(stage), trials(stage)) == (newer, ids)


def test_what_was_recorded_on_the_old_backup_is_not_lost(stage: Stage, tmp_path: Path) -> None:
    old = {ref: tip(stage, ref) for ref in (refs.LEDGER, refs.PUBLISHED)}
    stage.pairs(2, 0.9)
    stage.auto()
    ours = trials(stage)
    for ref, oid in old.items():
        git(stage.repository.origin, "update-ref", ref, oid)
    other = Stage(Repository(tmp_path / "fresh", stage.repository.origin), stage.now)
    fresh(stage, tmp_path)
    theirs = {trial.id for trial in other.pairs(3, 0.9)}
    auto(other.context)
    diverged = tip(stage)
    restored = restore(stage.context)
    assert restored.sent == len(theirs)
    assert tip(stage, restored.set_aside) == diverged
    stage.auto()
    assert trials(stage) == ours | theirs


def test_waiting_trials_survive_the_loss(stage: Stage, tmp_path: Path) -> None:
    sent = {trial.id for trial in stage.pairs(2, 0.9)}
    ref = next(iter(stage.context.store.snapshot().inbox))
    commit, before = tip(stage, ref), trials(stage)
    mirror_push(stage, tmp_path)
    git(stage.repository.path, "push", "-q", "origin", f"{commit}:{ref}")
    restore(stage.context)
    stage.auto()
    assert trials(stage) == before | sent


TRACES = [
    refs.backup("speed"),
    refs.promoted("speed"),
    refs.head(refs.promote_branch("speed")),
    refs.head(refs.revert_branch("speed")),
    refs.MIRROR_BRANCH,
]


@pytest.mark.parametrize("trace", TRACES)
def test_a_fresh_clone_asks_the_traces(stage: Stage, tmp_path: Path, trace: str) -> None:
    mirror_push(stage, tmp_path)
    git(stage.repository.origin, "update-ref", trace, "main")
    other = fresh(stage, tmp_path)
    with pytest.raises(LedgerDamaged, match=trace):
        auto(other)
    with pytest.raises(ExpciError, match="keeps no copy"):
        restore(other)
    assert trace in fsck(other).problems[0]
    assert not tip(stage)


@pytest.mark.parametrize("trailer", ["Expci-Revert: speed abc", "Expci-Promote: speed"])
def test_a_fresh_clone_asks_the_history(stage: Stage, tmp_path: Path, trailer: str) -> None:
    repository = stage.repository
    repository.git("switch", "-q", "main")
    repository.git("commit", "-q", "--allow-empty", "-m", f"A change\n\n{trailer}")
    repository.push("HEAD:main")
    mirror_push(stage, tmp_path)
    with pytest.raises(LedgerDamaged, match="the history holds"):
        auto(fresh(stage, tmp_path))


def test_to_begin_anew_is_a_decision_and_on_record(stage: Stage, tmp_path: Path) -> None:
    mirror_push(stage, tmp_path)
    git(stage.repository.origin, "update-ref", refs.backup("speed"), "main")
    for context in (stage.context, fresh(stage, tmp_path)):
        with pytest.raises(LedgerDamaged):
            auto(context)
    begin_anew(stage.context)
    message = git(stage.repository.origin, "log", "-1", "--format=%B", tip(stage))
    assert "by ada, on purpose" in message

    assert auto(stage.context).problems == []
    with pytest.raises(ExpciError, match="a ledger exists"):
        begin_anew(stage.context)


def test_a_first_start_needs_nothing_of_it(repository: Repository) -> None:
    assert Stage(repository).context.store.snapshot().ledger.commit is None
    Stage(repository).begin()


def test_a_mirror_branch_that_went_further_is_the_newest_copy(repository: Repository) -> None:
    repository.write("experiments/expci.yml", "version: 1\nmirror_branch: true\n")
    repository.commit("Mirror")
    repository.push("HEAD:main")
    stage = Stage(repository)
    stage.begin()
    older = tip(stage)
    stage.pairs(1, 0.9)
    stage.auto()
    newer = tip(stage)
    git(repository.path, "update-ref", refs.fetched(refs.LEDGER), older)
    for ref in (refs.LEDGER, refs.PUBLISHED):
        git(repository.origin, "update-ref", "-d", ref)
    assert restore(stage.context).ledger == newer


@pytest.fixture(scope="module")
def promoted_since(tmp_path_factory: pytest.TempPathFactory) -> tuple[Stage, dict[str, str]]:
    """An experiment that was promoted after a backup of the ledger and what was published."""
    stage = Stage(project(tmp_path_factory.mktemp("promoted")))
    stage.begin()
    stage.pairs(14, 0.5)
    old = {ref: tip(stage, ref) for ref in (refs.LEDGER, refs.PUBLISHED)}
    stage.auto()
    stage.merge_promotion()
    return stage, old


def put_back(stage: Stage, old: dict[str, str]) -> None:
    for ref, oid in old.items():
        git(stage.repository.origin, "update-ref", ref, oid)


def test_an_old_backup_of_both_is_noticed_in_a_fresh_clone(
    promoted_since: tuple[Stage, dict[str, str]], tmp_path: Path
) -> None:
    """The drill: noticed by what promotions left, brought back by the clone that saw it."""
    stage, old = promoted_since[0].copy(tmp_path), promoted_since[1]
    newer, before = tip(stage), {ref: tip(stage, ref) for ref in old}
    put_back(stage, old)
    other = fresh(stage, tmp_path)
    with pytest.raises(LedgerDamaged, match=r"knows nothing of what promotions left behind.*refs"):
        auto(other)
    assert "It may be an old backup" in fsck(other).problems[0]
    assert {ref: tip(stage, ref) for ref in old} == old, "nothing was changed"
    assert restore(stage.context).ledger == newer
    assert tip(stage) == before[refs.LEDGER]
    assert auto(fresh(stage, tmp_path / "restored")).problems == []


def test_the_history_alone_tells_too(
    promoted_since: tuple[Stage, dict[str, str]], tmp_path: Path
) -> None:
    stage, old = promoted_since[0].copy(tmp_path), promoted_since[1]
    put_back(stage, old)
    for ref in (refs.backup("speed"), refs.promoted("speed")):
        git(stage.repository.origin, "update-ref", "-d", ref)
    with pytest.raises(LedgerDamaged, match="Expci-Promote of speed in"):
        auto(fresh(stage, tmp_path))


def test_where_no_newer_copy_is_left_a_person_accepts_the_older_one(
    promoted_since: tuple[Stage, dict[str, str]], tmp_path: Path
) -> None:
    stage, old = promoted_since[0].copy(tmp_path), promoted_since[1]
    put_back(stage, old)
    other = fresh(stage, tmp_path)
    with pytest.raises(ExpciError, match="keeps no copy"):
        restore(other)
    accepted = accept_older(other)
    message = git(stage.repository.origin, "log", "-1", "--format=%B", accepted.ledger)
    assert "by bob, on purpose" in message
    assert accept_older(other).changed is False
    assert auto(fresh(stage, tmp_path / "again")).problems == []


def test_a_killed_pass_is_no_old_backup(stage: Stage, tmp_path: Path) -> None:
    """It pushed the copy that a revert needs, and recorded nothing yet."""
    git(stage.repository.origin, "update-ref", refs.backup("speed"), "main")
    assert auto(fresh(stage, tmp_path)).problems == []


def life_at(stage: Stage, word: str) -> str:
    """The ledger's commit that first holds an event of that name."""
    path = "experiments/speed/events.jsonl"
    log = git(stage.repository.origin, "log", "--format=%H", f'-S"{word}"', refs.LEDGER, "--", path)
    return log.splitlines()[-1]


def only(stage: Stage, *kept: str) -> None:
    """Delete every ref of expci's but these on the server."""
    there = git(stage.repository.origin, "for-each-ref", "--format=%(refname)", "refs/expci")
    for ref in set(there.splitlines()) - set(kept):
        git(stage.repository.origin, "update-ref", "-d", ref)


@pytest.fixture(scope="module")
def promoting(tmp_path_factory: pytest.TempPathFactory) -> tuple[Stage, str]:
    """A promotion that is open, and the ledger of before its decision."""
    stage = Stage(project(tmp_path_factory.mktemp("promoting")))
    stage.begin()
    old = tip(stage)
    stage.pairs(14, 0.5)
    stage.auto()
    return stage, old


def test_the_branch_of_a_promotion_tells_of_an_old_backup(
    promoting: tuple[Stage, str], tmp_path: Path
) -> None:
    stage, old = promoting[0].copy(tmp_path), promoting[1]
    newer = tip(stage)
    only(stage)
    git(stage.repository.origin, "update-ref", refs.LEDGER, old)
    other = fresh(stage, tmp_path)
    with pytest.raises(LedgerDamaged, match="refs/heads/expci/promote/speed"):
        auto(other)
    assert restore(stage.context).ledger == newer
    assert auto(fresh(stage, tmp_path / "restored")).problems == []


def test_a_pass_that_died_before_it_recorded_the_promotion_is_finished_by_a_fresh_clone(
    promoting: tuple[Stage, str], tmp_path: Path
) -> None:
    stage = promoting[0].copy(tmp_path)
    decided = life_at(stage, "decided")
    branch = tip(stage, refs.head(refs.promote_branch("speed")))
    only(stage, refs.backup("speed"))
    git(stage.repository.origin, "update-ref", refs.LEDGER, decided)
    assert auto(fresh(stage, tmp_path)).problems == []
    assert tip(stage, refs.head(refs.promote_branch("speed"))) == branch
    assert life_at(stage, "promote_opened") != decided


def reviewed_line(stage: Stage, commit: str) -> None:
    stage.repository.write("experiments/expci.yml", f'version: 1\nledger_contains: "{commit}"\n')
    stage.repository.commit("Name the ledger")
    stage.repository.push("HEAD:main")


@pytest.mark.parametrize("is_older", [False, True])
def test_a_line_in_a_reviewed_file_tells_a_fresh_clone(
    stage: Stage, tmp_path: Path, is_older: bool
) -> None:
    old = life_at(stage, "started")
    reviewed_line(stage, tip(stage))
    assert auto(fresh(stage, tmp_path / "whole")).problems == []
    newer = tip(stage)
    only(stage)
    if is_older:
        git(stage.repository.origin, "update-ref", refs.LEDGER, old)
    other = fresh(stage, tmp_path)
    with pytest.raises(LedgerDamaged, match=r"what experiments/expci.yml names|is missing"):
        auto(other)
    assert "ledger_contains" in fsck(other).problems[0]
    with pytest.raises(ExpciError, match="remove the line `ledger_contains`"):
        (accept_older if is_older else begin_anew)(other)
    assert tip(stage) == (old if is_older else "")
    here = app.open_context(stage.repository.path, Settings(actor="ada"), clock=lambda: stage.now)
    assert git(stage.repository.origin, "merge-base", restore(here).ledger, newer)
    assert auto(fresh(stage, tmp_path / "restored")).problems == []


def test_what_a_revert_needs_comes_back_with_the_ledger(
    promoted_since: tuple[Stage, dict[str, str]], tmp_path: Path
) -> None:
    stage = promoted_since[0].copy(tmp_path)
    stage.auto()
    copies = {ref: tip(stage, ref) for ref in (refs.backup("speed"), refs.promoted("speed"))}
    only(stage)
    restore(stage.context)
    assert {ref: tip(stage, ref) for ref in copies} == copies
    assert all(copies.values())

"""fsck notices what somebody did to the ledger by hand, and repairs only what it can derive."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

import pytest

from expci.core.analysis.document import load_analysis
from expci.core.model.events import parse_event
from expci.errors import ExpciError, LedgerDamaged
from expci.flows.experiment.forge_state import parse_forge_state, parse_proposal
from expci.flows.verbs.fsck import fsck
from expci.store import published
from expci.store.git import refs
from expci.store.ledger import artifact_cursor, comment_cursor, paths, plans, segments
from expci.store.ledger.reviewed_pull_requests import parse_reviewed
from expci.store.ledger.settled_experiments import parse_settled
from expci.store.ledger.source_readings import parse_source_readings
from expci.store.ledger.transaction import LedgerChange, Snapshot
from expci.store.ledger.uncounted import parse_uncounted
from support.repositories import Repository, git, project
from support.stage import Stage


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> Stage:
    stage = Stage(project(tmp_path_factory.mktemp("honest")))
    stage.begin()
    for _ in range(6):
        stage.pairs(1, 0.9)
        stage.auto()
    return stage


@pytest.fixture
def stage(honest: Stage, tmp_path: Path) -> Stage:
    return honest.copy(tmp_path)


def tamper(stage: Stage, **files: bytes | None) -> None:
    """A commit on top of the ledger that puts other bytes at these paths."""

    def think(_: Snapshot) -> LedgerChange:
        return LedgerChange.of("tampered", files)

    stage.context.store.transact(stage.now, think)


def problems(stage: Stage) -> str:
    return "\n".join(fsck(stage.context).problems)


def test_an_honest_ledger_is_in_order(stage: Stage) -> None:
    assert problems(stage) == ""


def test_frozen_content_that_changed_is_noticed(stage: Stage) -> None:
    root = paths.plan("speed", stage.life().plan or "")
    tamper(stage, **{f"{root}/arms/treatment/work.sh": b"rm -rf /\n"})
    assert "is not what the plan froze" in problems(stage)
    assert "which is frozen" in problems(stage)


def test_a_weaker_alpha_is_noticed(stage: Stage) -> None:
    path = f"{paths.plan('speed', stage.life().plan or '')}/plan.json"
    data = stage.context.store.snapshot().ledger.read(path) or b""
    tamper(stage, **{path: data.replace(b'"alpha": 0.05', b'"alpha": 0.5')})
    assert "which is frozen" in problems(stage)


def test_a_lost_segment_is_noticed(stage: Stage) -> None:
    directory = paths.trials("speed")
    last = stage.context.store.snapshot().ledger.files(directory)[-1]
    tamper(stage, **{f"{directory}/{last}": None})
    assert "lost or changed records" in problems(stage)


def test_an_edited_segment_under_its_new_name_is_noticed(stage: Stage) -> None:
    directory = paths.trials("speed")
    ledger = stage.context.store.snapshot().ledger
    first = ledger.files(directory)[0]
    data = (ledger.read(f"{directory}/{first}") or b"").replace(b'"success":1.0', b'"success":0.0')
    tamper(
        stage,
        **{f"{directory}/{first}": None, f"{directory}/{segments.name_for(1, data)}": data},
    )
    assert "lost or changed records" in problems(stage)


def test_a_rewritten_event_is_noticed(stage: Stage) -> None:
    path = paths.events("speed")
    data = stage.context.store.snapshot().ledger.read(path) or b""
    tamper(stage, **{path: data.replace(b'"by":"ada"', b'"by":"eve"')})
    assert "which only grows" in problems(stage)


def test_strange_and_broken_files_are_noticed(stage: Stage) -> None:
    tamper(stage, **{"notes.txt": b"hi\n", paths.analysis("speed"): b"{"})
    assert "notes.txt does not belong" in problems(stage)
    assert "cannot be read" in problems(stage)


def test_a_lost_ledger_is_never_repaired_into_an_empty_one(stage: Stage) -> None:
    git(stage.repository.origin, "update-ref", "-d", refs.LEDGER)
    before = git(stage.repository.origin, "for-each-ref")
    checked = fsck(stage.context, repair=True)
    assert "fsck --restore" in checked.problems[0]
    assert git(stage.repository.origin, "for-each-ref") == before
    with pytest.raises(LedgerDamaged):
        stage.context.store.snapshot()


@pytest.mark.parametrize("how", ["repair", "pass"])
def test_a_lost_published_document_is_derived_again(stage: Stage, how: str) -> None:
    before = stage.context.store.snapshot().published.experiments
    git(stage.repository.origin, "update-ref", "-d", refs.PUBLISHED)
    if how == "repair":
        assert fsck(stage.context, repair=True).repaired
    else:
        stage.auto()
    assert stage.context.store.snapshot().published.experiments == before
    assert problems(stage) == ""


def test_a_mirror_branch_that_somebody_moved_holds_up_nothing(
    repository: Repository, tmp_path: Path
) -> None:
    repository.write("experiments/expci.yml", "version: 1\nmirror_branch: true\n")
    repository.commit("Mirror")
    repository.push("HEAD:main")
    stage = Stage(repository)
    stage.begin()
    branch = refs.MIRROR_BRANCH.removeprefix("refs/heads/")
    assert git(repository.origin, "rev-parse", branch)
    git(
        repository.origin,
        "update-ref",
        refs.MIRROR_BRANCH,
        git(repository.origin, "rev-parse", "main"),
    )
    stage.pairs(2, 0.9)
    stage.auto()
    assert len(stage.context.store.snapshot().ledger.trials("speed")) == 4


READERS = [
    artifact_cursor.parse_artifact_cursor,
    comment_cursor.parse_comment_cursor,
    parse_reviewed,
    parse_settled,
    parse_source_readings,
    parse_uncounted,
    parse_forge_state,
    parse_proposal,
    load_analysis,
    published.parse_published,
    plans.parse_plan,
    parse_event,
]


@pytest.mark.parametrize("reader", READERS)
def test_a_document_that_somebody_damaged_is_named_and_no_defect(
    reader: Callable[[bytes], object],
) -> None:
    """Deep nesting ends Python's own reader; half a character and wrong types end others."""
    deep = b"[" * 200_000
    for data in (deep, b'{"v":1,"x":' + deep, b"\xff\xfe\xe9", b"", b"[1]"):
        with pytest.raises(ExpciError):
            reader(data)
    with contextlib.suppress(ExpciError):  # a key that nobody reads is no damage
        reader(b'{"x":"\xff"}')

"""What jobs may know is a pure reading of plans and events."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from expci.core.model.events import Decided, Event, Paused, Promoted, PromoteOpened, Stopped
from expci.core.model.trial import timestamp
from expci.store.ledger import paths, plans
from expci.store.ledger.exposure import derive
from expci.store.ledger.fold import Changes
from expci.store.ledger.transaction import LedgerChange, Snapshot, Store
from support.ledger_samples import AT, PLAN, start, store
from support.repositories import Repository

WHEN = timestamp(AT.replace(hour=12))
PROMOTION: tuple[Event, ...] = (
    Decided(at=WHEN, by="expci", verdict="promote", reason_code="win", arm="treatment"),
    PromoteOpened(at=WHEN, by="expci", arm="treatment"),
    Promoted(
        at=WHEN,
        by="expci",
        arm="treatment",
        branch="main",
        merge="e" * 40,
        parent="f" * 40,
        holdback=0.25,
    ),
)


def after(target: Store, *events: Event, **files: bytes) -> Snapshot:
    changes: Changes = {
        **target.snapshot().ledger.with_events("speed", events),
        **{paths.promoted("speed"): data for data in files.values()},
    }
    return target.transact(AT, lambda _: LedgerChange.of("events", changes))[0]


def test_an_experiment_that_runs_exposes_its_plan(repository: Repository) -> None:
    target = store(repository.path)
    snapshot = start(target)
    document = derive(snapshot.ledger)
    assert document.ledger == snapshot.ledger.commit
    [exposure] = document.experiments.values()
    assert (exposure.plan, exposure.state, exposure.mode) == (PLAN, "running", "lab")
    assert exposure.weights == {"control": 1.0, "treatment": 1.0}
    assert exposure.paths == target.git.read_paths("HEAD", ["work.sh"])
    assert (exposure.started, exposure.source) == (timestamp(AT), None)


def test_one_that_is_paused_says_so_and_one_that_was_stopped_is_gone(
    repository: Repository,
) -> None:
    target = store(repository.path)
    start(target)
    paused = Paused(at=WHEN, by="ada", why="lunch")
    assert derive(after(target, paused).ledger).experiments["speed"].state == "paused"
    stopped = Stopped(at=WHEN, by="ada", why="enough")
    assert derive(after(target, stopped).ledger).experiments == {}


def test_while_watching_the_promoted_content_is_compared_with_a_holdback(
    repository: Repository,
) -> None:
    target = store(repository.path)
    [plan] = [start(target).ledger.plan("speed")]
    assert plan is not None
    promoted = json.dumps(plans.dump_paths(plan.arms["treatment"])).encode()
    document = derive(after(target, *PROMOTION, promoted=promoted).ledger)
    exposure = document.experiments["speed"]
    assert exposure.state == "watching"
    assert exposure.weights == {"control": 0.25, "treatment": 0.75}
    assert exposure.paths == plan.arms["treatment"]
    assert (exposure.source, exposure.started, exposure.branch) == ("f" * 40, WHEN, "")


def test_without_the_promoted_content_nothing_is_guessed(repository: Repository) -> None:
    """It is not exposed, and holds up no other experiment."""
    target = store(repository.path)
    start(target)
    start(target, "other")
    assert set(after(target, *PROMOTION).published.experiments) == {"other"}


@pytest.mark.parametrize("data", [None, b"", b"null", b"[1]", b"\xff", b"[" * 200_000])
def test_promoted_content_that_is_lost_is_what_the_merge_has(
    repository: Repository, data: bytes | None
) -> None:
    target = store(repository.path)
    start(target)
    merge = target.git.require("HEAD")
    *before, promoted = PROMOTION
    assert isinstance(promoted, Promoted)
    files = {} if data is None else {"promoted": data}
    snapshot = after(target, *before, replace(promoted, merge=merge), **files)
    exposure = snapshot.published.experiments["speed"]
    assert exposure.paths == target.git.read_paths(merge, ["work.sh"])


@pytest.mark.parametrize("path", [paths.events("speed"), f"{paths.plan('speed', PLAN)}/plan.json"])
def test_damage_of_one_experiment_hides_that_one_alone(repository: Repository, path: str) -> None:
    target = store(repository.path)
    start(target)
    start(target, "other")
    damage = LedgerChange.of("damage", {path: b"[" * 200_000})
    snapshot, _ = target.transact(AT, lambda _: damage)
    assert set(snapshot.published.experiments) == {"other"}

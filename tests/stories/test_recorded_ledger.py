"""A ledger that an earlier version wrote says the same to this one: states, numbers, codes."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from expci import app
from expci.core.lifecycle.transitions import State
from expci.core.model.experiment import to_json
from expci.flows.auto.auto import auto
from expci.flows.context import Context
from expci.flows.verbs.analyze import analyze
from expci.flows.verbs.fsck import fsck
from expci.flows.verbs.status import one_json, portfolio_json, portfolio_rows
from expci.settings import Settings
from support.recorded_ledger import differences, golden, recorded_at, restore, without_words
from support.repositories import Repository, git

GOLDEN = golden()


@dataclass
class Recorded:
    """The restored repository and a clock."""

    repository: Repository
    now: datetime

    @property
    def context(self) -> Context:
        settings = Settings(actor="ada")
        return app.open_context(self.repository.path, settings, clock=lambda: self.now)

    def next_events(self) -> list[list[Any]]:
        """What a pass would put on record now, without the words."""
        done = auto(self.context, dry_run=True)
        assert done.problems == []
        return [[name, without_words(json.loads(event.line()))] for name, event in done.events]


@pytest.fixture(scope="session")
def restored(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    return restore(tmp_path_factory.mktemp("recorded"))


@pytest.fixture
def recorded(restored: Repository) -> Recorded:
    """Not to be written to."""
    return Recorded(restored, recorded_at())


def test_every_byte_is_sound(recorded: Recorded) -> None:
    assert differences(GOLDEN["fsck"], fsck(recorded.context).to_json()) == []


def test_the_states_are_the_same(recorded: Recorded) -> None:
    ledger = recorded.context.store.snapshot().ledger
    states = {name: str(ledger.life(name).state) for name in ledger.experiments}
    assert states == {name: one["state"] for name, one in GOLDEN["experiments"].items()}
    assert set(states.values()) == set(State) - {State.DRAFT}


@pytest.mark.parametrize("name", GOLDEN["experiments"])
def test_the_events_add_up_to_the_same(recorded: Recorded, name: str) -> None:
    life = to_json(recorded.context.store.snapshot().ledger.life(name))
    assert differences(GOLDEN["experiments"][name]["life"], without_words(life)) == []


NEWER_CRITERIA = {"guardrail_evidence"}  # that version did not ask for them


@pytest.mark.parametrize("name", GOLDEN["experiments"])
def test_the_analysis_is_the_same(recorded: Recorded, name: str) -> None:
    document = json.loads(analyze(recorded.context, name).render("json"))
    criteria = document["decision"]["criteria"]
    document["decision"]["criteria"] = [c for c in criteria if c["code"] not in NEWER_CRITERIA]
    expected = GOLDEN["experiments"][name]["analysis"]
    assert differences(expected, without_words(document)) == []


def test_the_portfolio_is_the_same(recorded: Recorded) -> None:
    document = portfolio_json(portfolio_rows(recorded.context), everything=True)
    assert differences(GOLDEN["portfolio"], without_words(document)["experiments"]) == []


@pytest.mark.parametrize("name", ["paused-closed", "kinds"])
def test_the_status_keeps_its_keys(recorded: Recorded, name: str) -> None:
    assert set(GOLDEN["status_keys"]) <= one_json(recorded.context, name).keys()


@pytest.mark.parametrize("days", GOLDEN["later"])
def test_the_next_events_are_the_same(recorded: Recorded, days: str) -> None:
    recorded.now += timedelta(days=int(days))
    assert differences(GOLDEN["later"][days], recorded.next_events()) == []


def test_an_experiment_that_its_closed_request_paused_goes_on_when_it_is_open_again(
    recorded: Recorded, restored: Repository, tmp_path: Path
) -> None:
    """Its event has no code: that version went by the sentence."""
    copy = Recorded(restored.copy(tmp_path), recorded.now)
    assert copy.next_events() == []
    head = GOLDEN["experiments"]["paused-closed"]["life"]["started"]["head"]
    git(copy.repository.origin, "branch", "try/paused-closed", head)
    [[name, event]] = copy.next_events()
    assert (name, event["event"]) == ("paused-closed", "resumed")

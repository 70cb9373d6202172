"""What is on record of sources: one plan's, a round trip, and nothing odd taken for it."""

from __future__ import annotations

import pytest

from expci.core.model.source import SourceReading
from expci.errors import LedgerDamaged
from expci.store.git.git import Git
from expci.store.ledger import paths
from expci.store.ledger.ledger import Ledger
from expci.store.ledger.source_readings import (
    dump_source_readings,
    parse_source_readings,
    read_source_readings,
)
from support.repositories import Repository

PLAN, OTHER = "a" * 64, "b" * 64
READ = SourceReading("down", "no route", 1_795_168_800, 120, 1, 2, 3, 4, 5, 1_795_172_400)


def ledger_with(repository: Repository, data: bytes) -> Ledger:
    repository.write(paths.sources("page"), data.decode())
    return Ledger(Git.at(repository.path), repository.commit("Ledger"))


def test_readings_come_back_for_their_plan_alone(repository: Repository) -> None:
    readings = {"spend": READ, "refunds": SourceReading()}
    ledger = ledger_with(repository, dump_source_readings(PLAN, readings))
    assert read_source_readings(ledger, "page", PLAN) == readings
    assert read_source_readings(ledger, "page", OTHER) == {}
    assert read_source_readings(ledger, "other", PLAN) == {}


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b'{"v": 1}',
        b'{"v": 2, "plan": "a", "metrics": {}}',
        b'{"v": 1, "plan": "a", "metrics": {"spend": {"status": "fine"}}}',
        b'{"v": 1, "plan": "a", "metrics": {"spend": {"through": "soon"}}}',
    ],
)
def test_anything_else_is_damaged(data: bytes) -> None:
    with pytest.raises(LedgerDamaged):
        parse_source_readings(data)

"""Times of artifacts' trials are held against the CI's own records of the run."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from expci.core.model.trial import Trial, parse_timestamp, timestamp
from expci.store.git.git import Git
from expci.store.inbox.read_batches import Arrived, RefusedRecord
from expci.store.ledger.arrived_artifacts import ArtifactBatch, Origin, read_artifact, same_record
from expci.store.ledger.ledger import Ledger
from expci.store.ledger.run_quotas import quotas_of
from support.ledger_samples import trial
from support.repositories import Repository

BEGAN = datetime(2026, 11, 22, 10, tzinfo=UTC)
UPLOADED = BEGAN + timedelta(minutes=30)
ORIGIN = Origin(
    run=7,
    repository="o/r",
    head_repository="o/r",
    event="push",
    head_commit="c" * 40,
    actor="ada",
    workflow=".github/workflows/ci.yml",
    number=1,
    conclusion="success",
    created=BEGAN,
    own=True,
)


def read(repository: Repository, record: Trial) -> tuple[list[Arrived], list[RefusedRecord]]:
    data = record.line().encode() + b"\n"
    batch = ArtifactBatch(9, "expci-a", UPLOADED, 7, data=data, origin=ORIGIN)
    ledger = Ledger(Git(repository.path))
    return read_artifact(ledger, batch, quotas_of(ledger))


def at(moment: datetime) -> Trial:
    return trial(started=timestamp(moment))


@pytest.mark.parametrize(
    ("moment", "corrected"),
    [
        (BEGAN + timedelta(minutes=5), None),
        (BEGAN - timedelta(minutes=9), None),
        (UPLOADED + timedelta(minutes=9), None),
        (BEGAN - timedelta(minutes=11), BEGAN),
        (BEGAN - timedelta(hours=20), BEGAN),
        (UPLOADED + timedelta(minutes=11), UPLOADED),
        (UPLOADED + timedelta(hours=20), UPLOADED),
    ],
)
def test_a_wrong_clock_is_corrected_and_the_record_says_so(
    repository: Repository, moment: datetime, corrected: datetime | None
) -> None:
    [item], refused = read(repository, at(moment))
    record = item.record
    assert isinstance(record, Trial)
    assert refused == []
    assert parse_timestamp(record.started) == (corrected or moment)
    note = f"the machine said {timestamp(moment)}" if corrected else None
    assert record.context.get("clock") == note


@pytest.mark.parametrize("hours", [-25, 25])
def test_a_day_is_no_clock_any_more(repository: Repository, hours: int) -> None:
    anchor = BEGAN if hours < 0 else UPLOADED
    arrived, [refusal] = read(repository, at(anchor + timedelta(hours=hours)))
    assert arrived == []
    assert "not while run 7 ran" in refusal.reason


def test_a_record_cannot_claim_to_be_corrected(repository: Repository) -> None:
    honest = at(BEGAN)
    [item], _ = read(repository, replace(honest, context={"clock": "trust me"}))
    assert isinstance(item.record, Trial)
    assert "clock" not in item.record.context


def test_the_same_record_corrected_and_pushed_is_one(repository: Repository) -> None:
    record = replace(at(BEGAN - timedelta(hours=3)), context={"run_id": "7"})
    [item], _ = read(repository, record)
    assert same_record(item.line, record.line().encode())
    other = replace(record, metrics={"duration_s": 99.0})
    assert not same_record(item.line, other.line().encode())

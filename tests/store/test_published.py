"""The pass's sign of life: written some hours apart, missed after two days."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from expci.core.model.trial import timestamp
from expci.flows.auto.auto import auto
from expci.store.published import (
    Published,
    days_without_passes,
    parse_published,
    without_passes,
)
from support.repositories import Repository
from support.stage import Stage


@pytest.fixture
def stage(repository: Repository) -> Stage:
    made = Stage(repository)
    made.begin()
    return made


def document(stage: Stage) -> Published:
    return stage.context.store.snapshot(inbox=False).published


@pytest.mark.slow
def test_the_time_of_the_last_pass_stands_in_the_published_document(stage: Stage) -> None:
    assert document(stage).passed == ""
    stage.auto()
    first = document(stage).passed
    assert first == timestamp(stage.now)
    stage.now += timedelta(hours=1)
    auto(stage.context)
    assert document(stage).passed == first, "not with every pass: nothing else has changed"
    stage.now += timedelta(hours=6)
    auto(stage.context)
    assert document(stage).passed == timestamp(stage.now)
    before = document(stage).passed
    stage.pairs(1, 1.0)
    stage.auto()
    assert document(stage).passed == before, "a new ledger keeps it"


def test_days_without_a_pass_are_said(stage: Stage) -> None:
    stage.auto()
    there = document(stage)
    assert without_passes(there, stage.now + timedelta(hours=47)) == ""
    assert "no pass has run for 2 days" in without_passes(there, stage.now + timedelta(hours=49))
    assert without_passes(Published(passed=there.passed), stage.now + timedelta(days=9)) == ""


def test_a_document_of_before_has_no_sign_of_life_and_claims_none() -> None:
    old = Published("", {}, "").dump()
    assert b"passed" not in old
    assert parse_published(old).passed == ""
    assert without_passes(parse_published(old), datetime.now(UTC)) == ""
    assert without_passes(Published(passed="yesterday"), datetime.now(UTC)) == ""


def test_what_started_since_the_last_pass_is_not_called_forgotten(stage: Stage) -> None:
    """A repository without experiments needs no pass: its last sign of life may be months old."""
    stage.auto()
    [exposure] = document(stage).experiments.values()
    started = replace(exposure, started=timestamp(stage.now))
    old = Published(passed=timestamp(stage.now - timedelta(days=90)), experiments={"x": started})
    assert without_passes(old, stage.now + timedelta(hours=1)) == ""
    assert days_without_passes(old, stage.now + timedelta(days=3)) == 3
    # What began before counts from the last pass, whatever started beside it.
    before = replace(exposure, started=timestamp(stage.now - timedelta(days=99)))
    both = replace(old, experiments={"a": before, "x": started})
    assert days_without_passes(both, stage.now) == 90

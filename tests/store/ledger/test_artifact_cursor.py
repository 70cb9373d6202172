"""What is known of artifacts adds up, whichever pass wrote it first."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from expci.core.model.trial import Trial, timestamp
from expci.errors import LedgerDamaged
from expci.runner.trial_ids import new_trial_id
from expci.store.ledger.arrived_artifacts import same_record
from expci.store.ledger.artifact_cursor import (
    SCHEMA,
    ArtifactCursor,
    WaitingArtifact,
    earlier,
    merged,
    parse_artifact_cursor,
    says_more,
)

START = datetime(2026, 11, 20, tzinfo=UTC)
times = st.integers(0, 400).map(lambda minutes: timestamp(START + timedelta(minutes=minutes)))
# One artifact has one time, in whatever pass it is met.
numbered = st.integers(1, 60).map(lambda n: (n, timestamp(START + timedelta(minutes=7 * n))))


@st.composite
def states(draw: st.DrawFn) -> ArtifactCursor:
    done = dict(draw(st.lists(numbered, max_size=6)))
    waiting = dict(draw(st.lists(numbered, max_size=6)))
    found = ArtifactCursor(
        since=draw(st.just("") | times),
        done=done,
        waiting=tuple(
            WaitingArtifact(n, "expci-a", 9, at, n, own=True) for n, at in waiting.items()
        ),
        runs_since=draw(st.just("") | times),
        settled=dict(draw(st.lists(numbered, max_size=4))),
        workflows=draw(st.sampled_from([{}, {"review": {"ci.yml": "ci"}}])),
    )
    return merged(ArtifactCursor(), found)


@pytest.mark.slow
@settings(max_examples=100)
@given(states(), states(), states())
def test_passes_add_up_in_any_order(
    first: ArtifactCursor, second: ArtifactCursor, third: ArtifactCursor
) -> None:
    """But for what is too old to be listed: that is forgotten, and at worst taken twice."""
    assert merged(first, second) == merged(second, first)
    assert merged(first, first) == first
    assert parse_artifact_cursor(first.dump()) == first
    one, two, three = (replace(s, since="", runs_since="") for s in (first, second, third))
    assert merged(merged(one, two), three) == merged(one, merged(two, three))


@pytest.mark.slow
@settings(max_examples=100)
@given(states(), states())
def test_nothing_that_waits_is_forgotten_unless_it_was_taken(
    first: ArtifactCursor, second: ArtifactCursor
) -> None:
    both = merged(first, second)
    taken = first.done.keys() | second.done.keys()
    waiting = {item.id for item in (*first.waiting, *second.waiting)}
    assert {item.id for item in both.waiting} == waiting - taken
    again = earlier(both.since, timedelta(hours=1))
    assert {id for id, at in {**first.done, **second.done}.items() if at >= again} == set(both.done)
    assert not says_more(both, both)
    if any(item.id not in first.listed for item in both.waiting):
        assert says_more(first, both)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"{}",
        b'{"schema":"expci.harvest/2"}',
        f'{{"schema":"{SCHEMA}","done":{{"x":"y"}},"settled":{{}},"waiting":[]}}'.encode(),
        f'{{"schema":"{SCHEMA}","done":{{}},"settled":{{}},"waiting":[1]}}'.encode(),
    ],
)
def test_a_damaged_state_is_said_and_never_started_anew(data: bytes) -> None:
    with pytest.raises(LedgerDamaged):
        parse_artifact_cursor(data)


def test_a_record_is_the_same_whatever_the_ci_told_of_it() -> None:
    made = Trial(
        new_trial_id(START), "speed", "a" * 64, "live", "control", "run-1", timestamp(START)
    )
    sent = replace(made, context={"run_id": "1", "sha": "a", "cpu": "x"})
    told = replace(made, context={"run_id": "1", "sha": "b", "cpu": "x", "artifact": "7"})
    other = replace(told, context={**told.context, "cpu": "y"})
    without = replace(sent, context={**sent.context, "sha": "c"})

    def same(first: Trial, second: Trial) -> bool:
        return same_record(first.line().encode(), second.line().encode())

    assert same(sent, sent)
    assert same(sent, told)
    assert same(told, replace(told, context={**told.context, "artifact": "8"}))
    assert not same(sent, without)  # neither was told anything
    assert not same(sent, other)
    assert not same(sent, replace(told, metrics={"duration_s": 1.0}))

"""Events round-trip, and the transition table refuses what cannot be."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from expci.core.lifecycle.transitions import ENDED, TRANSITIONS, Life, State, apply, fold
from expci.core.model import events
from expci.core.model.events import EVENTS, Event, parse_event
from expci.errors import IllegalEvent, InvalidRecord

AT = "2026-11-22T10:00:00.000Z"
PLAN = "ab" * 32


def example(kind: type[Event], **changes: object) -> Event:
    """An event of this kind with every required field filled."""
    values: dict[str, Any] = {"at": AT, "by": "ada", "why": "because @x #1"}
    for field in dataclasses.fields(kind):
        if field.default is dataclasses.MISSING and field.name not in values:
            values[field.name] = PLAN if field.name == "plan" else f"some {field.name}"
    return kind(**{**values, **changes})


@pytest.mark.parametrize("kind", EVENTS.values(), ids=EVENTS)
def test_every_event_reads_back_as_it_was_written(kind: type[Event]) -> None:
    event = example(kind)
    assert parse_event(event.line()) == event
    assert json.loads(event.line())["event"] == kind.word


@pytest.mark.parametrize(
    "line",
    [
        '{"v":1,"event":"exploded","at":"2026-11-22T10:00:00Z","by":"x"}',
        '{"v":2,"event":"paused","at":"2026-11-22T10:00:00Z","by":"x"}',
        '{"v":1,"event":"paused","by":"x"}',
        '{"v":1,"event":"paused","at":"now","by":"x"}',
        '{"v":1,"event":"paused","at":"2026-11-22T10:00:00Z","by":"x","how":"y"}',
        '{"v":1,"event":"extended","at":"2026-11-22T10:00:00Z","by":"x","days":true}',
        '{"v":1,"event":"extended","at":"2026-11-22T10:00:00Z","by":"x","trials":1.5}',
        '{"v":1,"event":"learned","at":"2026-11-22T10:00:00Z","by":"x","text":5}',
    ],
)
def test_what_is_no_event_is_refused(line: str) -> None:
    with pytest.raises(InvalidRecord):
        parse_event(line)


def started(plan: str = PLAN) -> Event:
    return example(events.Started, plan=plan, mode="lab")


def test_the_way_to_a_promotion() -> None:
    life = fold(
        [
            started(),
            example(events.Decided),
            example(events.PromoteOpened),
            example(events.Promoted),
            example(events.Stopped),
        ]
    )
    assert life.state is State.PROMOTED
    assert life.plan == PLAN


def test_the_same_content_never_starts_again() -> None:
    life = fold([started(), example(events.Stopped)])
    with pytest.raises(IllegalEvent, match="ran before"):
        apply(life, started())
    assert apply(life, started("cd" * 32)).state is State.RUNNING


def test_a_new_plan_forgets_the_old_evidence_and_keeps_what_was_learned() -> None:
    extended = example(events.Extended, days=3.0)
    learned = example(events.Learned, text="caches lie")
    life = fold([started(), extended, learned, example(events.Stopped), started("cd" * 32)])
    assert (life.extra_days, life.learned) == (0.0, ("caches lie",))
    assert life.plans == (PLAN, "cd" * 32)


def test_days_given_before_the_promotion_do_not_extend_the_watch() -> None:
    more = example(events.Extended, days=3.0)
    promotion = [example(events.PromoteOpened), example(events.Promoted)]
    assert fold([started(), more, *promotion]).extra_days == 0.0
    assert fold([started(), *promotion, more]).extra_days == 3.0


def test_an_ended_experiment_takes_no_decision() -> None:
    for state in ENDED:
        assert (state, events.Decided) not in TRANSITIONS


@settings(max_examples=300)
@given(st.lists(st.sampled_from(list(EVENTS.values())), max_size=12))
def test_an_event_is_applied_as_the_table_says_or_changes_nothing(
    kinds: list[type[Event]],
) -> None:
    life = Life()
    for number, kind in enumerate(kinds):
        event = example(kind)
        if isinstance(event, events.Started):
            event = dataclasses.replace(event, plan=f"{number:064x}")
        target = TRANSITIONS.get((life.state, kind))
        try:
            after = apply(life, event)
        except IllegalEvent:
            assert target is None or kind is events.Reverted
        else:
            assert after.state is target
            life = after
    assert fold(life.events) == life

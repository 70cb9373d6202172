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
    more = example(events.Extended, days=3.0, trials=7)
    promotion = [example(events.PromoteOpened), example(events.Promoted)]
    before, after = fold([started(), more, *promotion]), fold([started(), *promotion, more])
    assert (before.extra_days, before.extra_trials) == (0.0, 0)
    assert (after.extra_days, after.extra_trials) == (3.0, 7)


def test_a_dropped_arm_stays_out_until_another_plan_starts() -> None:
    dropped = example(events.ArmDropped, arm="first", reason_code="errors")
    life = fold([started(), dropped])
    assert life.dropped == {"first": dropped}
    with pytest.raises(IllegalEvent, match="out already"):
        apply(life, dropped)
    with pytest.raises(IllegalEvent, match="it is control"):
        apply(life, example(events.ArmDropped, arm="control"))
    again = fold([started(), dropped, example(events.Stopped), started("cd" * 32)])
    assert again.dropped == {}


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
            again = kind is events.ArmDropped and "some arm" in life.dropped
            assert target is None or kind is events.Reverted or again
        else:
            assert after.state is target
            life = after
    assert fold(life.events) == life


# Where each event leads from each state, in the states' order; "." where it is refused.
ORDER = [
    *("draft", "running", "paused", "promoting", "watching"),
    *("promoted", "rolled_back", "expired", "stopped"),
]
MOVES = {
    "started": "running running running . . running running running running",
    "paused": ". paused . paused . . . . .",
    "resumed": ". running running running . . . . .",
    "extended": ". running paused promoting watching . . . .",
    "decided": ". running paused promoting watching . . . .",
    "arm_dropped": ". running . promoting . . . . .",
    "promote_opened": ". promoting . promoting . . . . .",
    "promoted": ". . . watching . . . . .",
    "rolled_back": ". rolled_back rolled_back rolled_back rolled_back rolled_back . . .",
    "reverted": ". . . . . . rolled_back . .",
    "expired": ". expired expired . . . . . .",
    "stopped": ". stopped stopped stopped promoted . . . .",
    "alert_raised": " ".join(ORDER),
    "alert_cleared": " ".join(ORDER),
    "learned": " ".join(ORDER),
}


@pytest.mark.parametrize("word", EVENTS)
@pytest.mark.parametrize("state", State)
def test_every_transition(state: State, word: str) -> None:
    before = Life(state=state, promoted=example(events.Promoted))  # type: ignore[arg-type]
    expected = MOVES[word].split()[ORDER.index(state)]
    if expected == ".":
        with pytest.raises(
            IllegalEvent, match=f"that is {state} cannot be {word}".replace("_", " ")
        ):
            apply(before, example(EVENTS[word]))
    else:
        assert apply(before, example(EVENTS[word])).state == expected


def test_nothing_is_reverted_that_was_not_promoted() -> None:
    ended = fold([started(), example(events.RolledBack)])
    with pytest.raises(IllegalEvent, match="no promotion to revert"):
        apply(ended, example(events.Reverted))


@pytest.mark.parametrize(
    ("event", "field"),
    [
        (example(events.PromoteOpened), "promote_opened"),
        (example(events.Decided), "decided"),
        (example(events.Paused), "paused"),
        (example(events.Stopped), "ended"),
        (example(events.RolledBack), "ended"),
        (example(events.Expired), "ended"),
        (example(events.Resumed), "resumed"),
        (started("cd" * 32), "started"),
    ],
)
def test_the_last_event_of_its_kind_is_kept(event: Event, field: str) -> None:
    before = fold([started()])
    after = apply(before, event)
    assert getattr(after, field) == event
    assert after.events == (*before.events, event)


def test_what_a_promotion_and_its_revert_leave() -> None:
    way = [started(), example(events.PromoteOpened), example(events.Promoted)]
    life = fold([*way, example(events.RolledBack), example(events.Reverted)])
    assert (life.promoted, life.reverted) == (way[2], example(events.Reverted))


def test_a_pause_ends_when_it_goes_on_and_the_mode_may_change() -> None:
    life = fold([started(), example(events.Paused), example(events.Resumed)])
    assert (life.paused, life.mode) == (None, "lab")
    assert apply(life, example(events.Resumed, mode="live")).mode == "live"
    assert apply(Life(), example(events.Started, mode="live")).mode == "live"


def test_what_goes_on_in_real_jobs_was_merged_then_and_runs_from_there() -> None:
    begun = example(events.Started, mode="lab", head="first")
    lab = fold([begun, example(events.Resumed, at="2026-11-23T10:00:00Z")])
    assert (lab.mode, lab.head, lab.merged) == ("lab", "first", "")
    later, last = "2026-11-24T10:00:00Z", "2026-11-25T10:00:00Z"
    live = apply(lab, example(events.Resumed, mode="live", head="second", at=later))
    assert (live.mode, live.head, live.merged) == ("live", "second", later)
    again = apply(live, example(events.Resumed, at=last))  # it was merged once
    assert (again.mode, again.head, again.merged) == ("live", "second", later)


def test_extensions_add_up_and_alerts_stand_until_they_are_cleared() -> None:
    more = example(events.Extended, days=2.0, trials=5)
    life = fold([started(), more, more])
    assert (life.extra_days, life.extra_trials) == (4.0, 10)
    one, other = (example(events.AlertRaised, alert=name) for name in ("one", "other"))
    life = fold([started(), one, other, example(events.AlertCleared, alert="one")])
    assert life.alerts == {"other": other}


def test_a_new_start_forgets_all_but_plans_lessons_and_events() -> None:
    way = [started(), example(events.Learned, text="a"), example(events.Learned, text="b")]
    way += [example(events.AlertRaised), example(events.Decided), example(events.Stopped)]
    life = fold([*way, started("cd" * 32)])
    assert life == Life(
        state=State.RUNNING,
        plans=(PLAN, "cd" * 32),
        started=started("cd" * 32),  # type: ignore[arg-type]
        mode="lab",
        learned=("a", "b"),
        events=(*way, started("cd" * 32)),
    )


def test_a_plan_that_ran_before_is_named_in_the_refusal() -> None:
    with pytest.raises(IllegalEvent, match=rf"\({PLAN[:12]}\)"):
        fold([started(), started()])
    assert Life().plan is None

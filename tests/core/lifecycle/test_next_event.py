"""What follows from what is: each row of `next_event`, and where each of them turns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from expci.core.lifecycle.next_event import Situation, holdback, next_event
from expci.core.lifecycle.transitions import Life, State, fold
from expci.core.model import events
from expci.core.model.events import EVENTS, Event
from expci.core.model.experiment import DecisionRules
from expci.core.model.results import Analysis, Check, Decision
from expci.core.model.trial import timestamp
from support import report_samples
from support.analysis_samples import make_experiment

START = datetime(2026, 11, 1, 10, tzinfo=UTC)
NOW = START + timedelta(days=3)
PLAN, OTHER = "ab" * 32, "cd" * 32
PLAIN = make_experiment()
MANUAL = make_experiment(decision=DecisionRules(rollback="manual"))
NEVER = make_experiment(decision=DecisionRules(promote="never"))
SLOT = replace(PLAIN, slot="review")
ONLY_LIVE = replace(SLOT, run=None)


def at(days: float = 0.0) -> str:
    return timestamp(START + timedelta(days=days))


def started(**changes: Any) -> events.Started:
    fields_ = {"at": at(), "by": "ada", "plan": PLAN, "base": "b", "mode": "lab", "salt": "s"}
    return events.Started(**{**fields_, **changes})


def paused(code: str = "manual", by: str = "expci") -> events.Paused:
    return events.Paused(at=at(1), by=by, reason_code=code, why="any words at all")


def merged(days: float) -> events.Resumed:
    return events.Resumed(at=at(days), by="expci", mode="live", why="merged")


def decided(verdict: str, code: str, arm: str = "") -> events.Decided:
    return events.Decided(at=at(1), by="expci", verdict=verdict, reason_code=code, arm=arm)


def alert(name: str, days: float = 1.0) -> events.AlertRaised:
    return events.AlertRaised(at=at(days), by="expci", alert=name)


OPENED = events.PromoteOpened(at=at(1), by="expci", arm="treatment", branch="expci/promote/x")
PROMOTED = events.Promoted(
    at=at(2), by="expci", arm="treatment", branch="expci/promote/x", merge="m", parent="p"
)
ROLLED_BACK = events.RolledBack(at=at(2.5), by="expci", reason_code="harm_primary", arm="treatment")
BY_HAND = replace(ROLLED_BACK, manual=True)
REVERTED = events.Reverted(at=at(2.6), by="expci", commit="c")


def life(*more: Event, **start: Any) -> Life:
    return fold([started(**start), *more])


def says(verdict: str, code: str, arm: str | None = None, *checks: Check) -> Analysis:
    decision = Decision(verdict, code, ("One.", "Two."), "", arm)  # type: ignore[arg-type]
    return replace(
        report_samples.collecting(), ledger="e" * 40, decision=decision, checks=tuple(checks)
    )


CALM = says("continue", "collecting")
WIN = says("promote", "win", "treatment")
HARM = says("rollback", "harm_primary", "treatment")
INVALID = says("invalid", "not_exposed")
DROP = says("drop", "harm_primary", "first")
HOPELESS = says("drop", "effect_below_threshold", "first")
SUSPECT = says("stop", "looks_harmful", "treatment")
NO_EFFECT = says("stop", "no_effect", "treatment")
EXPIRED = says("expire", "expired", "treatment")
WARNED = says("continue", "collecting", None, Check("regression", "warning", 0.0, "slower"))
QUIET = says("continue", "collecting", None, Check("quiet", "ok"), Check("overdue", "unknown"))

DECIDED_CALM = decided("continue", "collecting")
DECIDED_WIN = decided("promote", "win", "treatment")
DECIDED_HARM = decided("rollback", "harm_primary", "treatment")
DECIDED_INVALID = decided("invalid", "not_exposed")
DECIDED_STOP = decided("stop", "no_effect", "treatment")
DECIDED_DROP = decided("drop", "harm_primary", "first")
DECIDED_HOPELESS = decided("drop", "effect_below_threshold", "first")
DROPPED = events.ArmDropped(at=at(1), by="expci", arm="treatment", reason_code="harm_primary")
DECIDED_SUSPECT = decided("stop", "looks_harmful", "treatment")
DECIDED_EXPIRED = decided("expire", "expired", "treatment")
RUNNING, CLOSED = life(DECIDED_CALM), life(DECIDED_CALM, paused("pull_request_closed"))
PROMOTING = life(DECIDED_WIN, OPENED)
WATCHING = life(DECIDED_WIN, OPENED, PROMOTED, DECIDED_CALM)
ROLLED = life(DECIDED_WIN, OPENED, PROMOTED, DECIDED_CALM, ROLLED_BACK)
EXPOSED = alert("not_exposed")
RESUMED = events.Resumed(at=at(2), by="ada")


def now(life: Life, analysis: Analysis | None = CALM, **changes: Any) -> Situation:
    plain = {"experiment": PLAIN, "now": NOW, "trials": 40, "content": PLAN, "on_base": True}
    return Situation(life=life, analysis=analysis, **{**plain, **changes})


# A situation, and the fields of the event that follows; `None`: nothing follows.
ROWS: Mapping[str, tuple[Situation, Mapping[str, Any] | None]] = {
    "nothing new": (now(RUNNING), None),
    "one arm of several does harm": (
        now(life(DECIDED_DROP), DROP),
        {"event": "arm_dropped", "arm": "first", "reason_code": "harm_primary"},
    ),
    "one arm of several cannot win": (
        now(life(DECIDED_HOPELESS), HOPELESS),
        {"event": "arm_dropped", "arm": "first", "reason_code": "effect_below_threshold"},
    ),
    "one arm does harm while another is being promoted": (
        now(life(DECIDED_WIN, OPENED, DECIDED_DROP), DROP),
        {"event": "arm_dropped", "arm": "first"},
    ),
    "harm by one arm waits for a person": (
        now(life(DECIDED_DROP), DROP, experiment=MANUAL),
        {"event": "alert_raised", "alert": "harm"},
    ),
    "what cannot win waits for nobody": (
        now(life(DECIDED_HOPELESS), HOPELESS, experiment=MANUAL),
        {"event": "arm_dropped", "arm": "first"},
    ),
    "what was about to be promoted was dropped, and another wins": (
        now(life(DECIDED_WIN, OPENED, DROPPED, DECIDED_WIN), WIN),
        {"event": "resumed"},
    ),
    "a harm that nothing proves is alerted before it ends": (
        now(life(DECIDED_SUSPECT), SUSPECT),
        {"event": "alert_raised", "alert": "looks_harmful"},
    ),
    "a harm that nothing proves ends": (
        now(life(DECIDED_SUSPECT, alert("looks_harmful")), SUSPECT),
        {"event": "stopped", "reason_code": "looks_harmful"},
    ),
    "its alert goes when it is extended": (
        now(life(DECIDED_SUSPECT, alert("looks_harmful"), DECIDED_CALM), CALM),
        {"event": "alert_cleared", "alert": "looks_harmful"},
    ),
    # --- people: the proposal ---
    "proposal closed": (
        now(RUNNING, proposal="closed", on_base=False),
        {"event": "paused", "reason_code": "pull_request_closed"},
    ),
    "proposal closed, content on the base": (now(RUNNING, proposal="closed"), None),
    "removed": (
        now(RUNNING, removed=True, content=None),
        {"event": "paused", "reason_code": "removed"},
    ),
    "closed before removed": (
        now(RUNNING, proposal="closed", on_base=False, removed=True),
        {"event": "paused", "reason_code": "pull_request_closed"},
    ),
    "content changed": (
        now(RUNNING, content=OTHER),
        {"event": "paused", "reason_code": "content_changed"},
    ),
    "content not known": (now(RUNNING, content=None), None),
    "merged, and it has a slot": (
        now(RUNNING, experiment=SLOT),
        {"event": "resumed", "mode": "live", "by": "expci"},
    ),
    "merged without a slot": (now(RUNNING, experiment=PLAIN), None),
    "not merged yet": (now(RUNNING, experiment=SLOT, on_base=False), None),
    "live already": (now(life(DECIDED_CALM, mode="live"), experiment=SLOT), None),
    "open again": (now(CLOSED, proposal="open"), {"event": "resumed", "mode": "", "by": "expci"}),
    "merged after all": (now(CLOSED, proposal="merged"), {"event": "resumed", "mode": ""}),
    "still closed": (now(CLOSED, proposal="closed"), None),
    "never proposed": (now(CLOSED, proposal="none"), None),
    "paused by hand stays so": (now(life(paused("manual", "ada")), proposal="open"), None),
    "paused as removed stays so": (now(life(paused("removed")), proposal="open"), None),
    # --- people: the promotion ---
    "promotion merged": (
        now(PROMOTING, WIN, promotion="merged", merge="m1", parent="p1"),
        {
            "event": "promoted",
            "arm": "treatment",
            "branch": "expci/promote/x",
            "merge": "m1",
            "parent": "p1",
            "holdback": 0.5,
        },
    ),
    "merged, but the commit is not known": (now(PROMOTING, WIN, promotion="merged"), None),
    "merged, but not what was before": (now(PROMOTING, WIN, promotion="merged", merge="m1"), None),
    "merge known, request open": (
        now(PROMOTING, WIN, promotion="open", merge="m1", parent="p1"),
        None,
    ),
    "promotion closed": (
        now(PROMOTING, WIN, promotion="closed"),
        {"event": "stopped", "reason_code": "declined"},
    ),
    "promotion open": (now(PROMOTING, WIN, promotion="open"), None),
    "undone by somebody": (
        now(WATCHING, undone=True),
        {"event": "rolled_back", "manual": True, "arm": "treatment", "reason_code": ""},
    ),
    "undone before the watch is over": (
        now(WATCHING, undone=True, now=START + timedelta(days=30)),
        {"event": "rolled_back", "manual": True},
    ),
    "undone does not matter before": (now(RUNNING, undone=True), None),
    "rolled back after a promotion": (
        now(ROLLED),
        {"event": "reverted", "commit": "", "by": "expci"},
    ),
    "reverted already": (now(life(OPENED, PROMOTED, ROLLED_BACK, REVERTED)), None),
    "undone by hand needs no revert": (now(life(OPENED, PROMOTED, BY_HAND)), None),
    "nothing was promoted": (now(life(ROLLED_BACK)), None),
    # --- time ---
    "watched long enough": (
        now(WATCHING, now=START + timedelta(days=9)),
        {"event": "stopped", "reason_code": "watched"},
    ),
    "not yet": (now(WATCHING, now=START + timedelta(days=9, seconds=-1)), None),
    "harm at the end of the watch": (
        now(WATCHING, HARM, now=START + timedelta(days=9)),
        {"event": "decided", "verdict": "rollback"},
    ),
    "an extended watch": (
        now(
            life(OPENED, PROMOTED, events.Extended(at=at(3), by="ada", days=2.0), DECIDED_CALM),
            now=START + timedelta(days=10),
        ),
        None,
    ),
    "time alone ends no other state": (now(RUNNING, now=START + timedelta(days=30)), None),
    # --- the verdict goes on record first ---
    "first verdict": (
        now(life()),
        {
            "event": "decided",
            "verdict": "continue",
            "reason_code": "collecting",
            "arm": "",
            "analysed": "e" * 40,
            "why": "One. Two.",
        },
    ),
    "another verdict": (
        now(RUNNING, WIN),
        {"event": "decided", "verdict": "promote", "arm": "treatment"},
    ),
    "another reason": (
        now(life(decided("continue", "no_data"))),
        {"event": "decided", "reason_code": "collecting"},
    ),
    "another arm": (
        now(life(decided("promote", "win", "other")), WIN),
        {"event": "decided", "arm": "treatment"},
    ),
    "no analysis": (now(life(), None), None),
    "a pause decides nothing": (now(life(paused("manual")), WIN), None),
    "a pause expires": (
        now(life(paused("manual")), EXPIRED),
        {"event": "decided", "verdict": "expire"},
    ),
    "what has ended decides nothing": (
        now(life(events.Stopped(at=at(1), by="ada", reason_code="manual")), WIN),
        None,
    ),
    # --- then it is followed ---
    "harm": (
        now(life(DECIDED_HARM), HARM),
        {
            "event": "rolled_back",
            "reason_code": "harm_primary",
            "arm": "treatment",
            "manual": False,
            "why": "One. Two.",
        },
    ),
    "harm while promoting": (
        now(life(DECIDED_WIN, OPENED, DECIDED_HARM), HARM, promotion="open"),
        {"event": "rolled_back"},
    ),
    "harm while watching": (
        now(life(OPENED, PROMOTED, DECIDED_HARM), HARM),
        {"event": "rolled_back"},
    ),
    "harm, and people roll back": (
        now(life(DECIDED_HARM), HARM, experiment=MANUAL),
        {"event": "alert_raised", "alert": "harm"},
    ),
    "harm that was said": (now(life(DECIDED_HARM, alert("harm")), HARM, experiment=MANUAL), None),
    "invalid: first the alert": (
        now(life(DECIDED_INVALID), INVALID),
        {"event": "alert_raised", "alert": "not_exposed"},
    ),
    "invalid: then the pause": (
        now(life(DECIDED_INVALID, EXPOSED), INVALID),
        {"event": "paused", "reason_code": "not_exposed", "why": "One. Two."},
    ),
    "invalid while promoting": (
        now(life(DECIDED_WIN, OPENED, DECIDED_INVALID, EXPOSED), INVALID, promotion="open"),
        {"event": "paused", "reason_code": "not_exposed"},
    ),
    "invalid while watching only alerts": (
        now(life(OPENED, PROMOTED, DECIDED_INVALID), INVALID),
        {"event": "alert_raised", "alert": "not_exposed"},
    ),
    "invalid while watching, said": (
        now(life(OPENED, PROMOTED, DECIDED_INVALID, EXPOSED), INVALID),
        None,
    ),
    "invalid, but somebody went on": (
        now(life(DECIDED_INVALID, EXPOSED, paused("not_exposed"), RESUMED), INVALID),
        None,
    ),
    "invalid, somebody went on at that very moment": (
        now(life(DECIDED_INVALID, alert("not_exposed", 2), paused(), RESUMED), INVALID),
        None,
    ),
    "invalid since somebody went on": (
        now(life(DECIDED_INVALID, paused(), RESUMED, alert("not_exposed", 2.5)), INVALID),
        {"event": "paused", "reason_code": "not_exposed"},
    ),
    "invalid, the pass itself went on": (
        now(life(DECIDED_INVALID, EXPOSED, paused(), replace(RESUMED, by="expci")), INVALID),
        {"event": "paused", "reason_code": "not_exposed"},
    ),
    "a win": (
        now(life(DECIDED_WIN), WIN),
        {"event": "promote_opened", "arm": "treatment", "why": "One. Two."},
    ),
    "a win that is never promoted": (
        now(life(DECIDED_WIN), WIN, experiment=NEVER),
        {"event": "stopped", "reason_code": "win"},
    ),
    "a win while promoting": (now(PROMOTING, WIN, promotion="open"), None),
    "the evidence faded": (
        now(life(DECIDED_WIN, OPENED, DECIDED_CALM), promotion="open"),
        {"event": "resumed", "mode": "", "by": "expci"},
    ),
    "no effect": (
        now(life(DECIDED_STOP), NO_EFFECT),
        {"event": "stopped", "reason_code": "no_effect"},
    ),
    "no effect while promoting": (
        now(life(DECIDED_WIN, OPENED, DECIDED_STOP), NO_EFFECT, promotion="open"),
        {"event": "stopped", "reason_code": "no_effect"},
    ),
    "no effect while watching": (now(life(OPENED, PROMOTED, DECIDED_STOP), NO_EFFECT), None),
    "expired": (
        now(life(DECIDED_EXPIRED), EXPIRED),
        {"event": "expired", "reason_code": "expired"},
    ),
    "expired while paused": (now(life(paused(), DECIDED_EXPIRED), EXPIRED), {"event": "expired"}),
    "no expiry while promoting": (
        now(life(OPENED, DECIDED_EXPIRED), EXPIRED, promotion="open"),
        None,
    ),
    # --- alerts ---
    "a warning": (
        now(RUNNING, WARNED),
        {"event": "alert_raised", "alert": "regression", "why": "slower"},
    ),
    "a failed check that decides nothing": (
        now(RUNNING, says("continue", "collecting", None, Check("quiet", "failed", None, "still"))),
        {"event": "alert_raised", "alert": "quiet"},
    ),
    "checks that are fine or not known": (now(RUNNING, QUIET), None),
    "a warning that was said": (now(life(DECIDED_CALM, alert("regression")), WARNED), None),
    "a warning that is over": (
        now(life(DECIDED_CALM, alert("regression"))),
        {"event": "alert_cleared", "alert": "regression"},
    ),
    "one more": (
        now(life(DECIDED_CALM, alert("quiet")), WARNED),
        {"event": "alert_raised", "alert": "regression"},
    ),
    "no alerts of what is paused": (now(life(DECIDED_CALM, paused()), WARNED), None),
    "no trial for days": (
        now(RUNNING, trials=0),
        {
            "event": "alert_raised",
            "alert": "no_trials",
            "why": "running for 3 days, 0 trials: is the trial step in a workflow that runs?",
        },
    ),
    "no trial before the merge": (
        now(life(DECIDED_CALM), trials=0, experiment=ONLY_LIVE, on_base=False),
        {
            "event": "alert_raised",
            "alert": "no_trials",
            "why": "started 3 days ago, and not on the base branch yet: jobs with the slot review "
            "take part only from there. Merge it, or push its commit to that branch",
        },
    ),
    "no trial on the first day after the merge": (
        now(life(merged(2.5), DECIDED_CALM), trials=0, experiment=ONLY_LIVE),
        None,
    ),
    "trials that do not count": (
        now(RUNNING, trials=0, uncounted=7),
        {
            "event": "alert_raised",
            "alert": "no_trials",
            "why": "running for 3 days, and of 7 trials not one counts",
        },
    ),
    "no trial without an analysis": (
        now(RUNNING, None, trials=0),
        {"event": "alert_raised", "alert": "no_trials"},
    ),
    "no trial on the first day": (now(RUNNING, trials=0, now=START + timedelta(days=1)), None),
    "no trial after the first day": (
        now(RUNNING, trials=0, now=START + timedelta(days=1, seconds=1)),
        {"event": "alert_raised", "alert": "no_trials"},
    ),
    "trials came": (
        now(life(DECIDED_CALM, alert("no_trials"))),
        {"event": "alert_cleared", "alert": "no_trials"},
    ),
}


@pytest.mark.parametrize("name", ROWS)
def test_row(name: str) -> None:
    situation, expected = ROWS[name]
    event = next_event(situation)
    if expected is None:
        assert event is None
        return
    assert event is not None
    own = {f.name: getattr(event, f.name) for f in fields(event)} | {"event": event.word}
    assert {key: own[key] for key in expected} == dict(expected)
    assert (event.at, event.by) == (timestamp(situation.now), "expci")
    assert event.why


@pytest.mark.parametrize("name", ROWS)
def test_what_follows_may_follow(name: str) -> None:
    situation, _ = ROWS[name]
    event = next_event(situation)
    if event is not None:
        fold([*situation.life.events, event])


def test_every_event_that_the_pass_makes_is_among_them() -> None:
    by_people = {"started", "extended", "learned"}
    words = {expected["event"] for _, expected in ROWS.values() if expected}
    assert words == EVENTS.keys() - by_people


def test_every_state_is_among_them() -> None:
    tested = {situation.life.state for situation, _ in ROWS.values()}
    silent = {State.DRAFT, State.PROMOTED, State.EXPIRED}
    assert tested == set(State) - silent


def test_nothing_follows_for_what_has_ended() -> None:
    ended = [
        life(events.Expired(at=at(1), by="expci")),
        life(OPENED, PROMOTED, events.Stopped(at=at(2), by="ada", reason_code="watched")),
    ]
    for one in ended:
        assert next_event(now(one, WARNED, trials=0, proposal="closed", removed=True)) is None


def test_half_of_the_units_keep_the_old_content_however_many_trials_there_are() -> None:
    # At 20 % a harmless promotion is reverted far too often (docs/calibration.md).
    for trials in (1, 1_000_000):
        situation = now(life(), experiment=make_experiment(), trials=trials)
        assert holdback(situation) == 0.5


def test_a_stated_holdback_stands() -> None:
    stated = make_experiment(decision=DecisionRules(holdback=0.1))
    assert holdback(now(life(), experiment=stated, trials=1)) == 0.1
    assert holdback(now(Life(), trials=1_000_000)) == 0.5


def test_a_long_reason_is_cut() -> None:
    decision = replace(CALM.decision, reasons=("x" * 900, "y" * 900))
    for one in (
        now(life(), replace(CALM, decision=decision)),
        now(
            life(decided("stop", "no_effect")),
            replace(CALM, decision=replace(decision, verdict="stop", reason_code="no_effect")),
        ),
        now(
            life(decided("invalid", "attrition")),
            replace(CALM, decision=replace(decision, verdict="invalid", reason_code="attrition")),
        ),
        now(
            life(DECIDED_HARM),
            replace(HARM, decision=replace(HARM.decision, reasons=decision.reasons)),
            experiment=MANUAL,
        ),
    ):
        event = next_event(one)
        assert event is not None
        assert len(event.why) == 1000


WHY = {
    "proposal closed": "the experiment's pull request was closed",
    "removed": "it was removed from the default branch",
    "content changed": "its content changed; `expci start` starts the changed experiment afresh",
    "open again": "the experiment's pull request is open again",
    "promotion merged": "the promotion's pull request was merged",
    "promotion closed": "the promotion's pull request was closed without merging it",
    "undone by somebody": "the promoted change is no longer on the base branch: somebody "
    "reverted it",
    "rolled back after a promotion": "the promoted change was rolled back",
    "watched long enough": "watched for 7 days: no harm shown",
    "the evidence faded": "the evidence faded: One. Two.",
    "harm, and people roll back": "One. Two.",
    "invalid: first the alert": "One. Two.",
    "invalid while watching only alerts": "One. Two.",
    "expired": "One. Two.",
    "no effect": "One. Two.",
    "a win that is never promoted": "One. Two.",
    "a warning that is over": "no longer so",
}


@pytest.mark.parametrize("name", WHY)
def test_why(name: str) -> None:
    event = next_event(ROWS[name][0])
    assert event is not None
    assert event.why == WHY[name]


def test_merged_into_a_slot_says_whose_jobs_take_part() -> None:
    event = next_event(ROWS["merged, and it has a slot"][0])
    assert event is not None
    assert event.why == "merged: jobs with the slot review take part from here"


def test_the_holdback_of_a_promotion_is_the_stated_one() -> None:
    stated = make_experiment(decision=DecisionRules(holdback=0.3))
    event = next_event(replace(ROWS["promotion merged"][0], experiment=stated))
    assert isinstance(event, events.Promoted)
    assert event.holdback == 0.3


def test_a_decision_about_no_arm_names_none() -> None:
    harm = says("rollback", "harm_primary", None)
    event = next_event(now(life(decided("rollback", "harm_primary")), harm))
    assert isinstance(event, events.RolledBack)
    assert event.arm == ""


def test_an_expiry_keeps_its_code() -> None:
    event = next_event(now(life(decided("expire", "no_data")), says("expire", "no_data")))
    assert isinstance(event, events.Expired)
    assert event.reason_code == "no_data"


def test_people_who_roll_back_by_hand_are_told_of_harm_only() -> None:
    assert next_event(now(RUNNING, experiment=MANUAL)) is None

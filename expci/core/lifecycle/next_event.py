"""Think: from the situation of an experiment to the next event of its life, if any.

Pure. The pass gathers a `Situation`, asks for the next event, makes it so in the world
(`flows/auto/auto.py`), records it, and asks again until there is none. Every event here is
derived from what *is*, so a pass that died anywhere is finished by the next one.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from expci.core import number_format
from expci.core.lifecycle.transitions import COLLECTING, Life, State, awaits_merge, open_since
from expci.core.model import events, limits
from expci.core.model.events import Event
from expci.core.model.experiment import Experiment
from expci.core.model.results import Analysis, Decision
from expci.core.model.trial import parse_timestamp, timestamp

BY = "expci"
PullRequestStatus = Literal["none", "open", "closed", "merged"]

# An alert of these names is raised and cleared by the verdict and checks of the analysis.
HARM_ALERT = "harm"
HARM = ("harm_primary", "harm_guardrail", "errors")  # reason codes
HARM_SUSPECTED = "looks_harmful"  # outlasts the experiment that it ends
NO_TRIALS_ALERT = "no_trials"
NO_TRIALS_AFTER = timedelta(days=1)


@dataclass(frozen=True)
class Situation:
    """What was gathered about one experiment.

    `proposal` is the pull request that proposes it, `promotion` the one that promotes.
    `content` is the plan id of the experiment as it stands where it is proposed or
    merged now (`None`: unknown), `removed` when it was there and is no longer. `merge`
    and `parent` are set once the promotion is on the base branch; `undone` when the base
    holds the old content again. `trials` counts the plan's own, `uncounted` those that do not
    count: a fork's, or of jobs that ran untouched.
    """

    experiment: Experiment
    life: Life
    now: datetime
    analysis: Analysis | None = None
    proposal: PullRequestStatus = "none"
    promotion: PullRequestStatus = "none"
    content: str | None = None
    on_base: bool = False
    removed: bool = False
    merge: str | None = None
    parent: str | None = None
    undone: bool = False
    trials: int = 0
    uncounted: int = 0


def next_event(situation: Situation) -> Event | None:
    """Return the event that follows from the situation; `None` when all is as it should be.

    >>> from support.report_samples import experiment, life
    >>> from datetime import UTC
    >>> now = datetime(2026, 11, 3, tzinfo=UTC)
    >>> closed = next_event(Situation(experiment(), life(), now, proposal="closed"))
    >>> closed.word, closed.reason_code
    ('paused', 'pull_request_closed')
    """
    for rule in (_by_people, _by_time, _by_verdict, _by_alerts):
        event = rule(situation)
        if event is not None:
            return event
    return None


def _at(situation: Situation) -> str:
    return timestamp(situation.now)


def _by_people(s: Situation) -> Event | None:
    """What somebody did: merged, closed, reopened, reverted, pushed other content."""
    match s.life.state:
        case State.PROMOTING:
            return _by_promotion(s)
        case State.WATCHING if s.undone:
            why = "the promoted change is no longer on the base branch: somebody reverted it"
            return (
                events.RolledBack(at=_at(s), by=BY, why=why, manual=True, arm=s.life.promoted.arm)
                if s.life.promoted
                else None
            )
        case State.RUNNING:
            return _proposal(s)
        case State.ROLLED_BACK if s.life.promoted and not s.life.reverted and not _manual(s):
            return events.Reverted(at=_at(s), by=BY, why="the promoted change was rolled back")
        case State.PAUSED if s.life.paused and s.life.paused.reason_code == CLOSED:
            if s.proposal in ("open", "merged"):
                return events.Resumed(
                    at=_at(s), by=BY, why="the experiment's pull request is open again"
                )
    return None


def _manual(s: Situation) -> bool:
    return isinstance(s.life.ended, events.RolledBack) and s.life.ended.manual


CLOSED = "pull_request_closed"


def _proposal(s: Situation) -> Event | None:
    if s.proposal == "closed" and not s.on_base:
        return _pause(s, CLOSED, "the experiment's pull request was closed")
    if s.removed:
        return _pause(s, "removed", "it was removed from the default branch")
    if s.content is not None and s.content != s.life.plan:
        why = "its content changed; `expci start` starts the changed experiment afresh"
        return _pause(s, "content_changed", why)
    if s.on_base and s.content == s.life.plan and s.life.mode == "lab" and s.experiment.slot:
        why = f"merged: jobs with the slot {s.experiment.slot} take part from here"
        return events.Resumed(at=_at(s), by=BY, why=why, mode="live")
    return None


def _pause(s: Situation, code: str, why: str) -> Event:
    return events.Paused(at=_at(s), by=BY, why=why, reason_code=code)


def _by_promotion(s: Situation) -> Event | None:
    opened = s.life.promote_opened
    if opened is None:
        return None
    if s.promotion == "merged" and s.merge and s.parent:
        return events.Promoted(
            at=_at(s),
            by=BY,
            why="the promotion's pull request was merged",
            arm=opened.arm,
            branch=opened.branch,
            merge=s.merge,
            parent=s.parent,
            holdback=holdback(s),
        )
    if s.promotion == "closed":
        why = "the promotion's pull request was closed without merging it"
        return events.Stopped(at=_at(s), by=BY, why=why, reason_code="declined")
    return None


def holdback(s: Situation) -> float:
    """Return the share of units that keep the old content.

    >>> from datetime import UTC
    >>> from support.report_samples import experiment, life
    >>> holdback(Situation(experiment(), life(), datetime(2026, 11, 3, tzinfo=UTC)))
    0.5
    """
    stated = s.experiment.decision.holdback
    return limits.HOLDBACK if stated is None else stated


def _by_time(s: Situation) -> Event | None:
    promoted = s.life.promoted
    if s.life.state is not State.WATCHING or promoted is None:
        return None
    days = s.experiment.decision.watch_days + s.life.extra_days
    if s.now < parse_timestamp(promoted.at) + timedelta(days=days) or _harm(s):
        return None
    why = f"watched for {number_format.days(days)}: no harm shown"
    return events.Stopped(at=_at(s), by=BY, why=why, reason_code="watched")


def _harm(s: Situation) -> bool:
    """Whether harm is proven: to all that is left, or by one treatment of several."""
    decision = s.analysis.decision if s.analysis is not None else None
    return decision is not None and (
        decision.verdict == "rollback"
        or (decision.verdict == "drop" and decision.reason_code in HARM)
    )


def _by_verdict(s: Situation) -> Event | None:
    """What the analysis asks for. A changed verdict is put on record before it is acted on."""
    if s.analysis is None or s.life.state not in (*COLLECTING, State.PAUSED):
        return None
    decision = s.analysis.decision
    if s.life.state is State.PAUSED and decision.verdict != "expire":
        return None
    decided = s.life.decided
    if decided is None or (decided.verdict, decided.reason_code, decided.arm) != (
        decision.verdict,
        decision.reason_code,
        decision.arm or "",
    ):
        return events.Decided(
            at=_at(s),
            by=BY,
            why=" ".join(decision.reasons)[:1000],
            verdict=decision.verdict,
            reason_code=decision.reason_code,
            arm=decision.arm or "",
            analysed=s.analysis.ledger,
        )
    return _follow(s, s.analysis)


def _follow(s: Situation, analysis: Analysis) -> Event | None:
    decision = analysis.decision
    why = " ".join(decision.reasons)[:1000]
    at = _at(s)
    state = s.life.state
    arm = decision.arm or ""
    match decision.verdict:
        case "rollback" if s.experiment.decision.rollback == "auto":
            return events.RolledBack(
                at=at, by=BY, why=why, reason_code=decision.reason_code, arm=arm
            )
        case "drop" if _is_out_at_once(s, decision):
            return events.ArmDropped(
                at=at, by=BY, why=why, arm=arm, reason_code=decision.reason_code
            )
        case "invalid" if state is State.RUNNING or state is State.PROMOTING:
            alert = decision.reason_code
            if alert not in s.life.alerts:
                return events.AlertRaised(at=at, by=BY, why=why, alert=alert)
            return None if _resumed_since(s, alert) else _pause(s, alert, why)
        case "promote" if state is State.RUNNING:
            if s.experiment.decision.promote == "never":
                return events.Stopped(at=at, by=BY, why=why, reason_code="win")
            return events.PromoteOpened(at=at, by=BY, why=why, arm=arm)
        case "continue" | "promote" if state is State.PROMOTING and _promotes_what_is_out(s):
            return events.Resumed(at=at, by=BY, why="what it was about to promote was dropped")
        case "continue" if state is State.PROMOTING:
            return events.Resumed(at=at, by=BY, why=f"the evidence faded: {why}")
        case "stop" if state in (State.RUNNING, State.PROMOTING):
            if decision.reason_code == HARM_SUSPECTED and HARM_SUSPECTED not in s.life.alerts:
                return events.AlertRaised(at=at, by=BY, why=why, alert=HARM_SUSPECTED)
            return events.Stopped(at=at, by=BY, why=why, reason_code=decision.reason_code)
        case "expire" if state in (State.RUNNING, State.PAUSED):
            return events.Expired(at=at, by=BY, why=why, reason_code=decision.reason_code)
    return None


def _is_out_at_once(s: Situation, decision: Decision) -> bool:
    """A treatment that does harm waits for a person where the plan says so."""
    return decision.reason_code not in HARM or s.experiment.decision.rollback == "auto"


def _promotes_what_is_out(s: Situation) -> bool:
    opened = s.life.promote_opened
    return opened is not None and opened.arm in s.life.dropped


def _resumed_since(s: Situation, alert: str) -> bool:
    """Whether a person saw the alert and went on: the pass does not pause it a second time.

    Nothing is decided while the check fails; the alert stands until it passes again.
    """
    resumed = s.life.resumed
    return resumed is not None and resumed.by != BY and resumed.at >= s.life.alerts[alert].at


def _by_alerts(s: Situation) -> Event | None:
    """One alert for each thing that is wrong, raised once, cleared once."""
    if s.life.state not in COLLECTING:
        return None
    wrong = dict(_wrong(s))
    for alert, why in wrong.items():
        if alert not in s.life.alerts:
            return events.AlertRaised(at=_at(s), by=BY, why=why, alert=alert)
    for alert in s.life.alerts:
        if alert not in wrong:
            return events.AlertCleared(at=_at(s), by=BY, why="no longer so", alert=alert)
    return None


def _wrong(s: Situation) -> list[tuple[str, str]]:
    alerts: list[tuple[str, str]] = []
    started = s.life.started
    since = open_since(s.experiment, s.life) or (started.at if started else timestamp(s.now))
    silent_for = s.now - parse_timestamp(since)
    if s.trials == 0 and silent_for > NO_TRIALS_AFTER:
        days = silent_for.days
        alerts.append(
            (
                NO_TRIALS_ALERT,
                f"running for {days} days, and of {s.uncounted} trials not one counts"
                if s.uncounted
                else _why_silent(s, days),
            )
        )
    if s.analysis is None:
        return alerts
    if s.analysis.decision.verdict == "invalid":
        why = " ".join(s.analysis.decision.reasons)[:1000]
        alerts.append((s.analysis.decision.reason_code, why))
    if _harm(s) and s.experiment.decision.rollback == "manual":
        alerts.append((HARM_ALERT, " ".join(s.analysis.decision.reasons)[:1000]))
    alerts += [
        (check.name, check.detail)
        for check in s.analysis.checks
        if check.status in ("warning", "failed")
    ]
    return alerts


def _why_silent(s: Situation, days: int) -> str:
    if awaits_merge(s.experiment, s.life):
        return (
            f"started {days} days ago, and not on the base branch yet: jobs with the slot "
            f"{s.experiment.slot} take part only from there. Merge it, or push its commit to that "
            "branch"
        )
    return f"running for {days} days, 0 trials: is the trial step in a workflow that runs?"

"""The life of an experiment as one transition table.

State is a fold of events over `TRANSITIONS`. An event that the table does not allow is
refused and changes nothing. `docs/data-model.md` holds the diagram of this table.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from types import MappingProxyType

from expci.core.model.events import (
    AlertCleared,
    AlertRaised,
    ArmDropped,
    Decided,
    Event,
    Expired,
    Extended,
    Learned,
    Paused,
    Promoted,
    PromoteOpened,
    Resumed,
    Reverted,
    RolledBack,
    Started,
    Stopped,
)
from expci.core.model.experiment import CONTROL, Experiment
from expci.errors import IllegalEvent


class State(StrEnum):
    DRAFT = "draft"
    RUNNING = "running"
    PAUSED = "paused"
    PROMOTING = "promoting"
    WATCHING = "watching"
    PROMOTED = "promoted"
    ROLLED_BACK = "rolled_back"
    EXPIRED = "expired"
    STOPPED = "stopped"


ENDED = frozenset({State.PROMOTED, State.ROLLED_BACK, State.EXPIRED, State.STOPPED})
LIVE = frozenset({State.RUNNING, State.PAUSED, State.PROMOTING, State.WATCHING})
COLLECTING = frozenset({State.RUNNING, State.PROMOTING, State.WATCHING})

_MOVES: Mapping[State, Mapping[type[Event], State]] = {
    State.DRAFT: {Started: State.RUNNING},
    State.RUNNING: {
        Resumed: State.RUNNING,  # in another mode: merged, so live from here
        Started: State.RUNNING,  # with changed content: a new plan
        Paused: State.PAUSED,
        Extended: State.RUNNING,
        ArmDropped: State.RUNNING,  # the others go on
        PromoteOpened: State.PROMOTING,
        RolledBack: State.ROLLED_BACK,
        Expired: State.EXPIRED,
        Stopped: State.STOPPED,
    },
    State.PAUSED: {
        Resumed: State.RUNNING,
        Extended: State.PAUSED,
        Started: State.RUNNING,  # with changed content: a new plan
        RolledBack: State.ROLLED_BACK,
        Expired: State.EXPIRED,
        Stopped: State.STOPPED,
    },
    State.PROMOTING: {
        ArmDropped: State.PROMOTING,
        Extended: State.PROMOTING,
        PromoteOpened: State.PROMOTING,  # the same pull request, updated
        Resumed: State.RUNNING,  # the evidence faded
        Paused: State.PAUSED,
        Promoted: State.WATCHING,
        RolledBack: State.ROLLED_BACK,
        Stopped: State.STOPPED,
    },
    State.WATCHING: {
        Stopped: State.PROMOTED,  # the watch is over, the change stays
        RolledBack: State.ROLLED_BACK,
        Extended: State.WATCHING,
    },
    State.PROMOTED: {
        Started: State.RUNNING,
        RolledBack: State.ROLLED_BACK,
    },
    State.ROLLED_BACK: {
        Started: State.RUNNING,
        Reverted: State.ROLLED_BACK,  # the commit or pull request that undid the promotion
    },
    State.EXPIRED: {Started: State.RUNNING},
    State.STOPPED: {Started: State.RUNNING},
}
_EVERYWHERE: tuple[type[Event], ...] = (AlertRaised, AlertCleared, Learned)

TRANSITIONS: Mapping[tuple[State, type[Event]], State] = MappingProxyType(
    {(state, event): target for state, moves in _MOVES.items() for event, target in moves.items()}
    | {(state, event): state for state in State for event in _EVERYWHERE}
    | {(state, Decided): state for state in LIVE}
)


@dataclass(frozen=True)
class Life:
    """What the events of one experiment add up to.

    `plans` are all plans that ever ran, the current one last; `head` is the commit at which a
    person started it last; `merged` is when a started one came to the base branch; `extra_days` and
    `extra_trials` are what `extend` added; `dropped` are the treatments that are out, by name.
    """

    state: State = State.DRAFT
    plans: tuple[str, ...] = ()
    started: Started | None = None
    head: str = ""
    mode: str = "lab"
    merged: str = ""
    extra_days: float = 0.0
    extra_trials: int = 0
    promote_opened: PromoteOpened | None = None
    promoted: Promoted | None = None
    ended: Stopped | RolledBack | Expired | None = None
    reverted: Reverted | None = None
    decided: Decided | None = None
    dropped: Mapping[str, ArmDropped] = field(default_factory=dict)
    paused: Paused | None = None
    resumed: Resumed | None = None
    learned: tuple[str, ...] = ()
    alerts: Mapping[str, AlertRaised] = field(default_factory=dict)
    events: tuple[Event, ...] = ()

    @property
    def plan(self) -> str | None:
        return self.plans[-1] if self.plans else None


def awaits_merge(experiment: Experiment, life: Life) -> bool:
    """Return whether it runs and no trial can come before it is on the base branch.

    Real jobs take part only in what was merged, and there is nothing that the lab could run.

    >>> from support.report_samples import experiment, life
    >>> only_live = experiment(slot="review", run=None)
    >>> awaits_merge(only_live, life()), awaits_merge(experiment(slot="review"), life())
    (True, False)
    """
    return _is_only_live(experiment) and life.state is State.RUNNING and life.mode == "lab"


def open_since(experiment: Experiment, life: Life) -> str:
    """Return when trials could come first, from where its time runs; empty before that.

    That is the start, or the merge of one whose trials only real jobs can bring.

    >>> from dataclasses import replace
    >>> from support.report_samples import experiment, life
    >>> only_live, started = experiment(slot="review", run=None), life()
    >>> open_since(experiment(), started) == started.started.at
    True
    >>> open_since(only_live, started)
    ''
    >>> open_since(only_live, replace(started, mode="live", merged="2026-11-23T09:00:00Z"))
    '2026-11-23T09:00:00Z'
    """
    started = life.started
    if started is None:
        return ""
    if not _is_only_live(experiment) or started.mode == "live":
        return started.at
    return life.merged


def _is_only_live(experiment: Experiment) -> bool:
    return experiment.slot is not None and experiment.run is None


def fold(events: Iterable[Event]) -> Life:
    """Return the life that these events add up to; `IllegalEvent` at the first that cannot be.

    >>> start = Started(at="t", by="ada", plan="p1", base="c", mode="lab", salt="s")
    >>> fold([start, Paused(at="t", by="ada")]).state
    <State.PAUSED: 'paused'>
    """
    life = Life()
    for event in events:
        life = apply(life, event)
    return life


def apply(life: Life, event: Event) -> Life:
    """Return `life` after `event`. An illegal one raises `IllegalEvent`; `life` is unchanged.

    >>> apply(Life(), Paused(at="t", by="ada"))
    Traceback (most recent call last):
    expci.errors.IllegalEvent: an experiment that is draft cannot be paused
    """
    target = TRANSITIONS.get((life.state, type(event)))
    if target is None:
        state, word = (text.replace("_", " ") for text in (life.state, event.word))
        again = ": to try again, change it and start it as a new plan"
        ended = again if life.state in ENDED else ""
        raise IllegalEvent(f"an experiment that is {state} cannot be {word}{ended}")
    _guard(life, event)
    life = replace(life, state=target, events=(*life.events, event))
    match event:
        case Started():
            return Life(
                state=target,
                plans=(*life.plans, event.plan),
                started=event,
                head=event.head,
                mode=event.mode,
                learned=life.learned,
                events=life.events,
            )
        case Extended():
            return replace(
                life,
                extra_days=life.extra_days + event.days,
                extra_trials=life.extra_trials + event.trials,
            )
        case Paused():
            return replace(life, paused=event)
        case Resumed():
            mode, head = event.mode or life.mode, event.head or life.head
            merged = event.at if (life.mode, mode) == ("lab", "live") else life.merged
            return replace(life, paused=None, resumed=event, mode=mode, head=head, merged=merged)
        case PromoteOpened():
            return replace(life, promote_opened=event)
        case Promoted():
            # What extended the experiment does not extend the watch.
            return replace(life, promoted=event, extra_days=0.0, extra_trials=0)
        case Reverted():
            return replace(life, reverted=event)
        case Stopped() | RolledBack() | Expired():
            return replace(life, ended=event)
        case Decided():
            return replace(life, decided=event)
        case ArmDropped():
            return replace(life, dropped={**life.dropped, event.arm: event})
        case Learned():
            return replace(life, learned=(*life.learned, event.text))
        case AlertRaised():
            return replace(life, alerts={**life.alerts, event.alert: event})
        case AlertCleared():
            return replace(
                life, alerts={key: a for key, a in life.alerts.items() if key != event.alert}
            )
    return life


def _guard(life: Life, event: Event) -> None:
    if isinstance(event, Started) and event.plan in life.plans:
        raise IllegalEvent(
            f"this plan ({event.plan[:12]}) ran before and does not start again: "
            "`expci resume` continues a paused one; change its content to start afresh"
        )
    if isinstance(event, ArmDropped) and event.arm in (CONTROL, *life.dropped):
        raise IllegalEvent(f"{event.arm} cannot be dropped: it is control, or out already")
    if isinstance(event, Reverted) and life.promoted is None:
        raise IllegalEvent("there is no promotion to revert")

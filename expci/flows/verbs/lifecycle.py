"""`expci pause`, `resume`, `stop`, `extend`: events that a person puts on record."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from expci.core.lifecycle.transitions import COLLECTING, ENDED, Life, State, apply
from expci.core.model.events import Event, Extended, Learned, Paused, Resumed, Stopped
from expci.core.model.trial import timestamp
from expci.errors import ExpciError, IllegalEvent, UsageError
from expci.flows.context import Context
from expci.flows.lookup import require_plan, require_started
from expci.store.ledger.transaction import LedgerChange, Snapshot

MOST_DAYS = 3650
MOST_TRIALS = 1_000_000


@dataclass(frozen=True)
class Transition:
    """What a verb did: the state before and after, and the event; `None` if it was so already."""

    experiment: str
    before: State
    after: State
    event: Event | None = None

    def to_json(self) -> dict[str, str]:
        return {
            "schema": "expci.transition/1",
            "experiment": self.experiment,
            "before": self.before,
            "after": self.after,
        }


def pause(app: Context, name: str, why: str) -> Transition:
    """Take no more trials until `resume`; what was recorded stays."""
    event = Paused(at=_now(app), by=app.actor, why=why, reason_code="manual")
    with app.store.remote.listed_once():
        _withdraw(app, name, {State.RUNNING, State.PROMOTING})
        return _record(app, name, lambda _: [event], done=State.PAUSED)


def resume(app: Context, name: str, why: str) -> Transition:
    """Go on with the same plan."""

    def think(life: Life) -> list[Event]:
        if life.state is not State.PAUSED:
            raise IllegalEvent(f"{name} is {life.state}, not paused: there is nothing to resume")
        return [Resumed(at=_now(app), by=app.actor, why=why)]

    return _record(app, name, think, done=State.RUNNING)


def stop(app: Context, name: str, why: str, learned: str | None) -> Transition:
    """End the experiment; while watching: end the watch, the change stays."""

    def think(life: Life) -> list[Event]:
        # An experiment that has ended can still be given what was learned from it.
        if life.state in ENDED and learned:
            return _learned(app, learned)
        ending = Stopped(at=_now(app), by=app.actor, why=why, reason_code="manual")
        return [ending, *_learned(app, learned)]

    with app.store.remote.listed_once():
        _withdraw(app, name, COLLECTING | {State.PAUSED})
        return _record(app, name, think, done=None if learned else State.STOPPED)


def extend(
    app: Context, name: str, *, days: float = 0, trials: int = 0, why: str = ""
) -> Transition:
    """Give a live experiment more days or more trials per arm."""
    if not (0 <= days <= MOST_DAYS and 0 <= trials <= MOST_TRIALS) or days + trials == 0:
        raise UsageError(
            f"say by how much: --days N (at most {MOST_DAYS}) or --trials N (at most "
            f"{MOST_TRIALS:,})"
        )
    if trials:
        _refuse_other_size(app, name)
    event = Extended(at=_now(app), by=app.actor, why=why, days=float(days), trials=trials)
    return _record(app, name, lambda _: [event])


def _refuse_other_size(app: Context, name: str) -> None:
    """Evidence at planned looks stays valid with more trials only where alpha was kept for them."""
    plan = require_plan(app.store.snapshot(inbox=False).ledger, name)
    inference = plan.experiment.plan.inference
    if inference != "anytime" and not plan.experiment.plan.reserve:
        raise ExpciError(
            f"{name} is analysed as {inference}: its sample size was fixed with the plan. More "
            "days are possible (--days N); for more trials start a changed experiment, with "
            "`inference: auto` or `anytime`"
        )


def _learned(app: Context, learned: str | None) -> list[Event]:
    return [Learned(at=_now(app), by=app.actor, text=learned)] if learned else []


def _withdraw(app: Context, name: str, states: frozenset[State] | set[State]) -> None:
    """Exposure stops first and alone, before anything else can fail."""
    snapshot = app.store.snapshot(inbox=False)
    if require_started(snapshot.ledger, name).state in states:
        app.store.withdraw(snapshot, [name])


def _record(
    app: Context,
    name: str,
    think_events: Callable[[Life], list[Event]],
    *,
    done: State | None = None,
) -> Transition:
    """Put on record what `think_events` makes; nothing where the state is `done` already."""
    transitions: list[Transition] = []

    def think(snapshot: Snapshot) -> LedgerChange | None:
        life = require_started(snapshot.ledger, name)
        if life.state is done:
            transitions[:] = [Transition(name, life.state, life.state)]
            return None
        events = [app.named(replace(e, comment=app.comment)) for e in think_events(life)]
        files = snapshot.ledger.with_events(name, events)
        words = ", ".join(event.word for event in events)
        change = LedgerChange.of(f"{name}: {words}\n\n{events[0].why}".rstrip(), files)
        transitions[:] = [Transition(name, life.state, _after(life, events), events[0])]
        return change

    app.store.transact(app.clock(), think)
    return transitions[0]


def _after(life: Life, events: list[Event]) -> State:
    for event in events:
        life = apply(life, event)
    return life.state


def _now(app: Context) -> str:
    return timestamp(app.clock())

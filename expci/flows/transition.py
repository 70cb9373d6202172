"""`expci pause`, `resume`, `stop`, `extend`: events that a person puts on record."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from expci.core.events import Event, Extended, Learned, Paused, Resumed, Stopped
from expci.core.lifecycle import COLLECTING, ENDED, Life, State, apply
from expci.core.trials import timestamp
from expci.errors import ExpciError, IllegalEvent
from expci.flows.context import Context
from expci.flows.known import require_known
from expci.store.transaction import Change, Snapshot


@dataclass(frozen=True)
class Transition:
    """What a verb did: the state before and after."""

    experiment: str
    before: str
    after: str

    def to_json(self) -> dict[str, str]:
        return {"experiment": self.experiment, "before": self.before, "after": self.after}


def pause(app: Context, name: str, why: str) -> Transition:
    """Take no more trials until `resume`; what was recorded stays."""
    _withdraw(app, name, {State.RUNNING, State.PROMOTING})
    return _record(app, name, lambda _: [Paused(at=_now(app), by=app.actor, why=why)])


def resume(app: Context, name: str, why: str) -> Transition:
    """Go on with the same plan."""

    def think(life: Life) -> list[Event]:
        if life.state is not State.PAUSED:
            raise IllegalEvent(f"{name} is {life.state}, not paused: there is nothing to resume")
        return [Resumed(at=_now(app), by=app.actor, why=why)]

    return _record(app, name, think)


def stop(app: Context, name: str, why: str, learned: str | None) -> Transition:
    """End the experiment; while watching: end the watch, the change stays."""
    _withdraw(app, name, COLLECTING | {State.PAUSED})

    def think(life: Life) -> list[Event]:
        # An experiment that has ended can still be given what was learned from it.
        if life.state in ENDED and learned:
            return _learned(app, learned)
        ending = Stopped(at=_now(app), by=app.actor, why=why, reason_code="manual")
        return [ending, *_learned(app, learned)]

    return _record(app, name, think)


def extend(
    app: Context, name: str, *, days: float = 0, trials: int = 0, why: str = ""
) -> Transition:
    """Give a live experiment more days or more trials per arm."""
    if days <= 0 and trials <= 0:
        raise ExpciError("say by how much: --days N or --trials N, above 0")
    event = Extended(at=_now(app), by=app.actor, why=why, days=float(days), trials=trials)
    return _record(app, name, lambda _: [event])


def _learned(app: Context, learned: str | None) -> list[Event]:
    return [Learned(at=_now(app), by=app.actor, text=learned)] if learned else []


def _withdraw(app: Context, name: str, states: frozenset[State] | set[State]) -> None:
    """Exposure stops first and alone, before anything else can fail."""
    snapshot = app.store.snapshot()
    if require_known(snapshot, name).state in states:
        app.store.withdraw(snapshot, [name])


def _record(app: Context, name: str, think_events: Callable[[Life], list[Event]]) -> Transition:
    made: list[Transition] = []

    def think(snapshot: Snapshot) -> Change | None:
        life = require_known(snapshot, name)
        events = think_events(life)
        files = snapshot.ledger.with_events(name, events)
        words = ", ".join(event.word for event in events)
        change = Change.of(f"{name}: {words}\n\n{events[0].why}".rstrip(), files)
        made[:] = [Transition(name, life.state, _after(life, events))]
        return change

    app.store.transact(app.clock(), think)
    return made[0]


def _after(life: Life, events: list[Event]) -> str:
    for event in events:
        life = apply(life, event)
    return life.state


def _now(app: Context) -> str:
    return timestamp(app.clock())

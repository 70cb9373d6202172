"""One experiment, brought to rest: gather, think, act, until nothing follows any more."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

from expci.core.lifecycle.next_event import Situation, next_event
from expci.core.lifecycle.transitions import Life, State
from expci.core.model import events
from expci.core.model.events import Event
from expci.errors import ExpciError, LostRace, Overtaken
from expci.flows.context import Context
from expci.flows.experiment import ledger_reports
from expci.flows.experiment.act import enact
from expci.flows.experiment.base import Base, base_of
from expci.flows.experiment.forge_state import ForgeState, forge_state_of, record_forge_states
from expci.flows.experiment.gather import Gathered, gather, is_merge_here
from expci.flows.experiment.look_cache import LookCache
from expci.flows.experiment.open_promotion import merge_by_plan, merges_by_plan
from expci.flows.experiment.sync_pull_requests import sync_pull_requests
from expci.runner.experiment_files import before_removal
from expci.store.git import refs
from expci.store.inbox.read_batches import RefusedRecord
from expci.store.ledger import plans
from expci.store.ledger.ledger import Ledger
from expci.store.ledger.settled_experiments import RESTS, SettledExperiment
from expci.store.ledger.transaction import Snapshot

ROUNDS = 12  # more events than any experiment can have in one pass
_MOST_PROBLEM = 1000  # characters that are kept
NEEDS_THE_RECORD = (events.PromoteOpened, events.Reverted)


@dataclass(frozen=True)
class Rest:
    """That nothing follows from the refs in `listing` before the time `until`."""

    listing: tuple[str, ...]
    until: datetime


@dataclass
class Pass:
    """What one pass did, for people and for `--json`.

    `experiments` are all that ever started; `inbox` the refs that are in the ledger now, and
    `waiting` how many records of each arm stay there.
    `settled` are those at rest, which it did not look at, each with its life and its last
    verdict; `at_rest` those that it looked at and that rest now; `left_out` what other parts of a
    pass look after; `unfinished` what did not come to its end. `rest` says for how long the same
    refs need no pass.
    """

    dry_run: bool = False
    sent: int = 0
    folded: dict[str, int] = field(default_factory=dict)
    refused: list[RefusedRecord] = field(default_factory=list)
    started: list[tuple[str, str]] = field(default_factory=list)
    events: list[tuple[str, Event]] = field(default_factory=list)
    actions: list[tuple[str, str]] = field(default_factory=list)
    problems: list[tuple[str, str]] = field(default_factory=list)
    gathered: list[Gathered] = field(default_factory=list)
    settled: dict[str, tuple[Life, str]] = field(default_factory=dict)
    at_rest: Mapping[str, SettledExperiment] = field(default_factory=dict)
    left_out: set[str] = field(default_factory=set)
    unfinished: set[str] = field(default_factory=set)
    experiments: tuple[str, ...] = ()
    inbox: Mapping[str, str] = field(default_factory=dict)
    waiting: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    rest: Rest | None = None

    @property
    def is_quiet(self) -> bool:
        """Whether it did nothing and has nothing to say."""
        done = (self.sent, self.folded, self.refused, self.started, self.events, self.actions)
        return not any((*done, self.problems, self.unfinished, self.left_out, self.inbox))

    @property
    def failed(self) -> bool:
        """Whether it could do nothing: a problem of one experiment is a warning, not a failure."""
        done = self.gathered or self.settled or self.left_out
        return bool(self.problems) and bool(self.experiments) and not done

    @property
    def not_looked_at(self) -> set[str]:
        return {*self.settled, *self.left_out}

    @property
    def lives(self) -> dict[str, Life]:
        """The lives of all experiments, whether it looked at them or not."""
        at_rest = {name: life for name, (life, _) in self.settled.items()}
        return at_rest | {gathered.name: gathered.life for gathered in self.gathered}

    @property
    def verdicts(self) -> dict[str, str]:
        """What the last look at each experiment came to; "" where there was none."""
        at_rest = {name: verdict for name, (_, verdict) in self.settled.items()}
        looks = {gathered.name: gathered.situation.analysis for gathered in self.gathered}
        return at_rest | {n: look.decision.verdict if look else "" for n, look in looks.items()}

    def to_json(self) -> dict[str, object]:
        return {
            "schema": "expci.pass/1",
            "dry_run": self.dry_run,
            "sent_from_spool": self.sent,
            "trials_folded": self.folded,
            "quarantined": [{"subject": r.subject, "reason": r.reason} for r in self.refused],
            "started": [name for name, _ in self.started],
            "events": [
                {"experiment": name, "event": event.word, "why": event.why}
                for name, event in self.events
            ],
            "actions": [{"experiment": name, "action": what} for name, what in self.actions],
            "problems": [{"experiment": name, "problem": what} for name, what in self.problems],
            "states": {name: str(life.state) for name, life in sorted(self.lives.items())},
        }


def advance(app: Context, snapshot: Snapshot, name: str, base: Base, done: Pass) -> Gathered:
    """Gather, think, act, until nothing follows any more."""
    gathered = advance_as_far(app, snapshot, name, base, done)
    if gathered is None:
        raise ExpciError(f"{name} waits for what is not written yet")
    return gathered


def advance_as_far(
    app: Context, snapshot: Snapshot, name: str, base: Base, done: Pass
) -> Gathered | None:
    """The same; `None` where what follows may be done only once all before it is written.

    A pull request or a revert that nothing on record explains would be taken for a person's.
    """
    is_written, cache = True, LookCache()
    for step in range(ROUNDS):
        gathered = gather(app, snapshot, name, base, app.clock(), cache)
        if step == 0:
            lost = [(name, what) for what in _lost_merge(app, gathered)]
            done.problems += [problem for problem in lost if problem not in done.problems]
        event = next_event(gathered.situation)
        if done.dry_run:
            if event is not None:
                done.events.append((name, event))
            return gathered
        if not is_written and _needs_the_record(gathered, event):
            return None
        if event is None:
            if merge_by_plan(app, gathered) is None:
                return _come_to_rest(app, gathered)
            done.actions.append((name, "merged the promotion"))
        elif (recorded := _enacted(app, gathered, event)) is not None:
            done.events.append((name, recorded))
            is_written = not app.store.is_collecting
        snapshot, base = app.store.snapshot(inbox=False), base_of(app)
    raise ExpciError(f"{name} did not settle in {ROUNDS} steps; run `expci fsck`")


def _needs_the_record(gathered: Gathered, event: Event | None) -> bool:
    return merges_by_plan(gathered) if event is None else isinstance(event, NEEDS_THE_RECORD)


def _come_to_rest(app: Context, gathered: Gathered) -> Gathered:
    """The same without its trials, and with what will be as long as it may rest."""
    later = _rest_of(gathered.situation, gathered.look_at) if gathered.look_at else None
    ref = refs.head(gathered.life.started.branch) if gathered.life.started else ""
    tip = app.store.remote.names(ref).get(ref, "")
    return replace(gathered, look_at=None, later=later, tip=tip)


def _rest_of(now: Situation, look_at: Callable[[datetime], Situation]) -> Situation:
    """The latest situation up to which time alone gives nothing to do, and nothing to say."""
    later = now
    for rest in RESTS:
        later = look_at(now.now + rest)
        analysis = later.analysis
        same = analysis is None or ledger_reports.is_same_look(now.analysis, analysis)
        if same and next_event(later) is None:
            break
    return later


def _enacted(app: Context, gathered: Gathered, event: Event) -> Event | None:
    """The event as recorded, by one commit with all that acting on it put into the ledger."""
    with suppress(Overtaken), app.store.together(app.clock()):
        return enact(app, gathered, event)
    return None


def _lost_merge(app: Context, gathered: Gathered) -> Iterator[str]:
    """What to say where a promotion is watched that could not be undone."""
    promoted = gathered.life.promoted
    if gathered.life.state is not State.WATCHING or promoted is None:
        return
    if not is_merge_here(app, gathered.name, promoted):
        yield (
            f"the history of {gathered.base.branch} was rewritten: {promoted.merge[:12]}, which "
            "promoted it, is no longer there, nor does expci keep a copy. It is watched "
            "anyway; if it does harm, a person must undo it by hand"
        )
    elif not _can_compare(app, gathered, promoted.parent):
        name, branch = gathered.name, gathered.base.branch
        yield (
            f"the history of {branch} was rewritten, and no commit of it holds what stood before "
            "the promotion: no trial can be compared with that, and the watch gets no more of "
            f"them. To undo the promotion: `expci rollback {name} --reason … --force`; to keep it, "
            f"and end the watch: `expci stop {name}`"
        )


def _can_compare(app: Context, gathered: Gathered, before: str) -> bool:
    """Whether the base branch holds what a promotion was made on, if it ever did."""
    git, tip, plan = app.git, gathered.base.tip, gathered.plan
    if tip is None or git.is_shallow or git.is_ancestor(before, tip):
        return True  # a shallow clone does not tell
    if plans.content_id(git, before, plan) != plan.id:
        return True  # it was never on the base branch
    other = before_removal(git, tip, [plan.directory])
    return other is not None and plans.content_id(git, other, plan) == plan.id


def sync_forge(app: Context, done: Pass, finish: Callable[[], None] = lambda: None) -> None:
    """Bring reports, comments, pull requests and alerts in step with what was advanced.

    `finish` writes what goes into the same commit at its end.
    """
    states: dict[str, ForgeState] = {}
    with suppress(Overtaken), app.store.together(app.clock()):
        reports = ledger_reports.write_reports(
            app, done.gathered, lambda name: isolated(done, name), done.not_looked_at
        )
        listed = app.forge.pull_requests.listed() if done.gathered else ()
        for gathered in done.gathered:
            with isolated(done, gathered.name):
                actions, states[gathered.name] = sync_pull_requests(
                    app, reports, gathered, listed, done.waiting.get(gathered.name, {})
                )
                done.actions += [(gathered.name, what) for what in actions]
        record_forge_states(app, states | _with_problems(reports, done, states))
        finish()


def _with_problems(
    ledger: Ledger, done: Pass, states: Mapping[str, ForgeState]
) -> dict[str, ForgeState]:
    """What the forge says of each experiment that this pass could not go on with, and why."""
    problems = {name: problem for name, problem in done.problems if name in done.experiments}
    return {
        name: replace(
            states.get(name) or forge_state_of(ledger, name), problem=problem[:_MOST_PROBLEM]
        )
        for name, problem in problems.items()
    }


@contextmanager
def isolated(done: Pass, name: str) -> Iterator[None]:
    """Note an experiment's problem and let the pass go on with the others."""
    completed = False
    try:
        yield
        completed = True
    except LostRace as error:
        # Whoever was first does the same work, or the next pass does.
        done.actions.append((name, f"left to the next pass: {error}"))
    except ExpciError as error:
        if (problem := (name, str(error))) not in done.problems:
            done.problems.append(problem)
    except Exception as error:
        # A defect that one experiment, or a stranger's pull request, brings to light must not keep
        # harm in the others from being undone.
        where = traceback.extract_tb(error.__traceback__)[-1]
        defect = f"{type(error).__name__} in {Path(where.filename).name}:{where.lineno}: {error}"
        problem = (name, f"{defect[:500]}. This is a defect of expci: please report it")
        if problem not in done.problems:  # each step of the pass meets it again
            done.problems.append(problem)
    finally:
        if not completed:
            done.unfinished.add(name)

"""`expci start`: freeze the plan at a commit and let trials count from here."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import dataclass, replace

from expci.core.earlier_plan import earlier_plan
from expci.core.lifecycle.transitions import COLLECTING, LIVE, Life, State, apply
from expci.core.model.content import Blob
from expci.core.model.events import Event, Learned, Paused, Resumed, Started
from expci.core.model.trial import parse_timestamp, timestamp
from expci.core.spec.parse import slot_conflicts
from expci.errors import ExpciError, IllegalEvent
from expci.flows import freeze_plan
from expci.flows.context import Context
from expci.flows.experiment.base import Base, base_of
from expci.flows.experiment.branches import branches_in_the_way
from expci.flows.experiment.stored_analysis import current_analysis
from expci.flows.variant_bytes import byte_problems
from expci.flows.verbs.plan import freeze_rules
from expci.forge.address import LOCAL
from expci.forge.ports import PullRequest
from expci.store.git import refs
from expci.store.ledger import paths, plans
from expci.store.ledger.fold import Changes
from expci.store.ledger.plans import Plan
from expci.store.ledger.transaction import LedgerChange, Snapshot


@dataclass(frozen=True)
class StartResult:
    """`mode` is lab or live; `already` when this very plan was running before.

    `slot` and `runs_in_lab` say where its trials can come from, `base_branch` where it has to be
    for those of the slot. `notes` are for people.
    """

    experiment: str
    plan: str
    mode: str
    base: str
    already: bool = False
    notes: tuple[str, ...] = ()
    branch: str = ""
    slot: str | None = None
    runs_in_lab: bool = True
    base_branch: str = ""

    @property
    def awaits_merge(self) -> bool:
        """Whether no trial can come before it is on the base branch."""
        return self.mode == "lab" and self.slot is not None and not self.runs_in_lab

    def to_json(self) -> dict[str, object]:
        return {
            "schema": "expci.start/1",
            "experiment": self.experiment,
            "plan": self.plan,
            "mode": self.mode,
            "base": self.base,
            "already": self.already,
            "awaits_merge": self.awaits_merge,
        }


def start(app: Context, name: str, *, why: str = "") -> StartResult:
    """Start the experiment as it stands at HEAD."""
    with app.store.remote.listed_once():
        return _start(app, name, why)


def _start(app: Context, name: str, why: str) -> StartResult:
    head = app.git.require("HEAD")
    base = base_of(app)
    branch = app.git.branch() or ""
    _require_text(branch)
    plan = freeze_plan.require_valid(freeze_plan.draft_of(app.git, head, name))
    _require_committed(app, plan)
    branch = "" if branch == base.branch else branch
    plan, size = freeze_rules(app, plan)
    result = begin_experiment(
        app, plan, base, branch=branch, by=app.actor, why=why, sample_size=size
    )
    if branch and app.forge_name == LOCAL:  # elsewhere proposing is a person's act
        experiment = plan.experiment
        app.forge.pull_requests.propose(
            branch, f"Experiment: {experiment.name}", experiment.hypothesis
        )
    return replace(result, notes=tuple(_collisions(app, name)))


def _require_text(branch: str) -> None:
    try:
        branch.encode()
    except UnicodeEncodeError:
        raise ExpciError(
            f"the branch {branch.encode(errors='surrogateescape')!r} has a name that is not "
            "UTF-8, so no record can hold it: rename it (`git branch -m NAME`), then start"
        ) from None


def _collisions(app: Context, name: str) -> Iterator[str]:
    """Branches that stand in the way of a promotion's or a revert's, named before there is one."""
    for usual, other in (refs.promote_branches(name), refs.revert_branches(name)):
        in_the_way = branches_in_the_way(app, usual)
        if in_the_way:
            branch = in_the_way[0].removeprefix(refs.HEADS)
            yield f"the branch {branch} is in the way of {usual}; {other} will be used instead"


def start_pull_request(
    app: Context, pull: PullRequest, head: str, name: str, base: Base, *, why: str = ""
) -> StartResult:
    """Start an experiment as it stands at the newest commit `head` of an open pull request."""
    if not pull.is_open:
        raise ExpciError(
            f"pull request {pull.number} is {pull.state}: reopen it, then start {name}"
        )
    if pull.fork:
        raise ExpciError(
            "a fork's pull request can propose an experiment, not start it: its files were not "
            "pushed by somebody who may write here. Merge it, or push its branch to this "
            "repository and open a pull request from there"
        )
    plan = freeze_plan.require_valid(freeze_plan.draft_of(app.git, head, name))
    plan, size = freeze_rules(app, plan)
    return begin_experiment(
        app,
        plan,
        base,
        branch="" if pull.head == base.branch else pull.head,
        by=app.actor,
        why=why,
        sample_size=size,
        pull=pull.number,
    )


def begin_experiment(
    app: Context,
    plan: Plan,
    base: Base,
    *,
    branch: str,
    by: str,
    why: str,
    sample_size: int | None = None,
    pull: int | None = None,
) -> StartResult:
    """Put the plan into the ledger and publish it, in one atomic push."""
    name = plan.experiment.id
    on_base = base.tip is not None and plans.content_id(app.git, base.tip, plan) == plan.id
    event = Started(
        at=timestamp(app.clock()),
        by=by,
        why=why,
        plan=plan.id,
        base=plan.base,
        mode="live" if plan.experiment.slot and on_base else "lab",
        salt=secrets.token_hex(16),
        head=plan.base,
        branch=branch,
        pull=pull,
        sample_size=sample_size,
        comment=app.comment,
    )
    result = StartResult(
        name,
        plan.id,
        event.mode,
        plan.base,
        branch=branch,
        slot=plan.experiment.slot,
        runs_in_lab=plan.experiment.run is not None,
        base_branch=base.branch,
    )
    running: list[Life] = []

    def think(snapshot: Snapshot) -> LedgerChange | None:
        life = snapshot.ledger.life(name)
        running[:] = [life]
        if life.plan == plan.id and life.state in COLLECTING:
            return _again(snapshot, app, name, event)
        _refuse_slot_conflicts(snapshot, plan)
        learned = _learned(snapshot, plan, event)
        events = [app.named(item) for item in (*learned, *_events(life, event))]
        return _change(snapshot, plan, events)

    _, written = app.store.transact(app.clock(), think)
    return result if written else replace(result, already=True, mode=running[0].mode)


def _again(snapshot: Snapshot, app: Context, name: str, event: Started) -> LedgerChange | None:
    """A running experiment that is started again where it has moved to: merged, or a later commit.

    `None` where it stands as it did.
    """
    life = snapshot.ledger.life(name)
    merged = life.mode == "lab" and event.mode == "live"
    later = bool(event.branch) and life.head != event.head
    if life.state is not State.RUNNING or not (merged or later):
        return None
    why = event.why or ("merged" if merged else "started again at a later commit")
    moved = Resumed(
        at=event.at,
        by=event.by,
        why=why,
        mode="live" if merged else "",
        head=event.head if later else "",
        comment=event.comment,
    )
    files = snapshot.ledger.with_events(name, [app.named(moved)])
    return LedgerChange.of(f"{name}: started again\n\n{why}", files)


def _events(life: Life, event: Started) -> list[Event]:
    """A running experiment with other content is paused first; then the new plan starts."""
    if life.state in (State.PROMOTING, State.WATCHING):
        raise IllegalEvent(
            f"it is {life.state}: its change is on the way to the base branch. Finish that "
            "(`expci stop` or `expci rollback`) before you start other content"
        )
    why = "its content changed"
    pause = Paused(at=event.at, by=event.by, why=why, reason_code="content_changed")
    events: list[Event] = [pause, event] if life.state is State.RUNNING else [event]
    for item in events:
        life = apply(life, item)
    return events


def _learned(snapshot: Snapshot, plan: Plan, event: Started) -> list[Event]:
    """The results of the plan before, where this one changes its cases."""
    name, new = plan.experiment.id, plan.experiment.cases
    before = snapshot.ledger.plan(name) if name in snapshot.ledger.experiments else None
    old = before.experiment.cases if before else None
    if before is None or new is None or old is None or old.frozen == new.frozen:
        return []
    ledger, now = snapshot.ledger, parse_timestamp(event.at)
    last_look = current_analysis(ledger, before, ledger.life(name), ledger.columns(name), now)
    text = earlier_plan(before.id, old, new, last_look)
    return [Learned(at=event.at, by=event.by, why="the cases changed", text=text)]


def _change(snapshot: Snapshot, plan: Plan, events: list[Event]) -> LedgerChange:
    name = plan.experiment.id
    files: Changes = snapshot.ledger.with_events(name, events)
    files[f"{paths.plan(name, plan.id)}/plan.json"] = plans.dump_plan(plan)
    blobs: dict[str, Blob] = plans.entries(plan)
    return LedgerChange.of(f"{name}: started\n\n{events[-1].why}".rstrip(), files, blobs)


def _refuse_slot_conflicts(snapshot: Snapshot, plan: Plan) -> None:
    """Two live experiments in one slot must not vary the same file."""
    if plan.experiment.slot is None:
        return
    live = [plan]
    for name in snapshot.ledger.experiments:
        other = snapshot.ledger.plan(name)
        is_live = snapshot.ledger.life(name).state in LIVE
        if other is not None and is_live and name != plan.experiment.id:
            live.insert(0, other)
    problems = slot_conflicts(
        [(item.experiment, item.varied) for item in live],
        {item.experiment.id: item.directory for item in live},
    )
    mine = [problem for problem in problems if problem.file.startswith(f"{plan.directory}/")]
    if mine:
        raise ExpciError("\n".join(str(problem) for problem in mine))


def _require_committed(app: Context, plan: Plan) -> None:
    directory = plan.directory
    status = app.git.text("status", "--porcelain", "-z", "--", f":(literal,top){directory}")
    if status:
        raise ExpciError(
            f"{directory} has changes that are not committed. A plan is frozen from a commit: "
            f"`git add {directory} && git commit`, then start it"
        )
    files = app.git.read_files(plan.base, directory)
    problems = list(byte_problems(app.git, directory, plan.experiment, files))
    if problems:
        raise ExpciError("\n".join(str(problem) for problem in problems))

"""Gather: everything that a decision about one experiment rests on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING

from expci.core.lifecycle.next_event import PullRequestStatus, Situation
from expci.core.lifecycle.transitions import LIVE, Life, State
from expci.core.model.events import Event, Promoted, Started
from expci.flows.context import Context
from expci.flows.experiment.base import Base
from expci.flows.experiment.ci_rate import ci_rate
from expci.flows.experiment.forge_state import ProposalRecord, proposal_record
from expci.flows.experiment.look_cache import LookCache
from expci.flows.experiment.promotion_merge import promotion_merge
from expci.flows.experiment.stored_analysis import current_analysis, last_rate
from expci.forge.ports import PullRequest
from expci.store import promotion
from expci.store.git import refs
from expci.store.ledger import plans
from expci.store.ledger.plans import Plan
from expci.store.ledger.transaction import Snapshot
from expci.store.published import is_beat_due

if TYPE_CHECKING:
    from expci.core.dataset.trial_columns import TrialColumns

DECIDES = (State.RUNNING, State.PROMOTING)  # what becomes of the promotion's pull request matters


@dataclass(frozen=True)
class Gathered:
    """A situation with what acting on it needs.

    A pull request that nothing depends on is not looked up: `None`. `look_at` is the same
    situation at another time, with the trials that it needs. Once the experiment came to rest,
    `later` is what that told, and `tip` the newest commit of the experiment's own branch.
    """

    name: str
    plan: Plan
    base: Base
    snapshot: Snapshot
    situation: Situation
    proposal: PullRequest | None
    promotion: PullRequest | None
    look_at: Callable[[datetime], Situation] | None = field(default=None, compare=False, repr=False)
    later: Situation | None = None
    tip: str = ""

    @property
    def life(self) -> Life:
        return self.situation.life


def gather(
    app: Context,
    snapshot: Snapshot,
    name: str,
    base: Base,
    now: datetime,
    cache: LookCache | None = None,
) -> Gathered:
    """Read one experiment's state, trials and pull requests, and analyse it while it lives.

    `cache` is of earlier looks at it.
    """
    ledger, cache = snapshot.ledger, cache or LookCache()
    life = ledger.life(name)
    plan = ledger.plan(name)
    if plan is None or life.started is None:
        raise LookupError(name)
    last = proposal_record(ledger, name)
    proposal = proposal_of(app, life, last) if life.state in LIVE else None
    pull = promotion_of(app, life, name) if life.state in DECIDES else None
    merged = promotion_merge(app, pull, plan, life, base)
    content = current_content(app, plan, life, base)
    # An idle pass asks nobody: some times a day is often enough.
    asks = is_beat_due(snapshot.published, now) or last_rate(ledger, plan) is None
    rate = ci_rate(app, plan, base, now) if asks and life.state in LIVE else None
    trials = cache.trials(ledger, name) if life.state in LIVE else None
    counted, uncounted = (0, 0) if trials is None else _own(trials, plan)

    def look_at(time: datetime) -> Situation:
        analysis = current_analysis(ledger, plan, life, trials, time, rate, cache)
        return replace(situation, now=time, analysis=analysis)

    situation = Situation(
        experiment=plan.experiment,
        life=life,
        now=now,
        proposal="merged" if proposal is None and last.merged else _state(proposal),
        promotion="merged" if merged else _state(pull),
        content=content.plan,
        on_base=content.on_base,
        removed=content.removed,
        merge=merged.merge if merged else None,
        parent=merged.parent if merged else None,
        undone=_undone(app, life, plan, base),
        trials=counted,
        uncounted=uncounted,
    )
    return Gathered(name, plan, base, snapshot, look_at(now), proposal, pull, look_at)


def _own(trials: TrialColumns, plan: Plan) -> tuple[int, int]:
    """The plan's own trials that count, and those that do not."""
    excluded = trials.excluded.given[trials.plan.is_any(plan.id)]
    return int((~excluded).sum()), int(excluded.sum())


# --- pull requests -------------------------------------------------------------------


def proposal_of(
    app: Context, life: Life, last: ProposalRecord, *, again: bool = False
) -> PullRequest | None:
    """The pull request that proposes the experiment, or brought it to the default branch.

    One that is not among the newest is looked up by its number, unless it was merged at the
    `last` pass: that stays so. With `again` even then.
    """
    started = life.started
    if started is None:
        return None
    pulls = app.forge.pull_requests
    listed = pulls.of_branch(started.branch) if started.branch else None
    number = _number_here(app, started, started.pull) or last.number_on(app.forge_name)
    if listed is not None or number is None:
        return listed
    rests = last.merged and number == last.number and not again
    return None if rests else pulls.numbered(number)


def promotion_of(app: Context, life: Life, name: str) -> PullRequest | None:
    """The pull request that promotes it, however it was opened.

    Its head must be the promote branch: a number alone, in a ledger that others can write
    to or that another forge counted, may be anybody's.
    """
    opened = life.promote_opened
    if opened is None:
        return None
    ours, pulls = refs.promote_branches(name), app.forge.pull_requests
    branch = opened.branch if opened.branch in ours else ours[0]
    listed = pulls.of_branch(branch)
    number = _number_here(app, opened, opened.pull)
    if listed is not None or number is None:
        return listed
    pull = pulls.numbered(number)
    return pull if pull is not None and pull.head == branch and not pull.fork else None


def _number_here(app: Context, event: Event, number: int | None) -> int | None:
    """The number that an event names, where it counts pull requests of this forge."""
    return number if event.forge == app.forge_name else None


def _state(pull: PullRequest | None) -> PullRequestStatus:
    if pull is None:
        return "none"
    return {"open": "open", "closed": "closed", "merged": "merged"}[pull.state]  # type: ignore[return-value]


# --- content -------------------------------------------------------------------------


def is_merge_here(app: Context, name: str, promoted: Promoted) -> bool:
    """Whether the promotion's merge can be read, if need be from what expci keeps of it."""
    wanted = (promoted.merge, promoted.parent)
    if all(app.git.resolve(commit) for commit in wanted):
        return True
    app.store.remote.fetch(refs.promoted(name), refs.backup(name))
    return all(app.git.resolve(commit) for commit in wanted)


def _undone(app: Context, life: Life, plan: Plan, base: Base) -> bool:
    promoted = life.promoted
    if life.state is not State.WATCHING or promoted is None or base.tip is None:
        return False
    if not is_merge_here(app, plan.experiment.id, promoted):
        return False
    varied = plan.promotes(promoted.arm)
    return promotion.is_undone(app.git, base.tip, promoted.merge, promoted.parent, varied)


@dataclass(frozen=True)
class CurrentContent:
    """What an experiment's files are now. `plan` is their plan id, `None` where they are not."""

    plan: str | None = None
    on_base: bool = False
    removed: bool = False


def current_content(app: Context, plan: Plan, life: Life, base: Base) -> CurrentContent:
    """The content that people have put where the experiment was started from."""
    if life.state is not State.RUNNING or base.tip is None or life.started is None:
        return CurrentContent()
    on_base = plans.content_id(app.git, base.tip, plan)
    if on_base == plan.id:
        return CurrentContent(on_base, on_base=True)
    branch = life.started.branch
    if branch:
        tip = app.store.remote.fetch(refs.head(branch)).get(refs.head(branch))
        return CurrentContent(plans.content_id(app.git, tip, plan) if tip else None)
    if not started_from(app, life.started, base):
        return CurrentContent()  # from a commit that was not pushed: the base is not its place
    return CurrentContent(on_base, removed=on_base is None)


def started_from(app: Context, started: Started, base: Base) -> bool:
    """Whether the default branch holds the commit that the experiment was started from."""
    head = app.git.resolve(started.head) if started.head else None
    return head is not None and base.tip is not None and app.git.is_ancestor(head, base.tip)

"""Gather: everything that is known of one experiment before anything is decided."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from itertools import takewhile

import msgspec

from expci import __version__
from expci.core.analysis.analyze import Look, analyse
from expci.core.lifecycle.next_event import Request, Situation
from expci.core.lifecycle.transitions import LIVE, Life, State
from expci.core.model.events import Started
from expci.core.model.experiment import to_json
from expci.core.model.results import Analysis
from expci.core.model.trial import Trial, parse_timestamp
from expci.errors import LedgerDamaged
from expci.flows.context import Context
from expci.flows.experiment.forge_state import Shown, shown_of
from expci.forge.ports import PullRequest, PullRequestState
from expci.store import promotion
from expci.store.git import refs
from expci.store.git.git import Git
from expci.store.ledger import paths, plans
from expci.store.ledger.ledger import Ledger
from expci.store.ledger.plans import Plan
from expci.store.ledger.transaction import Snapshot

_MOST_COMMITS = 100  # of a promote request
DECIDES = (State.RUNNING, State.PROMOTING)  # what becomes of the promote request matters


@dataclass(frozen=True)
class Base:
    """The default branch and its newest commit (`None` while the branch is empty)."""

    branch: str
    tip: str | None


@dataclass(frozen=True)
class Gathered:
    """A situation with what acting on it needs.

    A pull request that nothing depends on is not looked up: `None`.
    """

    name: str
    plan: Plan
    base: Base
    snapshot: Snapshot
    situation: Situation
    proposal: PullRequest | None
    promotion: PullRequest | None
    trials: tuple[Trial, ...]

    @property
    def life(self) -> Life:
        return self.situation.life


def base_of(app: Context) -> Base:
    branch = app.store.remote.default_branch()
    ref = refs.head(branch)
    return Base(branch, app.store.remote.fetch(ref).get(ref))


def gather(app: Context, snapshot: Snapshot, name: str, base: Base, now: datetime) -> Gathered:
    """Read one experiment's state, trials and requests, and analyse it while it lives."""
    ledger = snapshot.ledger
    life = ledger.life(name)
    plan = ledger.plan(name)
    if plan is None or life.started is None:
        raise LookupError(name)
    trials = tuple(ledger.trials(name))
    analysis = current_analysis(ledger, plan, life, trials, now)
    seen, live = shown_of(ledger, name), life.state in LIVE
    proposal = proposal_of(app, life, seen) if live else None
    request = promotion_of(app, life, name) if life.state in DECIDES else None
    merge, parent = _merge(app, request, plan, life, base)
    stands = standing(app, plan, life, base)
    situation = Situation(
        experiment=plan.experiment,
        life=life,
        now=now,
        analysis=analysis,
        proposal="merged" if proposal is None and seen.merged else _state(proposal),
        promotion="merged" if merge else _state(request),
        content=stands.content,
        on_base=stands.on_base,
        removed=stands.removed,
        merge=merge,
        parent=parent,
        undone=_undone(app, life, plan, base),
        trials=sum(trial.plan == plan.id and trial.excluded is None for trial in trials),
        left_out=sum(trial.plan == plan.id and trial.excluded is not None for trial in trials),
    )
    return Gathered(name, plan, base, snapshot, situation, proposal, request, trials)


def current_analysis(
    ledger: Ledger, plan: Plan, life: Life, trials: tuple[Trial, ...], now: datetime
) -> Analysis | None:
    """A fresh look while the experiment lives; what decided it once it has ended."""
    if life.state in LIVE:
        return look(ledger, plan, life, trials, now)
    held = held_analysis(ledger, paths.analysis(plan.experiment.id))
    if held is not None and held.state == life.state and held.plan == plan.id:
        return held
    return final_look(ledger, plan, life)


def final_look(ledger: Ledger, plan: Plan, life: Life) -> Analysis | None:
    """The look at the trials that the last decision saw; later trials are not counted."""
    decided, ended = life.decided, life.ended
    if ended is None:
        return None
    seen = ledger.at(decided.analysed) if decided and decided.analysed else ledger
    at = decided.at if decided else ended.at
    return look(seen, plan, life, tuple(seen.trials(plan.experiment.id)), parse_timestamp(at))


def held_analysis(ledger: Ledger, path: str) -> Analysis | None:
    """An analysis as a past pass wrote it."""
    data = ledger.read(path)
    return None if data is None else load_analysis(data)


def dump_analysis(analysis: Analysis) -> bytes:
    return json.dumps(to_json(analysis), indent=1, ensure_ascii=False).encode() + b"\n"


def load_analysis(data: bytes) -> Analysis:
    try:
        return msgspec.json.decode(data, type=Analysis)
    except msgspec.DecodeError as error:
        raise LedgerDamaged(f"an analysis in the ledger cannot be read: {error}") from error


def look(
    ledger: Ledger, plan: Plan, life: Life, trials: tuple[Trial, ...], now: datetime
) -> Analysis:
    """The analysis of an experiment as its ledger stands."""
    started = life.started
    if started is None:
        raise LookupError(plan.experiment.id)
    promoted = life.promoted
    return analyse(
        Look(
            experiment=plan.experiment,
            plan=plan.id,
            ledger=ledger.commit or "",
            state=life.state,
            at=now,
            started=parse_timestamp(started.at),
            extra_days=life.extra_days,
            extra_trials=life.extra_trials,
            sample_size=started.sample_size,
            promoted=parse_timestamp(promoted.at) if promoted else None,
            promoted_arm=promoted.arm if promoted else None,
            holdback=promoted.holdback if promoted else None,
            version=__version__,
            change_sizes={
                arm.name: plan.change_size(arm.name) for arm in plan.experiment.treatments
            },
        ),
        trials,
    )


def proposal_of(
    app: Context, life: Life, seen: Shown, *, again: bool = False
) -> PullRequest | None:
    """The pull request that proposes the experiment, or brought it to the default branch.

    One that is not among the newest is looked up by its number, unless it was merged when it
    was last seen: that stays so. With `again` even then.
    """
    started = life.started
    if started is None:
        return None
    listed = app.forge.pull_requests.of_branch(started.branch) if started.branch else None
    number = started.pull or seen.request
    if listed is not None or number is None:
        return listed
    rests = seen.merged and number == seen.request and not again
    return None if rests else app.forge.pull_requests.numbered(number)


def promotion_of(app: Context, life: Life, name: str) -> PullRequest | None:
    """The pull request that promotes it, however it was opened."""
    opened = life.promote_opened
    if opened is None:
        return None
    listed = app.forge.pull_requests.of_branch(opened.branch or refs.promote_branch(name))
    return listed or (app.forge.pull_requests.numbered(opened.pull) if opened.pull else None)


def _state(pull: PullRequest | None) -> Request:
    if pull is None:
        return "none"
    return {"open": "open", "closed": "closed", "merged": "merged"}[pull.state]  # type: ignore[return-value]


def _merge(
    app: Context, request: PullRequest | None, plan: Plan, life: Life, base: Base
) -> tuple[str | None, str | None]:
    """The commit that brought the promotion to the base branch, and what was there before it."""
    opened = life.promote_opened
    if life.state is not State.PROMOTING or opened is None or base.tip is None:
        return None, None
    git = app.git
    merge = request.merge if request and request.state is PullRequestState.MERGED else None
    # Not where a person pointed the request at another branch and merged it there.
    if request is not None and merge and _is_on(app, base, merge):
        return merge, _before(app, request, merge, opened.commit)
    # Squashed or applied by hand: the content is there though the branch was never merged.
    content = plan.promotes(opened.arm)
    if promotion.holds(git, base.tip, content):
        paths = [f":(literal,top){path}" for path in content]
        last = git.text("rev-list", "-1", "--first-parent", base.tip, "--", *paths)
        parents = git.parents(last) if last else []
        if parents:
            return last, parents[0]
    return None, None


def _is_on(app: Context, base: Base, commit: str) -> bool:
    """Whether the base branch holds a commit, if need be one that it got since it was read."""
    git, tip = app.git, base.tip
    if tip is not None and git.is_ancestor(commit, tip):
        return True
    newest = base_of(app).tip
    return newest not in (None, tip) and git.is_ancestor(commit, newest or "")


def _before(app: Context, request: PullRequest, merge: str, opened: str) -> str:
    """Where the base branch stood before a request was merged.

    Merging by rebase, or forward, puts each of its commits there, a person's additions to the
    promotion too: the parent of the last one would hold the promoted content already.
    """
    git = app.git
    parents = git.parents(merge)
    if len(parents) != 1:
        return parents[0]
    line = git.text("rev-list", "--first-parent", "-n", str(_MOST_COMMITS + 1), merge).split()
    if opened in line:
        return git.parents(opened)[0]
    there = _authored(git, "--first-parent", merge)
    head = app.forge.pull_requests.head_ref(request)  # its branch may be gone
    newest = app.store.remote.fetch(head).get(head)
    brought = _authored(git, "--no-merges", newest, f"^{merge}") if newest else []
    same = takewhile(lambda pair: pair[0] == pair[1], zip(there, brought, strict=False))
    return line[min(max(len(list(same)), 1), len(line) - 1)]


def _authored(git: Git, *which: str) -> list[str]:
    """Author, time and subject, which a rebase keeps, of the newest of some commits."""
    return git.text("log", "-n", str(_MOST_COMMITS), "--format=%ae %at %s", *which).splitlines()


def _undone(app: Context, life: Life, plan: Plan, base: Base) -> bool:
    promoted = life.promoted
    if life.state is not State.WATCHING or promoted is None or base.tip is None:
        return False
    varied = plan.promotes(promoted.arm)
    return promotion.is_undone(app.git, base.tip, promoted.merge, promoted.parent, varied)


@dataclass(frozen=True)
class Standing:
    """Where the experiment's files stand now. `content` is their plan id, `None` for nowhere."""

    content: str | None = None
    on_base: bool = False
    removed: bool = False


def standing(app: Context, plan: Plan, life: Life, base: Base) -> Standing:
    """The content that people have put where the experiment was started from."""
    if life.state is not State.RUNNING or base.tip is None or life.started is None:
        return Standing()
    on_base = plans.content_id(app.git, base.tip, plan)
    if on_base == plan.id:
        return Standing(on_base, on_base=True)
    branch = life.started.branch
    if branch:
        tip = app.store.remote.fetch(refs.head(branch)).get(refs.head(branch))
        return Standing(plans.content_id(app.git, tip, plan) if tip else None)
    if not started_from(app, life.started, base):
        return Standing()  # started from a commit that was not pushed: the base is not its place
    return Standing(on_base, removed=on_base is None)


def started_from(app: Context, started: Started, base: Base) -> bool:
    """Whether the default branch holds the commit that the experiment was started from."""
    head = app.git.resolve(started.head) if started.head else None
    return head is not None and base.tip is not None and app.git.is_ancestor(head, base.tip)

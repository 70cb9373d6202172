"""Act: make an event so in the world, then put it on record.

Each act finds what an earlier, interrupted pass already did before it does anything:
commits are the same bytes for the same inputs, requests are found by branch, reverts by
their trailer. So a pass that died anywhere is finished by the next one.
"""

from __future__ import annotations

import json
from dataclasses import replace

from expci.core.model import events
from expci.core.model.events import Event
from expci.core.model.trial import timestamp
from expci.errors import ExpciError, NotMergeable, PullsForbidden, Refused
from expci.flows.context import Context
from expci.flows.experiment.gather import Base, Gathered, dump_analysis
from expci.forge.ports import PullRequest, PullRequestState
from expci.report.documents import render
from expci.store import promotion
from expci.store.git import refs
from expci.store.git.remote import Update
from expci.store.ledger import paths, plans
from expci.store.ledger.fold import Changes
from expci.store.ledger.transaction import LedgerChange, Snapshot

TRAILER = "Expci-Revert"
PROMOTE_LABEL, REVERT_LABEL = "expci:promote", "expci:revert"
STOPS_EXPOSURE = (events.RolledBack, events.Stopped, events.Expired, events.Paused)


def enact(app: Context, gathered: Gathered, event: Event) -> Event | None:
    """Do what `event` stands for and record it: the event as recorded, with what was done.

    `None` when somebody else changed the experiment's life meanwhile.
    """
    if isinstance(event, STOPS_EXPOSURE):
        app.store.withdraw(gathered.snapshot, [gathered.name])
    files: Changes = {}
    match event:
        case events.PromoteOpened():
            event = open_promotion(app, gathered, event)
            files = _winning_analysis(gathered)
        case events.Promoted():
            files = _after_promotion(app, gathered, event)
        case events.Reverted():
            event = revert(app, gathered, event)
    return event if record(app, gathered, event, files) else None


def record(app: Context, gathered: Gathered, event: Event, files: Changes | None = None) -> bool:
    """Append the event unless somebody else changed the experiment's life first."""
    name = gathered.name

    def think(snapshot: Snapshot) -> LedgerChange | None:
        if snapshot.ledger.life(name) != gathered.life:
            return None
        changes = snapshot.ledger.with_events(name, [event]) | (files or {})
        return LedgerChange.of(f"{name}: {event.word}\n\n{event.why}", changes)

    return app.store.transact(app.clock(), think)[1]


# --- promotion -----------------------------------------------------------------------


def open_promotion(
    app: Context, gathered: Gathered, event: events.PromoteOpened
) -> events.PromoteOpened:
    """Push the branch with the winning content and open the request for it."""
    tip = _require_tip(gathered.base)
    branch = refs.promote_branch(gathered.name)
    commit, conflicts = _promotion_commit(app, gathered, event, tip)
    ours = _gone_on_from(app, gathered, branch)
    if ours is None:
        _push_branch(app, branch, commit)
    commit = ours or commit
    _keep_backup(app, gathered.name, tip)
    event = replace(event, branch=branch, commit=commit, draft=bool(conflicts))
    try:
        return replace(event, pull=_promotion_request(app, gathered, event, conflicts).number)
    except PullsForbidden as refusal:
        # The branch is there; a person opens the request, which is found by its branch.
        return replace(event, compare=refusal.compare)


def _gone_on_from(app: Context, gathered: Gathered, branch: str) -> str | None:
    """Our earlier commit on the branch, where a person has gone on from it: theirs stays."""
    opened, ref = gathered.life.promote_opened, refs.head(branch)
    held = app.store.remote.fetch(ref).get(ref)
    if opened is None or held is None or held == opened.commit:
        return None
    known = app.git.resolve(opened.commit) is not None
    return opened.commit if known and app.git.is_ancestor(opened.commit, held) else None


def _promotion_commit(
    app: Context, gathered: Gathered, event: events.PromoteOpened, tip: str
) -> tuple[str, tuple[str, ...]]:
    """The commit for the request's branch, and the paths where it conflicts with `tip`."""
    plan, decided = gathered.plan, gathered.life.decided
    merged = promotion.merge_promotion(app.git, tip, plan, event.arm)
    parent, tree = tip, merged.tree
    if merged.conflicts:
        parent = _require_base(app, plan.base)
        tree = promotion.variant_on_base(app.git, plan, event.arm)
    message = f"{_title(gathered)}\n\n{event.why}"
    # Dated by the decision, so that a pass that died makes the same commit again.
    at = decided.at if decided else event.at
    return app.git.commit_tree(tree, [parent], message, at=at), merged.conflicts


def _promotion_request(
    app: Context, gathered: Gathered, event: events.PromoteOpened, conflicts: tuple[str, ...]
) -> PullRequest:
    """The open request of the branch: the one that stands already, or a new one."""
    held, wanted = (
        app.forge.pull_requests.of_branch(event.branch),
        (PullRequestState.OPEN, event.commit, event.draft),
    )
    if held is None or (held.state, held.head_commit, held.draft) != wanted:
        body, title = promote_body(gathered, conflicts), _title(gathered)
        base = gathered.base.branch
        held = app.forge.pull_requests.open(event.branch, base, title, body, draft=event.draft)
    return _introduce(app, gathered, held, PROMOTE_LABEL)


def _introduce(app: Context, gathered: Gathered, pull: PullRequest, label: str) -> PullRequest:
    """Label it and ask its owner for a review; both are safe to repeat."""
    app.forge.pull_requests.label(pull, (label,))
    owner = gathered.plan.experiment.owner
    if owner:
        app.forge.pull_requests.request_review(pull, (owner,))
    return pull


def _title(gathered: Gathered) -> str:
    return render.promote_title(gathered.plan.experiment, gathered.situation.analysis)


def promote_body(gathered: Gathered, conflicts: tuple[str, ...] = ()) -> str:
    return render.promote_body(
        gathered.plan.experiment,
        gathered.life,
        gathered.situation.analysis,
        data_hash=data_hash(gathered),
        undo=f"expci rollback {gathered.name} --reason '…'",
        conflicts=conflicts,
    )


def data_hash(gathered: Gathered) -> str:
    """SHA-256 of the trials that the report rests on, as the ledger holds them."""
    lines = [trial.line() for trial in gathered.trials if trial.plan == gathered.plan.id]
    return plans.digest("".join(line + "\n" for line in lines).encode())


def _winning_analysis(gathered: Gathered) -> Changes:
    analysis = gathered.situation.analysis
    return {paths.promotion(gathered.name): dump_analysis(analysis)} if analysis else {}


def _after_promotion(app: Context, gathered: Gathered, event: events.Promoted) -> Changes:
    """What watching jobs compare with: the varied paths as the merge left them."""
    _keep_backup(app, gathered.name, event.parent)
    content = app.git.read_paths(event.merge, gathered.plan.varied)
    return {paths.promoted(gathered.name): json.dumps(plans.dump_paths(content)).encode() + b"\n"}


# --- revert --------------------------------------------------------------------------


def revert(app: Context, gathered: Gathered, event: events.Reverted) -> events.Reverted:
    """Undo the promotion on the base branch, or open a request where that is not allowed."""
    promoted = gathered.life.promoted
    if promoted is None:
        raise ExpciError(f"{gathered.name} was never promoted: there is nothing to revert")
    tip = _require_tip(gathered.base)
    done = _revert_commit(app, gathered.name, promoted.merge, tip)
    if done is not None:
        return replace(event, commit=done)
    merged = promotion.merge_revert(app.git, tip, promoted.merge, promoted.parent)
    if merged.conflicts:
        return _revert_request(app, gathered, event, merged.conflicts)
    if merged.tree == app.git.tree_of(tip):
        return replace(event, why=f"{event.why}; the base branch holds the old content already")
    commit = _revert_tree(app, gathered, merged.tree, tip)
    try:
        app.store.remote.advance(gathered.base.branch, tip, commit)
    except Refused as refusal:
        return _revert_request(app, gathered, event, (), commit=commit, refusal=str(refusal))
    return replace(event, commit=commit)


def _revert_tree(app: Context, gathered: Gathered, tree: str, parent: str) -> str:
    promoted, ended = gathered.life.promoted, gathered.life.ended
    reason = ended.why if ended else ""
    message = render.revert_message(
        gathered.plan.experiment, gathered.life, gathered.situation.analysis, reason
    )
    merge = promoted.merge if promoted else ""
    message = f"{message.rstrip()}\n{TRAILER}: {gathered.name} {merge}"
    at = ended.at if ended else timestamp(gathered.situation.now)
    return app.git.commit_tree(tree, [parent], message, at=at)


def _revert_commit(app: Context, name: str, merge: str, tip: str) -> str | None:
    """The commit on the base branch that already undid this promotion."""
    trailer = f"%H%x09%(trailers:key={TRAILER},valueonly,separator=%x2C)"
    log = app.git.text("log", "--first-parent", f"--format={trailer}", f"{merge}..{tip}")
    for line in log.splitlines():
        commit, _, values = line.partition("\t")
        if f"{name} {merge}" in values.split(","):
            return commit
    return None


def _revert_request(
    app: Context,
    gathered: Gathered,
    event: events.Reverted,
    conflicts: tuple[str, ...],
    *,
    commit: str | None = None,
    refusal: str = "",
) -> events.Reverted:
    """A request that undoes the promotion; a draft where a person must resolve it."""
    promoted = gathered.life.promoted
    if promoted is None:
        raise ExpciError(f"{gathered.name} was never promoted")
    if commit is None:
        changed = promotion.changed_paths(app.git, promoted.parent, promoted.merge)
        before = app.git.read_paths(promoted.parent, changed)
        tree = app.git.write_tree(app.git.tree_of(promoted.merge), before)
        commit = _revert_tree(app, gathered, tree, promoted.merge)
    branch = refs.revert_branch(gathered.name)
    _push_branch(app, branch, commit)
    reason = refusal or f"a person must resolve conflicts in {', '.join(conflicts)}"
    event = replace(event, branch=branch, why=f"{event.why}; as a request: {reason}"[:1000])
    try:
        pull = _open_revert(app, gathered, branch, commit, reason, draft=bool(conflicts))
    except PullsForbidden as refused:
        return replace(event, compare=refused.compare)
    return replace(event, pull=pull.number)


def _open_revert(
    app: Context, gathered: Gathered, branch: str, commit: str, reason: str, *, draft: bool
) -> PullRequest:
    """The open request of the branch: the one that stands already, or a new one."""
    held = app.forge.pull_requests.of_branch(branch)
    if held is None or (held.state, held.head_commit) != (PullRequestState.OPEN, commit):
        experiment, analysis = gathered.plan.experiment, gathered.situation.analysis
        body = render.revert_body(experiment, gathered.life, analysis, reason)
        title = f"Roll back: {experiment.name}"
        held = app.forge.pull_requests.open(branch, gathered.base.branch, title, body, draft=draft)
    return _introduce(app, gathered, held, REVERT_LABEL)


# --- refs ----------------------------------------------------------------------------


def merge_if_asked(app: Context, gathered: Gathered) -> PullRequest | None:
    """`decision.promote: merge` merges the open request; the merged one, or `None`.

    Only what the experiment tried: what somebody else pushed there is for people to merge.
    """
    pull, opened = gathered.promotion, gathered.life.promote_opened
    wanted = gathered.plan.experiment.decision.promote == "merge"
    if not wanted or pull is None or not pull.is_open or pull.draft:
        return None
    tried = opened is not None and pull.head_commit == opened.commit
    if not tried or pull.base != gathered.base.branch:
        return None
    try:
        return app.forge.pull_requests.merge(pull, f"Promote {gathered.name}\n\n{pull.title}")
    except NotMergeable:
        return None  # checks are running, or reviews are missing: the next pass tries again


def _push_branch(app: Context, branch: str, commit: str) -> None:
    ref = refs.head(branch)
    held = app.store.remote.fetch(ref).get(ref)
    if held != commit:
        app.store.remote.push([Update(ref, commit, held or "")])


def _keep_backup(app: Context, name: str, commit: str) -> None:
    ref = refs.backup(name)
    held = app.store.remote.fetch(ref).get(ref)
    if held != commit:
        app.store.remote.push([Update(ref, commit, held or "")])


def _require_tip(base: Base) -> str:
    if base.tip is None:
        raise ExpciError(f"the branch {base.branch} has no commit to promote to")
    return base.tip


def _require_base(app: Context, commit: str) -> str:
    if app.git.resolve(commit) is None:
        raise ExpciError(
            f"the plan's base {commit[:12]} is not in this clone; `git fetch --unshallow` brings it"
        )
    return commit

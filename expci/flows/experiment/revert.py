"""Undo a promotion on the base branch, or open a pull request where that is not allowed."""

from __future__ import annotations

from dataclasses import replace

from expci.core.model import events
from expci.core.model.experiment import DEFAULTS_FILE
from expci.core.model.trial import timestamp
from expci.errors import ExpciError, PullsForbidden, Refused
from expci.flows.context import Context
from expci.flows.experiment.branches import (
    free_branch,
    introduce,
    opener,
    push_branch,
    push_forward,
)
from expci.flows.experiment.gather import Gathered
from expci.flows.experiment.promotion_merge import doubts, own_paths
from expci.flows.experiment.signed_commits import open_rules
from expci.forge.ports import PullRequest, PullRequestState
from expci.report.documents import render
from expci.report.sections.review import WORKFLOW_BOT
from expci.store import promotion
from expci.store.git import refs
from expci.store.ledger.traces import REVERT_TRAILER

REVERT_LABEL = "expci:revert"


def revert_promotion(app: Context, gathered: Gathered, event: events.Reverted) -> events.Reverted:
    """The event with the commit that undid it, or with the pull request that waits to.

    Nothing is pushed to the base branch on the ledger's word alone: a record of the
    promotion that git does not bear out becomes a draft for a person to judge.
    """
    promoted = _require_promoted(gathered)
    tip = gathered.base.require_tip()
    if doubt := doubts(app.git, gathered.plan, gathered.life, gathered.base):
        return _doubted(app, gathered, event, doubt)
    done = _revert_commit(app, gathered.name, promoted.merge, tip)
    if done is not None:
        return replace(event, commit=done, why=f"{event.why}{_not_tested(app)}")
    own = _only_own(app, gathered, promoted)
    merged = promotion.merge_revert(app.git, tip, own, promoted.parent)
    if merged.conflicts:
        why = f"a person must resolve conflicts in {', '.join(merged.conflicts)}"
        return _in_full(app, gathered, event, why)
    if merged.tree == app.git.tree_of(tip):
        return replace(event, why=f"{event.why}; the base branch holds the old content already")
    commit = _commit(app, gathered, merged.tree, tip)
    try:
        commit = push_forward(app, gathered.base.branch, tip, commit)
    except Refused as refusal:
        return _as_pull_request(app, gathered, event, commit, str(refusal), draft=False)
    return replace(event, commit=commit, why=f"{event.why}{_not_tested(app)}")


def _not_tested(app: Context) -> str:
    """What a push by a workflow's own token leaves undone; "" for any other token."""
    if opener(app) != WORKFLOW_BOT:
        return ""
    if app.after_revert:
        return f"; pushed by {WORKFLOW_BOT}, so these are started: {', '.join(app.after_revert)}"
    return (
        f"; pushed by {WORKFLOW_BOT}, which starts no workflow: test and deploy it by hand, or "
        f"name the workflows in {DEFAULTS_FILE} (`after_revert: [deploy.yml]`)"
    )


def _only_own(app: Context, gathered: Gathered, promoted: events.Promoted) -> str:
    """The tree of the merge as far as it comes from the plan: what the revert takes back."""
    own = own_paths(app.git, gathered.plan, promoted)
    content = app.git.read_paths(promoted.merge, own)
    return app.git.write_tree(app.git.tree_of(promoted.parent), content)


def _doubted(
    app: Context, gathered: Gathered, event: events.Reverted, doubt: str
) -> events.Reverted:
    promoted = _require_promoted(gathered)
    why = f"git does not confirm the ledger's record of the promotion: {doubt}"
    if not all(app.git.resolve(commit) for commit in (promoted.merge, promoted.parent)):
        return replace(event, why=f"{event.why}; nothing was reverted: {why}"[:1000])
    tip = gathered.base.require_tip()
    if not app.git.is_ancestor(promoted.merge, tip):
        # The history was rewritten, perhaps to purge a secret: the old one is not brought back.
        own = _only_own(app, gathered, promoted)
        merged = promotion.merge_revert(app.git, tip, own, promoted.parent)
        if not merged.conflicts and merged.tree != app.git.tree_of(tip):
            commit = _commit(app, gathered, merged.tree, tip)
            return _as_pull_request(app, gathered, event, commit, why, draft=True)
    return _in_full(app, gathered, event, why)


def _in_full(app: Context, gathered: Gathered, event: events.Reverted, why: str) -> events.Reverted:
    """A draft that takes back all of the promotion, on top of its merge."""
    promoted = _require_promoted(gathered)
    changed = app.git.changed_paths(promoted.parent, promoted.merge)
    before = app.git.read_paths(promoted.parent, changed)
    tree = app.git.write_tree(app.git.tree_of(promoted.merge), before)
    commit = _commit(app, gathered, tree, promoted.merge)
    return _as_pull_request(app, gathered, event, commit, why, draft=True)


def _require_promoted(gathered: Gathered) -> events.Promoted:
    if gathered.life.promoted is None:
        raise ExpciError(f"{gathered.name} was never promoted: there is nothing to revert")
    return gathered.life.promoted


def _commit(app: Context, gathered: Gathered, tree: str, parent: str) -> str:
    ended = gathered.life.ended
    message = render.revert_message(
        gathered.plan.experiment,
        gathered.life,
        gathered.situation.analysis,
        ended.why if ended else "",
    )
    merge = _require_promoted(gathered).merge
    message = f"{message.rstrip()}\n{REVERT_TRAILER}: {gathered.name} {merge}"
    at = ended.at if ended else timestamp(gathered.situation.now)
    return app.git.commit_tree(tree, [parent], message, at=at)


def _revert_commit(app: Context, name: str, merge: str, tip: str) -> str | None:
    """The commit on the base branch that already undid this promotion."""
    trailer = f"%H%x09%(trailers:key={REVERT_TRAILER},valueonly,separator=%x2C)"
    log = app.git.text("log", "--first-parent", f"--format={trailer}", f"{merge}..{tip}")
    for line in log.splitlines():
        commit, _, values = line.partition("\t")
        if f"{name} {merge}" in values.split(","):
            return commit
    return None


def _as_pull_request(
    app: Context,
    gathered: Gathered,
    event: events.Reverted,
    commit: str,
    why: str,
    *,
    draft: bool,
) -> events.Reverted:
    """Push the branch and open its pull request; a draft where a person must look first."""
    branch = free_branch(app, *refs.revert_branches(gathered.name))
    stands = push_branch(app, branch, commit, gathered.base.branch)
    is_signed, commit = stands != commit, stands
    event = replace(event, branch=branch, why=f"{event.why}; as a pull request: {why}"[:1000])
    try:
        rules = open_rules(app, gathered.base.branch, is_signed=is_signed)
        pull = _open(app, gathered, branch, commit, why, rules, draft=draft)
    except PullsForbidden as refusal:
        return replace(event, compare=refusal.compare)
    return replace(event, pull=pull.number)


def _open(
    app: Context,
    gathered: Gathered,
    branch: str,
    commit: str,
    why: str,
    rules: tuple[str, ...],
    *,
    draft: bool,
) -> PullRequest:
    """The open pull request of the branch: the one that stands already, or a new one."""
    pull = app.forge.pull_requests.of_branch(branch)
    if pull is None or (pull.state, pull.head_commit) != (PullRequestState.OPEN, commit):
        experiment, analysis = gathered.plan.experiment, gathered.situation.analysis
        body = render.revert_body(experiment, gathered.life, analysis, why, opener(app), rules)
        title = f"Roll back: {experiment.name}"
        pull = app.forge.pull_requests.open(branch, gathered.base.branch, title, body, draft=draft)
    opened = gathered.life.promote_opened
    return introduce(app, gathered, pull, REVERT_LABEL, opened.author if opened else "")

"""How a promotion reached the base branch, by what git says: the merge, and what stood before."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import takewhile

from expci.core.lifecycle.transitions import Life, State
from expci.core.model.events import Promoted
from expci.flows.context import Context
from expci.flows.experiment.base import Base, base_of
from expci.forge.ports import PullRequest, PullRequestState
from expci.store import promotion
from expci.store.git.git import DEEPEN, Git
from expci.store.ledger.plans import Plan

_MOST_COMMITS = 100  # of a promotion's pull request


@dataclass(frozen=True)
class PromotionMerge:
    """The commit that brought it to the base branch, and what was there before it."""

    merge: str
    parent: str


def promotion_merge(
    app: Context, pull: PullRequest | None, plan: Plan, life: Life, base: Base
) -> PromotionMerge | None:
    """`None` while the base branch does not hold the promotion.

    A pull request of the right branch that brought nothing of the plan is not the promotion.
    """
    opened = life.promote_opened
    if life.state is not State.PROMOTING or opened is None or base.tip is None:
        return None
    git, content = app.git, plan.promotes(opened.arm)
    merge = pull.merge if pull and pull.state is PullRequestState.MERGED else None
    # Not where a person pointed the pull request at another branch and merged it there.
    if pull is not None and merge and _is_on(app, base, merge):
        parent = _before(app, pull, merge, opened.commit)
        if set(content) & set(git.changed_paths(parent, merge)):
            return PromotionMerge(merge, parent)
    # Squashed or applied by hand: the content is there though the branch was never merged.
    if promotion.holds(git, base.tip, content):
        paths = [f":(literal,top){path}" for path in content]
        last = git.text("rev-list", "-1", "--first-parent", base.tip, "--", *paths)
        parents = git.parents(last) if last else []
        if parents:
            return PromotionMerge(last, parents[0])
    return None


def _is_on(app: Context, base: Base, commit: str) -> bool:
    """Whether the base branch holds a commit, if need be one that it got since it was read."""
    git, tip = app.git, base.tip
    if tip is not None and git.is_ancestor(commit, tip):
        return True
    newest = base_of(app).tip
    return newest not in (None, tip) and git.is_ancestor(commit, newest or "")


def _before(app: Context, pull: PullRequest, merge: str, opened: str) -> str:
    """Where the base branch stood before a pull request was merged.

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
    head = app.forge.pull_requests.head_ref(pull)  # its branch may be gone
    newest = app.store.remote.fetch(head).get(head)
    brought = _authored(git, "--no-merges", newest, f"^{merge}") if newest else []
    same = takewhile(lambda pair: pair[0] == pair[1], zip(there, brought, strict=False))
    return line[min(max(len(list(same)), 1), len(line) - 1)]


def _authored(git: Git, *which: str) -> list[str]:
    """Author, time and subject, which a rebase keeps, of the newest of some commits."""
    return git.text("log", "-n", str(_MOST_COMMITS), "--format=%ae %at %s", *which).splitlines()


# --- the ledger's claims against git -------------------------------------------------


def is_what_the_plan_makes(git: Git, plan: Plan, arm: str, head: str, base: Base) -> bool:
    """Whether a commit is `arm` on top of the base branch, and nothing besides."""
    parents = git.parents(head) if git.resolve(head) else []
    if len(parents) != 1 or base.tip is None or not git.is_ancestor(parents[0], base.tip):
        return False
    expected = promotion.merge_promotion(git, parents[0], plan, arm)
    return not expected.conflicts and git.tree_of(head) == expected.tree


def doubts(git: Git, plan: Plan, life: Life, base: Base) -> str:
    """Why git does not confirm the ledger's record of a promotion; "" where it does.

    Whoever may push refs can write into the ledger, so it is evidence and not authority:
    before anything is pushed to the base branch, the merge must be on its first-parent line,
    the parent below the merge on that line, and something of the plan's changed between them to
    what the plan makes of it: somebody's later fix of a varied file is not the promotion.
    """
    promoted = life.promoted
    if promoted is None or base.tip is None:
        return "the ledger names no promotion"
    line = git.text("rev-list", "--first-parent", base.tip).split()
    if git.is_shallow and not {promoted.merge, promoted.parent} <= {*line}:
        return f"this clone is shallow and ends after {promoted.merge[:12]}: {DEEPEN}"
    if promoted.merge not in line:
        return f"{promoted.merge[:12]} is not on the first-parent line of {base.branch}"
    below = line[line.index(promoted.merge) + 1 :][:_MOST_COMMITS]
    if promoted.parent not in below:
        return f"{promoted.parent[:12]} is not the commit of {base.branch} before the promotion"
    if not own_paths(git, plan, promoted):
        return f"{promoted.merge[:12]} changed nothing that the plan varies"
    if not _brings_the_variant(git, plan, promoted):
        return f"{promoted.merge[:12]} holds nothing of what the plan promotes"
    return ""


def _brings_the_variant(git: Git, plan: Plan, promoted: Promoted) -> bool:
    """Whether one of the paths that the merge changed is as the plan makes it."""
    variant = plan.promotes(promoted.arm)
    made = promotion.merge_promotion(git, promoted.parent, plan, promoted.arm)
    if not made.conflicts:
        variant = git.read_paths(made.tree, variant)
    brought = git.read_paths(promoted.merge, variant)
    changed = git.changed_paths(promoted.parent, promoted.merge)
    return any(path in changed and brought[path] == blob for path, blob in variant.items())


def own_paths(git: Git, plan: Plan, promoted: Promoted) -> list[str]:
    """The paths that the merge changed because of the plan, under their present names.

    A person's additions to the promotion, and whatever else the ledger calls a part of it,
    are not expci's to take back.
    """
    expected = promotion.merge_promotion(git, promoted.parent, plan, promoted.arm)
    paths = {*plan.promotes(promoted.arm)}
    if not expected.conflicts:
        paths |= {*git.changed_paths(git.tree_of(promoted.parent), expected.tree)}
    changed = git.changed_paths(promoted.parent, promoted.merge)
    return [path for path in changed if path in paths or path.startswith(f"{plan.directory}/")]

"""The commits that bring a variant to the base branch, and the ones that take it back.

Both are three-way merges of synthetic commits: they keep what others changed meanwhile and
follow renames. Nothing here moves a ref.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from expci.core.model.content import Blob, Paths
from expci.store.git.git import Git
from expci.store.ledger.plans import Plan


@dataclass(frozen=True)
class Merged:
    """A tree, and the paths where the merge could not decide."""

    tree: str
    conflicts: tuple[str, ...] = ()


def merge_promotion(git: Git, tip: str, plan: Plan, arm: str) -> Merged:
    """`tip` with what `arm` changes merged in and the experiment's directory removed.

    Where this clone lacks the plan's base (a shallow one), the base is `tip` with the plan's
    old content in it: the same merge, except that it follows no rename.
    """
    whole = git.resolve(plan.base) is not None
    base = git.tree_of(plan.base if whole else tip)
    base = git.write_tree(base, plan.promote_base(arm))
    merged = _merge(git, tip, base, git.write_tree(base, plan.promotes(arm)))
    if merged.conflicts:
        return merged
    return Merged(_without(git, merged.tree, plan.directory))


def variant_on_base(git: Git, plan: Plan, arm: str) -> str:
    """The tree of the plan's base commit with the variant in it: what conflicts with `tip`."""
    return _without(git, git.write_tree(git.tree_of(plan.base), plan.promotes(arm)), plan.directory)


def merge_revert(git: Git, tip: str, merge: str, parent: str) -> Merged:
    """`tip` without what `merge` changed against `parent`.

    A path that still holds the merge's content gets the parent's exactly; one that was
    changed since is merged three-way with the merge's content as base.
    """
    return _merge(git, tip, git.tree_of(merge), git.tree_of(parent))


def is_undone(git: Git, tip: str, merge: str, parent: str, varied: Iterable[str]) -> bool:
    """Whether every varied path that `merge` changed holds the parent's content at `tip`."""
    wanted = [path for path in git.changed_paths(parent, merge) if path in set(varied)]
    return bool(wanted) and git.read_paths(tip, wanted) == git.read_paths(parent, wanted)


def holds(git: Git, tip: str, content: Paths) -> bool:
    """Whether `tip` has exactly this content at these paths."""
    return git.read_paths(tip, content) == dict(content)


def _merge(git: Git, tip: str, base: str, theirs: str) -> Merged:
    """What `theirs` changed against `base`, both trees, merged into the commit `tip`."""
    root = git.commit_tree(base, [], "base")
    ours = git.commit_tree(git.tree_of(tip), [root], "ours")
    tree, conflicts = git.merge_trees(ours, git.commit_tree(theirs, [root], "theirs"))
    return Merged(tree, tuple(conflicts))


def _without(git: Git, tree: str, directory: str) -> str:
    gone: Mapping[str, Blob | None] = {
        f"{directory}/{path}": None for path in git.read_tree(tree, directory)
    }
    return git.write_tree(tree, gone) if gone else tree

"""What becomes of pull requests on the small GitHub: pushes, merges, mergeability."""

from __future__ import annotations

from collections.abc import Mapping

from support.github_server.world import Hub, Issue, Pull, now

REFUSED = {
    "draft": "Pull Request is still a draft",
    "dirty": "Pull Request is not mergeable",
    "blocked": "At least 1 approving review is required by reviewers with write access.",
    "unsigned": "Commits must have verified signatures.",
    "unknown": "Base branch was modified. Review and try the merge again.",
}
NOT_ALLOWED = {
    "merge": "Merge commits are not allowed on this repository.",
    "squash": "Squash merges are not allowed on this repository.",
    "rebase": "Rebase merges are not allowed on this repository.",
}


def refresh(hub: Hub) -> None:
    """Let every open pull request see what was pushed."""
    tips = hub.bare.tips()
    for issue in hub.issues.values():
        if issue.pull is not None and issue.state == "open":
            _refresh(hub, issue, issue.pull, tips)


def _refresh(hub: Hub, issue: Issue, pull: Pull, tips: Mapping[str, str]) -> None:
    base = tips.get(f"refs/heads/{pull.base}", "")
    head = tips.get(hub.head_ref(pull.head, pull.head_repository))
    tip = head or pull.head_sha
    moved = (base, tip) != (pull.base_sha, pull.head_sha)
    if tip != pull.head_sha:
        hub.bare.set(f"refs/pull/{issue.number}/head", tip)
    pull.head_sha, pull.base_sha = tip, base
    if moved and hub.bare.contains(base, tip):
        shut(issue, pull, merge=hub.bare.brought_by(tip, base))
    elif head is None:
        shut(issue, pull)
    elif moved:
        issue.updated = now()


def shut(issue: Issue, pull: Pull, merge: str | None = None) -> None:
    issue.state, issue.updated = "closed", now()
    pull.closed_at = issue.updated
    if merge is not None:
        pull.merged_at, pull.merge = issue.updated, merge


def mergeable_state(hub: Hub, issue: Issue, pull: Pull) -> str:
    """`unknown` when first asked after a push: GitHub computes it then."""
    if issue.state != "open":
        return "unknown"
    pair = (pull.base_sha, pull.head_sha)
    if pull.tested != pair:
        pull.tested = pair
        return "unknown"
    if pull.draft:
        return "draft"
    if hub.bare.merged_tree(*pair) is None:
        return "dirty"
    if hub.reviews_needed and not any(verdict == "APPROVED" for _, verdict in pull.reviews):
        return "blocked"
    newest = {check.name: check for check in hub.checks if check.commit == pull.head_sha}
    passed = all(check.conclusion in ("success", "neutral") for check in newest.values())
    return "clean" if passed else "unstable"


def merge(hub: Hub, issue: Issue, pull: Pull, wanted: Mapping[str, str]) -> tuple[int, str]:
    """(status, message or commit), for `PUT …/merge` with the body `wanted`."""
    method = wanted.get("merge_method", "merge")
    if issue.state != "open":
        return 405, REFUSED["dirty"]
    if wanted.get("sha", pull.head_sha) != pull.head_sha:
        return 409, "Head branch was modified. Review and try the merge again."
    if method not in hub.methods:
        return 405, NOT_ALLOWED[method]
    if "merge_queue" in hub.rules.get(pull.base, []):
        return 405, "Changes must be made through the merge queue"
    pull.tested = (pull.base_sha, pull.head_sha)
    state = mergeable_state(hub, issue, pull)
    if pull.base in hub.signed_only and not hub.bare.is_signed(pull.head_sha, pull.base_sha):
        state = "unsigned"
    if state in REFUSED:
        return 405, REFUSED[state]
    title = wanted.get("commit_title") or f"Merge pull request #{issue.number}"
    commit = _merged(hub, pull, method, f"{title}\n\n{wanted.get('commit_message', '')}")
    hub.bare.move(f"refs/heads/{pull.base}", commit, pull.base_sha)
    shut(issue, pull, merge=commit)
    return 200, commit


def _merged(hub: Hub, pull: Pull, method: str, message: str) -> str:
    if method == "rebase":
        return hub.bare.rebased(pull.base_sha, pull.head_sha)
    tree = hub.bare.merged_tree(pull.base_sha, pull.head_sha) or ""
    parents = [pull.base_sha, *([pull.head_sha] if method == "merge" else [])]
    return hub.bare.commit(tree, parents, message, is_signed=True)

"""What the small GitHub shows of its things, in the API's own shapes."""

from __future__ import annotations

import hashlib
from typing import Any

from support.github_server.world import Artifact, CheckRun, Comment, Hub, Issue, Pull, Run
from support.openapi.document import filled


def number_of(text: str) -> int:
    """A stable id for what has only a name."""
    return int(hashlib.sha256(text.encode()).hexdigest()[:8], 16)


def user(hub: Hub, login: str) -> dict[str, Any]:
    kind = "Bot" if login.endswith("[bot]") else "User"
    address = f"{hub.api_url}/users/{login}"
    return filled("simple-user", login=login, id=number_of(login), type=kind, url=address)


def repository(hub: Hub, name: str) -> dict[str, Any]:
    return filled(
        "repository",
        id=number_of(name),
        name=name.split("/")[1],
        full_name=name,
        owner=user(hub, name.split("/")[0]),
        fork=name != hub.name,
        url=f"{hub.api_url}/repos/{name}",
        html_url=f"{hub.server}/{name}",
        default_branch="main",
    )


def minimal_repository(hub: Hub, name: str) -> dict[str, Any]:
    whole = repository(hub, name)
    shared = ("id", "name", "full_name", "owner", "fork", "url", "html_url")
    return filled("minimal-repository", **{key: whole[key] for key in shared})


def label(hub: Hub, name: str) -> dict[str, Any]:
    url = f"{hub.url}/labels/{name}"
    return filled("label", name=name, id=number_of(name), url=url, description="")


def labelled(hub: Hub, id: int, actor: str, name: str) -> dict[str, Any]:
    return filled(
        "labeled-issue-event",
        id=id,
        event="labeled",
        actor=user(hub, actor),
        label={"name": name, "color": "ededed"},
        url=f"{hub.url}/issues/events/{id}",
    )


def comment(hub: Hub, number: int, found: Comment) -> dict[str, Any]:
    return filled(
        "issue-comment",
        id=found.id,
        body=found.body,
        user=user(hub, found.author),
        created_at=found.created,
        updated_at=found.updated,
        url=f"{hub.url}/issues/comments/{found.id}",
        issue_url=f"{hub.url}/issues/{number}",
        html_url=f"{hub.page}/pull/{number}#issuecomment-{found.id}",
        author_association="NONE",
    )


def _shared(hub: Hub, found: Issue) -> dict[str, Any]:
    return {
        "id": found.id,
        "node_id": f"PR_{found.id}",
        "number": found.number,
        "title": found.title,
        "body": found.body,
        "user": user(hub, found.author),
        "state": found.state,
        "labels": [label(hub, name) for name in found.labels],
        "locked": found.locked,
        "created_at": found.created,
        "updated_at": found.updated,
        "comments_url": f"{hub.url}/issues/{found.number}/comments",
        "author_association": "NONE",
        "assignees": [],
    }


def issue(hub: Hub, found: Issue) -> dict[str, Any]:
    known = _shared(hub, found) | {
        "url": f"{hub.url}/issues/{found.number}",
        "html_url": f"{hub.page}/issues/{found.number}",
        "comments": len(found.comments),
        "state_reason": found.state_reason,
        "closed_at": None if found.state == "open" else found.updated,
    }
    if found.pull is not None:
        places = ("url", "html_url", "diff_url", "patch_url")
        known["html_url"] = f"{hub.page}/pull/{found.number}"
        known["pull_request"] = dict.fromkeys(places, f"{hub.url}/pulls/{found.number}")
    return filled("issue", **known)


def _side(hub: Hub, ref: str, sha: str, name: str | None) -> dict[str, Any]:
    if name is None:
        return {"ref": ref, "sha": sha, "label": None, "user": None, "repo": None}
    owner = name.split("/")[0]
    return {
        "ref": ref,
        "sha": sha,
        "label": f"{owner}:{ref}",
        "user": user(hub, owner),
        "repo": repository(hub, name),
    }


def _pull(hub: Hub, found: Issue, pull: Pull) -> dict[str, Any]:
    return _shared(hub, found) | {
        "url": f"{hub.url}/pulls/{found.number}",
        "issue_url": f"{hub.url}/issues/{found.number}",
        "html_url": f"{hub.page}/pull/{found.number}",
        "head": _side(hub, pull.head, pull.head_sha, pull.head_repository),
        "base": _side(hub, pull.base, pull.base_sha, hub.name),
        "draft": pull.draft,
        "merged_at": pull.merged_at,
        "closed_at": pull.closed_at,
        # While it is open, GitHub shows the commit of a merge that it tried out.
        "merge_commit_sha": pull.merge or "0" * 40,
        "requested_reviewers": [user(hub, name) for name in pull.requested],
        "requested_teams": [],
    }


def simple_pull(hub: Hub, found: Issue, pull: Pull) -> dict[str, Any]:
    return filled("pull-request-simple", **_pull(hub, found, pull))


def full_pull(hub: Hub, found: Issue, pull: Pull, state: str) -> dict[str, Any]:
    """`state` is its mergeable_state."""
    merged = pull.merged_at is not None
    return filled(
        "pull-request",
        **_pull(hub, found, pull),
        merged=merged,
        mergeable=None if merged or state == "unknown" else state != "dirty",
        mergeable_state=state,
        comments=len(found.comments),
        commits=1,
        changed_files=1,
    )


def review(hub: Hub, author: str, verdict: str) -> dict[str, Any]:
    return filled("pull-request-review", user=user(hub, author), state=verdict)


def check_run(hub: Hub, found: CheckRun) -> dict[str, Any]:
    output = {"title": None, "summary": None, "text": None, **found.output}
    output.pop("annotations", None)
    return filled(
        "check-run",
        id=found.id,
        name=found.name,
        head_sha=found.commit,
        external_id=found.external_id,
        status=found.status,
        conclusion=found.conclusion,
        url=f"{hub.url}/check-runs/{found.id}",
        check_suite={"id": number_of(found.commit)},
        output={
            **output,
            "annotations_count": len(found.annotations),
            "annotations_url": f"{hub.url}/check-runs/{found.id}/annotations",
        },
    )


def run(hub: Hub, found: Run) -> dict[str, Any]:
    known: dict[str, Any] = {
        "id": found.id,
        "event": found.event,
        "status": found.status,
        "conclusion": found.conclusion,
        "head_sha": found.head_sha,
        "head_branch": found.head_branch,
        "path": found.path,
        "run_attempt": found.attempt,
        "actor": user(hub, found.actor),
        "created_at": found.created,
        "updated_at": found.changed or found.created,
        "run_number": found.number,
        "url": f"{hub.url}/actions/runs/{found.id}",
        "repository": minimal_repository(hub, hub.name),
    }
    origin = found.head_repository
    known["head_repository"] = minimal_repository(hub, origin) if origin else None
    known["pull_requests"] = _open_pulls(hub, found)
    return filled("workflow-run", **known)


def _open_pulls(hub: Hub, found: Run) -> list[dict[str, Any]]:
    """Open ones from the run's branch of this repository: GitHub names no closed and no fork's."""
    if found.head_repository != hub.name or not found.event.startswith("pull_request"):
        return []
    own = [
        issue
        for issue in hub.issues.values()
        if issue.pull and issue.state == "open" and issue.pull.head == found.head_branch
        if issue.pull.head_repository == hub.name
    ]
    return [filled("pull-request-minimal", number=issue.number, id=issue.id) for issue in own]


def job(hub: Hub, made: Run, name: str) -> dict[str, Any]:
    """One job of a run, with its steps."""
    steps = [
        {"name": step, "status": "completed", "conclusion": conclusion, "number": number}
        for number, (step, conclusion) in enumerate(made.listed_jobs[name], 1)
    ]
    return filled(
        "job",
        id=made.id,
        run_id=made.id,
        name=name,
        head_sha=made.head_sha,
        status=made.status,
        conclusion=made.conclusion,
        steps=steps,
        url=f"{hub.url}/actions/jobs/{made.id}",
    )


def artifact(hub: Hub, found: Artifact) -> dict[str, Any]:
    made = found.run
    origin = None
    if made is not None:
        origin = {
            "id": made.id,
            "repository_id": number_of(hub.name),
            "head_branch": made.head_branch,
            "head_sha": made.head_sha,
        }
        if made.head_repository:
            origin["head_repository_id"] = number_of(made.head_repository)
    address = f"{hub.url}/actions/artifacts/{found.id}"
    return filled(
        "artifact",
        id=found.id,
        name=found.name,
        size_in_bytes=len(found.data) if found.claimed_size is None else found.claimed_size,
        url=address,
        archive_download_url=f"{address}/zip",
        expired=found.expired,
        created_at=found.created,
        workflow_run=origin,
    )

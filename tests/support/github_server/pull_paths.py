"""Pull requests on the small GitHub, as its REST paths."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from support.github_server import pages, pulls
from support.github_server.issue_paths import check_length, recent_first, take, wanted_state
from support.github_server.routes import Answer, Refusal, Request, page, route
from support.github_server.world import Hub, Issue, Pull


@route("pulls/list", pull_requests="read")
def list_pulls(request: Request) -> Answer:
    hub, query = request.hub, request.query
    found = [i for i in hub.issues.values() if i.pull is not None and wanted_state(request, i)]
    if "head" in query:
        owner, _, branch = query["head"].partition(":")
        found = [i for i in found if i.pull and _head(hub, i.pull) == (owner, branch)]
    shown = page(request, recent_first(request, found))
    return Answer(200, [pages.simple_pull(hub, i, i.pull) for i in shown.body], shown.headers)


def _head(hub: Hub, pull: Pull) -> tuple[str, str]:
    return (pull.head_repository or "ghost/").split("/")[0], pull.head


@route("pulls/create", pull_requests="write")
def create_pull(request: Request) -> Answer:
    hub, body = request.hub, request.body
    if not request.token.opens_pulls:
        raise Refusal(403, "GitHub Actions is not permitted to create or approve pull requests.")
    head, base = (hub.bare.tip(f"refs/heads/{body[side]}") for side in ("head", "base"))
    for side, tip in (("head", head), ("base", base)):
        if tip is None:
            detail = {"resource": "PullRequest", "field": side, "code": "invalid"}
            raise Refusal(422, "Validation Failed", detail)
    _refuse_second(hub, body)
    if not hub.bare.has_commits(base or "", head or ""):
        _custom(f"No commits between {body['base']} and {body['head']}")
    if body.get("draft") and not hub.has_drafts:
        _custom("Draft pull requests are not supported in this repository.")
    check_length(body.get("body"))
    made = hub.open_pull(
        request.token.login,
        body["head"],
        body["base"],
        body["title"],
        body.get("body") or "",
        draft=bool(body.get("draft")),
    )
    return Answer(201, _full(hub, made))


def _refuse_second(hub: Hub, body: Mapping[str, Any]) -> None:
    for issue in hub.issues.values():
        pull = issue.pull
        if pull is None or issue.state != "open" or pull.head_repository != hub.name:
            continue
        if (pull.head, pull.base) == (body["head"], body["base"]):
            _custom(f"A pull request already exists for {hub.owner}:{pull.head}.")


def _custom(message: str) -> None:
    detail = {"resource": "PullRequest", "code": "custom", "message": message}
    raise Refusal(422, "Validation Failed", detail)


def _full(hub: Hub, issue: Issue) -> dict[str, Any]:
    assert issue.pull is not None
    state = pulls.mergeable_state(hub, issue, issue.pull)
    return pages.full_pull(hub, issue, issue.pull, state)


@route("pulls/get", pull_requests="read")
def get_pull(request: Request) -> Answer:
    return Answer(200, _full(request.hub, request.pull[0]))


@route("pulls/update", pull_requests="write")
def update_pull(request: Request) -> Answer:
    issue, pull = request.pull
    check_length(request.body.get("body"))
    take(issue, request.body)
    if issue.state == "closed" and pull.closed_at is None:
        pull.closed_at = issue.updated
    return Answer(200, _full(request.hub, issue))


@route("pulls/merge", contents="write")
def merge_pull(request: Request) -> Answer:
    issue, pull = request.pull
    status, said = pulls.merge(request.hub, issue, pull, request.body or {})
    if status != 200:
        raise Refusal(status, said)
    return Answer(200, {"sha": said, "merged": True, "message": "Pull Request merged"})


@route("pulls/request-reviewers", pull_requests="write")
def request_reviewers(request: Request) -> Answer:
    issue, pull = request.pull
    for name in request.body["reviewers"]:
        if name == issue.author:
            raise Refusal(422, "Review cannot be requested from pull request author.")
        if name not in request.hub.people:
            raise Refusal(422, "Reviews may only be requested from collaborators.")
        pull.requested.append(name)
    return Answer(201, pages.simple_pull(request.hub, issue, pull))


@route("pulls/list-reviews", pull_requests="read")
def list_reviews(request: Request) -> Answer:
    _, pull = request.pull
    return page(request, [pages.review(request.hub, *review) for review in pull.reviews])

"""Issues, comments, labels and reactions on the small GitHub, as its REST paths."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from support.github_server import pages
from support.github_server.routes import Answer, Refusal, Request, page, require, route
from support.github_server.world import Comment, Issue, now
from support.openapi.document import filled

BODY_LIMIT = 65_536
PULLS_OR_ISSUES = {"issues": "write", "pull_requests": "write"}


def recent_first(request: Request, items: Iterable[Issue]) -> list[Issue]:
    key = request.query.get("sort", "created")
    descending = request.query.get("direction", "desc") == "desc"
    return sorted(items, key=lambda i: (getattr(i, key), i.number), reverse=descending)


def wanted_state(request: Request, issue: Issue) -> bool:
    return request.query.get("state", "open") in ("all", issue.state)


def check_length(text: str | None) -> None:
    if text is not None and len(text) > BODY_LIMIT:
        detail = {"resource": "Comment", "code": "unprocessable", "field": "data"}
        message = f"body is too long (maximum is {BODY_LIMIT} characters)"
        raise Refusal(422, "Validation Failed", {**detail, "message": message})


def take(issue: Issue, body: Mapping[str, Any]) -> None:
    """What a PATCH changes of an issue or a pull request."""
    for key in ("title", "body", "state", "state_reason"):
        if body.get(key) is not None:
            setattr(issue, key, body[key])
    issue.updated = now()


# --- issues ------------------------------------------------------------------------------


@route("issues/list-for-repo", issues="read")
def list_issues(request: Request) -> Answer:
    hub, query = request.hub, request.query
    labels = set(filter(None, query.get("labels", "").split(",")))
    found = [
        issue
        for issue in hub.issues.values()
        if wanted_state(request, issue)
        and labels <= set(issue.labels)
        and query.get("creator", issue.author) == issue.author
    ]
    shown = page(request, recent_first(request, found))
    return Answer(200, [pages.issue(hub, issue) for issue in shown.body], shown.headers)


@route("issues/create", issues="write")
def create_issue(request: Request) -> Answer:
    if not request.hub.has_issues:
        raise Refusal(410, "Issues has been disabled in this repository.")
    body = request.body
    check_length(body.get("body"))
    labels = tuple(body.get("labels", ()))
    made = request.hub.open_issue(request.token.login, body["title"], body.get("body", ""), labels)
    return Answer(201, pages.issue(request.hub, made))


@route("issues/update", **PULLS_OR_ISSUES)
def update_issue(request: Request) -> Answer:
    require(request.token, _kind(request.issue))
    check_length(request.body.get("body"))
    take(request.issue, request.body)
    return Answer(200, pages.issue(request.hub, request.issue))


def _kind(issue: Issue) -> Mapping[str, str]:
    """A token for pull requests may not touch what is only an issue."""
    return {"issues": "write"} if issue.pull is None else PULLS_OR_ISSUES


@route("issues/add-labels", **PULLS_OR_ISSUES)
def add_labels(request: Request) -> Answer:
    require(request.token, _kind(request.issue))
    names = request.body if isinstance(request.body, list) else request.body["labels"]
    for name in names:
        request.hub.label(request.issue.number, request.token.login, name)
    return Answer(200, [pages.label(request.hub, name) for name in request.issue.labels])


@route("issues/remove-label", **PULLS_OR_ISSUES)
def remove_label(request: Request) -> Answer:
    require(request.token, _kind(request.issue))
    name = request.variables["name"]
    if name not in request.issue.labels:
        raise Refusal(404, "Label does not exist")
    request.issue.labels.remove(name)
    return Answer(200, [pages.label(request.hub, name) for name in request.issue.labels])


@route("issues/list-events", issues="read", pull_requests="read")
def list_events(request: Request) -> Answer:
    found = enumerate(request.issue.labelled)
    return page(request, [pages.labelled(request.hub, n, *event) for n, event in found])


# --- comments ----------------------------------------------------------------------------


@route("issues/list-comments", issues="read", pull_requests="read")
def list_comments(request: Request) -> Answer:
    hub, issue = request.hub, request.issue
    since = _moment(request.query.get("since", "1970-01-01T00:00:00Z"))
    found = [c for c in issue.comments if _moment(c.updated) >= since]
    return page(request, [pages.comment(hub, issue.number, c) for c in found])


@route("issues/list-comments-for-repo", issues="read", pull_requests="read")
def list_all_comments(request: Request) -> Answer:
    hub, since = request.hub, _moment(request.query.get("since", "1970-01-01T00:00:00Z"))
    rows = [
        (comment.updated, comment.id, issue.number, comment)
        for issue in hub.issues.values()
        for comment in issue.comments
        if _moment(comment.updated) >= since
    ]
    return page(request, [pages.comment(hub, n, c) for _, _, n, c in sorted(rows)])


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


@route("issues/create-comment", **PULLS_OR_ISSUES)
def create_comment(request: Request) -> Answer:
    issue = request.issue
    require(request.token, _kind(issue))
    if issue.locked:
        raise Refusal(403, "Unable to create comment because issue is locked.")
    check_length(request.body["body"])
    made = request.hub.comment(issue.number, request.token.login, request.body["body"])
    return Answer(201, pages.comment(request.hub, issue.number, made))


def _comment(request: Request) -> tuple[Issue, Comment]:
    wanted = int(request.variables["comment_id"])
    for issue in request.hub.issues.values():
        for comment in issue.comments:
            if comment.id == wanted:
                return issue, comment
    raise Refusal(404, "Not Found")


@route("issues/update-comment", **PULLS_OR_ISSUES)
def update_comment(request: Request) -> Answer:
    issue, comment = _comment(request)
    require(request.token, _kind(issue))
    check_length(request.body["body"])
    comment.body, comment.updated = request.body["body"], now()
    return Answer(200, pages.comment(request.hub, issue.number, comment))


@route("issues/delete-comment", **PULLS_OR_ISSUES)
def delete_comment(request: Request) -> Answer:
    issue, comment = _comment(request)
    issue.comments.remove(comment)
    return Answer(204)


@route("reactions/create-for-issue-comment", **PULLS_OR_ISSUES)
def react(request: Request) -> Answer:
    _, comment = _comment(request)
    mine = (request.token.login, request.body["content"])
    known = mine in comment.reactions
    if not known:
        comment.reactions.append(mine)
    who = pages.user(request.hub, request.token.login)
    made = filled("reaction", id=comment.id, content=mine[1], user=who)
    return Answer(200 if known else 201, made)

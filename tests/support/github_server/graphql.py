"""The GraphQL operations in use: who am I, to a draft, ready for review, into the merge queue.

GitHub publishes no OpenAPI of these; the shapes are those of
https://docs.github.com/graphql/reference/mutations.
"""

from __future__ import annotations

from typing import Any

from support.github_server.routes import Answer, Refusal, require
from support.github_server.world import Hub, Issue, Token

DRAFTS = {"convertPullRequestToDraft": True, "markPullRequestReadyForReview": False}


def login(token: Token) -> Answer:
    return Answer(200, {"data": {"viewer": {"login": token.login}}})


def answer(hub: Hub, token: Token, body: dict[str, Any]) -> Answer:
    query = body["query"]
    if "viewer" in query:
        return login(token)
    if "enqueuePullRequest" in query:
        return _enqueue(hub, token, body["variables"]["input"])
    for mutation, draft in DRAFTS.items():
        if mutation in query:
            return _convert(hub, token, mutation, body["variables"]["input"], draft=draft)
    return Answer(200, {"errors": [{"message": f"unknown operation: {query[:80]}"}]})


def _convert(
    hub: Hub, token: Token, mutation: str, wanted: dict[str, Any], *, draft: bool
) -> Answer:
    try:
        require(token, {"pull_requests": "write"})
    except Refusal as refusal:
        return _error("FORBIDDEN", str(refusal))
    for issue in hub.issues.values():
        if issue.pull is not None and f"PR_{issue.id}" == wanted["pullRequestId"]:
            return _set_draft(hub, issue, mutation, draft=draft)
    return _error("NOT_FOUND", "Could not resolve to a node with the global id")


def _enqueue(hub: Hub, token: Token, wanted: dict[str, Any]) -> Answer:
    """One that is in the queue already is refused, as by GitHub."""
    try:
        require(token, {"contents": "write"})
    except Refusal as refusal:
        return _error("FORBIDDEN", str(refusal))
    [number] = [i.number for i in hub.issues.values() if f"PR_{i.id}" == wanted["pullRequestId"]]
    if number in hub.merge_queue:
        return _error("UNPROCESSABLE", "Pull request is already queued to merge")
    hub.merge_queue.append(number)
    return Answer(200, {"data": {"enqueuePullRequest": {"clientMutationId": None}}})


def _set_draft(hub: Hub, issue: Issue, mutation: str, *, draft: bool) -> Answer:
    assert issue.pull is not None
    if draft and not hub.has_drafts:
        return _error("UNPROCESSABLE", "Draft pull requests are not supported")
    issue.pull.draft = draft
    done = {"clientMutationId": None, "pullRequest": {"isDraft": draft}}
    return Answer(200, {"data": {mutation: done}})


def _error(kind: str, message: str) -> Answer:
    return Answer(200, {"data": None, "errors": [{"type": kind, "message": message}]})

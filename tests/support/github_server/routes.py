"""How a REST path of the small GitHub is answered: permission, refusal, pages.

`issue_paths.py`, `pull_paths.py` and `repository_paths.py` hold one function for each
operation of the document.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from support.github_server.world import Hub, Issue, Pull, Token


@dataclass(frozen=True)
class Request:
    hub: Hub
    token: Token
    variables: Mapping[str, str]
    query: Mapping[str, str]
    body: Any

    @property
    def issue(self) -> Issue:
        found = self.hub.issues.get(int(self.variables["issue_number"]))
        if found is None:
            raise Refusal(404, "Not Found")
        return found

    @property
    def pull(self) -> tuple[Issue, Pull]:
        found = self.hub.issues.get(int(self.variables["pull_number"]))
        if found is None or found.pull is None:
            raise Refusal(404, "Not Found")
        return found, found.pull


@dataclass(frozen=True)
class Answer:
    status: int
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)


class Refusal(Exception):
    def __init__(self, status: int, message: str, *errors: Mapping[str, str], **headers: str):
        super().__init__(message)
        body: dict[str, Any] = {"message": message, "documentation_url": "https://docs.github.com"}
        if errors:
            body["errors"] = list(errors)
        self.answer = Answer(status, body, {k.replace("_", "-"): v for k, v in headers.items()})


@dataclass(frozen=True)
class Route:
    needs: Mapping[str, str]
    act: Callable[[Request], Answer]


ROUTES: dict[str, Route] = {}


def route(operation: str, **needs: str) -> Callable[[Callable[[Request], Answer]], None]:
    """Answers `operation` for tokens that hold one of the permissions."""

    def keep(act: Callable[[Request], Answer]) -> None:
        ROUTES[operation] = Route(needs, act)

    return keep


def answer(operation: str, request: Request) -> Answer:
    wanted = ROUTES[operation]
    try:
        require(request.token, wanted.needs)
        return wanted.act(request)
    except Refusal as refusal:
        return refusal.answer


def require(token: Token, needs: Mapping[str, str]) -> None:
    if not token.may(needs):
        accepted = "; ".join(f"{name}={level}" for name, level in needs.items())
        raise Refusal(
            403,
            "Resource not accessible by integration",
            X_Accepted_GitHub_Permissions=accepted,
        )


def page(request: Request, found: Iterable[Any]) -> Answer:
    """One page of a listing, with the links that lead on."""
    items = list(found)
    size, number = (int(request.query.get(k, d)) for k, d in (("per_page", 30), ("page", 1)))
    last = max(1, -(-len(items) // size))
    path = request.variables["path"]
    others = {k: v for k, v in request.query.items() if k != "page"}
    near = {"next": number + 1, "last": last} if number < last else {}
    near |= {"prev": number - 1, "first": 1} if number > 1 else {}
    query = "&".join(f"{k}={v}" for k, v in others.items())
    links = ", ".join(f'<{path}?{query}&page={n}>; rel="{rel}"' for rel, n in near.items())
    headers = {"Link": links} if links else {}
    return Answer(200, items[(number - 1) * size : number * size], headers)


def named_page(request: Request, name: str, found: Iterable[Any]) -> Answer:
    items = list(found)
    part = page(request, items)
    return Answer(200, {"total_count": len(items), name: part.body}, part.headers)

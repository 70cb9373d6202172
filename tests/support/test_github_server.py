"""The small GitHub itself: what the other tests lean on must be able to say no."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest
import requests

from support.github_server.routes import ROUTES  # filled by the server
from support.hub_bench import BOT, HubBench, bench, template
from support.openapi import document
from support.processes import HANG_S
from support.repositories import Repository, git

__all__ = ["bench", "template"]


def header(secret: str) -> str:
    """As actions/checkout configures it."""
    basic = base64.b64encode(f"x-access-token:{secret}".encode()).decode()
    return f"http.extraHeader=AUTHORIZATION: basic {basic}"


@pytest.fixture
def clone(bench: HubBench, tmp_path: Path) -> Repository:
    """A clone over HTTP that has the token in its configuration."""
    setting = header(bench.token.secret)
    git(tmp_path, "-c", setting, "clone", "-q", bench.hub.git_url, "clone")
    made = Repository(tmp_path / "clone", bench.repository.origin)
    made.git("config", *setting.split("=", 1))
    return made


def call(bench: HubBench, verb: str, path: str, **options: Any) -> requests.Response:
    token = {"Authorization": f"Bearer {bench.token.secret}"}
    return requests.request(
        verb, f"{bench.hub.url}/{path}", headers=token, timeout=HANG_S, **options
    )


# --- git ---------------------------------------------------------------------------------


def test_git_over_http_is_a_real_remote(clone: Repository, bench: HubBench) -> None:
    first = clone.git("rev-parse", "HEAD")
    clone.write("large.bin", "x" * 2_000_000)  # more than git sends in one piece
    clone.commit("Large")
    clone.push("--atomic", "HEAD:refs/expci/ledger", f"{first}:refs/heads/other")
    refs = git(bench.repository.origin, "for-each-ref", "--format=%(refname)").split()
    assert {"refs/expci/ledger", "refs/heads/other"} <= set(refs)
    with pytest.raises(AssertionError, match="stale info"):
        clone.push("--force-with-lease=refs/expci/ledger:", f"{first}:refs/expci/ledger")
    assert clone.git("ls-remote", "origin", "refs/expci/*").split()[1] == "refs/expci/ledger"


@pytest.mark.parametrize(
    ("contents", "why"), [("read", "403"), ("none", "403"), (None, "could not read|terminal")]
)
def test_git_over_http_asks_for_the_permission(
    clone: Repository, bench: HubBench, contents: str | None, why: str
) -> None:
    clone.git("config", "--unset", "http.extraHeader")
    clone.git("config", "core.askPass", "true")
    if contents is not None:
        token = bench.hub.token(BOT, {"contents": contents})
        clone.git("config", *header(token.secret).split("=", 1))
    clone.write("work.sh", "sleep 1\n")
    clone.commit("Slower")
    with pytest.raises(AssertionError, match=f"{why}|Authentication failed"):
        clone.push("HEAD:main")


def test_a_protected_branch_refuses_pushes(clone: Repository, bench: HubBench) -> None:
    bench.hub.protect("main")
    clone.write("work.sh", "sleep 1\n")
    clone.commit("Slower")
    with pytest.raises(AssertionError, match="GH006"):
        clone.push("HEAD:main")
    clone.push("HEAD:other")


# --- the document ------------------------------------------------------------------------


def test_every_path_in_use_is_served_and_no_other() -> None:
    known = {
        op["operationId"] for ops in document.document()["paths"].values() for op in ops.values()
    }
    assert known == set(ROUTES)


@pytest.mark.parametrize(
    ("verb", "path", "options", "why"),
    [
        ("GET", "stargazers", {}, "no such operation"),
        ("GET", "pulls", {"params": {"state": "merged"}}, "'merged' is not one of"),
        ("GET", "pulls", {"params": {"branch": "main"}}, "query 'branch' is not a parameter"),
        ("POST", "issues", {"json": {"body": "no title"}}, "'title' is a required property"),
        ("POST", "issues", {"json": {"title": "T", "text": "b"}}, "body has 'text', unknown"),
        ("POST", "issues", {"json": {"title": ["T"]}}, "not valid under any"),
        ("POST", "issues", {}, "no body"),
    ],
)
def test_what_github_does_not_know_is_a_violation(
    repository: Repository, verb: str, path: str, options: dict[str, Any], why: str
) -> None:
    bench = HubBench.of(repository)
    assert call(bench, verb, path, **options).status_code in (404, 422)
    assert any(why in violation for violation in bench.hub.violations), bench.hub.violations


def test_a_wrong_answer_is_a_violation() -> None:
    operation = document.find("GET", "/repos/o/r/issues/1/comments")
    assert operation is not None
    right = document.filled("issue-comment", body="Text")
    assert document.problems_of_answer(operation, 200, [right]) == []
    for wrong in (right | {"id": "7"}, right | {"user": {"login": "ada"}}, {"body": "Text"}):
        assert document.problems_of_answer(operation, 200, [wrong]) != []
    assert document.problems_of_answer(operation, 201, [right]) == ["status 201 is not documented"]


# --- what the API is like ----------------------------------------------------------------


def test_listings_come_in_pages_with_links(bench: HubBench) -> None:
    for number in range(65):
        bench.hub.open_issue("ada", f"Issue {number}", "")
    first = call(bench, "GET", "issues")
    assert len(first.json()) == 30
    third = requests.get(
        first.links["last"]["url"],
        headers={"Authorization": f"token {bench.token.secret}"},
        timeout=HANG_S,
    )
    assert [issue["title"] for issue in third.json()] == [f"Issue {n}" for n in range(4, -1, -1)]
    assert "next" not in third.links


def test_used_up_means_refused(bench: HubBench) -> None:
    bench.hub.remaining = 1
    assert call(bench, "GET", "issues").headers["X-RateLimit-Remaining"] == "0"
    refused = call(bench, "GET", "issues")
    assert (refused.status_code, refused.json()["message"][:23]) == (403, "API rate limit exceeded")


def test_a_stranger_sees_nothing(bench: HubBench) -> None:
    other = HubBench.of(bench.repository)
    wrong = {"Authorization": f"Bearer {other.token.secret}"}
    assert requests.get(f"{bench.hub.url}/pulls", headers=wrong, timeout=HANG_S).status_code == 404
    none = {"Authorization": "Bearer ghs_wrong"}
    assert requests.get(f"{bench.hub.url}/pulls", headers=none, timeout=HANG_S).status_code == 401

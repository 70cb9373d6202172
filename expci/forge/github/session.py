"""One repository on GitHub, as one token sees it: connection, identity, errors in our words."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any
from urllib.parse import quote, urlsplit

import requests
from github import (
    Auth,
    BadAttributeException,
    Github,
    GithubException,
    RateLimitExceededException,
)
from github.Repository import Repository

from expci import __version__
from expci.errors import ExpciError, ForgeError, ForgeUnreachable, NotPermitted
from expci.forge.github.retries import Limits, PatientRetry

API_VERSION = "2022-11-28"
PULLS = "pull-requests: write"
ISSUES = "issues: write"
CHECKS = "checks: write"
CONTENTS = "contents: write"
CONTENTS_READ = "contents: read"
ACTIONS = "actions: read"
READ = "pull-requests: read"
METADATA = "metadata: read"
SILENT = ("forbidden", "no reason given")  # refusals that say no more than that they are one


@dataclass(frozen=True)
class Access:
    """Which repository, where, with which token. `timeout` in seconds for one answer.

    `pause` is the number of seconds between two writes: GitHub asks for one.
    """

    repository: str
    token: str = field(repr=False)
    api_url: str = "https://api.github.com"
    server_url: str = "https://github.com"
    timeout: int = 30
    pause: float = 1.0


class GitHubSession:
    """Every request goes through `asking`, which turns what goes wrong into our errors."""

    def __init__(self, access: Access, limits: Limits | None = None) -> None:
        if not re.fullmatch(r"[\w.-]+/[\w.-]+", access.repository):
            raise ExpciError(
                f"GITHUB_REPOSITORY must be OWNER/NAME, not {access.repository!r}; correct it"
            )
        self.access = access
        self.limits = limits or Limits()
        self._github = Github(
            auth=Auth.Token(access.token),
            base_url=access.api_url.rstrip("/"),
            timeout=access.timeout,  # PyGithub takes whole seconds only
            user_agent=f"expci/{__version__}",
            per_page=100,
            retry=PatientRetry(self.limits),
            seconds_between_requests=0,
            seconds_between_writes=access.pause,
            api_version=API_VERSION,
            lazy=True,
        )
        self.repository: Repository = self._github.get_repo(access.repository)

    @property
    def name(self) -> str:
        return self.access.repository

    @property
    def place(self) -> str:
        """The repository with its server: github.com/OWNER/NAME."""
        return f"{urlsplit(self.access.server_url).netloc}/{self.name}"

    @property
    def owner(self) -> str:
        return self.name.split("/")[0]

    @property
    def web(self) -> str:
        """The repository's page."""
        return f"{self.access.server_url.rstrip('/')}/{self.name}"

    def compare_url(self, head: str, base: str) -> str:
        return f"{self.web}/compare/{quote(base)}...{quote(head)}?expand=1"

    @cached_property
    def login(self) -> str:
        """Who writes the comments. `GET /user` refuses GITHUB_TOKEN and App tokens; this does not
        (fullsend-ai/fullsend#1953)."""
        with self.asking("ask GitHub whose token this is", METADATA):
            _, answer = self._github.requester.graphql_query("query { viewer { login } }", {})
            return str(answer["data"]["viewer"]["login"])

    def request(self, verb: str, path: str, body: Any = None) -> tuple[Mapping[str, Any], Any]:
        """Headers and content, for what PyGithub has no method for. `path` is below the
        repository."""
        address = f"/repos/{self.name}/{path}"
        return self._github.requester.requestJsonAndCheck(verb, address, input=body)

    def mutate(self, name: str, values: dict[str, Any], answer: str) -> None:
        """A change that only GraphQL knows; `answer` is the field of the query."""
        self._github.requester.graphql_named_mutation(name, values, answer)

    @contextmanager
    def asking(self, what: str, permission: str) -> Iterator[None]:
        """Requests within fail with an `ExpciError` that says "cannot `what`".

        `permission` is the line that a workflow needs for it.
        """
        wait = self.limits.blocked()
        if wait:
            raise ForgeUnreachable(_limited(what, wait))
        if self.limits.is_silent:
            raise ForgeUnreachable(
                f"cannot {what}: {self.access.api_url} went silent and is not asked again by this "
                "command. Run it again; EXPCI_SILENCE_SECONDS sets how long an answer may take"
            )
        try:
            yield
            self.limits.silences = 0
        except GithubException as error:
            raise self._translated(what, permission, error) from None
        except (requests.Timeout, requests.ConnectionError) as error:
            raise ForgeUnreachable(
                f"cannot {what}: no answer from {self.access.api_url} "
                f"({self._clean(_shortest(error))}). Run it again; what was done stays done"
            ) from error
        except (
            requests.RequestException,
            BadAttributeException,
            ValueError,
            RuntimeError,
        ) as error:
            raise ForgeError(
                f"cannot {what}: {self.access.api_url} answered with something that is not "
                f"GitHub's API ({self._clean(str(error))}); check GITHUB_API_URL"
            ) from error

    def _translated(self, what: str, permission: str, error: GithubException) -> ForgeError:
        status, message = error.status, self._clean(_message(error))
        if isinstance(error, RateLimitExceededException):
            return ForgeUnreachable(_limited(what, self.limits.blocked()), status)
        if status == 401:
            return NotPermitted(
                f"cannot {what}: GitHub refuses the token (401 {message}). Pass a valid one as "
                "EXPCI_TOKEN or GITHUB_TOKEN",
                status,
            )
        if status == 403:
            return _forbidden(what, permission, message, error.headers or {})
        if status >= 500:
            return ForgeUnreachable(
                f"cannot {what}: GitHub failed ({status} {message}). Run it again; what was done "
                "stays done",
                status,
            )
        if status == 404:
            message = f"{message}: it is gone, or the token may not see {self.name}"
        return ForgeError(f"cannot {what}: GitHub refused ({status} {message})", status)

    def _clean(self, text: str) -> str:
        return text.replace(self.access.token, "***")


def _forbidden(
    what: str, permission: str, message: str, headers: Mapping[str, str]
) -> NotPermitted:
    words = message.lower()
    if not words.startswith("resource not accessible") and words not in SILENT:
        return NotPermitted(f"cannot {what}: GitHub refused (403 {message})", 403)
    lines = _accepted(headers, permission)
    wanted = "".join(f"\n    {line}" for line in lines)
    return NotPermitted(
        f"cannot {what}: the token may not (403 {message}). Add to the job, beside the "
        f"permissions it has:\n  permissions:{wanted}\nor give them to the App or token in use",
        403,
    )


def _accepted(headers: Mapping[str, str], permission: str) -> list[str]:
    """The `permissions:` lines that would have sufficed.

    GitHub's header names alternatives, `issues=write; pull_requests=write`, with commas
    between what is needed together
    (https://github.blog/changelog/2023-08-10-x-accepted-github-permissions-header-for-fine-grained-permission-actors/).
    """
    alternatives = [
        [f"{name.replace('_', '-')}: {level}" for name, _, level in pairs]
        for alternative in headers.get("x-accepted-github-permissions", "").split(";")
        if (pairs := [p.strip().partition("=") for p in alternative.split(",") if "=" in p])
    ]
    fitting = [lines for lines in alternatives if permission in lines]
    return (fitting or alternatives or [[permission]])[0]


def _message(error: GithubException) -> str:
    """GitHub's own words: the message, and what it says of single fields."""
    data = error.data if isinstance(error.data, Mapping) else {}
    errors = data.get("errors")
    details = [
        str(item.get("message") or f"{item.get('field')} {item.get('code')}")
        if isinstance(item, Mapping)
        else str(item)
        for item in (errors if isinstance(errors, list) else [])
    ]
    message = str(data.get("message") or error.message or data.get("data") or "no reason given")
    return "; ".join([" ".join(message.split())[:200], *details])


def _limited(what: str, wait: float) -> str:
    return (
        f"cannot {what}: GitHub's rate limit is used up for {wait:.0f} s more. "
        "The next pass goes on from here"
    )


def _shortest(error: BaseException) -> str:
    """The innermost reason of a failed connection, without addresses of objects."""
    inner = getattr(error, "reason", None)
    if not isinstance(inner, BaseException):
        inner = error.args[-1] if error.args else None
    if isinstance(inner, BaseException):
        return _shortest(inner)
    return re.sub(r"<[^>]*>:? ?", "", str(error))[:200]

"""How requests to GitHub are repeated, and how long its rate limits are waited for.

PyGithub's own policy repeats POST after a lost answer, which makes a second comment of
one that is out, and sleeps through a rate limit for up to an hour. Here a request is
repeated when doing it twice is the same as doing it once, or when nothing was done:
GitHub answered so (a rate limit), or no connection came about. Everything else is for the
caller, who looks whether it was done.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from github import RateLimitExceededException
from github.GithubRetry import GithubRetry
from github.Requester import Requester
from urllib3.connectionpool import ConnectionPool
from urllib3.exceptions import MaxRetryError, NewConnectionError
from urllib3.exceptions import TimeoutError as NoAnswer
from urllib3.response import BaseHTTPResponse
from urllib3.util.retry import Retry

IDEMPOTENT = frozenset({"GET", "HEAD", "PUT", "PATCH", "DELETE"})
FAILED = (500, 502, 503, 504)
LIMITED = (403, 429)
MOST_SILENCES = 2  # one after the other: a third request would wait as long again


@dataclass
class Limits:
    """How many seconds one process may yet wait for rate limits, all waits together.

    `backoff` is the pause before the second repetition of a failed request; then it doubles.
    `silences` are the requests without an answer since the last one that had one.

    GitHub asks for at least a minute after a secondary limit that names no time
    (https://docs.github.com/rest/using-the-rest-api/best-practices-for-using-the-rest-api).
    """

    left: float = 120.0
    unnamed: float = 60.0
    backoff: float = 0.5
    blocked_until: float = field(default=0.0, init=False)
    silences: int = field(default=0, init=False)

    def take(self, seconds: float) -> bool:
        """Whether there is time to wait; where there is not, nothing more is sent."""
        # At least a second each, so that "retry after 0" cannot go on forever.
        if max(seconds, 1.0) > self.left:
            self.blocked_until = time.time() + max(seconds, self.unnamed)
            return False
        self.left -= max(seconds, 1.0)
        return True

    @property
    def is_silent(self) -> bool:
        return self.silences >= MOST_SILENCES

    def blocked(self) -> float:
        """Seconds until GitHub answers again."""
        return max(0.0, self.blocked_until - time.time())


class PatientRetry(Retry):
    """The policy above, for urllib3. After the last attempt the answer itself is handed on."""

    def __init__(self, limits: Limits, **options: Any) -> None:
        self._limits = limits
        self._wait: float | None = None
        usual: dict[str, Any] = {
            "total": 3,
            "backoff_factor": limits.backoff,
            "allowed_methods": IDEMPOTENT,
            "status_forcelist": FAILED,
            "raise_on_status": False,
            "respect_retry_after_header": False,
        }
        super().__init__(**(usual | options))

    def new(self, **changes: Any) -> Self:
        return super().new(limits=self._limits, **changes)

    def is_retry(self, method: str, status_code: int, has_retry_after: bool = False) -> bool:
        return status_code in LIMITED or super().is_retry(method, status_code, has_retry_after)

    def increment(
        self,
        method: str | None = None,
        url: str | None = None,
        response: BaseHTTPResponse | None = None,
        error: Exception | None = None,
        _pool: ConnectionPool | None = None,
        _stacktrace: TracebackType | None = None,
    ) -> Self:
        if response is not None:
            self._limits.silences = 0
        elif isinstance(error, NoAnswer) and not isinstance(error, NewConnectionError):
            self._limits.silences += 1
            if self._limits.is_silent and _pool is not None:
                raise MaxRetryError(_pool, url or "", error)
        if response is not None and response.status in LIMITED:
            return self._after_limit(response, url or "")
        return super().increment(method, url, response, error, _pool, _stacktrace)

    def get_backoff_time(self) -> float:
        return super().get_backoff_time() if self._wait is None else self._wait

    def _after_limit(self, response: BaseHTTPResponse, url: str) -> Self:
        """The next attempt after a rate limit; any other refusal is raised."""
        content = _content(response, url)
        headers = {name.lower(): value for name, value in response.headers.items()}
        message = str(content.get("message") or "")
        wait = self._seconds(headers, message)
        if wait is None:
            raise Requester.createException(response.status, headers, content)
        if not self._limits.take(wait):
            raise RateLimitExceededException(response.status, content, headers, message)
        following = self.new()
        following._wait = wait
        return following

    def _seconds(self, headers: dict[str, str], message: str) -> float | None:
        """How long to wait; `None` when this is no rate limit."""
        after = headers.get("retry-after", "")
        if after.isdigit():
            return float(after)
        if headers.get("x-ratelimit-remaining") == "0" or Requester.isPrimaryRateLimitError(
            message
        ):
            reset = headers.get("x-ratelimit-reset", "")
            # One second more, for the reset comes at some moment of that second.
            return (
                max(0.0, int(reset) + 1 - time.time()) if reset.isdigit() else self._limits.unnamed
            )
        limited = Requester.isSecondaryRateLimitError(message)
        return self._limits.unnamed if limited else None


def _content(response: BaseHTTPResponse, url: str) -> dict[str, Any]:
    """The JSON object of a refusal; of anything else, its text as the message."""
    text = GithubRetry.get_content(response, url).decode(errors="replace")  # type: ignore[arg-type]
    try:
        answer = json.loads(text)
    except ValueError:
        answer = None
    return answer if isinstance(answer, dict) else {"message": text[:200]}

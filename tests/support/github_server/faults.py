"""What can go wrong between GitHub and us, one fault for each request that it hits."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Literal

How = Literal["answer", "drop", "hang", "meanwhile"]
PRIMARY = "API rate limit exceeded for installation ID 1."
SECONDARY = (
    "You have exceeded a secondary rate limit. Please wait a few minutes before you try again."
)


@dataclass
class Fault:
    """Hits requests of `method` whose path matches `path`: after `skip` of them, `times` times.

    `applied`: GitHub did what was asked, and only then something went wrong.
    """

    how: How
    method: str = ""
    path: str = ""
    times: int = 1
    skip: int = 0
    applied: bool = False
    status: int = 502
    headers: dict[str, str] = field(default_factory=dict)
    body: str = "<html><body>Unicorn!</body></html>"
    act: Callable[[], object] | None = None

    # --- the usual ones ----------------------------------------------------------------

    @classmethod
    def failure(cls, method: str = "", path: str = "", status: int = 502, **more: Any) -> Fault:
        return cls("answer", method, path, status=status, **more)

    @classmethod
    def reset(cls, method: str = "", path: str = "", **more: Any) -> Fault:
        """The connection breaks before GitHub has read the request."""
        return cls("drop", method, path, **more)

    @classmethod
    def lost_answer(cls, method: str = "", path: str = "", **more: Any) -> Fault:
        """GitHub does it; the connection breaks before the answer."""
        return cls("drop", method, path, applied=True, **more)

    @classmethod
    def silence(cls, method: str = "", path: str = "", **more: Any) -> Fault:
        """GitHub says nothing for as long as the client waits."""
        return cls("hang", method, path, **more)

    @classmethod
    def refusal(cls, method: str, path: str, status: int, message: str, **more: Any) -> Fault:
        body = json.dumps({"message": message, "documentation_url": "https://docs.github.com/rest"})
        return cls("answer", method, path, status=status, body=body, **more)

    @classmethod
    def primary_limit(
        cls, method: str = "", path: str = "", reset: float = 0, **more: Any
    ) -> Fault:
        at = str(int(time.time() + reset))
        headers = {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": at}
        return cls.refusal(method, path, 403, PRIMARY, headers=headers, **more)

    @classmethod
    def secondary_limit(
        cls,
        method: str = "",
        path: str = "",
        after: int | None = None,
        status: int = 403,
        **more: Any,
    ) -> Fault:
        headers = {} if after is None else {"Retry-After": str(after)}
        return cls.refusal(method, path, status, SECONDARY, headers=headers, **more)

    @classmethod
    def meanwhile(cls, method: str, path: str, act: Callable[[], object]) -> Fault:
        """Somebody else is faster: `act` happens just before the request is answered."""
        return cls("meanwhile", method, path, act=act)

    def hits(self, method: str, path: str) -> bool:
        return self.method in ("", method) and re.search(self.path, path) is not None


@dataclass
class Faults:
    """Faults that wait for their requests."""

    waiting: list[Fault] = field(default_factory=list)

    def add(self, *faults: Fault) -> None:
        self.waiting += [replace(fault) for fault in faults]

    def take(self, method: str, path: str) -> Fault | None:
        """The first fault that this request meets; its count goes down."""
        for fault in self.waiting:
            if not fault.hits(method, path):
                continue
            if fault.skip:
                fault.skip -= 1
                continue
            fault.times -= 1
            if not fault.times:
                self.waiting.remove(fault)
            return fault
        return None

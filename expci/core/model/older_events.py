"""Events from before there were codes: what their sentences meant, derived once, when read.

The only place where a sentence is compared with one. New events carry the codes themselves.
"""

from __future__ import annotations

import re
from typing import Any

_PAUSES = {
    "the experiment's pull request was closed": "pull_request_closed",
    "it was removed from the default branch": "removed",
    "its content changed; `expci start` starts the changed experiment afresh": "content_changed",
    "its content changed": "content_changed",
}
_COMMENT = re.compile(r"asked for in #[0-9]+ \(comment ([0-9]+)\)")


def with_codes(word: str, data: dict[str, Any]) -> dict[str, Any]:
    """Return an event's fields with the codes that its version did not write.

    >>> with_codes("paused", {"by": "expci", "why": "its content changed"})["reason_code"]
    'content_changed'
    >>> with_codes("paused", {"by": "ada", "why": "too slow today"})["reason_code"]
    'manual'
    """
    why = data.get("why", "")
    if "comment" not in data and (match := _COMMENT.match(why)):
        data = {**data, "comment": match[1]}
    if word == "paused" and "reason_code" not in data:
        return {**data, "reason_code": _pause(why, data["by"])}
    return data


def _pause(why: str, by: str) -> str:
    """A pause of the pass for any other reason followed a failed trust check."""
    return _PAUSES.get(why, "distrust" if by == "expci" else "manual")

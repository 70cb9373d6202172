"""What a metric's name says about it: its kind, and which way is better.

A wrong guess would turn a loss into a win, so a name that leaves doubt says nothing and
the user has to say.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from expci.core.lazy_pattern import lazy_pattern

if TYPE_CHECKING:
    from expci.core.model.experiment import Direction
    from expci.core.model.metric_kinds import Kind

SUCCESS = "success"
PREFERENCE = "preference"  # what the judge of `compare:` says

_SIZES = frozenset(["bytes", "kb", "mb", "gb", "tb", "kib", "mib", "gib", "size", "memory", "rss"])
_COSTS = frozenset(["cost", "costs", "price", "usd", "eur", "dollars", "cents"])
_ERRORS = frozenset(
    ["error", "errors", "failure", "failures", "crash", "crashes", "defects", "timeouts"]
)
_USED = frozenset(["token", "tokens", "latency"])
_COUNTS = frozenset(["count", "counts", "total", "number", "rate"])
# `time_saved_s`, `errors_found`: more of it is better, or nobody knows
_REVERSED = lazy_pattern(
    "saved|savings?|avoided|prevented|reduction|reduced|found|fixed|caught|detected|resolved"
    "|handled|budget|batch|sample|throughput|speed|speedup|free|available|between|until|since"
)


def kind_of(name: str) -> Kind:
    """Return `duration` for `*_s`, `*_ms`, `time_*` (no `*_per_s`), `proportion` for `success`.

    `preference` for `preference`, else `mean`.

    >>> kind_of("review_time_s"), kind_of("mb_per_s"), kind_of("success"), kind_of("score")
    ('duration', 'mean', 'proportion', 'mean')
    """
    if name == SUCCESS:
        return "proportion"
    if name == PREFERENCE:
        return "preference"
    return "duration" if is_time(name) else "mean"


def is_time(name: str) -> bool:
    """Return whether values are seconds or milliseconds; a cost may be compared like them.

    >>> is_time("duration_s"), is_time("cost_usd")
    (True, False)
    """
    return (name.endswith(("_s", "_ms")) or name.startswith("time_")) and not _is_speed(name)


def _is_speed(name: str) -> bool:
    return re.search(r"_per_m?s$", name) is not None


def has_long_tail(name: str) -> bool:
    """Return whether the name is a cost's or a size's: such values often have a long tail.

    >>> has_long_tail("cost_usd"), has_long_tail("score"), has_long_tail("mb_per_s")
    (True, False, False)
    """
    words = re.split(r"[^a-z0-9]+", name.lower())
    return not _is_speed(name) and bool((_COSTS | _SIZES | _USED).intersection(words))


def direction_of(name: str) -> Direction | None:
    """Return which way is better, where the name leaves no doubt; `None` asks the user.

    >>> direction_of("duration_s"), direction_of("success"), direction_of("time_saved_s")
    ('decrease', 'increase', None)
    """
    if name in (SUCCESS, PREFERENCE):
        return "increase"
    words = re.split(r"[^a-z0-9]+", name.lower())
    if any(_REVERSED.fullmatch(word) for word in words):
        return None
    if is_time(name) or words[-1] in _ERRORS:
        return "decrease"
    counted = words[: words.index("per")] if "per" in words else words
    if _COSTS.intersection(counted) or (counted and counted[-1] in _ERRORS):
        return "decrease"
    if _ERRORS.intersection(counted) and _COUNTS.intersection(counted):
        return "decrease"
    return "decrease" if "per" not in words and _SIZES.intersection(words) else None

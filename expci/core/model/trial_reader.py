"""Reading trial records: every field of a hostile one is checked for type, form and size.

Standard library only: the trial path reads what it imports with this module, too.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, get_args

from expci.core.lazy_pattern import lazy_pattern
from expci.core.model import limits
from expci.core.model.arm import ID_PATTERN
from expci.core.model.trial import (
    ARM_NAME,
    CONTEXT_KEY,
    FORMAT,
    METRIC_NAME,
    PLAN_ID,
    TRIAL_ID,
    WORD,
    Amendment,
    Mode,
    Status,
    Trial,
    finite,
    load_line,
    parse_timestamp,
    timestamp,
)
from expci.errors import InvalidRecord

_ID = lazy_pattern(ID_PATTERN)
_TRIAL_KEYS = {"v", "id", "experiment", "plan", "mode", "arm", "unit", "block", "seq", "order"} | {
    "attempt",
    "started",
    "status",
    "excluded",
    "metrics",
    "covariates",
    "context",
}


def parse_line(line: str | bytes) -> Trial | Amendment:
    """Return one line of an inbox or ledger file. `InvalidRecord` says what is wrong with it.

    >>> parse_line('{"v": 1, "id": "no"}')
    Traceback (most recent call last):
    expci.errors.InvalidRecord: id must match [0-9A-HJKMNP-TV-Z]{26}, not 'no'
    """
    return parse_record(load_line(line))


def parse_record(data: Mapping[str, Any]) -> Trial | Amendment:
    """Return a `Trial`, or an `Amendment` where the record is one; `InvalidRecord` else.

    >>> late = {"v": 1, "amendment": "0" * 26, "trial": "1" * 26, "experiment": "faster"}
    >>> parse_record(late | {"at": "2026-11-22T10:00:00Z", "metrics": {"stars": 4}}).metrics
    {'stars': 4.0}
    """
    return _parse_amendment(data) if "amendment" in data else parse_trial(data)


def parse_trial(data: Mapping[str, Any]) -> Trial:
    r"""Return a `Trial` from untrusted data; every field is checked for type, form and size.

    >>> run = {"v": 1, "id": "0" * 26, "experiment": "faster", "plan": "a" * 64, "mode": "lab"}
    >>> run |= {"arm": "control", "unit": "run-1", "status": "ok"}
    >>> run |= {"started": "2026-11-22T12:00:00+02:00"}
    >>> parse_trial(run).started
    '2026-11-22T10:00:00.000Z'
    >>> parse_trial(run | {"unit": "a\x1bb"})
    Traceback (most recent call last):
    expci.errors.InvalidRecord: unit must not hold control characters
    """
    _require_version(data)
    _refuse_unknown(data, _TRIAL_KEYS)
    return Trial(
        id=_match(data, "id", TRIAL_ID),
        experiment=_match(data, "experiment", _ID),
        plan=_match(data, "plan", PLAN_ID),
        mode=_one_of(data, "mode", get_args(Mode)),
        arm=_match(data, "arm", ARM_NAME),
        unit=_text(data, "unit"),
        started=timestamp(parse_timestamp(_text(data, "started"))),
        block=None if data.get("block") is None else _text(data, "block"),
        seq=_count(data, "seq", 0),
        order=_count(data, "order", 1),
        attempt=_count(data, "attempt", 1),
        status=_one_of(data, "status", get_args(Status)),
        excluded=None if data.get("excluded") is None else _match(data, "excluded", WORD),
        metrics=parse_metrics(data.get("metrics", {})),
        covariates=_covariates(data.get("covariates", {})),
        context=_context(data.get("context", {})),
    )


def _parse_amendment(data: Mapping[str, Any]) -> Amendment:
    _require_version(data)
    _refuse_unknown(data, {"v", "amendment", "trial", "experiment", "at", "metrics"})
    return Amendment(
        id=_match(data, "amendment", TRIAL_ID),
        trial=_match(data, "trial", TRIAL_ID),
        experiment=_match(data, "experiment", _ID),
        at=timestamp(parse_timestamp(_text(data, "at"))),
        metrics=parse_metrics(data.get("metrics", {})),
    )


def parse_metrics(data: Any) -> dict[str, float]:
    """Return metric values by name: finite numbers, no booleans, at most 100.

    >>> parse_metrics({"duration_s": 12, "success": 1.0})
    {'duration_s': 12.0, 'success': 1.0}
    """
    return {
        _name(name, METRIC_NAME, "a metric's name"): finite(value, f"metric {name}")
        for name, value in _mapping(data, "metrics").items()
    }


def _require_version(data: Mapping[str, Any]) -> None:
    if data.get("v") != FORMAT or isinstance(data.get("v"), bool):
        raise InvalidRecord(
            f"format version {data.get('v')!r}; this expci reads version {FORMAT}: "
            "newer data need a newer expci"
        )


def _refuse_unknown(data: Mapping[str, Any], keys: set[str]) -> None:
    unknown = sorted(str(key)[:40] for key in data.keys() - keys)
    if unknown:
        raise InvalidRecord(f"unknown keys: {', '.join(unknown[:5])}")


def _match(data: Mapping[str, Any], key: str, pattern: re.Pattern[str]) -> str:
    return _name(data.get(key), pattern, key)


def _name(value: Any, pattern: re.Pattern[str], what: str) -> str:
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise InvalidRecord(f"{what} must match {pattern.pattern}, not {str(value)[:60]!r}")
    return value


def _text(data: Mapping[str, Any], key: str) -> str:
    return _plain_text(data.get(key), key)


def _plain_text(value: Any, what: str) -> str:
    if not isinstance(value, str) or not value or len(value) > limits.RECORD_TEXT_CHARACTERS:
        raise InvalidRecord(
            f"{what} must be text of 1 to {limits.RECORD_TEXT_CHARACTERS} characters"
        )
    if not value.isprintable() and any(
        ord(char) < 32 or 0xD800 <= ord(char) < 0xE000 for char in value
    ):
        raise InvalidRecord(f"{what} must not hold control characters")
    return value


def _one_of(data: Mapping[str, Any], key: str, allowed: tuple[str, ...]) -> Any:
    if data.get(key) not in allowed:
        raise InvalidRecord(f"{key} must be one of {', '.join(allowed)}")
    return data[key]


def _count(data: Mapping[str, Any], key: str, default: int) -> int:
    value = data.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 1 << 31:
        raise InvalidRecord(f"{key} must be a whole number from 0")
    return value


def _mapping(data: Any, what: str) -> dict[str, Any]:
    if not isinstance(data, dict):
        raise InvalidRecord(f"{what} must be an object")
    if len(data) > limits.RECORD_ENTRIES:
        raise InvalidRecord(f"{what} holds more than {limits.RECORD_ENTRIES} entries")
    return data


def _covariates(data: Any) -> dict[str, float | str]:
    return {
        _name(name, METRIC_NAME, "a covariate's name"): _plain_text(value, f"covariate {name}")
        if isinstance(value, str)
        else finite(value, f"covariate {name}")
        for name, value in _mapping(data, "covariates").items()
    }


def _context(data: Any) -> dict[str, str]:
    return {
        _name(name, CONTEXT_KEY, "a context key"): _plain_text(value, f"context {name}")
        for name, value in _mapping(data, "context").items()
    }

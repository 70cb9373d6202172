"""Reading trials that somebody else measured: lines of JSON, checked as a whole.

Ids come from the file's hash and the line's number, and nothing else in a record depends
on when or where the import ran, so importing the same file twice counts once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from expci.core.model.trial import Trial, derived_trial_id, load_line, parse_timestamp, parse_trial
from expci.core.model.trial import timestamp as written
from expci.errors import ExpciError, InvalidRecord

_KEYS = frozenset(["arm", "metrics", "unit", "block", "seq", "order", "attempt", "started"]) | {
    "status",
    "covariates",
}
_LISTED = 20
_UNKNOWN_TIME = "1970-01-01T00:00:00.000Z"


@dataclass(frozen=True)
class Target:
    """What the lines belong to. `started` is the plan's start, for lines without a time.

    In a `paired` plan a line that names a unit and no block is of the unit's own pair.
    """

    experiment: str
    plan: str
    arms: Sequence[str]
    started: str
    paired: bool = False


def read_lines(data: bytes, target: Target) -> list[Trial]:
    """The trials of a file. `ExpciError` lists every bad line; then nothing is imported."""
    digest = hashlib.sha256(data).hexdigest()
    trials: list[Trial] = []
    problems: list[str] = []
    for number, line in enumerate(data.split(b"\n"), 1):
        if not line.strip():
            continue
        try:
            trials.append(_trial(load_line(line), number, digest, target))
        except (InvalidRecord, UnicodeDecodeError) as error:
            problems.append(f"  line {number}: {error}")
    if problems:
        more = len(problems) - _LISTED
        listed = problems[:_LISTED] + ([f"  and {more} more"] if more > 0 else [])
        raise ExpciError("nothing was imported; correct these lines:\n" + "\n".join(listed))
    if not trials:
        raise ExpciError(
            'nothing to import: the file holds no lines; write {"arm":"control","metrics":'
            '{"duration_s":12.3}}, one trial a line'
        )
    return trials


def _trial(line: Mapping[str, Any], number: int, digest: str, target: Target) -> Trial:
    unknown = sorted(str(key)[:40] for key in line.keys() - _KEYS)
    if unknown:
        raise InvalidRecord(f"unknown key {unknown[0]!r}; the keys are {', '.join(sorted(_KEYS))}")
    arm = line.get("arm")
    if arm not in target.arms:
        raise InvalidRecord(f"no arm {str(arm)[:60]!r}; the arms are {', '.join(target.arms)}")
    metrics = line.get("metrics", {})
    # A run that failed may have measured nothing; it counts all the same.
    if not isinstance(metrics, dict) or (not metrics and line.get("status", "ok") == "ok"):
        raise InvalidRecord('`metrics` must name at least one: {"duration_s":12.3}')
    status = line.get("status") or ("failed" if metrics.get("success") == 0 else "ok")
    return parse_trial(
        {
            "seq": 0,
            "order": 1,
            "attempt": 1,
            "unit": f"import-{digest[:12]}-{number}",
            "started": _started(target.started, number),
            "block": line.get("unit") if target.paired else None,
            **line,
            "metrics": with_success(metrics, status),
            "status": status,
            "v": 1,
            "id": derived_trial_id("import", target.experiment, target.plan, digest, str(number)),
            "experiment": target.experiment,
            "plan": target.plan,
            "mode": "lab",
            "excluded": None,
            "context": {"assignment": "import", "source": digest[:12]},
        }
    )


def with_success(metrics: Mapping[str, Any], status: object) -> dict[str, Any]:
    """The metrics with `success` as the status says, where it says so and they do not."""
    success = {"ok": 1.0, "failed": 0.0, "timeout": 0.0}
    if "success" in metrics or not isinstance(status, str) or status not in success:
        return dict(metrics)
    return {**metrics, "success": success[status]}


def _started(start: str, number: int) -> str:
    """The plan's start plus a millisecond a line: the file's order, the same at every import."""
    at: datetime = parse_timestamp(start or _UNKNOWN_TIME)
    return written(at + timedelta(milliseconds=number))

"""Trials that somebody else measured: read from a file, checked as a whole.

A line's identity is its content and its occurrence: the second of two equal lines is
another trial, the same line in a file that has grown is the same trial, and so is a line
that writes out what another leaves to the defaults. Nothing in a
record depends on the file, or on when or where the import ran, but the time of a line
that names none, which is its place.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from io import BytesIO
from typing import Any, BinaryIO

from expci.core.model import limits
from expci.core.model.trial import Trial, derived_trial_id, parse_timestamp
from expci.core.model.trial import timestamp as written
from expci.core.model.trial_reader import parse_trial
from expci.core.value_class import dataclass
from expci.errors import ExpciError, InvalidRecord
from expci.runner import formats
from expci.runner.record.import_text import FORM, HELP, Line, lines, rows_as_lines

_KEYS = frozenset(["arm", "metrics", "unit", "block", "seq", "order", "attempt", "started"]) | {
    "status",
    "covariates",
}
_RECORD_KEYS = frozenset(["v", "id", "experiment", "plan", "mode", "excluded", "context"])
_DEFAULTS: Mapping[str, Any] = {"seq": 0, "order": 1, "attempt": 1, "covariates": {}}
_NONE = object()
_LISTED = 20
_UNKNOWN_TIME = "1970-01-01T00:00:00.000Z"


@dataclass(frozen=True)
class Target:
    """What the lines belong to. `started` is the plan's start, for lines without a time.

    In a `paired` plan a line that names a unit and no block is of the unit's own pair.
    A line of a time after `now` is refused, as the pass would refuse it.
    """

    experiment: str
    plan: str
    arms: Sequence[str]
    started: str
    paired: bool = False
    now: datetime | None = None


def read_lines(data: bytes, target: Target) -> list[Trial]:
    """The trials of a file. `ExpciError` lists every bad line; then nothing is imported."""
    return list(stream_lines(BytesIO(data), target))


def stream_lines(source: BinaryIO, target: Target) -> Iterator[Trial]:
    """The same, one at a time. The error comes at the end, in place of the last ones."""
    return _trials(lines(source), target, HELP)


def stream_rows(rows: Iterable[str], target: Target) -> Iterator[Trial]:
    """The same of rows as JSON, which were read from a file of another format."""
    return _trials(rows_as_lines(rows), target, HELP)


def read_format(data: bytes, name: str, arm: str, target: Target) -> list[Trial]:
    """The runs of another tool's file as trials of one arm. `ExpciError` where it is another file.

    A run of a file with several is identified by its values, as a line is, since such files
    grow; a run that is alone in its file by the file, since its values may be another's too.
    """
    try:
        reading = formats.read(name, data)
    except InvalidRecord as error:
        raise ExpciError(f"nothing was recorded: as a file of {name}, {error}") from error
    alone = hashlib.sha256(data).hexdigest() if len(reading.runs) == 1 else ""
    runs = []
    for number, run in enumerate(reading.runs, 1):
        content = {"arm": arm, "metrics": dict(run.metrics), "status": run.status}
        runs.append(
            Line(number, content | ({"unit": run.unit} if run.unit else {}), identity=alone)
        )
    return list(_trials(runs, target, f"what {name} wrote"))


def _trials(content: Iterable[Line], target: Target, help: str) -> Iterator[Trial]:
    problems: list[str] = []
    bad = 0
    arms: Counter[str] = Counter()
    occurrences = Occurrences()
    for line in content:
        try:
            if line.problem:
                raise InvalidRecord(line.problem)
            text = _canonical(line.content) + line.identity
            number = occurrences.next_of(text)
            trial = _trial(line.content, line.number, text, number, target)
            _refuse_future(trial, target.now)
        except InvalidRecord as error:
            bad += 1
            arms[_stated_arm(line.content, target)] += 1
            if bad <= _LISTED:
                problems.append(f"  line {line.number}: {error}")
        else:
            if not bad:
                yield trial
    if bad:
        by_arm = ", ".join(f"{arm} {number}" for arm, number in sorted(arms.items()))
        more = [f"  and {bad - _LISTED} more; all {bad} by arm: {by_arm}"]
        listed = problems + (more if bad > _LISTED else [])
        raise ExpciError(
            f"nothing was imported; correct these lines ({help}):\n" + "\n".join(listed)
        )


def _stated_arm(content: Mapping[str, Any], target: Target) -> str:
    arm = content.get("arm")
    return str(arm) if arm in target.arms else "no arm of the plan"


class Occurrences:
    """How often each text has come, of which only a digest is kept: a file may have millions."""

    def __init__(self) -> None:
        self._counts: dict[int, int] = {}

    def next_of(self, text: str) -> int:
        """1 the first time that a text comes."""
        digest = hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=16).digest()
        key = int.from_bytes(digest, "big")
        self._counts[key] = number = self._counts.get(key, 0) + 1
        return number


class Partners:
    """Which trials of a paired plan have one of another arm in their block."""

    def __init__(self) -> None:
        self._alone: dict[str, tuple[str, int] | None] = {}  # the only arm so far, how often
        self._without_block = self._all = 0

    def add(self, trial: Trial) -> None:
        self._all += 1
        if trial.block is None:
            self._without_block += 1
            return
        alone = self._alone.get(trial.block, (trial.arm, 0))
        same = alone is not None and alone[0] == trial.arm
        self._alone[trial.block] = (trial.arm, alone[1] + 1) if alone and same else None

    @property
    def warning(self) -> str:
        """What to say of those whose block has no other arm; "" where none is so."""
        singles = sum(number for _, number in filter(None, self._alone.values()))
        alone = self._without_block + singles
        if not alone:
            return ""
        return (
            f"{alone} of {self._all} lines have no partner: the plan compares in pairs, and a pair "
            "is the lines of both arms with the same `unit` (or `block`). Give both lines of a "
            "pair the same `unit`; for arms that were not measured in pairs write `assignment: "
            "{design: randomized}` and start that as a new plan"
        )


def without_partner(trials: Iterable[Trial]) -> str:
    """The warning about trials of a paired plan whose block has no other arm."""
    partners = Partners()
    for trial in trials:
        partners.add(trial)
    return partners.warning


def _refuse_future(trial: Trial, now: datetime | None) -> None:
    latest = None if now is None else now + timedelta(minutes=limits.FUTURE_MINUTES)
    if latest is not None and parse_timestamp(trial.started) > latest:
        raise InvalidRecord(
            f"started {trial.started} is in the future, so the pass would refuse it: correct the "
            "time, or leave it out"
        )


def _canonical(line: Mapping[str, Any]) -> str:
    """The line's content however it was spelled: order of keys, 1 or 1.0, time zone, defaults."""
    content = _floats(_without_defaults(line))
    if "started" in content:
        content["started"] = _moment(content["started"])
    return json.dumps(content, sort_keys=True, separators=(",", ":"))


def _moment(started: Any) -> Any:
    """The time as a record holds it, in the shortest spelling; what is no time as it is."""
    try:
        return written(parse_timestamp(started)).replace(".000Z", "Z")
    except InvalidRecord:
        return started


def _without_defaults(line: Mapping[str, Any]) -> dict[str, Any]:
    """The line without what would be the same if it were left out."""
    metrics = line.get("metrics")
    success = metrics.get("success") if isinstance(metrics, dict) else None
    implied = {"status": "failed" if success == 0 else "ok", **_DEFAULTS}
    short = {k: v for k, v in line.items() if v is not None and implied.get(k, _NONE) != v}
    if isinstance(metrics, dict) and success == 1 and "status" not in short:
        short["metrics"] = {name: value for name, value in metrics.items() if name != "success"}
    return short


def _floats(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _floats(item) for key, item in value.items()}
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return float(value) + 0.0 if is_number and abs(value) < 1 << 53 else value  # -0.0 as 0.0


def _trial(
    line: Mapping[str, Any], number: int, content: str, occurrence: int, target: Target
) -> Trial:
    excluded = None
    if "id" in line and "plan" in line:
        excluded = line.get("excluded")
        exported = _exported(line, target)
        if exported is not None:
            return exported
        line = {key: value for key, value in line.items() if key not in _RECORD_KEYS}
    line = {key: value for key, value in line.items() if value is not None}
    unknown = sorted(str(key)[:40] for key in line.keys() - _KEYS)
    if unknown:
        raise InvalidRecord(f"unknown key {unknown[0]!r}; the keys are {', '.join(sorted(_KEYS))}")
    _require_arm(line, target)
    metrics = line.get("metrics", {})
    # A run that failed may have measured nothing; it counts all the same.
    if not isinstance(metrics, dict) or (
        not metrics and not excluded and line.get("status", "ok") == "ok"
    ):
        raise InvalidRecord(f"`metrics` must name at least one: {FORM}")
    status = line.get("status") or ("failed" if metrics.get("success") == 0 else "ok")
    digest = hashlib.sha256(content.encode()).hexdigest()
    identity = (target.experiment, target.plan, content, str(occurrence))
    return parse_trial(
        {
            **_DEFAULTS,
            "unit": f"import-{digest[:12]}-{occurrence}",
            "started": _started(target.started, number),
            "block": line.get("unit") if target.paired else None,
            **line,
            "metrics": with_success(metrics, status),
            "status": status,
            "v": 1,
            "id": derived_trial_id("import", *identity),
            "experiment": target.experiment,
            "plan": target.plan,
            "mode": "lab",
            "excluded": excluded,
            "context": {"assignment": "import", "source": digest[:12]},
        }
    )


def _exported(line: Mapping[str, Any], target: Target) -> Trial | None:
    """A trial of this very plan as `expci export` wrote it; `None` for one of another plan."""
    if (line.get("experiment"), line.get("plan")) != (target.experiment, target.plan):
        return None
    _require_arm(line, target)
    return parse_trial({"v": 1, **line})


def _require_arm(line: Mapping[str, Any], target: Target) -> None:
    arm = line.get("arm")
    if arm not in target.arms:
        raise InvalidRecord(f"no arm {str(arm)[:60]!r}; the arms are {', '.join(target.arms)}")


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

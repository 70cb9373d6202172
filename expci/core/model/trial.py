"""The trial record: one measured run of one arm, and the amendments that come later.

A record arrives from anywhere (a fork's job, a laptop, an import) and is hostile until
`trial_reader` has taken it. Standard library only: the trial path writes records with this module.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Literal

from expci.core.lazy_pattern import lazy_pattern
from expci.core.value_class import dataclass, field, replace
from expci.errors import InvalidRecord

FORMAT = 1
CONDITION = "context_"  # how the keys of stated conditions begin in a trial's context
MEASURED = ("duration_s", "success", "cpu_s", "max_rss_mb")  # by expci where it runs the work
CI_RECORDS = "ci-records"  # the `source` of a trial that nobody reported
Status = Literal["ok", "failed", "timeout", "cancelled", "error", "lost"]
Mode = Literal["lab", "live"]

_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
TRIAL_ID = lazy_pattern(r"[0-9A-HJKMNP-TV-Z]{26}")
PLAN_ID = lazy_pattern(r"[0-9a-f]{64}")
METRIC_NAME = lazy_pattern(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}")
WORD = lazy_pattern(r"[a-z][a-z0-9_]{0,39}")
ARM_NAME = lazy_pattern(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")
CONTEXT_KEY = lazy_pattern(r"[a-z][a-z0-9_]{0,39}")


@dataclass(frozen=True)
class Arrival:
    """When the ledger took an amendment: after how many trials, as its how-manieth amendment.

    `trials` is `None` where the ledger does not tell (it was written by an expci that kept no
    such note): then only the time that the sender wrote is known.
    """

    written: str
    number: int
    trials: int | None = None

    @property
    def order(self) -> tuple[bool, str, int]:
        """What sorts arrivals: those without a note are older, and sorted by their time."""
        noted = self.trials is not None
        return noted, "" if noted else self.written, self.number


@dataclass(frozen=True)
class Trial:
    """One run of one arm. `started` is UTC; metrics are finite floats by name.

    `excluded` names why a trial that took place is kept but not counted. `block` groups
    trials under like conditions (the two runs of a pair), `order` is the position inside
    the block from 1, `seq` counts blocks within one job. `late`, where
    metrics stand that came in an amendment, is no part of the record.
    """

    id: str
    experiment: str
    plan: str
    mode: Mode
    arm: str
    unit: str
    started: str
    block: str | None = None
    seq: int = 0
    order: int = 1
    attempt: int = 1
    status: Status = "ok"
    excluded: str | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    covariates: Mapping[str, float | str] = field(default_factory=dict)
    context: Mapping[str, str] = field(default_factory=dict)
    late: Mapping[str, Arrival] = field(default_factory=dict, compare=False)

    @property
    def job(self) -> tuple[str, ...]:
        """The CI job this trial belongs to; re-runs of one job share it."""
        return tuple(self.context.get(key, "") for key in ("run_id", "job", "leg"))

    def line(self) -> str:
        """The record as its one line of JSON, without the newline; floats round-trip."""
        data: dict[str, Any] = {"v": FORMAT, "id": self.id, "experiment": self.experiment}
        data |= {"plan": self.plan, "mode": self.mode, "arm": self.arm, "unit": self.unit}
        data |= {"block": self.block, "seq": self.seq, "order": self.order}
        data |= {"attempt": self.attempt, "started": self.started, "status": self.status}
        data |= {"excluded": self.excluded, "metrics": dict(self.metrics)}
        data |= {"covariates": dict(self.covariates), "context": dict(self.context)}
        return dump_line(data)


@dataclass(frozen=True)
class Amendment:
    """Metrics that arrived after the trial was recorded. Latest `at` wins per metric.

    `arrival` is the ledger's note of it and no part of the record.
    """

    id: str
    trial: str
    experiment: str
    at: str
    metrics: Mapping[str, float]
    arrival: Arrival | None = field(default=None, compare=False)

    def line(self) -> str:
        return dump_line(
            {
                "v": FORMAT,
                "amendment": self.id,
                "trial": self.trial,
                "experiment": self.experiment,
                "at": self.at,
                "metrics": dict(self.metrics),
            }
        )


def dump_line(data: Mapping[str, Any]) -> str:
    """Return compact JSON in one line; NaN and infinity are errors, not numbers.

    >>> dump_line({"v": 1, "arm": "control"})
    '{"v":1,"arm":"control"}'
    """
    return json.dumps(data, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def trial_id(at: datetime, chance: bytes) -> str:
    """Return 26 Crockford base-32 characters: 48 bits of UTC milliseconds, 80 of `chance` (ULID).

    >>> at = datetime(2026, 11, 22, 10, tzinfo=UTC)
    >>> first, second = trial_id(at, bytes(10)), trial_id(at, bytes(9) + b"\x01")
    >>> first[:10] == second[:10], first[10:], second[10:]  # the time, then chance
    (True, '0000000000000000', '0000000000000001')
    """
    milliseconds = int(at.timestamp() * 1000) & (1 << 48) - 1
    return _base32(milliseconds << 80 | int.from_bytes(chance[:10], "big"))


def derived_trial_id(*parts: str) -> str:
    """Return an id derived from what identifies an imported line, so that importing twice is once.

    >>> derived_trial_id("results.csv", "7") == derived_trial_id("results.csv", "7")
    True
    >>> derived_trial_id("ab", "c") == derived_trial_id("a", "bc")
    False
    """
    digest = hashlib.sha256("\x00".join(parts).encode()).digest()
    return _base32(int.from_bytes(digest[:16], "big"))


def _base32(value: int) -> str:
    return "".join(_CROCKFORD[value >> shift & 31] for shift in range(125, -1, -5))


def timestamp(at: datetime) -> str:
    """Return UTC with milliseconds, as every record writes it: `2026-11-22T10:00:00.123Z`.

    >>> timestamp(datetime(2026, 11, 22, 10, tzinfo=UTC))
    '2026-11-22T10:00:00.000Z'
    """
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def parse_timestamp(text: str) -> datetime:
    """Return an aware UTC datetime; `InvalidRecord` when it is no ISO 8601 time with a zone.

    >>> parse_timestamp("2026-11-22T12:00:00+02:00").hour
    10
    """
    try:
        at = datetime.fromisoformat(text)
    except (TypeError, ValueError) as error:
        raise InvalidRecord(f"not a time in ISO 8601 (2026-11-22T10:00:00Z): {text!r}") from error
    if at.tzinfo is None:
        raise InvalidRecord(f"the time has no zone; write it in UTC with a Z: {text!r}")
    try:
        return at.astimezone(UTC)
    except OverflowError as error:
        raise InvalidRecord(f"no time of this era: {text!r}") from error


def load_line(line: str | bytes) -> dict[str, Any]:
    """Return the JSON object on one line. Duplicate keys, NaN and infinity are refused.

    >>> load_line('{"v": 1}')
    {'v': 1}
    >>> load_line('{"v": 1, "v": 2}')
    Traceback (most recent call last):
    expci.errors.InvalidRecord: a key stands twice in one object
    """
    try:
        data = _JSON.decode(line if isinstance(line, str) else _decoded(line))
    except InvalidRecord:
        raise
    except (ValueError, RecursionError) as error:
        raise InvalidRecord(f"not a line of JSON: {error}") from error
    if not isinstance(data, dict):
        raise InvalidRecord("not a JSON object")
    return data


def _refuse_constant(name: str) -> float:
    raise InvalidRecord(f"{name} is not a number that can be analysed; leave the metric out")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    data = dict(pairs)
    if len(data) != len(pairs):
        raise InvalidRecord("a key stands twice in one object")
    return data


def _decoded(line: bytes) -> str:
    """As `json.loads` reads bytes: also UTF-16 and UTF-32."""
    return line.decode(json.detect_encoding(line), "surrogatepass")


# `json.loads` would make a reader for every line.
_JSON = json.JSONDecoder(parse_constant=_refuse_constant, object_pairs_hook=_unique)


def finite(value: Any, what: str) -> float:
    """Return `value` as a finite float; `InvalidRecord` for booleans, text, NaN and infinity.

    >>> finite(12, "metric duration_s")
    12.0
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise InvalidRecord(f"{what} must be a number, not {json.dumps(value)[:60]}")
    try:
        number = float(value)
    except OverflowError as error:
        raise InvalidRecord(f"{what} is too large for a 64-bit float") from error
    if not math.isfinite(number):
        raise InvalidRecord(f"{what} must be finite, not {number}")
    return number


def amended(trials: list[Trial], amendments: list[Amendment]) -> list[Trial]:
    """Return the trials with late metrics put in; order kept. A later amendment wins.

    >>> run = Trial("t", "faster", "p", "lab", "control", "run-1", "", metrics={"stars": 1.0})
    >>> first, second = (Amendment(str(n), "t", "faster", str(n), {"stars": n}) for n in (3, 4))
    >>> amended([run], [second, first])[0].metrics
    {'stars': 4}
    """
    late = arrived_by_trial(amendments)
    return [amend(t, late[t.id]) if t.id in late else t for t in trials]


Arrived = tuple[Arrival, Amendment]


def arrived_by_trial(amendments: Iterable[Amendment]) -> dict[str, list[Arrived]]:
    """Return each trial's amendments, with when they arrived as far as that is known.

    >>> arrived_by_trial([Amendment("a", "t", "faster", "noon", {"stars": 4.0})])["t"][0][0]
    Arrival(written='noon', number=0, trials=None)
    """
    by_trial: dict[str, list[Arrived]] = {}
    for number, amendment in enumerate(sorted(amendments, key=lambda item: (item.at, item.id))):
        arrival = amendment.arrival or Arrival(amendment.at, number)
        by_trial.setdefault(amendment.trial, []).append((arrival, amendment))
    return by_trial


def amend(trial: Trial, arrived: Iterable[Arrived]) -> Trial:
    """Return the trial with each value as it was written last, and since when the ledger has it.

    The same value again changes nothing, nor does what was written before a value that the
    ledger had already.

    >>> run = Trial("t", "faster", "p", "lab", "control", "run-1", "")
    >>> late = arrived_by_trial([Amendment("a", "t", "faster", "noon", {"stars": 4.0})])
    >>> amend(run, late["t"]).metrics
    {'stars': 4.0}
    """
    metrics, late = amended_metrics(trial.metrics, arrived)
    return replace(trial, metrics=metrics, late={**trial.late, **late})


def amended_metrics(
    before: Mapping[str, float], arrived: Iterable[Arrived]
) -> tuple[dict[str, float], dict[str, Arrival]]:
    """Return a trial's metrics after what arrived, and the arrivals of those that it changed.

    >>> late = arrived_by_trial([Amendment("a", "t", "faster", "noon", {"stars": 4.0})])
    >>> amended_metrics({"stars": 1.0, "cost": 2.0}, late["t"])[0]
    {'stars': 4.0, 'cost': 2.0}
    """
    metrics, late = dict(before), dict[str, Arrival]()
    written: dict[str, str] = {}
    for arrival, amendment in sorted(arrived, key=lambda item: item[0].order):
        newer = {k: v for k, v in amendment.metrics.items() if amendment.at >= written.get(k, "")}
        changed = {k: v for k, v in newer.items() if metrics.get(k) != v}
        written |= dict.fromkeys(newer, amendment.at)
        metrics |= changed
        late |= dict.fromkeys(changed, arrival)
    return metrics, late

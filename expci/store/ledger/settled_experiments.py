"""Which experiments the last pass left with nothing to do, as it is kept beside the ledger.

Whoever may push refs can write this file. So it decides nothing, it only spares work, and how
long it can spare any is bounded by what nobody can write: the clock (`is_in_turn`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta

import msgspec

from expci.core.model.trial import parse_timestamp
from expci.errors import InvalidRecord, LedgerDamaged
from expci.store.ledger import paths
from expci.store.ledger.ledger import Ledger

SCHEMA = "expci.settled/1"
TURNS = 24  # hours in which each experiment has its turn to be looked at, whatever is on record
LONGEST = timedelta(hours=24)  # that anything rests without a look
RESTS = (LONGEST, timedelta(hours=6))  # what just started has something to say after a day


@dataclass(frozen=True)
class SettledExperiment:
    """`key` digests all that its next event and its reports rest on, but for the time.

    Until `until` time alone changes neither. `anywhere`: it rests on the default branch as a
    whole, not on its own directory there alone. `asks`: its look asks the CI how often what it
    changes runs. `verdict` is the last look's, for people.
    """

    key: str
    until: str
    anywhere: bool = False
    asks: bool = False
    verdict: str = ""

    def rests_at(self, now: datetime) -> bool:
        """Whether its time has not come; one that claims more than a day is not believed."""
        try:
            until = parse_timestamp(self.until)
        except InvalidRecord:
            return False
        return now < until <= now + LONGEST


class _Document(msgspec.Struct):
    schema: str
    experiments: dict[str, SettledExperiment]


def read_settled(ledger: Ledger) -> Mapping[str, SettledExperiment]:
    """Settled experiments by id; none where the file is absent or cannot be read."""
    data = ledger.derived.read(paths.SETTLED)
    try:
        return {} if data is None else parse_settled(data)
    except LedgerDamaged:
        return {}


def parse_settled(data: bytes) -> Mapping[str, SettledExperiment]:
    """What `dump_settled` wrote; `LedgerDamaged` where it cannot be read."""
    try:
        document = msgspec.json.decode(data, type=_Document)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise LedgerDamaged(f"{paths.SETTLED} cannot be read: {error}") from error
    if document.schema != SCHEMA:
        raise LedgerDamaged(f"{paths.SETTLED} is of another version")
    return document.experiments


def dump_settled(settled: Mapping[str, SettledExperiment]) -> bytes:
    """What `read_settled` reads."""
    experiments = {name: asdict(item) for name, item in sorted(settled.items())}
    return json.dumps({"schema": SCHEMA, "experiments": experiments}, indent=1).encode() + b"\n"


def next_turn(name: str, now: datetime) -> datetime:
    """When the next hour begins that is an experiment's turn."""
    hour = now.replace(minute=0, second=0, microsecond=0)
    later = (hour + timedelta(hours=number) for number in range(1, 2 * TURNS + 1))
    return next(at for at in later if is_in_turn(name, at))


def is_in_turn(name: str, now: datetime) -> bool:
    """Whether this is the hour of the day in which an experiment is looked at in any case.

    Another one each day, so that a pass that always runs at one hour reaches all of them.
    """
    place = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4])
    day, hour = divmod(int(now.timestamp()) // 3600, TURNS)
    return (place + day) % TURNS == hour

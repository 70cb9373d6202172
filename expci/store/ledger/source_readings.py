"""What is on record of reading the sources of an experiment's metrics: `sources.json`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

import msgspec

from expci.core.model.source import SourceReading
from expci.errors import LedgerDamaged
from expci.store.ledger import paths
from expci.store.ledger.ledger import Ledger

FORMAT = 1


@dataclass(frozen=True)
class SourceReadings:
    """The readings of one plan, by metric."""

    v: int
    plan: str
    metrics: Mapping[str, SourceReading] = field(default_factory=dict)


def parse_source_readings(data: bytes) -> SourceReadings:
    """The document; `LedgerDamaged` when it cannot be read."""
    try:
        document = msgspec.json.decode(data, type=SourceReadings)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise LedgerDamaged(f"what was read from sources cannot be read: {error}") from error
    if document.v != FORMAT:
        raise LedgerDamaged(f"{document.v} is a newer format of what was read from sources")
    return document


def read_source_readings(ledger: Ledger, name: str, plan: str) -> Mapping[str, SourceReading]:
    """The readings of a plan by metric; none where nothing was read for it yet."""
    data = ledger.read(paths.sources(name))
    if data is None:
        return {}
    document = parse_source_readings(data)
    return document.metrics if document.plan == plan else {}


def dump_source_readings(plan: str, readings: Mapping[str, SourceReading]) -> bytes:
    metrics = {name: asdict(reading) for name, reading in sorted(readings.items())}
    document = {"v": FORMAT, "plan": plan, "metrics": metrics}
    return json.dumps(document, indent=1, ensure_ascii=False).encode() + b"\n"

"""What one look showed of each treatment's effect: the points of the picture of the estimate.

One line of JSON each beside the ledger, so that a page needs no analysis of the past again.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass

import msgspec

from expci.core.model.results import Analysis
from expci.report.sections.effects import Effect, effect_of
from expci.report.sections.sentences import primary_of


@dataclass(frozen=True)
class LookPoint:
    """The effects on the primary metric by treatment after `units` units of each arm."""

    plan: str
    units: int
    effects: Mapping[str, Effect]

    def line(self) -> bytes:
        return json.dumps(asdict(self), separators=(",", ":")).encode() + b"\n"


def point_of(look: Analysis) -> LookPoint:
    """What a look shows; no effects where nothing can be compared yet."""
    metric = primary_of(look)
    comparisons = metric.comparisons if metric else ()
    effects = {item.arm: effect_of(item, metric) for item in comparisons}  # type: ignore[arg-type]
    estimates = {arm: effect for arm, effect in effects.items() if effect.value is not None}
    return LookPoint(look.plan, look.progress.per_arm, estimates)


def parse_points(data: bytes) -> tuple[LookPoint, ...]:
    """The points of a file, in its order; lines that are none are left out."""
    return tuple(_parsed(data.splitlines()))


def _parsed(lines: Iterable[bytes]) -> Iterable[LookPoint]:
    for line in lines:
        try:
            yield msgspec.json.decode(line, type=LookPoint)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            continue

"""What one database is asked for one experiment, and its answer, as values that travel as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from expci.core.model.source import DueUnit, MetricSource, SourceAnswer


@dataclass(frozen=True)
class Wanted:
    """The units of one metric whose values are due."""

    source: MetricSource
    due: Sequence[DueUnit]


@dataclass(frozen=True)
class SourceRequest:
    """`address` as the reviewed file has it, without the secrets; `now` in seconds since 1970.

    `root` is what relative paths of files start from.
    """

    address: str
    root: str
    now: int
    metrics: Mapping[str, Wanted]


@dataclass(frozen=True)
class SourceReply:
    """An answer for each metric; none where the whole source is `down` or `refused`, and why."""

    status: Literal["ok", "down", "refused"] = "ok"
    detail: str = ""
    metrics: Mapping[str, SourceAnswer] = field(default_factory=dict)

"""What forks left and does not count: numbers, not lines, in a ledger that only grows.

Anybody may open a pull request whose jobs upload artifacts. So what of them does not count
adds to counters, whose size has a limit, and to nothing else.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field

from expci.errors import LedgerDamaged

SCHEMA = "expci.uncounted/1"
UNTRUSTED = "untrusted"  # the code of a fork's record that does not count
FORKS = 50  # that have a row of their own; the later ones share one
OTHERS = "others"
Arms = Mapping[str, int]


@dataclass(frozen=True)
class ForkArtifact:
    """What one artifact of a fork left that does not count.

    `records` are (experiment, plan, arm) of its records of plans that ran; `lines` how many
    records it had in all, `refused` how many of its lines were none.
    """

    repository: str
    records: tuple[tuple[str, str, str], ...] = ()
    lines: int = 0
    refused: int = 0


@dataclass(frozen=True)
class Uncounted:
    """The counters: by experiment, plan and arm; and by repository of a fork."""

    experiments: Mapping[str, Mapping[str, Arms]] = field(default_factory=dict)
    forks: Mapping[str, Mapping[str, int]] = field(default_factory=dict)

    def of(self, experiment: str, plan: str | None = None) -> dict[str, int]:
        """Records by arm, of one plan or of all."""
        by_arm: dict[str, int] = {}
        for name, arms in self.experiments.get(experiment, {}).items():
            if plan in (None, name):
                for arm, count in arms.items():
                    by_arm[arm] = by_arm.get(arm, 0) + count
        return by_arm

    def dump(self) -> bytes:
        document = {"schema": SCHEMA, **asdict(self)}
        return json.dumps(document, indent=1, sort_keys=True).encode() + b"\n"


def read_uncounted(data: bytes | None) -> Uncounted:
    """The counters that the ledger holds; those that cannot be read begin anew."""
    try:
        return Uncounted() if data is None else parse_uncounted(data)
    except LedgerDamaged:
        return Uncounted()


def parse_uncounted(data: bytes) -> Uncounted:
    """The counters; `LedgerDamaged` when they cannot be read."""
    try:
        document = json.loads(data)
        if document["schema"] != SCHEMA:
            raise LedgerDamaged("uncounted.json is of another version: use a newer expci")
        return Uncounted(document["experiments"], document["forks"])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise LedgerDamaged(f"uncounted.json cannot be read: {error!r}") from error


def with_artifacts(counters: Uncounted, artifacts: Iterable[ForkArtifact]) -> Uncounted:
    """The counters with what further artifacts left."""
    experiments = {
        name: {plan: dict(arms) for plan, arms in plans.items()}
        for name, plans in counters.experiments.items()
    }
    forks = {name: dict(row) for name, row in counters.forks.items()}
    for artifact in artifacts:
        for name, plan, arm in artifact.records:
            arms = experiments.setdefault(name, {}).setdefault(plan, {})
            arms[arm] = arms.get(arm, 0) + 1
        whose = artifact.repository
        row = forks.setdefault(whose if whose in forks or len(forks) < FORKS else OTHERS, {})
        news = {"artifacts": 1, "records": artifact.lines, "refused": artifact.refused}
        row |= {key: row.get(key, 0) + count for key, count in news.items()}
    return Uncounted(experiments, forks)

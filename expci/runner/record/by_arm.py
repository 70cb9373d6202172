"""What was recorded, by arm: how many trials, and how many of them failed or do not count."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from expci.core.model.trial import Trial


@dataclass(frozen=True)
class ArmRecords:
    """The trials of one arm. `excluded` and `statuses` count by reason; "ok" is none."""

    trials: int
    excluded: Mapping[str, int] = field(default_factory=dict)
    statuses: Mapping[str, int] = field(default_factory=dict)

    def __str__(self) -> str:
        parts = [f"{count} {status}" for status, count in self.statuses.items()]
        parts += [f"{count} not counted ({reason})" for reason, count in self.excluded.items()]
        return ", ".join([str(self.trials), *parts])


def by_arm(trials: Sequence[Trial]) -> dict[str, ArmRecords]:
    """The records of each arm, control first.

    >>> from support.ledger_samples import trial
    >>> {arm: str(records) for arm, records in by_arm([trial("control"), trial("b")]).items()}
    {'control': '1', 'b': '1'}
    """
    arms = sorted({trial.arm for trial in trials}, key=lambda arm: (arm != "control", arm))
    return {arm: _records([trial for trial in trials if trial.arm == arm]) for arm in arms}


def _records(trials: Sequence[Trial]) -> ArmRecords:
    excluded = Counter(trial.excluded for trial in trials if trial.excluded is not None)
    statuses = Counter(trial.status for trial in trials if trial.status != "ok")
    return ArmRecords(len(trials), dict(sorted(excluded.items())), dict(sorted(statuses.items())))


def lines_by_arm(trials: Sequence[Trial]) -> Iterator[str]:
    """One line for each arm; none where nothing was recorded."""
    yield from (f"  {arm}: {records}" for arm, records in by_arm(trials).items())

"""What was recorded, by arm: how many trials, and how many of them failed or do not count."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping

from expci.core.model.trial import Trial
from expci.core.value_class import dataclass, field


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


def by_arm(trials: Iterable[Trial]) -> dict[str, ArmRecords]:
    """The records of each arm, control first.

    >>> from support.ledger_samples import trial
    >>> {arm: str(records) for arm, records in by_arm([trial("control"), trial("b")]).items()}
    {'control': '1', 'b': '1'}
    """
    counts = ArmCounts()
    for trial in trials:
        counts.add(trial)
    return counts.by_arm()


class ArmCounts:
    """The same, of trials that come one after the other."""

    def __init__(self) -> None:
        self._trials: Counter[str] = Counter()
        self._excluded: dict[str, Counter[str]] = defaultdict(Counter)
        self._statuses: dict[str, Counter[str]] = defaultdict(Counter)

    def add(self, trial: Trial) -> None:
        self._trials[trial.arm] += 1
        if trial.excluded is not None:
            self._excluded[trial.arm][trial.excluded] += 1
        if trial.status != "ok":
            self._statuses[trial.arm][trial.status] += 1

    def by_arm(self) -> dict[str, ArmRecords]:
        arms = sorted(self._trials, key=lambda arm: (arm != "control", arm))
        return {
            arm: ArmRecords(
                self._trials[arm],
                dict(sorted(self._excluded[arm].items())),
                dict(sorted(self._statuses[arm].items())),
            )
            for arm in arms
        }


def lines_by_arm(arms: Mapping[str, ArmRecords]) -> Iterator[str]:
    """One line for each arm; none where nothing was recorded."""
    yield from (f"  {arm}: {records}" for arm, records in arms.items())

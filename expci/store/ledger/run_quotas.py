"""How much one run may speak for: its artifacts are written by whoever ran the job."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace

from expci.core.model.trial import Trial
from expci.core.model.trial_reader import parse_line
from expci.store.inbox.read_batches import Arrived
from expci.store.ledger import paths
from expci.store.ledger.ledger import Ledger
from expci.store.ledger.vouching import UNVERIFIED

TRIALS_A_JOB = 4  # of one experiment in one artifact: a job takes part once, a retry again
LAB_TRIALS_A_RUN = 400  # of one experiment: 200 pairs


@dataclass
class RunQuotas:
    """How much of each experiment a run may yet speak for, over all of its artifacts.

    `present` gives the units and the number of lab trials of a run that the ledger holds.
    """

    present: Callable[[str, int], tuple[Iterable[str], int]]
    _units: dict[tuple[str, int], set[str]] = field(default_factory=dict)
    _lab: dict[tuple[str, int], int] = field(default_factory=dict)

    def admits(self, trial: Trial, run: int, jobs: int | None) -> bool:
        """Whether the trial is within the quota, which it uses up.

        `jobs` bounds the units that a live run may name; `None` where the unit is the run's own.
        """
        key = (trial.experiment, run)
        if key not in self._units:
            units, lab = self.present(*key)
            self._units[key], self._lab[key] = set(units), lab
        if trial.mode == "lab":
            self._lab[key] += 1
            return self._lab[key] <= LAB_TRIALS_A_RUN
        self._units[key].add(trial.unit)
        return jobs is None or len(self._units[key]) <= jobs


def within_quotas(
    quotas: RunQuotas, run: int, jobs: int | None, arrived: Iterable[Arrived]
) -> Iterator[Arrived]:
    """One job takes part in an experiment once, one run for so many jobs: more does not count."""
    of_slot: Counter[str] = Counter()
    for item in arrived:
        trial = item.record
        if isinstance(trial, Trial) and trial.excluded is None:
            of_slot[trial.experiment] += trial.mode == "live"
            few = of_slot[trial.experiment] <= TRIALS_A_JOB
            if not few or not quotas.admits(trial, run, jobs):
                excluded = replace(trial, excluded=UNVERIFIED)
                yield replace(item, record=excluded, line=excluded.line().encode())
                continue
        yield item


def quotas_of(ledger: Ledger) -> RunQuotas:
    """The quotas of runs, less what the ledger holds of them."""

    def present(experiment: str, run: int) -> tuple[list[str], int]:
        if experiment not in ledger.experiments:
            return [], 0
        named = re.compile(f'"run_id":"{run}"'.encode())
        lines = ledger.lines_naming(paths.trials(experiment), named)
        trials = [record for record in map(parse_line, lines) if isinstance(record, Trial)]
        counted = [trial for trial in trials if trial.excluded is None]
        live = [trial.unit for trial in counted if trial.mode == "live"]
        return live, len(counted) - len(live)

    return RunQuotas(present)

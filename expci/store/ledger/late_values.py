"""What a job's artifact may say of trials that other runs recorded.

A late metric adds a value that is missing, as a job does that rates what others made. It changes
none: else one job could rewrite what all the others measured.
"""

from __future__ import annotations

import math
import re

from expci.core.model.trial import MEASURED, Amendment, Trial
from expci.core.model.trial_reader import parse_line
from expci.errors import InvalidRecord
from expci.store.ledger import paths
from expci.store.ledger.ledger import Ledger


def require_addition(ledger: Ledger, late: Amendment, run: int) -> None:
    """`InvalidRecord` where an artifact of run `run` would change a value of another's trial."""
    present = list(_of_trial(ledger, late))
    trials = [record for record in present if isinstance(record, Trial)]
    if any(trial.context.get("run_id") == str(run) for trial in trials):
        return
    values = {name: value for record in present for name, value in record.metrics.items()}
    if not trials:  # it may arrive together with it, and measures what every trial does
        values = dict.fromkeys(MEASURED, math.nan)
    changed = [name for name, value in late.metrics.items() if values.get(name, value) != value]
    if changed:
        raise InvalidRecord(
            f"a late metric from run {run} would change {', '.join(sorted(changed))} of another "
            "run's trial; whoever may push corrects it with `expci record --trial`"
        )


def _of_trial(ledger: Ledger, late: Amendment) -> list[Trial | Amendment]:
    if late.experiment not in ledger.experiments:
        return []
    named = re.compile(re.escape(late.trial).encode())
    places = (paths.trials(late.experiment), paths.amendments(late.experiment))
    lines = (line for place in places for line in ledger.lines_naming(place, named))
    records = [parse_line(line) for line in lines]
    return [
        record
        for record in records
        if (record.id if isinstance(record, Trial) else record.trial) == late.trial
    ]

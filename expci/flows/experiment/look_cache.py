"""What a pass keeps of one experiment between its looks at the same trials."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from expci.core.model.content import Blob
from expci.core.model.results import Analysis
from expci.store.ledger import paths
from expci.store.ledger.ledger import Ledger

if TYPE_CHECKING:
    from expci.core.analysis.analyze import Measured
    from expci.core.analysis.look import Look
    from expci.core.dataset.trial_columns import TrialColumns


@dataclass
class LookCache:
    """The newest trials that were read, and what they came to.

    After each event a pass looks again, and at rest it looks at what time alone will change: the
    trials are the same, and only what depends on the time and on the state is computed anew.
    """

    _records: Mapping[str, Blob] | None = None
    _trials: TrialColumns | None = None
    _look: Look | None = None
    _measured: Measured | None = None

    def trials(self, ledger: Ledger, name: str) -> TrialColumns:
        """An experiment's trials; read where the ledger has others than the last one had."""
        records = _records_of(ledger, name)
        if self._trials is None or records != self._records:
            self._records, self._trials = records, ledger.columns(name)
        return self._trials

    def analysis(self, look: Look, trials: TrialColumns) -> Analysis:
        # The statistics take half a second to import, and most verbs do without.
        from expci.core.analysis.analyze import judged, measured

        timeless = replace(look, at=look.started, state="", ledger="")
        if self._measured is None or self._measured.trials is not trials or self._look != timeless:
            self._look, self._measured = timeless, measured(look, trials)
        return judged(look, self._measured)


def _records_of(ledger: Ledger, name: str) -> dict[str, Blob]:
    """The files that an experiment's trials are read from."""
    below = (paths.trials(name), paths.amendments(name))
    files = [f"{place}/{file}" for place in below for file in ledger.files(place)]
    wanted = (*files, paths.arrivals(name))
    return {path: ledger.entries[path] for path in wanted if path in ledger.entries}

"""`expci export`: export the data, every trial as it is in the ledger."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

from expci.core.model.trial import Trial
from expci.flows.context import Context
from expci.flows.lookup import ledger_at, ledger_with_inbox, require_started
from expci.report.sections.removal import removal_words
from expci.store import parquet
from expci.store.ledger.ledger import Ledger

_FIELDS = ("id", "experiment", "plan", "mode", "arm", "unit", "block", "seq", "order", "attempt")
_MORE = ("started", "status", "excluded")


@dataclass(frozen=True)
class Export:
    """The trials of one experiment, read from the ledger anew each time, some at a time."""

    ledger: Ledger
    name: str

    def lines(self, form: str) -> Iterator[str]:
        """Lines of CSV or JSON, one trial each, late metrics put in."""
        if form == "csv":
            return _csv(self._trials)
        return (trial.line() + "\n" for trial in self._trials())

    def write_parquet(self, target: BinaryIO) -> None:
        """Write the same trials as a Parquet file."""
        parquet.write_trials(self._trials, target)

    @property
    def missing(self) -> list[str]:
        """What `expci gc` removed, and where it is."""
        git = self.ledger.git
        return [
            removal_words(self.name, item, is_here=git.resolve(item.ledger) is not None)
            for item in self.ledger.removals(self.name)
        ]

    def _trials(self) -> Iterator[Trial]:
        return self.ledger.each_trial(self.name)


def export(app: Context, name: str, at: str | None = None) -> Export:
    """Everything that has arrived, or with `at` what the ledger held at that commit."""
    ledger = ledger_with_inbox(app) if at is None else ledger_at(app, at)
    require_started(ledger, name)
    return Export(ledger, name)


def _csv(trials: Callable[[], Iterable[Trial]]) -> Iterator[str]:
    metrics, covariates, context = _names(trials())
    header = [*_FIELDS, *_MORE, *metrics]
    header += [f"covariate.{key}" for key in covariates] + [f"context.{key}" for key in context]
    yield _line(header)
    for trial in trials():
        row = [getattr(trial, key) for key in (*_FIELDS, *_MORE)]
        row += [trial.metrics.get(key) for key in metrics]
        row += [trial.covariates.get(key) for key in covariates]
        row += [trial.context.get(key) for key in context]
        yield _line(row)


def _names(trials: Iterable[Trial]) -> tuple[list[str], list[str], list[str]]:
    """The names of all metrics, covariates and context keys."""
    metrics, covariates, context = set[str](), set[str](), set[str]()
    for trial in trials:
        metrics.update(trial.metrics)
        covariates.update(trial.covariates)
        context.update(trial.context)
    return sorted(metrics), sorted(covariates), sorted(context)


def _line(row: Iterable[object]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow([_cell(value) for value in row])
    return text.getvalue()


def _cell(value: object) -> object:
    """A spreadsheet would run text that begins like a formula (OWASP, CSV injection).

    One more apostrophe than there was, so that `record --from` takes just that one away.
    """
    if isinstance(value, str) and value.lstrip("'")[:1] in ("=", "+", "-", "@", "\t", "\r"):
        return "'" + value
    return "" if value is None else value

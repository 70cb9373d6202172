"""`expci export`: take the data away, every trial as it is in the ledger."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator
from typing import BinaryIO

from expci.core.model.trial import Trial
from expci.flows.context import Context
from expci.flows.lookup import ledger_with_inbox, require_started
from expci.store import parquet

_FIELDS = ("id", "experiment", "plan", "mode", "arm", "unit", "block", "seq", "order", "attempt")
_MORE = ("started", "status", "excluded")


def export(app: Context, name: str, form: str) -> Iterator[str]:
    """Lines of CSV or JSON, one trial each, late metrics put in; what waits in the inbox too."""
    trials = _trials(app, name)
    if form == "jsonl":
        return (trial.line() + "\n" for trial in trials)
    return _csv(trials)


def export_parquet(app: Context, name: str, target: BinaryIO) -> None:
    """Write the same trials as a Parquet file."""
    parquet.write_trials(_trials(app, name), target)


def _trials(app: Context, name: str) -> list[Trial]:
    ledger = ledger_with_inbox(app)
    require_started(ledger, name)
    return ledger.trials(name)


def _csv(trials: list[Trial]) -> Iterator[str]:
    metrics = _names(trial.metrics for trial in trials)
    covariates = _names(trial.covariates for trial in trials)
    context = _names(trial.context for trial in trials)
    header = [*_FIELDS, *_MORE, *metrics]
    header += [f"covariate.{key}" for key in covariates] + [f"context.{key}" for key in context]
    yield _line(header)
    for trial in trials:
        row = [getattr(trial, key) for key in (*_FIELDS, *_MORE)]
        row += [trial.metrics.get(key) for key in metrics]
        row += [trial.covariates.get(key) for key in covariates]
        row += [trial.context.get(key) for key in context]
        yield _line(row)


def _names(mappings: Iterable[Iterable[str]]) -> list[str]:
    return sorted({key for mapping in mappings for key in mapping})


def _line(row: Iterable[object]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow([_cell(value) for value in row])
    return text.getvalue()


def _cell(value: object) -> object:
    """A spreadsheet would run text that begins like a formula (OWASP, CSV injection)."""
    if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r"):
        return "'" + value
    return "" if value is None else value

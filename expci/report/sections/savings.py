"""What promoted changes save each month, in hours and in money, free of the winner's curse.

What was measured stands beside it. Sums of estimates that were promoted for being high are too
high, so each is shrunk towards no effect, by what the repository's own past says of its effects
where enough was decided.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from expci.core.analysis.winners_curse import Prior, control_mean, corrected, prior_of_past
from expci.core.lifecycle.transitions import State
from expci.core.model.metric_kinds import KINDS
from expci.core.model.results import Analysis
from expci.report.sections.effects import towards_better
from expci.report.sections.portfolio_row import PortfolioRow
from expci.report.sections.sentences import comparison_with, primary_of
from expci.report.text import numbers

_CURRENCIES = ("USD", "EUR")
_DECIDED = ("promote", "stop", "rollback")

Pair = tuple[float, float]  # cautious end, estimate


@dataclass(frozen=True)
class Savings:
    """Sums a month over `changes` in use: cautious ends and estimates, `corrected` of them free of
    the winner's curse by `prior`; `as_measured` are the estimates as they were."""

    prior: Prior
    low: float = 0.0
    value: float = 0.0
    as_measured: float = 0.0
    changes: int = 0
    corrected: int = 0

    def plus(self, measured: Pair, shrunk: Pair | None) -> Savings:
        low, value = shrunk or measured
        return Savings(
            self.prior,
            self.low + low,
            self.value + value,
            self.as_measured + measured[1],
            self.changes + 1,
            self.corrected + (shrunk is not None),
        )


def hours_saved(rows: Sequence[PortfolioRow]) -> Savings:
    """Of the changes in use that save time for certain, or lose it."""
    total = Savings(past_prior(rows))
    for row, analysis in _in_use(rows):
        measured = analysis.progress.hours_saved_per_month
        if measured is not None:
            total = total.plus(measured, _shrunk(row, analysis, measured, total.prior))
    return total


def unknown_hours(rows: Sequence[PortfolioRow]) -> int:
    """How many of the changes in use are timed, and nobody knows how often they run."""
    return sum(
        KINDS[analysis.primary.kind].is_timed and analysis.progress.hours_saved_per_month is None
        for _, analysis in _in_use(rows)
    )


def money_saved(rows: Sequence[PortfolioRow]) -> dict[str, Savings]:
    """By currency; changes without a rate of runs, or with an open interval, are not in it."""
    totals: dict[str, Savings] = {}
    for row, analysis in _in_use(rows):
        measured = _money(analysis, _arm(row))
        if measured is not None:
            unit, low, value = measured
            total = totals.get(unit) or Savings(past_prior(rows))
            shrunk = _shrunk(row, analysis, (low, value), total.prior)
            totals[unit] = total.plus((low, value), shrunk)
    return totals


def past_prior(rows: Iterable[PortfolioRow]) -> Prior:
    """What all that was decided, whichever way, says of the effects to expect."""
    past = []
    for row in rows:
        analysis = row.promotion or row.analysis
        if row.experiment is not None and analysis and analysis.decision.verdict in _DECIDED:
            arm = _arm(row) or analysis.decision.arm
            past.append((analysis.primary, row.experiment.primary, arm))
    return prior_of_past(past)


def _in_use(rows: Iterable[PortfolioRow]) -> list[tuple[PortfolioRow, Analysis]]:
    states = (State.WATCHING, State.PROMOTED)
    return [(row, row.promotion) for row in rows if row.life.state in states and row.promotion]


def _arm(row: PortfolioRow) -> str | None:
    return row.life.promoted.arm if row.life.promoted else None


def _shrunk(row: PortfolioRow, analysis: Analysis, measured: Pair, prior: Prior) -> Pair | None:
    """A sum of savings shrunk as the difference that it comes from; its cautious end stays."""
    result = primary_of(analysis)
    comparison = comparison_with(result, _arm(row)) if result else None
    if row.experiment is None or result is None or comparison is None or not comparison.difference:
        return None
    control = control_mean(result)
    shrunk = corrected(comparison, row.experiment.primary, control, prior.share)
    if shrunk is None or shrunk.difference is None:
        return None
    value = measured[1] * shrunk.difference / comparison.difference
    return min(measured[0], value), value


def _money(analysis: Analysis, arm: str | None) -> tuple[str, float, float] | None:
    metric, rate = primary_of(analysis), analysis.progress.runs_per_month
    if metric is None or rate is None:
        return None
    unit = numbers.unit(metric)
    comparison = next((item for item in metric.comparisons if item.arm == arm), None)
    if unit not in _CURRENCIES or comparison is None or comparison.difference is None:
        return None
    value, interval = towards_better(
        comparison.difference, comparison.difference_interval, metric.direction
    )
    low = interval[0] if interval else None
    return None if low is None or value is None else (unit, low * rate, value * rate)

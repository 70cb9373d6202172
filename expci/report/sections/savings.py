"""What promoted changes save in money each month, by currency, with the cautious end."""

from __future__ import annotations

from collections.abc import Iterable

from expci.core.lifecycle.transitions import State
from expci.core.model.results import Analysis
from expci.report.sections.effects import towards_better
from expci.report.sections.portfolio import PortfolioRow
from expci.report.sections.sentences import primary_of
from expci.report.text import numbers

_CURRENCIES = ("USD", "EUR")


def money_saved(rows: Iterable[PortfolioRow]) -> dict[str, tuple[float, float]]:
    """(cautious end, estimate) a month of the changes in use, by currency; those without a rate
    of runs, or with an open interval, are not in it."""
    totals: dict[str, tuple[float, float]] = {}
    for row in rows:
        if row.life.state not in (State.WATCHING, State.PROMOTED) or row.promotion is None:
            continue
        arm = row.life.promoted.arm if row.life.promoted else None
        saved = _saved(row.promotion, arm)
        if saved is not None:
            unit, low, value = saved
            before = totals.get(unit, (0.0, 0.0))
            totals[unit] = (before[0] + low, before[1] + value)
    return totals


def _saved(analysis: Analysis, arm: str | None) -> tuple[str, float, float] | None:
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

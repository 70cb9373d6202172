"""Numbers and times as people read them. All rounding lives here.

Nothing here computes a statistic: values are scaled to the unit shown (a share to per
cent) and rounded. What is `None` is said to be not known.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime

from expci.core.lifecycle.transitions import Life
from expci.core.model.experiment import Experiment, Kind, Limit
from expci.core.model.results import Analysis, MetricResult
from expci.report.text.escape import clean

MINUS = "−"
NOT_KNOWN = "not known"

_UNITS = {"s": "s", "ms": "ms", "us": "µs", "ns": "ns", "kb": "kB", "mb": "MB", "gb": "GB"} | {
    "kib": "KiB",
    "mib": "MiB",
    "gib": "GiB",
    "bytes": "bytes",
    "usd": "USD",
    "eur": "EUR",
    "pct": "%",
    "percent": "%",
}


@dataclass(frozen=True)
class PortfolioRow:
    """One experiment in the portfolio. `problem` is told before anything else about it.

    `promotion` is the analysis that it was promoted for, once it was.
    """

    id: str
    experiment: Experiment | None
    life: Life
    analysis: Analysis | None
    problem: str | None = None
    promotion: Analysis | None = None


def number(value: float | None) -> str:
    """Three significant digits, thousands apart, a true minus: `12.3`, `4,512`, `−0.0042`."""
    if value is None or not math.isfinite(value):
        return NOT_KNOWN
    if value == 0:
        return "0"
    rounded = float(f"{value:.2e}") if abs(value) < 1000 else value
    size = abs(rounded)
    if size >= 1e9 or size < 1e-4:
        return f"{value:.2e}".replace("-", MINUS).replace("e+", "e")
    decimals = max(0, 2 - math.floor(math.log10(size)))
    return f"{value:,.{decimals}f}".replace("-", MINUS)


def count(value: int | float | None, noun: str = "", plural: str | None = None) -> str:
    """A whole number with its noun: `1 pair`, `1,204 trials`."""
    if value is None:
        return NOT_KNOWN
    shown = f"{round(value):,}".replace("-", MINUS)
    if not noun:
        return shown
    return f"{shown} {noun if round(value) == 1 else plural or noun + 's'}"


def percent(share: float | None, sign: bool = False) -> str:
    """A share as per cent: `21.3 %`; with `sign`, `+21.3 %`."""
    return f"{_hundredfold(share, sign)} %" if _finite(share) else NOT_KNOWN


def points(share: float | None, sign: bool = False) -> str:
    """A difference of proportions in percentage points: `5.0 points`."""
    return f"{_hundredfold(share, sign)} points" if _finite(share) else NOT_KNOWN


def _finite(value: float | None) -> bool:
    return value is not None and math.isfinite(value)


def _hundredfold(share: float | None, sign: bool) -> str:
    value = 100 * (share or 0.0)
    size = abs(value)
    if size >= 1e6:
        shown = number(value)
        return f"+{shown}" if sign and value > 0 else shown
    decimals = 0 if size >= 99.95 or size == 0 else 1 if size >= 0.1 else 2
    shown = f"{size:,.{decimals}f}"
    if float(shown.replace(",", "")) == 0:
        return shown
    return (MINUS if value < 0 else "+" if sign else "") + shown


def p_value(value: float | None) -> str:
    """`p < 0.0001`, `p = 0.031`, `p = 0.87`; never 0."""
    if value is None or not math.isfinite(value):
        return f"p {NOT_KNOWN}"
    if value < 0.0001:
        return "p < 0.0001"
    if value >= 0.995:
        return "p > 0.99"
    return f"p = {value:.2f}" if value >= 0.0995 else f"p = {value:.2g}"


def bare_p_value(value: float | None) -> str:
    """A p-value for a column that is headed p: `< 0.0001`, `0.031`."""
    return p_value(value).removeprefix("p ").removeprefix("= ")


def e_value(value: float | None, log_value: float | None = None) -> str:
    """Evidence against "no effect" as betting odds; very large ones by their power of ten."""
    if value is not None and math.isfinite(value) and value < 1e6:
        return number(value)
    if log_value is not None and math.isfinite(log_value):
        return f"10^{log_value / math.log(10):.1f}"
    return number(value)


def level(share: float) -> str:
    """A confidence level: `95 %`, `99.5 %`."""
    return f"{100 * share:.4g} %"


def unit(name: str, kind: Kind) -> str:
    """The unit that a metric's name says it has: `duration_s` is in `s`."""
    if kind == "proportion":
        return "%"
    return _UNITS.get(name.rsplit("_", 1)[-1].lower(), "") if "_" in name else ""


def quantity(value: float | None, metric: MetricResult) -> str:
    """A value of the metric in its unit: `12.3 s`, `95.0 %`."""
    if not _finite(value):
        return NOT_KNOWN
    if metric.kind == "proportion":
        return percent(value)
    return f"{number(value)} {unit(metric.name, metric.kind)}".rstrip()


def limit(value: Limit | None, kind: Kind, name: str) -> str:
    """A limit as asked for: `15 %`, `5 points`, `0.3 s`."""
    if value is None:
        return "none"
    if value.relative:
        return f"{100 * value.value:g} %"
    if kind == "proportion":
        return f"{100 * value.value:g} points"
    return f"{value.value:g} {unit(name, kind)}".rstrip()


def parsed(at: str) -> datetime | None:
    """An ISO 8601 time in UTC; `None` for anything else."""
    try:
        moment = datetime.fromisoformat(at)
    except (TypeError, ValueError):
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)


def minute(at: str | None) -> str:
    """`2026-11-22 10:00 UTC`."""
    moment = parsed(at) if at else None
    return moment.strftime("%Y-%m-%d %H:%M UTC") if moment else clean(at or NOT_KNOWN)


def day(at: str | None) -> str:
    """`2026-11-22`."""
    moment = parsed(at) if at else None
    return moment.strftime("%Y-%m-%d") if moment else clean(at or NOT_KNOWN)


def age(start: str | None, end: str | None) -> str | None:
    """The time from start to end, in the one unit that matters: `3 days`, `5 hours`."""
    first, last = (parsed(at) if at else None for at in (start, end))
    if first is None or last is None or last < first:
        return None
    hours = (last - first).total_seconds() / 3600
    if hours < 1:
        return count(int(hours * 60), "minute")
    return count(int(hours), "hour") if hours < 48 else count(int(hours / 24), "day")


def days(value: float | None) -> str:
    """`14 days`, `2.5 days`."""
    if not _finite(value) or value is None:
        return NOT_KNOWN
    return f"{value:.3g} {'day' if value == 1 else 'days'}"


def hours(value: float | None) -> str:
    """`31.2 h`."""
    return f"{number(value)} h" if _finite(value) else NOT_KNOWN


def words(key: str) -> str:
    """`file_changed` as people say it."""
    return clean(key).replace("_", " ")


def short(identifier: str | None) -> str:
    """The first twelve characters of a hash."""
    return clean(identifier or NOT_KNOWN)[:12]

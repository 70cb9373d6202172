"""Numbers as people read them: every rounding of the project, once.

A measured value is rounded to what it can carry; a value that somebody stated (a limit, a
level, alpha) is written as stated. Nothing here computes a statistic. A number that is missing
(`None`, not finite) is `—`; what rounds to nothing is `0`, without sign or decimals.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Protocol

from expci.core.lazy_pattern import lazy_pattern
from expci.core.model.metric_kinds import KINDS, Kind

if TYPE_CHECKING:  # a verb that shows a duration does not wait for the whole model
    from expci.core.model.budget import BudgetUse
    from expci.core.model.experiment import Limit

MINUS = "−"
MISSING = "—"

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


_RATE = lazy_pattern(r"(?:.*_)?([^_]+)_per_([^_]+)")


def number(value: float | None, sign: bool = False, more: int = 0) -> str:
    """Return three significant digits, thousands apart, a true minus; with `sign` also a plus.

    `more` digits where they tell two numbers apart (`digits_apart`).

    >>> number(12.345), number(4512.3), number(-0.0042), number(-0.0), number(12.345, more=1)
    ('12.3', '4,512', '−0.00420', '0', '12.35')
    """
    if value is None or not math.isfinite(value):
        return MISSING
    if value == 0:
        return "0"
    rounded = float(f"{value:.{2 + more}e}") if abs(value) < 1000 else value
    size = abs(rounded)
    if size >= 1e9 or size < 1e-4:
        return _signed(f"{value:.{2 + more}e}".replace("e+", "e"), sign)
    decimals = max(0, 2 + more - math.floor(math.log10(size)))
    return _signed(f"{value:,.{decimals}f}", sign)


def count(value: float | None, noun: str = "", plural: str | None = None) -> str:
    """Return a whole number with its noun.

    >>> count(1, "pair"), count(1204, "trial"), count(2, "trial per arm", "trials per arm")
    ('1 pair', '1,204 trials', '2 trials per arm')
    """
    if value is None:
        return MISSING
    digits = _signed(f"{round(value):,}", False)
    if not noun:
        return digits
    return f"{digits} {noun if round(value) == 1 else plural or noun + 's'}"


def percent(share: float | None, sign: bool = False, more: int = 0) -> str:
    """Return a measured share in per cent, with `more` decimals than it carries.

    >>> percent(0.2134), percent(-0.152), percent(0.2134, sign=True), percent(0.0)
    ('21.3%', '−15.2%', '+21.3%', '0%')
    """
    return f"{_hundredfold(share, sign, more)}%" if _is_finite(share) else MISSING


def frequency(share: float | None) -> str:
    """Return a share that was counted or simulated: whole per cent from ten upwards.

    >>> frequency(0.8049), frequency(0.0123), frequency(0.0), frequency(1.0)
    ('80%', '1.2%', '0%', '100%')
    """
    if share is None or not math.isfinite(share):
        return MISSING
    return f"{100 * share:.0f}%" if share >= 0.0995 else percent(share)


def points(share: float | None, sign: bool = False, more: int = 0) -> str:
    """Return a measured difference of proportions in percentage points.

    >>> points(0.0417, sign=True)
    '+4.2 points'
    """
    return f"{_hundredfold(share, sign, more)} points" if _is_finite(share) else MISSING


def digits_apart(
    value: float | None, other: float | None, words: Callable[[float, int], str]
) -> int:
    """Return how many more digits tell two numbers apart that would look alike.

    `words` writes a number with so many more. 0 of equal numbers, and of those that are as good
    as equal.

    >>> digits_apart(0.1496, 0.15, lambda share, more: percent(share, more=more))
    1
    """
    if value is None or other is None or value == other:
        return 0
    apart = (more for more in range(_MOST_MORE) if words(value, more) != words(other, more))
    return next(apart, 0)


_MOST_MORE = 6


def p_value(value: float | None, beside: float | None = None) -> str:
    """Return a p-value with its sign; never 0, and 1 says no more than "over 0.99".

    With the digits that tell it from the level `beside` it.

    >>> p_value(0.0312), p_value(3e-9), p_value(0.87), p_value(1.0), p_value(0.0504, beside=0.05)
    ('p = 0.031', 'p < 0.0001', 'p = 0.87', 'p > 0.99', 'p = 0.0504')
    """
    if value is None or not math.isfinite(value):
        return f"p {MISSING}"
    if value < 0.0001:
        return "p < 0.0001"
    if value >= 0.995:
        return "p > 0.99"
    more = digits_apart(value, beside, _probability)
    return f"p = {_probability(value, more)}"


def _probability(value: float, more: int) -> str:
    return f"{value:.{2 + more}f}" if value >= 0.0995 else f"{value:.{2 + more}g}"


def bare_p_value(value: float | None) -> str:
    """Return a p-value for a column that is headed p.

    >>> bare_p_value(0.0312), bare_p_value(3e-9)
    ('0.031', '< 0.0001')
    """
    return p_value(value).removeprefix("p ").removeprefix("= ")


def e_value(value: float | None, log_value: float | None = None) -> str:
    """Return evidence against "no effect" as betting odds; very large ones as a power of ten.

    >>> e_value(322.0), e_value(float("inf"), 2302.585)
    ('322', '10^1000.0')
    """
    if value is not None and math.isfinite(value) and value < 1e6:
        return number(value)
    if log_value is not None and math.isfinite(log_value):
        return f"10^{log_value / math.log(10):.1f}"
    return number(value)


def times(ratio: float | None) -> str:
    """Return how many times as much: two significant digits.

    >>> times(1.52), times(12.4), times(1.0)
    ('1.5 times', '12 times', '1 time')
    """
    digits = _two_digits(ratio)
    return MISSING if digits is None else f"{digits} time{'' if digits == '1' else 's'}"


def correlation(value: float) -> str:
    """Return a correlation: two decimals; what rounds to nothing is `0`.

    >>> correlation(-0.132), correlation(0.004)
    ('−0.13', '0')
    """
    digits = f"{value:.2f}".replace("-", MINUS)
    return "0" if digits.lstrip(MINUS) == "0.00" else digits


def stated(value: float) -> str:
    """Return a number that somebody chose: alpha, a weight, a number of days.

    >>> stated(0.05), stated(14.0), stated(0.05 / 3)
    ('0.05', '14', '0.0167')
    """
    return f"{float(f'{value:.3g}') if abs(value) < 1000 else value:g}".replace("-", MINUS)


def stated_percent(share: float) -> str:
    """Return a share that somebody chose: a confidence level, the power, the traffic.

    >>> stated_percent(0.95), stated_percent(0.995), stated_percent(-0.075)
    ('95%', '99.5%', '−7.5%')
    """
    return f"{100 * share:.4g}%".replace("-", MINUS)


class Measured(Protocol):
    """What is asked of a metric to write its values: a plan's or a result's."""

    @property
    def name(self) -> str: ...
    @property
    def kind(self) -> Kind: ...
    @property
    def unit(self) -> str | None: ...


def unit(metric: Measured) -> str:
    """Return the unit that the plan states for a metric, else that of its name; or "".

    >>> from support.report_samples import measured
    >>> unit(measured("duration_s", "duration")), unit(measured("score"))
    ('s', '')
    >>> unit(measured("throughput", unit="MB/s"))
    'MB/s'
    """
    if KINDS[metric.kind].is_share:
        return "%"
    return metric.unit or unit_of_name(metric.name)


@cache
def unit_of_name(name: str) -> str:
    """Return the unit that a metric's name states, also of a rate; empty where it states none.

    >>> unit_of_name("max_rss_mb"), unit_of_name("compress_mb_per_s"), unit_of_name("score")
    ('MB', 'MB/s', '')
    >>> unit_of_name("rows_per_s"), unit_of_name("usd_per_run")
    ('rows/s', 'USD/run')
    """
    if rate := _RATE.fullmatch(name.lower()):
        return "/".join(_UNITS.get(part, part) for part in rate.groups())
    return _UNITS.get(name.rsplit("_", 1)[-1].lower(), "") if "_" in name else ""


def quantity(value: float | None, metric: Measured) -> str:
    """Return a measured value of a metric in its unit.

    >>> from support.report_samples import measured
    >>> quantity(12.31, measured("duration_s", "duration"))
    '12.3 s'
    >>> quantity(23 / 24, measured("success", "proportion"))
    '95.8%'
    """
    if not _is_finite(value):
        return MISSING
    if KINDS[metric.kind].is_share:
        return percent(value)
    return with_unit(number(value), unit(metric))


def with_unit(digits: str, unit: str) -> str:
    """Return a formatted number and its unit.

    >>> with_unit("12.3", "s"), with_unit("40", "%"), with_unit("0.81", "")
    ('12.3 s', '40%', '0.81')
    """
    return f"{digits}{unit}" if unit == "%" else f"{digits} {unit}".rstrip()


def amount_of(value: float | None, name: str) -> str:
    """Return a sum of a metric: dollars as such, everything else with its name.

    >>> amount_of(4.2, "cost_usd"), amount_of(11.3, "cost_usd"), amount_of(1520, "tokens")
    ('$4.20', '$11', '1,520 tokens')
    """
    if not _is_finite(value) or value is None:
        return MISSING
    if name.lower().endswith("_usd"):
        return f"${value:,.2f}" if abs(value) < 10 and value != round(value) else f"${value:,.0f}"
    return f"{number(value)} {name}"


def spent_of(use: BudgetUse) -> str:
    """Return how much of a budget is spent, and how many runs reported nothing.

    >>> from expci.core.model.budget import BudgetUse
    >>> spent_of(BudgetUse("cost_usd", 20.0, 4.2))
    '$4.20 of $20 spent'
    """
    words = f"{amount_of(use.spent, use.metric)} of {amount_of(use.most, use.metric)} spent"
    if not use.unreported:
        return words
    return f"{words}, {use.unreported} runs without a value taken as the mean of the others"


def limit(value: Limit | None, metric: Measured, sign: float = 1) -> str:
    """Return a limit as the plan states it; `sign` −1 for one that a loss must not pass.

    >>> from support.report_samples import measured
    >>> from expci.core.model.experiment import Limit
    >>> limit(Limit(0.15, True), measured("duration_s", "duration")), limit(None, measured("score"))
    ('15%', 'none')
    >>> limit(Limit(0.05, False), measured("success", "proportion"), -1)
    '−5 points'
    """
    if value is None:
        return "none"
    size = sign * value.value
    if KINDS[metric.kind].is_share:
        return f"{stated(100 * size)} points"
    return stated_percent(size) if value.relative else with_unit(stated(size), unit(metric))


def improvement(
    value: float | None,
    metric: Measured,
    relative: bool,
    sign: bool = True,
    beside: float | None = None,
) -> str:
    """Return a measured improvement in the terms of a limit: per cent, points or the metric's unit.

    With the digits that tell it from the limit `beside` it.

    >>> from support.report_samples import measured
    >>> improvement(0.2134, measured("duration_s", "duration"), True)
    '+21.3%'
    >>> improvement(-1.5, measured("duration_s", "duration"), False)
    '−1.50 s'
    >>> improvement(0.1496, measured("duration_s", "duration"), True, beside=0.15)
    '+14.96%'
    """
    form = points if KINDS[metric.kind].is_share else percent if relative else number
    more = digits_apart(value, beside, lambda size, digits: form(size, sign, digits))
    words = form(value, sign, more)
    return with_unit(words, unit(metric)) if form is number and _is_finite(value) else words


def days(value: float | None) -> str:
    """Return a time in days.

    >>> days(14.0), days(1.0), days(2.54)
    ('14 days', '1 day', '2.5 days')
    """
    digits = _two_digits(value)
    return MISSING if digits is None else f"{digits} {'day' if digits == '1' else 'days'}"


def hours(value: float | None) -> str:
    """Return a time in hours.

    >>> hours(31.24), hours(9.8)
    ('31 h', '9.8 h')
    """
    digits = _two_digits(value)
    return MISSING if digits is None else f"{digits} h"


def lasting(seconds: float) -> str:
    """Return a time that was measured, as a person says it.

    >>> lasting(0.0684), lasting(12.3), lasting(72.4), lasting(3900.0)
    ('0.0684 s', '12.3 s', '1 min 12 s', '1 h 5 min')
    """
    if seconds < 60:
        return with_unit(number(seconds), "s")
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    whole, minutes = divmod(round(seconds / 60), 60)
    return f"{whole:,} h {minutes} min" if minutes else f"{whole:,} h"


def per_day(value: float | None, noun: str = "trial") -> str:
    """Return a rate.

    >>> per_day(5.0), per_day(0.34), per_day(1.0)
    ('5 trials a day', '0.34 trials a day', '1 trial a day')
    """
    digits = _two_digits(value)
    return MISSING if digits is None else f"{digits} {noun}{'' if digits == '1' else 's'} a day"


def _two_digits(value: float | None) -> str | None:
    """Two significant digits, or all of a whole number; `None` where there is no number."""
    if value is None or not math.isfinite(value):
        return None
    digits = f"{value:,.0f}" if abs(value) >= 9.95 else f"{float(f'{value:.2g}'):g}"
    return digits.replace("-", MINUS)


def _is_finite(value: float | None) -> bool:
    return value is not None and math.isfinite(value)


def _hundredfold(share: float | None, sign: bool, more: int) -> str:
    value = 100 * (share or 0.0)
    size = abs(value)
    if size >= 1e6:
        return number(value, sign, more)
    decimals = 0 if size >= 99.95 else 1 if size >= 0.1 else 2
    digits = f"{size:,.{decimals + more}f}"
    if float(digits.replace(",", "")) == 0:
        return "0"
    return _signed(f"-{digits}" if value < 0 else digits, sign)


def _signed(digits: str, sign: bool) -> str:
    digits = digits.replace("-", MINUS)
    return f"+{digits}" if sign and not digits.startswith(MINUS) else digits

"""An effect in words: its size, its interval and their sign convention."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

from expci.core.model.experiment import Direction
from expci.core.model.metric_kinds import KINDS
from expci.core.model.results import Comparison, Interval, MetricResult
from expci.report.text import numbers


@dataclass(frozen=True)
class Effect:
    """A comparison on the scale that suits its metric, signed so that positive is better.

    `form` is `percent` (relative), `points` (proportions) or `unit` (when nothing relative
    exists). `None` inside `interval` is an open end; without an interval nothing is claimed.
    """

    value: float | None
    interval: Interval | None
    form: Literal["percent", "points", "unit"]
    unit: str = ""

    def words(self, value: float | None, sign: bool = False, beside: float | None = None) -> str:
        """A value on this scale, with the digits that tell it from a limit `beside` it."""
        if value is None or not math.isfinite(value):
            return numbers.MISSING
        more = max(self._more, numbers.digits_apart(value, beside, self._rounded))
        return self._rounded(value, more, sign)

    def _rounded(self, value: float, more: int, sign: bool = False) -> str:
        if self.form == "percent":
            return numbers.percent(value, sign, more)
        if self.form == "points":
            return numbers.points(value, sign, more)
        return numbers.with_unit(numbers.number(value, sign, more), self.unit)

    @cached_property
    def _more(self) -> int:
        """Digits by which an estimate outside its interval, or an end beside zero, looks so."""
        value, low, high = self.value, self.low, self.high
        pairs = [(end, 0.0) for end in (low, high) if self.sure and end is not None]
        if value is not None and low is not None and value < low:
            pairs.append((value, low))
        if value is not None and high is not None and value > high:
            pairs.append((value, high))
        return max((numbers.digits_apart(*pair, self._rounded) for pair in pairs), default=0)

    @property
    def low(self) -> float | None:
        return self.interval[0] if self.interval else None

    @property
    def high(self) -> float | None:
        return self.interval[1] if self.interval else None

    @property
    def sure(self) -> bool:
        """Whether the interval leaves no doubt about the direction."""
        return (self.low is not None and self.low > 0) or (self.high is not None and self.high < 0)

    def flipped(self) -> Effect:
        """The same effect with positive meaning worse."""
        value = None if self.value is None else -self.value
        return Effect(value, negated(self.interval), self.form, self.unit)


def effect_of(comparison: Comparison, metric: MetricResult) -> Effect:
    """The effect of a treatment on a metric, on the metric's own scale."""
    if not KINDS[metric.kind].is_share and comparison.improvement is not None:
        return Effect(comparison.improvement, comparison.interval, "percent")
    difference = towards_better(
        comparison.difference, comparison.difference_interval, metric.direction
    )
    if KINDS[metric.kind].is_share:
        return Effect(*difference, "points")
    return Effect(*difference, "unit", numbers.unit(metric))


def corrected_effect(comparison: Comparison, metric: MetricResult) -> Effect | None:
    """The same free of the winner's curse; `None` where there is no such estimate."""
    shrunk = comparison.corrected
    if shrunk is None:
        return None
    as_estimated = replace(
        comparison,
        improvement=shrunk.improvement if comparison.improvement is not None else None,
        interval=shrunk.interval,
        difference=shrunk.difference,
        difference_interval=shrunk.difference_interval,
    )
    effect = effect_of(as_estimated, metric)
    return None if effect.value is None else effect


def raw_effect(value: float | None, interval: Interval | None, metric: MetricResult) -> Effect:
    """treatment − control as it is, in points or the metric's unit: negative is less."""
    if KINDS[metric.kind].is_share:
        return Effect(value, interval, "points")
    return Effect(value, interval, "unit", numbers.unit(metric))


def towards_better(
    difference: float | None, interval: Interval | None, direction: Direction
) -> tuple[float | None, Interval | None]:
    """treatment − control turned so that positive is better."""
    if direction == "increase":
        return difference, interval
    return None if difference is None else -difference, negated(interval)


def negated(interval: Interval | None) -> Interval | None:
    if interval is None:
        return None
    low, high = interval
    return None if high is None else -high, None if low is None else -low


def interval_words(effect: Effect, sign: bool = False, beside: float | None = None) -> str:
    """`12.0% to 29.4%`; an open end is named as such, and one point is exact.

    With the digits that tell its ends from a limit `beside` them.
    """
    if effect.interval is None:
        return numbers.MISSING
    low, high = effect.interval
    if low is None and high is None:
        return "no bounds yet"
    if low == high:
        return f"exactly {effect.words(low, sign, beside)}"
    if high is None:
        return f"at least {effect.words(low, sign, beside)}"
    if low is None:
        return f"at most {effect.words(high, sign, beside)}"
    return between(effect.words(low, sign, beside), effect.words(high, sign, beside))


def between(low: str, high: str) -> str:
    """`−3.00 to +8.10 s`: a unit of its own word stands once."""
    number_part, _, unit_part = low.partition(" ")
    if unit_part and high.endswith(" " + unit_part):
        return f"{number_part} to {high}"
    return f"{low} to {high}"


def scale(effects: Sequence[Effect]) -> float:
    """Half the width of an axis that shows these effects; a round share, at most 200%."""
    ends = [abs(item.value) for item in effects if item.value is not None]
    ends += [abs(end) for item in effects for end in item.interval or () if end is not None]
    largest = min(max(ends, default=0.0), 2.0)
    return next(
        step for step in (0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0, 2.0) if step >= largest - 1e-12
    )

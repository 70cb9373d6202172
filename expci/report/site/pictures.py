"""The pictures of one experiment: its estimate over time, its trials, its metrics, its days."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from markupsafe import Markup

from expci.report.sections.effects import Effect
from expci.report.site import charts
from expci.report.site.charts import LEFT, NARROW, RIGHT, TOP, WIDTH, Axis
from expci.report.text import numbers

MOST_DOTS = 2000  # trials that are drawn one by one; more are drawn as quantiles
_MOST_DAYS = 60
_STRIP = 74  # px: the height of one arm


@dataclass(frozen=True)
class EstimatePoint:
    """The estimate of one arm after `units` units of each arm."""

    units: int
    effect: Effect


@dataclass(frozen=True)
class Threshold:
    """A level that the estimate is compared with; `kind` is its class in the style sheet."""

    value: float
    words: str
    kind: str


def for_any_screen(draw: Callable[[int], Markup | None]) -> Markup | None:
    """A picture as wide as a desktop and one as wide as a phone; the style sheet shows one."""
    wide, narrow = draw(WIDTH), draw(NARROW)
    if wide is None or narrow is None:
        return None
    both = f'<div class="wide">{wide}</div><div class="narrow">{narrow}</div>'
    return Markup(both)  # noqa: S704 - two pictures


def estimate_picture(
    arms: Mapping[str, Sequence[EstimatePoint]],
    thresholds: Sequence[Threshold],
    target: int | None,
    units: str,
    width: int = WIDTH,
) -> Markup | None:
    """Each arm's estimate and interval over the `units`; `None` before there is an estimate."""
    points = [point for line in arms.values() for point in line]
    if not points:
        return None
    height, bottom = 300, 300 - 40
    right = width - (RIGHT if width >= WIDTH else 8)
    across = Axis(0, max([point.units for point in points] + [target or 1]), LEFT, right)
    up = charts.axis(_extent(arms, thresholds), bottom, TOP)
    words = points[-1].effect.words
    shapes = _grid(up, across, lambda value: words(value, True))
    shapes += _units_axis(across, bottom, units)
    shapes += _target(across, target, bottom)
    for index, line in enumerate(arms.values(), start=1):
        shapes += _way(line, across, up, f"arm{index % 6}")
    shapes += _thresholds(thresholds, across, up, beside=width >= WIDTH)
    latest = "; ".join(f"{arm} {words(line[-1].effect.value, True)}" for arm, line in arms.items())
    label = f"The estimated improvement over the trials: {latest}"
    return charts.svg(height, label, shapes, width)


def _extent(
    arms: Mapping[str, Sequence[EstimatePoint]], thresholds: Sequence[Threshold]
) -> list[float]:
    """What the axis must hold: every level and estimate, and the latest interval twice as wide."""
    values = [level.value for level in thresholds] + [0.0]
    for line in arms.values():
        values += [point.effect.value for point in line if point.effect.value is not None]
        low, high = line[-1].effect.low, line[-1].effect.high
        if low is not None and high is not None:
            room = (high - low) / 2
            values += [low - room, high + room]
    return values


def _grid(up: Axis, across: Axis, words: Callable[[float], str]) -> list[str]:
    shapes, values = [], charts.ticks(up)
    for value, label in zip(values, charts.even(list(map(words, values))), strict=True):
        y = up.at(value)
        shapes.append(charts.line(across.start, y, across.end, y, "grid"))
        shapes.append(charts.text(across.start - 8, y + 4, label, "tick", "end"))
    return shapes


def _units_axis(across: Axis, bottom: float, units: str) -> list[str]:
    whole = [value for value in charts.ticks(across) if value == round(value)]
    shapes = [
        charts.text(across.at(value), bottom + 18, numbers.count(value), "tick", "middle")
        for value in whole
    ]
    middle = (across.start + across.end) / 2
    return [*shapes, charts.text(middle, bottom + 36, units, "label", "middle")]


def _target(across: Axis, target: int | None, bottom: float) -> list[str]:
    if not target:
        return []
    x = across.at(target)
    return [
        charts.line(x, TOP, x, bottom, "planned"),
        charts.text(x - 4, TOP + 10, "planned size", "label", "end"),
    ]


def _way(line: Sequence[EstimatePoint], across: Axis, up: Axis, arm: str) -> list[str]:
    closed = [point for point in line if point.effect.low is not None or point.effect.high]
    top = [(across.at(p.units), up.at(_end(p.effect.high, up.high))) for p in closed]
    under = [(across.at(p.units), up.at(_end(p.effect.low, up.low))) for p in closed]
    middle = [
        (across.at(p.units), up.at(p.effect.value)) for p in line if p.effect.value is not None
    ]
    shapes = [charts.polygon([*top, *reversed(under)], f"band {arm}")] if len(top) > 1 else []
    shapes += [charts.polyline(middle, f"way {arm}")] if len(middle) > 1 else []
    if closed:
        x, high, low = top[-1][0], top[-1][1], under[-1][1]
        shapes.append(charts.line(x, high, x, low, f"whisker {arm}"))
    return [*shapes, *(charts.dot(x, y, 3.5, f"mark {arm}") for x, y in middle[-1:])]


def _end(value: float | None, open_end: float) -> float:
    return open_end if value is None else value


def _thresholds(
    thresholds: Sequence[Threshold], across: Axis, up: Axis, *, beside: bool
) -> list[str]:
    """The levels, their words `beside` them, else on them, and never over one another."""
    shapes: list[str] = []
    used: list[float] = []
    for level in sorted(thresholds, key=lambda level: -level.value):
        y = up.at(level.value)
        shapes.append(charts.line(across.start, y, across.end, y, level.kind))
        place = max([y + 4 if beside else y - 4, *(other + 14 for other in used)])
        used.append(place)
        x, anchor = (across.end + 6, "start") if beside else (across.start + 4, "start")
        shapes.append(charts.text(x, place, level.words, f"label {level.kind}", anchor))
    return shapes


# --- trials ----------------------------------------------------------------------------


@dataclass(frozen=True)
class TrialValue:
    """One trial's value of the primary metric; `name` is an element that says which trial it is."""

    value: float
    failed: bool
    name: str


def trials_picture(
    arms: Mapping[str, Sequence[TrialValue]], words: Callable[[float], str], width: int = WIDTH
) -> Markup | None:
    """Every trial by arm; of more than 2,000 their quantiles. `None` without a value."""
    values = [trial.value for trials in arms.values() for trial in trials]
    if not values:
        return None
    height = _STRIP * len(arms) + 36
    across = charts.axis(values, LEFT + 40, width - 16, 0.03)
    shapes: list[str] = []
    places = charts.ticks(across, 6 if width >= WIDTH else 3)
    for value, label in zip(places, charts.even(list(map(words, places))), strict=True):
        x = across.at(value)
        shapes.append(charts.line(x, 8, x, height - 28, "grid"))
        shapes.append(charts.text(x, height - 10, label, "tick", "middle"))
    for row, (arm, trials) in enumerate(arms.items()):
        middle = 8 + _STRIP * row + _STRIP / 2
        kind = f"arm{row % 6}"
        shapes.append(charts.text(LEFT + 24, middle - 2, _short(arm), "label name", "end"))
        count = numbers.count(len(trials))
        shapes.append(charts.text(LEFT + 24, middle + 14, f"n = {count}", "tick", "end"))
        few = len(values) <= MOST_DOTS
        shapes += _dots(trials, across, middle, kind, named=width >= WIDTH) if few else []
        shapes += _quantiles(trials, across, middle, kind, boxed=not few)
    label = "; ".join(
        f"{arm}: {numbers.count(len(trials), 'trial')}" for arm, trials in arms.items()
    )
    return charts.svg(height, f"Every trial by arm. {label}", shapes, width)


def _short(arm: str) -> str:
    return arm if len(arm) <= 12 else arm[:11] + "…"


def _dots(
    trials: Sequence[TrialValue], across: Axis, middle: float, kind: str, *, named: bool
) -> Iterable[str]:
    """A dot for each trial; on a phone, where no pointer rests on one, without its name."""
    for index, trial in enumerate(trials):
        y = round(middle + charts.jitter(index) * (_STRIP - 30), 1)
        shape = f"trial {kind} failed" if trial.failed else f"trial {kind}"
        yield charts.dot(across.at(trial.value), y, 3, shape, trial.name if named else "")


def _quantiles(
    trials: Sequence[TrialValue], across: Axis, middle: float, kind: str, *, boxed: bool
) -> list[str]:
    """The median; with `boxed` also the middle half and the middle nine tenths."""
    ordered = sorted(trial.value for trial in trials)
    if not ordered:
        return []
    places = [across.at(charts.quantile(ordered, q)) for q in (0.05, 0.25, 0.5, 0.75, 0.95)]
    half = _STRIP / 2 - 12
    shapes = [charts.line(places[2], middle - half, places[2], middle + half, f"median {kind}")]
    if not boxed:
        return shapes
    box = charts.rect(
        places[1], middle - 14, places[3] - places[1], 28, f"box {kind}", "the middle half"
    )
    return [charts.line(places[0], middle, places[4], middle, f"whisker {kind}"), box, *shapes]


# --- metrics and days ------------------------------------------------------------------


def interval_picture(effect: Effect, needed: float | None, axis: float, words: str) -> Markup:
    """One metric's interval on a small axis with zero in the middle and what it must reach."""
    width, height = 200, 22
    across, y = Axis(-axis, axis, 6, width - 6), height / 2
    zero = across.at(0)
    shapes = [charts.line(6, y, width - 6, y, "grid"), charts.line(zero, 2, zero, 20, "zero")]
    if needed is not None:
        shapes.append(charts.line(across.at(needed), 2, across.at(needed), 20, "limit"))
    if effect.value is not None and effect.interval is not None:
        low, high = across.at(_end(effect.low, -axis)), across.at(_end(effect.high, axis))
        shapes.append(charts.line(low, y, high, y, "whisker arm1"))
        shapes.append(charts.dot(across.at(effect.value), y, 4, "mark arm1"))
    return charts.svg(height, words, shapes, width)


def days_picture(
    days: Mapping[date, Counter[str]], arms: Sequence[str], width: int = WIDTH
) -> Markup | None:
    """Trials a day, or a week where there are many days; `None` without a trial."""
    if not days:
        return None
    bins, step = _bins(days)
    height, bottom = 150, 150 - 28
    most = max(sum(counts.values()) for counts in bins.values())
    up = Axis(0, max(most, 1), bottom, 10)
    wide, most_dates = (width - LEFT - 16) / len(bins), 6 if width >= WIDTH else 3
    shapes: list[str] = []
    for value in charts.ticks(up, 4):
        if value == round(value):
            shapes.append(charts.line(LEFT, up.at(value), width - 16, up.at(value), "grid"))
            shapes.append(
                charts.text(LEFT - 8, up.at(value) + 4, numbers.count(value), "tick", "end")
            )
    for index, (day, counts) in enumerate(sorted(bins.items())):
        shapes += _bar(LEFT + index * wide, wide, day, counts, arms, up)
        if index % max(1, math.ceil(len(bins) / most_dates)) == 0:
            x = round(LEFT + (index + 0.5) * wide, 1)
            shapes.append(charts.text(x, height - 8, day.isoformat(), "tick", "middle"))
    total = sum(sum(counts.values()) for counts in days.values())
    per = "day" if step == 1 else "week"
    return charts.svg(height, f"Trials a {per}: {total} in all", shapes, width)


def _bins(days: Mapping[date, Counter[str]]) -> tuple[dict[date, Counter[str]], int]:
    """Every day from the first to the last, or every week, with its trials by arm."""
    first, last = min(days), max(days)
    step = 1 if (last - first).days < _MOST_DAYS else 7
    count = min((last - first).days // step + 1, 400)
    bins: dict[date, Counter[str]] = {
        first + timedelta(days=step * index): Counter() for index in range(count)
    }
    for day, counts in days.items():
        index = min((day - first).days // step, count - 1)
        bins[first + timedelta(days=step * index)] += counts
    return bins, step


def _bar(
    x: float, wide: float, day: date, counts: Counter[str], arms: Sequence[str], up: Axis
) -> Iterable[str]:
    """The trials of one day, one arm on another."""
    base = 0
    for row, arm in enumerate(arms):
        if not counts[arm]:
            continue
        top, under = up.at(base + counts[arm]), up.at(base)
        title = f"{day.isoformat()}: {counts[arm]} of {arm}"
        width = min(max(wide - 2, 1), 48)
        left = round(x + (wide - width) / 2, 1)
        yield charts.rect(left, top, width, under - top, f"bar arm{row % 6}", title)
        base += counts[arm]

"""Charts as inline SVG. Colours are classes, so that light and dark come from the style sheet.

A shape is a string of SVG: every text is escaped where it is put in, and only the whole picture is
`Markup`, because a page has thousands of shapes. Coordinates are rounded to a tenth.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from expci.report.site.environment import escaped

WIDTH, NARROW = 720, 344  # of a desktop and of a phone, where letters must not shrink
LEFT, RIGHT, TOP, BOTTOM = 62, 118, 16, 34
_GOLDEN = 0.6180339887


@dataclass(frozen=True)
class Axis:
    """A linear scale from values `low` … `high` to pixels `start` … `end`."""

    low: float
    high: float
    start: float
    end: float

    def at(self, value: float) -> float:
        share = (min(max(value, self.low), self.high) - self.low) / (self.high - self.low)
        return round(self.start + share * (self.end - self.start), 1)


def axis(values: Iterable[float], start: float, end: float, margin: float = 0.06) -> Axis:
    """A scale that holds all finite values with some room; one value gets room of its own size."""
    finite = [value for value in values if math.isfinite(value)]
    low, high = min(finite, default=0.0), max(finite, default=1.0)
    room = (high - low) * margin or abs(high) * 0.1 or 1.0
    return Axis(low - room, high + room, start, end)


def ticks(scale: Axis, most: int = 6) -> list[float]:
    """Round numbers on a scale: steps of 1, 2 or 5 times a power of ten."""
    step = (scale.high - scale.low) / most
    power = 10.0 ** math.floor(math.log10(step))
    step = next(size * power for size in (1, 2, 5, 10) if size * power >= step * 0.999)
    first, last = math.ceil(scale.low / step - 1e-9), math.floor(scale.high / step + 1e-9)
    return [0.0 if index == 0 else index * step for index in range(first, last + 1)]


_DECIMALS = re.compile(r"(\d)\.(\d+)")


def even(labels: Sequence[str]) -> list[str]:
    """The labels of an axis with as many decimals as they need, and all with as many."""
    decimals = [match[2] for label in labels if (match := _DECIMALS.search(label))]
    needed = max((len(digits.rstrip("0")) for digits in decimals), default=0)

    def rounded(match: re.Match[str]) -> str:
        return f"{match[1]}.{match[2][:needed].ljust(needed, '0')}" if needed else match[1]

    return [_DECIMALS.sub(rounded, label) for label in labels]


def line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    return f'<line x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}" class="{kind}"/>'


def text(x: float, y: float, words: str, kind: str = "", anchor: str = "start") -> str:
    place = f'x="{x}" y="{y}" class="{kind}" text-anchor="{anchor}"'
    return f"<text {place}>{escaped(words)}</text>"


def rect(x: float, y: float, width: float, height: float, kind: str, title: str = "") -> str:
    size = f'width="{round(width, 1)}" height="{round(height, 1)}"'
    return f'<rect x="{x}" y="{y}" {size} class="{kind}">{named(title)}</rect>'


def dot(x: float, y: float, radius: float, kind: str, inside: str = "") -> str:
    """A circle; `inside` is an element of its own, such as `named` makes one."""
    return f'<circle cx="{x}" cy="{y}" r="{radius}" class="{kind}">{inside}</circle>'


def polyline(points: Sequence[tuple[float, float]], kind: str) -> str:
    return f'<polyline points="{_points(points)}" class="{kind}"/>'


def polygon(points: Sequence[tuple[float, float]], kind: str) -> str:
    return f'<polygon points="{_points(points)}" class="{kind}"/>'


def _points(points: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{x},{y}" for x, y in points)


def named(words: str) -> str:
    """The name of a shape, shown where the pointer rests on it; nothing without words."""
    return f"<title>{escaped(words)}</title>" if words else ""


def svg(height: float, label: str, shapes: Iterable[str], width: int = WIDTH) -> Markup:
    """A picture with a name for those who cannot see it."""
    frame = f'viewBox="0 0 {width} {height}" role="img" aria-label="{escaped(label)}"'
    return Markup(f"<svg {frame}>{''.join(shapes)}</svg>")  # noqa: S704


def jitter(index: int) -> float:
    """A place from −0.5 to 0.5 that neighbours do not share; the same at every run."""
    return (index * _GOLDEN) % 1.0 - 0.5


def quantile(ordered: Sequence[float], share: float) -> float:
    """The sample quantile by linear interpolation (Hyndman & Fan 1996, definition 7)."""
    place = share * (len(ordered) - 1)
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (place - below) * (ordered[above] - ordered[below])

"""Markdown tables of shares with their Monte-Carlo errors."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

FEW = 8


def experiments_of(experiments: int, scale: float, least: int) -> int:
    """How many to simulate; at a scale of 0 a few, only to run it."""
    return max(least, int(experiments * scale)) if scale else FEW


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def error(share: float, experiments: int) -> float:
    return math.sqrt(max(share * (1 - share), 1 / experiments) / experiments)


def share(found: float, experiments: int, limit: float | None = None) -> str:
    """`.031 ±.002`, bold where it is above `limit` by more than three errors."""
    margin = error(found, experiments)
    text = f"{found:.3f} ±{margin:.3f}".replace("0.", ".")
    return f"**{text}**" if is_above(found, experiments, limit) else text


def is_above(found: float, experiments: int, limit: float | None) -> bool:
    return limit is not None and found > limit + 3 * error(found, experiments)


def is_below(found: float, experiments: int, limit: float) -> bool:
    return found < limit - 3 * error(found, experiments)


def covered(found: float, experiments: int, level: float) -> str:
    margin = error(found, experiments)
    text = f"{found:.3f} ±{margin:.3f}".replace("0.", ".")
    return f"**{text}**" if is_below(found, experiments, level) else text


def sections(document: str) -> dict[str, str]:
    """The parts of a document by their headings of the second level."""
    parts = re.split(r"(?m)^(?=## )", document)[1:]
    return {part.partition("\n")[0]: part for part in parts}

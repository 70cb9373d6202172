"""Charts of characters: they work in a terminal, an e-mail and a private repository."""

from __future__ import annotations


def progress_bar(done: int, target: int | None, width: int = 10) -> str:
    """`▓▓▓▓▓▓▓░░░ 70% (7/10)`. Full only when it is; never empty once something is there."""
    if not target or target < 0:
        return f"{done} so far"
    share = min(max(done / target, 0.0), 1.0)
    filled = int(share * width)
    filled = max(filled, 1) if done > 0 else 0
    return f"{share_bar(filled, width)} {int(share * 100)}% ({done}/{target})"


def share_bar(filled: int, width: int = 10) -> str:
    """`filled` of `width` cells."""
    filled = min(max(filled, 0), width)
    return "▓" * filled + "░" * (width - filled)


def interval_bar(
    estimate: float | None,
    low: float | None,
    high: float | None,
    scale: float,
    width: int = 21,
) -> str:
    """`·····│··├──●──┤···`: an interval on an axis from −scale to +scale, zero at the centre.

    What is open or lies beyond the axis is an arrow: ◂▸ an end, ◀▶ the estimate.
    Empty without an estimate.
    `width` must be odd.
    """
    if estimate is None or scale <= 0:
        return ""
    cells = ["·"] * width
    first = 0 if low is None else _position(low, scale, width)
    last = width - 1 if high is None else _position(high, scale, width)
    for column in range(first, last + 1):
        cells[column] = "─"
    cells[width // 2] = "┼" if first <= width // 2 <= last else "│"
    cells[first] = "◂" if low is None or low < -scale else "├"
    cells[last] = "▸" if high is None or high > scale else "┤"
    dot = "●" if abs(estimate) <= scale else "◀" if estimate < 0 else "▶"
    cells[_position(estimate, scale, width)] = dot
    return "".join(cells)


def _position(value: float, scale: float, width: int) -> int:
    share = (min(max(value, -scale), scale) + scale) / (2 * scale)
    return round(share * (width - 1))

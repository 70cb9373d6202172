"""P-values of several tests, adjusted together. A missing one counts as 1 and stays missing."""

from __future__ import annotations

from collections.abc import Sequence


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Adjusted so that any false finding has probability alpha at most (Holm 1979)."""
    known = [1.0 if p is None else p for p in p_values]
    adjusted, largest = [0.0] * len(known), 0.0
    for rank, index in enumerate(sorted(range(len(known)), key=known.__getitem__)):
        largest = max(largest, min(1.0, (len(known) - rank) * known[index]))
        adjusted[index] = largest
    return _where_known(p_values, adjusted)


def benjamini_hochberg(p_values: Sequence[float | None]) -> list[float | None]:
    """Adjusted so that the share of false findings is alpha at most on average.

    Benjamini & Hochberg (1995), for independent or positively dependent tests.
    """
    known = [1.0 if p is None else p for p in p_values]
    adjusted, smallest = [0.0] * len(known), 1.0
    for rank, index in reversed(
        list(enumerate(sorted(range(len(known)), key=known.__getitem__), start=1))
    ):
        smallest = min(smallest, known[index] * len(known) / rank)
        adjusted[index] = smallest
    return _where_known(p_values, adjusted)


def _where_known(p_values: Sequence[float | None], adjusted: Sequence[float]) -> list[float | None]:
    return [None if p is None else q for p, q in zip(p_values, adjusted, strict=True)]

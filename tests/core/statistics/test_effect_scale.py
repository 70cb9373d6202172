"""Effects relative to control: where they are defined, their sign, empty intervals."""

from __future__ import annotations

import math

import numpy as np
import pytest

from expci.core.decision.numbers import Improvement
from expci.core.statistics import effect_scale


def numbers(improvement: Improvement) -> list[list[float]]:
    parts = (improvement.estimate, improvement.low, improvement.high)
    return [np.asarray(part).tolist() for part in parts]


def test_what_is_not_defined_says_nothing() -> None:
    change = Improvement(np.array([0.1, 0.2]), np.array([0.0, 0.1]), np.array([0.3, 0.4]))
    clear = effect_scale.where_clear(change, np.array([True, False]))
    assert numbers(clear)[1:] == [[0.0, -math.inf], [0.3, math.inf]]
    assert clear.estimate[0] == 0.1
    assert math.isnan(clear.estimate[1])


@pytest.mark.parametrize(("better", "expected"), [(1, [2.0, 1.0, 4.0]), (-1, [-2.0, -4.0, -1.0])])
def test_less_is_more_where_smaller_is_better(better: int, expected: list[float]) -> None:
    ends = np.array([1.0]), np.array([4.0])
    shown = numbers(effect_scale.signed(np.array([2.0]), ends, better))
    assert [value for [value] in shown] == expected


@pytest.mark.parametrize("better", [1, -1])
def test_an_empty_interval_bounds_nothing(better: int) -> None:
    ends = np.array([4.0, 1.0]), np.array([1.0, 4.0])
    change = effect_scale.signed(np.array([2.0, 2.0]), ends, better)
    assert (change.low[0], change.high[0]) == (-math.inf, math.inf)
    assert np.isfinite([change.low[1], change.high[1]]).all()


@pytest.mark.parametrize(
    ("estimate", "interval", "outside"),
    [
        (0.5, (0.1, 0.9), False),
        (0.1, (0.1, 0.9), False),  # an end belongs to it
        (0.05, (0.1, 0.9), True),
        (0.95, (0.1, 0.9), True),
        (5.0, (0.1, None), False),
        (-5.0, (None, 0.9), False),
        (None, (0.1, 0.9), False),
        (0.5, None, False),
    ],
)
def test_an_estimate_outside_its_interval_is_told(
    estimate: float | None, interval: tuple[float | None, float | None] | None, outside: bool
) -> None:
    assert ("outside_interval" in effect_scale.unsteady(estimate, interval)) is outside


def test_ends_that_are_open_or_cross() -> None:
    assert effect_scale.closed((1.0, math.inf)) == (1.0, None)
    assert effect_scale.closed((-math.inf, 2.0)) == (None, 2.0)
    assert effect_scale.closed((2.0, 2.0)) == (2.0, 2.0)
    assert effect_scale.closed((2.0, 1.0)) is None
    assert effect_scale.closed(None) is None

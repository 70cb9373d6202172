"""Effects relative to control: where they are defined, their sign, empty intervals."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Literal

import numpy as np
import pytest
from scipy import stats

from expci.core.dataset.unit_paths import single_trials
from expci.core.decision.numbers import Improvement
from expci.core.model.experiment import Metric
from expci.core.statistics import effect_scale
from expci.core.statistics.outcome import Outcome, Summary
from expci.core.statistics.two_arms import Sample
from support.analysis_samples import DURATION


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


def through(interval: tuple[float, float] | None, relative: tuple[float, float]) -> Outcome:
    """What a look's evidence says: an interval in the unit and one as a share of control."""
    summary = None if interval is None else Summary(0.0, 0.5, interval, relative)
    return Outcome("anytime", summary, None, None, ())


OPEN = (-math.inf, math.inf)


@pytest.mark.parametrize(("better", "expected"), [(1, (-0.2, -0.3, -0.1)), (-1, (0.2, 0.1, 0.3))])
def test_logarithms_become_shares_of_control(
    better: int, expected: tuple[float, float, float]
) -> None:
    ends = np.array([math.log(0.7)]), np.array([math.log(0.9)])
    change = effect_scale.from_logs(np.array([math.log(0.8)]), ends, better)
    assert [value for [value] in numbers(change)] == pytest.approx(expected)


def test_a_ratio_beyond_a_float_is_an_open_end() -> None:
    ends = np.array([-1000.0]), np.array([1000.0])
    assert numbers(effect_scale.from_logs(np.array([0.0]), ends, 1)) == [[0], [-1], [math.inf]]


@pytest.mark.parametrize(
    ("control", "better", "expected"),
    [  # a treatment 2 above control; the ends are (0.5, 4)/control, in ascending order
        (10.0, 1, (0.2, 0.05, 0.4)),
        (10.0, -1, (-0.2, -0.4, -0.05)),
        (-10.0, 1, (0.2, 0.05, 0.4)),
        (-10.0, -1, (-0.2, -0.4, -0.05)),
    ],
)
def test_a_share_is_of_controls_size_whatever_its_sign(
    control: float, better: int, expected: tuple[float, float, float]
) -> None:
    low, high = sorted((0.5 / control, 4 / control))
    change = effect_scale.as_share(
        np.array([2.0]), np.array([control]), (np.array([low]), np.array([high])), better
    )
    assert [value for [value] in numbers(change)] == pytest.approx(expected)


def test_shares_of_nothing_are_not_numbers() -> None:
    ends = np.full(2, -math.inf), np.full(2, math.inf)
    change = effect_scale.as_share(np.array([0.0, 1.0]), np.zeros(2), ends, 1)
    assert math.isnan(change.estimate[0])
    assert change.estimate[1] == math.inf


LOG_20_PER_CENT_OFF = math.log(0.8)


@pytest.mark.parametrize(
    ("interval", "expected"),
    [
        (None, (None, (), [])),
        ((math.log(0.7), math.log(0.9)), ((0.1, 0.3), (effect_scale.BY_LOGARITHMS,), [])),
        ((-math.inf, math.log(0.9)), ((0.1, 1.0), (effect_scale.BY_LOGARITHMS,), [])),
        ((math.log(0.7), math.inf), ((None, 0.3), (effect_scale.BY_LOGARITHMS,), [])),
        ((math.log(0.9), math.log(0.7)), (None, (), ["unsteady_effect"])),  # they cross
        ((LOG_20_PER_CENT_OFF, LOG_20_PER_CENT_OFF), ((0.2, 0.2), (), [])),  # no method
        (
            (math.log(0.85), math.log(0.9)),
            ((0.1, 0.15), (effect_scale.BY_LOGARITHMS,), ["outside_interval"]),
        ),
    ],
)
def test_the_change_of_a_duration(
    interval: tuple[float, float] | None,
    expected: tuple[tuple[float | None, float | None] | None, tuple[str, ...], list[str]],
) -> None:
    change = effect_scale.log_change(DURATION, LOG_20_PER_CENT_OFF, through(interval, OPEN))
    assert change.improvement == pytest.approx(0.2)
    ends, notes, codes = expected
    assert change.interval == (None if ends is None else pytest.approx(ends))
    assert change.notes == notes
    assert list(change.coded) == codes
    larger = replace(DURATION, direction="increase")
    worse = effect_scale.log_change(larger, LOG_20_PER_CENT_OFF, through(interval, OPEN))
    assert worse.improvement == pytest.approx(-0.2)


def test_no_difference_has_no_change() -> None:
    nothing = effect_scale.Change()
    look = through((0.1, 0.2), (0.1, 0.2))
    assert effect_scale.log_change(DURATION, None, look) == nothing
    assert effect_scale.relative_change(SCORE, arms([], []), look, 0.05) == nothing
    assert (nothing.improvement, nothing.interval, nothing.notes, nothing.coded) == (
        None,
        None,
        (),
        {},
    )


SCORE = Metric("score", "primary", "mean", "increase")


def arms(control: list[float], treatment: list[float]) -> Sample:
    return Sample(single_trials(np.array(control)), single_trials(np.array(treatment)))


@pytest.mark.parametrize(
    ("control", "direction", "relative", "improvement", "interval"),
    [
        ([9.0, 10.0, 11.0], "increase", (0.1, 0.3), 0.2, (0.1, 0.3)),
        ([9.0, 10.0, 11.0], "decrease", (0.1, 0.3), -0.2, (-0.3, -0.1)),
        ([-9.0, -10.0, -11.0], "increase", (-0.3, -0.1), 0.2, (0.1, 0.3)),
        ([-9.0, -10.0, -11.0], "decrease", (-0.3, -0.1), -0.2, (-0.3, -0.1)),
        ([9.0, 10.0, 11.0], "increase", (-math.inf, 0.3), 0.2, (None, 0.3)),
    ],
)
def test_the_change_of_a_mean(
    control: list[float],
    direction: Literal["increase", "decrease"],
    relative: tuple[float, float],
    improvement: float,
    interval: tuple[float | None, float | None],
) -> None:
    units = arms(control, [value + 2 for value in control])
    metric = replace(SCORE, direction=direction)
    change = effect_scale.relative_change(metric, units, through((1.0, 3.0), relative), 0.05)
    assert change.improvement == pytest.approx(improvement)
    assert change.interval == pytest.approx(interval)
    assert change.notes == (effect_scale.FIELLER,)
    assert not change.coded
    silent = effect_scale.relative_change(metric, units, through(None, OPEN), 0.05)
    assert silent.improvement == pytest.approx(improvement)
    assert (silent.interval, silent.notes) == (None, ())


@pytest.mark.parametrize(
    ("control", "words"),
    [
        ([5.0], "before control has two units"),
        # of 1, −1, 2, 0.5 the mean is .625 and t(3) · error 2.0; half of the sd 1.25 is .62
        ([1.0, -1.0, 2.0, 0.5], "`max_regression: 0.62`"),
        ([0.0, 0.0], "`max_regression: 0.3`"),
    ],
)
def test_no_change_relative_to_what_may_be_zero(control: list[float], words: str) -> None:
    units = arms(control, [value + 2 for value in control])
    change = effect_scale.relative_change(SCORE, units, through((1.0, 3.0), (0.1, 0.3)), 0.05)
    assert (change.improvement, change.interval, change.notes) == (None, None, ())
    assert words in change.coded["no_relative_change"]
    assert len(control) == 1 or "for score includes 0" in change.coded["no_relative_change"]


def test_a_mean_differs_from_zero_where_students_interval_says_so() -> None:
    rng = np.random.default_rng(1)
    for _ in range(50):
        values = rng.normal(0.6, 1, 8)
        expected = stats.ttest_1samp(values, 0).pvalue < 0.1
        error = np.array(np.var(values, ddof=1) / 8)
        not_zero = effect_scale.differs_from_zero(np.array(8), values.mean(), error, 0.1)
        assert bool(not_zero) is bool(expected)
    n, mean = np.array([5, 5, 5, 1]), np.array([2.0, 0.0, 2.0, 2.0])
    errors = np.array([0.0, 0.0, math.nan, math.nan])  # constant, at 0, and unknown
    assert effect_scale.differs_from_zero(n, mean, errors, 0.05).tolist() == [True] + [False] * 3

"""Numbers as people read them; expected strings are written by hand from the values."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from expci.report.sections.effects import Effect, effect, interval_words
from expci.report.text import charts, numbers
from support import report_samples as samples


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (12.3, "12.3"),
        (9.999, "10.0"),
        (0.0123456, "0.0123"),
        (999.6, "1,000"),
        (1231.5, "1,232"),
        (-0.0042, "−0.00420"),
        (0.0, "0"),
        (-0.0, "0"),
        (1.5e12, "1.50e12"),
        (2.5e-7, "2.50e−07"),
        (None, "not known"),
        (math.nan, "not known"),
        (math.inf, "not known"),
    ],
)
def test_number(value: float | None, shown: str) -> None:
    assert numbers.number(value) == shown


@pytest.mark.parametrize(
    ("share", "plain", "signed"),
    [
        (0.213, "21.3 %", "+21.3 %"),
        (-0.152, "−15.2 %", "−15.2 %"),
        (0.0, "0 %", "0 %"),
        (-0.00001, "0.00 %", "0.00 %"),
        (0.0003, "0.03 %", "+0.03 %"),
        (0.99949, "99.9 %", "+99.9 %"),
        (0.9996, "100 %", "+100 %"),
        (-4.81, "−481 %", "−481 %"),
        (None, "not known", "not known"),
    ],
)
def test_percent(share: float | None, plain: str, signed: str) -> None:
    assert (numbers.percent(share), numbers.percent(share, sign=True)) == (plain, signed)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (6e-192, "p < 0.0001"),
        (0.0, "p < 0.0001"),
        (0.000132, "p = 0.00013"),
        (0.0312, "p = 0.031"),
        (0.0999, "p = 0.10"),
        (0.87, "p = 0.87"),
        (0.9999, "p > 0.99"),
        (1.0, "p > 0.99"),
        (None, "p not known"),
    ],
)
def test_p_values_are_never_nought(value: float | None, shown: str) -> None:
    assert numbers.p_value(value) == shown


def test_a_large_e_value_is_a_power_of_ten() -> None:
    assert numbers.e_value(322.0) == "322"
    assert numbers.e_value(math.inf, 2302.585) == "10^1000.0"
    assert numbers.e_value(None) == "not known"


@pytest.mark.parametrize(
    ("interval", "shown"),
    [
        ((0.12, 0.294), "+12.0 to +29.4 %"),
        ((-0.03, 0.081), "−3.0 to +8.1 %"),
        ((None, 0.081), "at most +8.1 %"),
        ((0.12, None), "at least +12.0 %"),
        ((None, None), "no bounds yet"),
        (None, "not known"),
    ],
)
def test_open_ends_are_said_to_be_open(
    interval: tuple[float | None, float | None] | None, shown: str
) -> None:
    assert interval_words(Effect(0.1, interval, "percent"), sign=True) == shown


def test_less_of_a_duration_is_an_improvement_also_in_its_own_unit() -> None:
    """Where control's interval holds 0 nothing relative is known: seconds remain."""
    bare = replace(samples.comparison(), improvement=None, interval=None)
    shown = effect(bare, samples.duration())
    assert (shown.shown(shown.value, True), interval_words(shown, True)) == (
        "+2.62 s",
        "+1.50 to +3.60 s",
    )


def test_times() -> None:
    assert numbers.minute("2026-11-22T10:00:00.123Z") == "2026-11-22 10:00 UTC"
    assert numbers.minute("2026-11-22T10:00:00+02:00") == "2026-11-22 08:00 UTC"
    assert numbers.day("yesterday") == "yesterday"
    assert numbers.age("2026-11-19T09:00:00Z", "2026-11-22T10:00:00Z") == "3 days"
    assert numbers.age("2026-11-22T09:00:00Z", "2026-11-22T10:00:00Z") == "1 hour"
    assert numbers.age("2026-11-22T11:00:00Z", "2026-11-22T10:00:00Z") is None


def test_progress_bars() -> None:
    assert charts.progress_bar(7, 10) == "▓▓▓▓▓▓▓░░░ 70 % (7/10)"
    assert charts.progress_bar(0, 10) == "░░░░░░░░░░ 0 % (0/10)"
    assert charts.progress_bar(1, 1000) == "▓░░░░░░░░░ 0 % (1/1000)"
    assert charts.progress_bar(999, 1000) == "▓▓▓▓▓▓▓▓▓░ 99 % (999/1000)"
    assert charts.progress_bar(12, 10) == "▓▓▓▓▓▓▓▓▓▓ 100 % (12/10)"
    assert charts.progress_bar(3, None) == "3 so far"


def test_interval_bars() -> None:
    assert charts.interval_bar(0.2, 0.1, 0.4, 0.5, 11) == "·····│├●─┤·"
    assert charts.interval_bar(0.0, -0.5, 0.5, 0.5, 11) == "├────●────┤"
    assert charts.interval_bar(0.1, None, 0.4, 0.5, 11) == "◂────┼●──┤·"
    assert charts.interval_bar(-4.8, -5.2, -4.4, 0.5, 11) == "◀····│·····"
    assert charts.interval_bar(None, -0.5, 0.5, 0.5) == ""


@settings(derandomize=True)
@given(
    st.floats(-10, 10),
    st.floats(-10, 10) | st.none(),
    st.floats(-10, 10) | st.none(),
    st.sampled_from([0.02, 0.5, 2.0]),
)
def test_bars_keep_their_width(
    estimate: float, low: float | None, high: float | None, scale: float
) -> None:
    assert len(charts.interval_bar(estimate, low, high, scale)) == 21


def test_sparklines() -> None:
    assert charts.sparkline([0, 1, None, 4, 8]) == "▁▂·▅█"
    assert charts.sparkline([0, 0]) == "▁▁"
    assert charts.sparkline([]) == ""

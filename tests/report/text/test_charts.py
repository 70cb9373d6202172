"""Charts made of characters."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from expci.report.text import charts


def test_progress_bars() -> None:
    assert charts.progress_bar(7, 10) == "▓▓▓▓▓▓▓░░░ 70% (7/10)"
    assert charts.progress_bar(0, 10) == "░░░░░░░░░░ 0% (0/10)"
    assert charts.progress_bar(1, 1000) == "▓░░░░░░░░░ 0% (1/1000)"
    assert charts.progress_bar(999, 1000) == "▓▓▓▓▓▓▓▓▓░ 99% (999/1000)"
    assert charts.progress_bar(12, 10) == "▓▓▓▓▓▓▓▓▓▓ 100% (12/10)"
    assert charts.progress_bar(3, None) == "3 so far"


def test_interval_bars() -> None:
    assert charts.interval_bar(0.2, 0.1, 0.4, 0.5, 11) == "·····│├●─┤·"
    assert charts.interval_bar(0.0, -0.5, 0.5, 0.5, 11) == "├────●────┤"
    assert charts.interval_bar(0.1, None, 0.4, 0.5, 11) == "◂────┼●──┤·"
    assert charts.interval_bar(-4.8, -5.2, -4.4, 0.5, 11) == "◀····│·····"
    assert charts.interval_bar(None, -0.5, 0.5, 0.5) == ""


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

"""Effects and their intervals in words."""

from __future__ import annotations

from dataclasses import replace

import pytest

from expci.report.sections.effects import Effect, effect_of, interval_words
from support import report_samples as samples


@pytest.mark.parametrize(
    ("interval", "shown"),
    [
        ((0.12, 0.294), "+12.0% to +29.4%"),
        ((-0.03, 0.081), "−3.0% to +8.1%"),
        ((None, 0.081), "at most +8.1%"),
        ((0.12, None), "at least +12.0%"),
        ((None, None), "no bounds yet"),
        (None, "—"),
    ],
)
def test_open_ends_are_said_to_be_open(
    interval: tuple[float | None, float | None] | None, shown: str
) -> None:
    assert interval_words(Effect(0.1, interval, "percent"), sign=True) == shown


def test_less_of_a_duration_is_an_improvement_also_in_its_own_unit() -> None:
    """Where control's interval holds 0 nothing relative is known: seconds remain."""
    bare = replace(samples.comparison(), improvement=None, interval=None)
    shown = effect_of(bare, samples.duration())
    assert (shown.words(shown.value, True), interval_words(shown, True)) == (
        "+2.62 s",
        "+1.50 to +3.60 s",
    )

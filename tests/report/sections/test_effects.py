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


@pytest.mark.parametrize(
    ("effect", "words"),
    [
        (Effect(0.4786, (0.4791, 0.602), "points"), ("+47.86 points", "+47.91 to +60.20 points")),
        (Effect(0.2101, (0.1, 0.2099), "percent"), ("+21.01%", "+10.00% to +20.99%")),
        (Effect(-1.0, (-2.0, -1.00004), "unit", "s"), ("−1.00000 s", "−2.00000 to −1.00004 s")),
        (Effect(0.02, (0.00004, 0.04), "percent"), ("+2.00%", "+0.004% to +4.00%")),
        (Effect(0.21, (0.1, 0.2104), "percent"), ("+21.0%", "+10.0% to +21.0%")),
    ],
)
def test_what_is_outside_an_interval_or_beside_zero_looks_so(
    effect: Effect, words: tuple[str, str]
) -> None:
    """An estimate that lies outside its interval never has the digits of its end."""
    assert (effect.words(effect.value, sign=True), interval_words(effect, sign=True)) == words


def test_an_end_beside_a_limit_is_told_from_it() -> None:
    effect = Effect(0.05, (-0.05, 0.1499), "percent")
    assert interval_words(effect, beside=0.15) == "−5.0% to 14.99%"
    assert effect.words(0.05, beside=0.15) == "5.0%"

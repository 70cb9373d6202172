"""Numbers as people read them; expected strings are written by hand from the values."""

from __future__ import annotations

import math

import pytest

from expci.core import number_format
from expci.core.model.experiment import Limit
from expci.core.model.metric_kinds import Kind
from support.report_samples import measured


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
        (None, "—"),
        (math.nan, "—"),
        (math.inf, "—"),
    ],
)
def test_number(value: float | None, shown: str) -> None:
    assert number_format.number(value) == shown


@pytest.mark.parametrize(
    ("share", "plain", "signed"),
    [
        (0.213, "21.3%", "+21.3%"),
        (-0.152, "−15.2%", "−15.2%"),
        (0.0, "0%", "0%"),
        (-0.00001, "0%", "0%"),
        (0.0003, "0.03%", "+0.03%"),
        (0.99949, "99.9%", "+99.9%"),
        (0.9996, "100%", "+100%"),
        (-4.81, "−481%", "−481%"),
        (None, "—", "—"),
    ],
)
def test_percent(share: float | None, plain: str, signed: str) -> None:
    assert (number_format.percent(share), number_format.percent(share, sign=True)) == (
        plain,
        signed,
    )


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
        (None, "p —"),
    ],
)
def test_p_values_are_never_nought(value: float | None, shown: str) -> None:
    assert number_format.p_value(value) == shown


def test_a_large_e_value_is_a_power_of_ten() -> None:
    assert number_format.e_value(322.0) == "322"
    assert number_format.e_value(math.inf, 2302.585) == "10^1000.0"
    assert number_format.e_value(None) == "—"


@pytest.mark.parametrize("sign", [False, True])
@pytest.mark.parametrize("value", [0.0, -0.0, 1e-9, -1e-9])
def test_what_rounds_to_nothing_is_a_bare_nought(value: float, sign: bool) -> None:
    assert number_format.percent(value, sign) == "0%"
    assert number_format.points(value, sign) == "0 points"


def test_a_count_agrees_with_its_noun() -> None:
    assert number_format.count(1, "pair") == "1 pair"
    assert number_format.count(0, "pair") == "0 pairs"
    assert number_format.count(1.0, "trial per arm", "trials per arm") == "1 trial per arm"


@pytest.mark.parametrize(
    ("limit", "kind", "sign", "shown"),
    [
        (Limit(0.075, True), "duration", 1, "7.5%"),
        (Limit(0.10, True), "mean", -1, "−10%"),
        (Limit(0.05, False), "proportion", 1, "5 points"),
        (Limit(0.3, False), "duration", 1, "0.3 s"),
        (None, "mean", 1, "none"),
    ],
)
def test_a_limit_is_written_as_stated(
    limit: Limit | None, kind: Kind, sign: float, shown: str
) -> None:
    assert number_format.limit(limit, measured("work_s", kind), sign) == shown


def test_a_rate_has_no_false_digits() -> None:
    assert number_format.per_day(5.0) == "5 trials a day"
    assert number_format.per_day(12.34) == "12 trials a day"
    assert number_format.per_day(None) == "—"

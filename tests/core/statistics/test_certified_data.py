"""Analysis of variance with certified results: NIST's Statistical Reference Datasets, one way.

https://www.itl.nist.gov/div898/strd/anova/anova.html. With two groups of one size Welch's t² is
the F of the table, so the certified F is the t that a comparison reports.
"""

from __future__ import annotations

import numpy as np
import pytest

from expci.core.dataset.moments import Moments, moments
from expci.core.dataset.unit_paths import UnitPath
from expci.core.statistics import classical
from expci.core.statistics.two_arms import Sample

# AtmWtAg: the atomic weight of silver by two instruments (Powell, Murphy & Gramlich 1982).
SILVER = (
    [
        107.8681568, 107.8681465, 107.8681572, 107.8681785, 107.8681446, 107.8681903,
        107.8681526, 107.8681494, 107.8681616, 107.8681587, 107.8681519, 107.8681486,
        107.8681419, 107.8681569, 107.8681508, 107.8681672, 107.8681385, 107.8681518,
        107.8681662, 107.8681424, 107.8681360, 107.8681333, 107.8681610, 107.8681477,
    ],
    [
        107.8681079, 107.8681344, 107.8681513, 107.8681197, 107.8681604, 107.8681385,
        107.8681642, 107.8681365, 107.8681151, 107.8681082, 107.8681517, 107.8681448,
        107.8681198, 107.8681482, 107.8681334, 107.8681609, 107.8681101, 107.8681512,
        107.8681469, 107.8681360, 107.8681254, 107.8681261, 107.8681450, 107.8681368,
    ],
)  # fmt: skip
SILVER_F = 1.59467335677930e01
SILVER_BETWEEN = 3.63834187500000e-09
SILVER_WITHIN = 1.04951729166667e-08
# Seven constant leading digits: the data hold nine of the certified fifteen digits.
DIGITS = 1e-9

# SiRstv: silicon resistivity by five instruments (Ehrstein & Croarkin, NIST).
SILICON = np.array(
    [
        [196.3052, 196.1240, 196.1890, 196.2569, 196.3403],
        [196.3042, 196.3825, 196.1669, 196.3257, 196.0422],
        [196.1303, 196.2005, 196.2889, 196.0343, 196.1811],
        [196.2795, 196.1748, 196.1494, 196.1485, 195.9885],
        [196.2119, 196.1051, 196.1850, 196.0052, 196.2090],
    ]
)


def sums_of_squares(groups: list[Moments]) -> tuple[float, float]:
    """Between and within groups, from merged moments."""
    total = sum(groups, Moments())
    within = sum(group.m2 for group in groups)
    return total.m2 - within, within


def test_silver_by_two_instruments() -> None:
    control, treatment = (moments(np.array(values)) for values in SILVER)
    between, within = sums_of_squares([control, treatment])
    assert between == pytest.approx(SILVER_BETWEEN, rel=10 * DIGITS)
    assert within == pytest.approx(SILVER_WITHIN, rel=10 * DIGITS)
    found = classical.welch(control, treatment, 0.95)
    assert found is not None
    assert found.t is not None
    assert found.t**2 == pytest.approx(SILVER_F, rel=10 * DIGITS)


def test_silver_as_the_evidence_sees_it() -> None:
    paths = [
        UnitPath(np.arange(24) * 2 + arm, np.arange(24), np.array(values), np.full(24, np.nan))
        for arm, values in enumerate(SILVER)
    ]
    looks = Sample(paths[0], paths[1]).looks()
    assert looks is not None
    assert (looks.difference[0, -1] / looks.error[0, -1]) ** 2 == pytest.approx(
        SILVER_F, rel=10 * DIGITS
    )


def test_silicon_by_five_instruments() -> None:
    # certified: between 5.11462616000000E-02, within 2.16636560000000E-01
    between, within = sums_of_squares([moments(values) for values in SILICON])
    assert between == pytest.approx(5.11462616000000e-02, rel=DIGITS)
    assert within == pytest.approx(2.16636560000000e-01, rel=DIGITS)
    assert (between / 4) / (within / 20) == pytest.approx(1.18046237440255, rel=DIGITS)


@pytest.mark.parametrize(
    ("offset", "digits"),
    # SmLs01, SmLs04, SmLs07 (Simon & Lesage 1989): 1, 7 and 13 constant leading digits. A 64-bit
    # float holds 1000000000000.4 to 6e-5, so the last keeps three digits of the variance.
    [(1.0, 1e-9), (1e6, 1e-8), (1e12, 3e-3)],
)
def test_means_far_from_zero(offset: float, digits: float) -> None:
    centers = [4, 3, 5, 3, 5, 3, 5, 3, 5]
    data = [
        np.array([offset + c / 10] + [offset + (c - 1) / 10, offset + (c + 1) / 10] * 10)
        for c in centers
    ]
    groups = [moments(values) for values in data]
    between, within = sums_of_squares(groups)
    assert between == pytest.approx(1.68, rel=digits)
    assert within == pytest.approx(1.8, rel=digits)
    # the first two of the nine: means .1 apart, variances .01, so t² = .01/(2 × .01/21) = 10.5
    found = classical.welch(groups[0], groups[1], 0.95)
    assert found is not None
    assert found.t is not None
    assert found.t**2 == pytest.approx(10.5, rel=digits)

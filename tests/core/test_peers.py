"""The same data in other libraries.

The expected values were printed by statsmodels 0.15.0 and tea-tasting 1.14.0; the calls
stand beside them.
"""

from __future__ import annotations

import numpy as np
import pytest

from expci.core.estimate import two_sample_power, welch
from expci.core.multiplicity import benjamini_hochberg, holm
from expci.core.proportion import agresti_caffo
from expci.core.summary import moments

# R's `sleep`: extra hours of sleep with two soporific drugs (Student 1908).
SLEEP = (
    [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0],
    [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4],
)
RAMPS = (
    [10.0 + 0.3 * i + i % 3 for i in range(30)],
    [9.0 + 0.25 * i + i % 4 for i in range(30)],
)


def close(value: float) -> object:
    return pytest.approx(value, rel=1e-9)


def test_welch_as_statsmodels_has_it() -> None:
    # CompareMeans(DescrStatsW(g2), DescrStatsW(g1)): ttest_ind, tconfint_diff ('unequal')
    control, treatment = (moments(np.array(values)) for values in SLEEP)
    found = welch(control, treatment, 0.95)
    assert found is not None
    assert (found.t, found.p_value) == (close(1.8608134674868526), close(0.07939414018735816))
    assert found.df == close(17.776473516178495)
    assert found.interval == (close(-0.2054832307117107), close(3.36548323071171))


def test_welch_as_tea_tasting_has_it() -> None:
    # Experiment(v=Mean("v", use_t=True, equal_var=False)).analyze(frame)
    control, treatment = (moments(np.array(values)) for values in RAMPS)
    found = welch(control, treatment, 0.95)
    assert found is not None
    assert found.t == close(-1.868255572222085)
    assert found.p_value == close(0.06686168321429463)
    assert found.interval == (close(-2.6760788377171654), close(0.09274550438383322))


def test_agresti_and_caffo_as_statsmodels_has_it() -> None:
    # confint_proportions_2indep(45, 60, 38, 60, compare="diff", method="agresti-caffo")
    control = np.array([1.0] * 38 + [0.0] * 22)
    treatment = np.array([1.0] * 45 + [0.0] * 15)
    found = agresti_caffo(control, treatment)
    assert found is not None
    interval, _ = found.ends(1.959963984540054)
    assert interval == (close(-0.0493351721359461), close(0.2751416237488493))


def test_adjusted_p_values_as_statsmodels_has_them() -> None:
    # multipletests([.01, .04, .03, .2], method="holm" and "fdr_bh")
    p_values = [0.01, 0.04, 0.03, 0.2]
    assert holm(p_values) == [close(p) for p in (0.04, 0.09, 0.09, 0.2)]
    expected = (0.04, 0.05333333333333334, 0.05333333333333334, 0.2)
    assert benjamini_hochberg(p_values) == [close(p) for p in expected]


def test_power_as_statsmodels_has_it() -> None:
    # TTestIndPower().power(0.5, 64, 0.05)
    assert two_sample_power(0.5, 1.0, 64, 0.05) == close(0.8014595579222542)

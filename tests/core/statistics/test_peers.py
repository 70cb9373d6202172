"""The same data in other libraries.

The expected values were printed by statsmodels 0.15.0, tea-tasting 1.14.0 and gbstats 0.8.0
(GrowthBook's), or stand in the unit tests and manuals of rpact, gsDesign2 and gbstats; the
calls stand beside them.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import special

from expci.core.dataset.moments import Moments, moments
from expci.core.dataset.unit_paths import UnitPath
from expci.core.statistics import group_sequential as gs
from expci.core.statistics import ratio
from expci.core.statistics.classical import two_sample_power, welch
from expci.core.statistics.multiplicity import benjamini_hochberg, holm
from expci.core.statistics.proportion import agresti_caffo
from expci.core.statistics.signed_rank import one_look
from expci.core.statistics.two_arms import Sample

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
    sixty = np.array(60.0)
    _, difference, error = agresti_caffo((sixty, sixty), (np.array(38.0), np.array(45.0)))
    margin = 1.959963984540054 * error
    assert (difference - margin, difference + margin) == (
        close(-0.0493351721359461),
        close(0.2751416237488493),
    )


def test_adjusted_p_values_as_statsmodels_has_them() -> None:
    # multipletests([.01, .04, .03, .2], method="holm" and "fdr_bh")
    p_values = [0.01, 0.04, 0.03, 0.2]
    assert holm(p_values) == pytest.approx([0.04, 0.09, 0.09, 0.2])
    expected = (0.04, 0.05333333333333334, 0.05333333333333334, 0.2)
    assert benjamini_hochberg(p_values) == pytest.approx(list(expected))


def test_power_as_statsmodels_has_it() -> None:
    # TTestIndPower().power(0.5, 64, 0.05)
    assert two_sample_power(0.5, 1.0, 64, 0.05) == close(0.8014595579222542)


def two(control: object, treatment: object) -> Sample:
    """Two arms of one size in turn."""
    paths = []
    for arm, values in enumerate((control, treatment)):
        column = np.array(values, dtype=np.float64)
        index = np.arange(column.size)
        paths.append(UnitPath(2 * index + arm, index, column, np.full(column.size, np.nan)))
    return Sample(paths[0], paths[1])


def test_welch_as_gbstats_documents_it() -> None:
    # packages/stats/tests/frequentist/test_tests.py: control 0.41 ± 3.9 of 3,407, treatment
    # 0.7 ± 6.2 of 3,461, absolute: 0.29 [0.04538, 0.53462], p = 0.02016
    control = Moments(3407, 0.41, 3.9**2 * 3406)
    treatment = Moments(3461, 0.7, 6.2**2 * 3460)
    found = welch(control, treatment, 0.95)
    assert found is not None
    assert found.interval == pytest.approx((0.04538, 0.53462), abs=5e-6)
    assert found.p_value == pytest.approx(0.02016, abs=5e-6)


def test_welch_as_gbstats_prints_it() -> None:
    # TwoSidedTTest(SampleMeanStatistic, …, FrequentistConfig("absolute")).compute_result()
    expected = (
        (SLEEP, 0.07939414018735835, (-0.2054832307117116, 3.365483230711711)),
        (RAMPS, 0.06686168321429453, (-2.676078837717165, 0.09274550438383278)),
    )
    for arms, p_value, interval in expected:
        control, treatment = (moments(np.array(values)) for values in arms)
        found = welch(control, treatment, 0.95)
        assert found is not None
        assert found.p_value == close(p_value)
        assert found.interval == (close(interval[0]), close(interval[1]))


def test_a_ratio_as_gbstats_prints_it() -> None:
    # TwoSidedTTest(RatioStatistic, …, FrequentistConfig("absolute")): difference, its standard
    # error, Welch-Satterthwaite df (of the linearised units)
    control = [[3 + 7 * i % 5 + 0.5 * i, 10 + 3 * i % 7 + 0.9 * i] for i in range(40)]
    treatment = [[2.5 + 11 * i % 6 + 0.55 * i, 11 + 5 * i % 8 + 0.8 * i] for i in range(40)]
    top, bottom = (
        two([unit[part] for unit in control], [unit[part] for unit in treatment]) for part in (0, 1)
    )
    looks = ratio.Fractions(top, bottom).looks()
    assert looks is not None
    assert looks.difference[0, -1] == close(0.04166610073263555)
    assert looks.error[0, -1] == close(0.01663842584034146)
    assert looks.df[0, -1] == close(68.77010949313265)


def test_boundaries_as_the_unit_tests_of_rpact_have_them() -> None:
    """tests/testthat/test-f_design_group_sequential.R, one-sided, seven decimals and more."""
    thirds = (1 / 3, 2 / 3, 1.0)
    # getDesignGroupSequential(kMax = 3, alpha = 0.03, typeOfDesign = "asOF", …)
    found = gs.boundaries(thirds, 0.06, "obrien-fleming")
    assert found == pytest.approx((3.5815302, 2.417863, 1.9175839), abs=2e-6)
    # getDesignInverseNormal(informationRates = c(.3, .7, 1), alpha = .03, "asKD", gammaA = 2.2)
    found = gs.boundaries((0.3, 0.7, 1.0), 0.06, "power", 2.2)
    assert found == pytest.approx((2.8594012, 2.2435708, 1.9735737), abs=2e-6)
    # getDesignGroupSequential(typeOfDesign = "asUser", userAlphaSpending = c(.01, .02, .03, .05))
    # (one-sided for good: what falls far below may rise again, so nothing stops there)
    upper = (2.3263479, 2.2192994, 2.1201347, 1.8189562)
    above, _ = gs.exit_probabilities(gs.fractions_of(4), upper, 0.0, (-8.0,) * 4)
    assert np.cumsum(above) == pytest.approx([0.01, 0.02, 0.03, 0.05], abs=1e-7)


def test_a_whole_design_as_the_unit_tests_of_rpact_have_it() -> None:
    """getDesignInverseNormal(informationRates = c(.2, .4, 1), alpha = .03, beta = .14, "asHSD", 0).

    Critical values, and by getDesignCharacteristics the power at each stage and the inflation.
    """
    fractions = (0.2, 0.4, 1.0)
    upper = (2.5121443, 2.4228747, 2.0280392)
    above, _ = gs.exit_probabilities(fractions, upper, 0.0, (-8.0,) * 3)
    assert np.cumsum(above) == pytest.approx([0.006, 0.012, 0.03], abs=1e-7)
    above, _ = gs.exit_probabilities(fractions, upper, math.sqrt(9.4594102), (-8.0,) * 3)
    assert np.cumsum(above) == pytest.approx([0.12783451, 0.34055165, 0.86], abs=5e-7)
    # ours stop on the far side too, which one treatment in thousands of that effect does
    drift = gs.drift_for(fractions, upper, 0.86)
    assert drift**2 == pytest.approx(9.4594102, rel=5e-5)
    fixed = (special.ndtri(0.97) + special.ndtri(0.86)) ** 2
    assert fixed == pytest.approx(8.7681899, rel=1e-7)
    assert drift**2 / fixed == pytest.approx(1.0788327, rel=5e-5)


def test_boundaries_as_the_manual_of_gsdesign2_prints_them() -> None:
    # help(gs_b): gsDesign(alpha = .025, test.type = 1, sfu = sfLDOF, timing = c(.5, .75, 1))
    found = gs.boundaries((0.5, 0.75, 1.0), 0.05, "obrien-fleming")
    assert found == pytest.approx((2.962588, 2.359018, 2.014084), abs=2e-6)


def test_ranks_as_the_help_page_of_r_has_them() -> None:
    # help(wilcox.test): permeability (Hollander & Wolfe 1973, p. 69): W = 35 of 10 and 5 values;
    # "greater", exact = FALSE, correct = FALSE: the large sample approximation, to which we, as
    # its default, correct = TRUE, add half a step
    term = np.array([0.80, 0.83, 1.89, 1.04, 1.45, 1.38, 1.91, 1.64, 0.73, 1.46])
    early = np.array([1.15, 0.88, 0.90, 0.74, 1.21])
    found = one_look(two(early, term))
    assert found is not None
    sd = math.sqrt(10 * 5 * 16 / 12)
    assert found.z == close((35 - 25 - 0.5) / sd)
    assert special.ndtr(-found.z - 0.5 / sd) == pytest.approx(0.1103, abs=5e-5)

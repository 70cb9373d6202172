"""Classical estimates against R's documented outputs, tables and scipy."""

import math

import numpy as np
import pytest
from scipy import stats

from expci.core.dataset.moments import Moments, moments
from expci.core.statistics import classical

# R's `sleep`: extra hours of sleep of ten patients on two drugs (Cushny & Peebles 1905).
DRUG_1 = np.array([0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0])
DRUG_2 = np.array([1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4])
# R's `mtcars`: miles per gallon by transmission (am = 0, 1).
AUTOMATIC = [21.4, 18.7, 18.1, 14.3, 24.4, 22.8, 19.2, 17.8, 16.4, 17.3]
AUTOMATIC += [15.2, 10.4, 10.4, 14.7, 21.5, 15.5, 15.2, 13.3, 19.2]
MANUAL = [21.0, 21.0, 22.8, 32.4, 30.4, 33.9, 27.3, 26.0, 30.4, 15.8, 19.7, 15.0, 21.4]


def test_welch_on_sleep_as_in_the_help_page_of_r() -> None:
    # t.test(extra ~ group, data = sleep): t = -1.8608, df = 17.776, p-value = 0.07939,
    # 95 percent confidence interval: -3.3654832 0.2054832
    found = classical.welch(moments(DRUG_2), moments(DRUG_1), 0.95)
    assert found is not None
    assert found.t == pytest.approx(-1.8608, abs=5e-5)
    assert found.df == pytest.approx(17.776, abs=5e-4)
    assert found.p_value == pytest.approx(0.07939, abs=5e-6)
    assert found.interval == pytest.approx((-3.3654832, 0.2054832), abs=5e-8)


def test_paired_on_sleep_as_in_the_help_page_of_r() -> None:
    # t.test(Pair(...) ~ 1): t = -4.0621, df = 9, p-value = 0.002833,
    # 95 percent confidence interval: -2.4598858 -0.7001142
    found = classical.paired_test(DRUG_1 - DRUG_2, np.zeros(10), 0.95)
    assert found is not None
    assert (found.n, found.df, found.order_effect) == (10, 9, None)
    assert found.t == pytest.approx(-4.0621, abs=5e-5)
    assert found.p_value == pytest.approx(0.002833, abs=5e-7)
    assert found.interval == pytest.approx((-2.4598858, -0.7001142), abs=5e-8)


def test_welch_on_mtcars() -> None:
    # t.test(mpg ~ am, data = mtcars): t = -3.7671, df = 18.332, p-value = 0.001374,
    # 95 percent confidence interval: -11.280194 -3.209684
    found = classical.welch(moments(MANUAL), moments(AUTOMATIC), 0.95)
    assert found is not None
    assert found.t == pytest.approx(-3.7671, abs=5e-5)
    assert found.df == pytest.approx(18.332, abs=5e-4)
    assert found.p_value == pytest.approx(0.001374, abs=5e-7)
    assert found.interval == pytest.approx((-11.280194, -3.209684), abs=5e-7)


def test_welch_agrees_with_scipy_to_many_digits() -> None:
    found = classical.welch(moments(AUTOMATIC), moments(MANUAL), 0.95)
    expected = stats.ttest_ind(MANUAL, AUTOMATIC, equal_var=False)
    assert found is not None
    assert found.t == pytest.approx(expected.statistic, rel=1e-12)
    assert found.p_value == pytest.approx(expected.pvalue, rel=1e-9)


def test_order_is_taken_out_as_by_least_squares() -> None:
    rng = np.random.default_rng(5)
    position = np.array([1.0, -1.0, -1.0, 1.0, 1.0, 1.0, -1.0, 1.0, -1.0])
    difference = 0.3 + 0.5 * position + rng.normal(0, 0.2, 9)
    found = classical.paired_test(difference, position, 0.95)
    slope = stats.linregress(position, difference)
    assert found is not None
    assert found.order_effect == pytest.approx(slope.slope, rel=1e-12)
    assert found.order_p_value == pytest.approx(slope.pvalue, rel=1e-9)
    assert found.t == pytest.approx(slope.intercept / slope.intercept_stderr, rel=1e-12)
    assert found.df == 7


def test_effect_sizes() -> None:
    # Hedges' exact J at df = 10 is 0.9227 and at df = 20 0.9619 (Hedges 1981, table 1).
    assert classical.hedges_g(1.0, 10) == pytest.approx(0.9227, abs=1e-4)
    assert classical.hedges_g(1.0, 20) == pytest.approx(0.9619, abs=1e-4)
    # Two samples whose pooled sd is 1 and whose means differ by 1.
    assert classical.cohens_d(moments([-1, 0, 1]), moments([0, 1, 2])) == pytest.approx(1.0)
    words = [classical.effect_size_word(d) for d in (0.1, -0.2, 0.5, -0.9, None)]
    assert words == ["negligible", "small", "medium", "large", None]


def test_power_of_cohens_tables() -> None:
    # Cohen 1988, table 2.3.5 (two-tailed .05): n = 64, d = .50 → .80; n = 26, d = .80 → .81.
    assert classical.two_sample_power(0.5, 1, 64, 0.05) == pytest.approx(0.80, abs=0.005)
    assert classical.two_sample_power(0.8, 1, 26, 0.05) == pytest.approx(0.81, abs=0.006)
    # R: power.t.test(n = 20, delta = 1, sd = 1) gives power = 0.8689528; it leaves out the
    # far tail (strict = FALSE), which is 2e-7 here.
    assert classical.two_sample_power(1, 1, 20, 0.05) == pytest.approx(0.8689528 + 2e-7, abs=1e-7)
    assert classical.two_sample_power(50, 1, 500, 0.05) == 1.0
    assert classical.t_test_power(15, 55, 0.05) == pytest.approx(1.0)  # a tail that scipy gives nan
    assert classical.t_test_power(-2.8, 55, 0.05) == classical.t_test_power(2.8, 55, 0.05)


def test_fieller_is_where_the_test_of_the_ratio_turns() -> None:
    # The limits solve (T − (1+θ)C)² = k²(v_T + (1+θ)² v_C): put them back.
    control, treatment, v_c, v_t, k = 10.0, 12.0, 0.5, 0.7, 2.1
    one = [np.array([x]) for x in (control, treatment - control, v_c, v_c + v_t, -v_c, k)]
    for limit in classical.fieller(*one):
        ratio = 1 + limit[0]
        gap = abs(treatment - ratio * control)
        assert gap == pytest.approx(k * math.sqrt(v_t + ratio**2 * v_c), rel=1e-9)


@pytest.mark.parametrize(
    ("control", "treatment"),
    [
        ([], []),
        ([1.0], [2.0]),
        ([1.0, 1.0], [2.0, 2.0]),
        ([1.0, 2.0], [3.0]),
        ([1e200, -1e200], [0, 1]),
    ],
)
def test_no_number_where_there_is_none(control: list[float], treatment: list[float]) -> None:
    assert classical.welch(moments(control), moments(treatment), 0.95) is None
    assert classical.cohens_d(moments(control), moments(treatment)) is None
    assert classical.paired_test([0.5] * 6, [1, -1] * 3, 0.95) is None


def test_cohens_d_is_treatment_less_control() -> None:
    control, treatment = moments([10.0, 12.0, 14.0]), moments([13.0, 15.0, 20.0, 20.0])
    pooled = math.sqrt((2 * 4 + 3 * np.var([13, 15, 20, 20], ddof=1)) / 5)
    assert classical.cohens_d(control, treatment) == pytest.approx(5 / pooled)
    assert classical.cohens_d(treatment, control) == pytest.approx(-5 / pooled)


def test_power_at_the_fewest_degrees_of_freedom() -> None:
    critical = stats.t(1).isf(0.025)
    expected = stats.nct.sf(critical, 1, 5.0) + stats.nct.cdf(-critical, 1, 5.0)
    assert classical.t_test_power(5.0, 1, 0.05) == pytest.approx(expected, rel=1e-6)
    assert classical.t_test_power(5.0, 0, 0.05) is None
    assert classical.t_test_power(math.inf, 9, 0.05) is None
    for power in (classical.two_sample_power, classical.one_sample_power):
        assert power(1.0, 0.0, 10, 0.05) is None
        assert power(1.0, 1.0, 1.9, 0.05) is None
        assert power(1.0, 1.0, 2, 0.05) is not None


@pytest.mark.parametrize("size", [1e-20, 1.0, 1e20])
def test_one_order_is_the_plain_paired_t(size: float) -> None:
    gaps = size * (DRUG_2 - DRUG_1)
    adjusted = classical.order_adjusted(gaps, np.ones(10))
    assert adjusted is not None
    assert adjusted.estimate == pytest.approx(1.58 * size)  # R, t.test of sleep: mean difference
    assert adjusted.t == pytest.approx(4.0621, abs=5e-5)
    assert adjusted.residual_sd == pytest.approx(np.std(gaps, ddof=1))
    assert classical.order_adjusted_mean(gaps, np.ones(10)) == pytest.approx(1.58 * size)


def test_the_order_adjusted_effect_is_the_intercept() -> None:
    position = np.array([1.0, -1.0, 0.0, 1.0, 1.0, 1.0, -1.0, 1.0])
    gaps = 2 + 0.5 * position + np.random.default_rng(6).normal(0, 0.3, 8)
    fit, adjusted = stats.linregress(position, gaps), classical.order_adjusted(gaps, position)
    assert adjusted is not None
    assert (adjusted.estimate, adjusted.error) == pytest.approx(
        (fit.intercept, fit.intercept_stderr)
    )
    assert adjusted.df == 6
    rest = gaps - fit.intercept - fit.slope * position
    assert adjusted.residual_sd == pytest.approx(math.sqrt(float(rest @ rest) / 6))
    assert classical.order_adjusted_mean(gaps, position) == pytest.approx(fit.intercept)


def test_two_pairs_have_no_slope() -> None:
    gaps, position = np.array([1.0, 3.0]), np.array([1.0, -1.0])
    assert classical.order_adjusted_mean(gaps, position) == 2.0
    adjusted = classical.order_adjusted(gaps, position)
    assert adjusted is not None
    assert (adjusted.estimate, adjusted.error, adjusted.df) == (2.0, 1.0, 1)
    assert classical.order_adjusted_mean(gaps[:1], position[:1]) == 1.0
    assert classical.order_adjusted(gaps[:1], position[:1]) is None
    assert classical.order_adjusted_mean(np.empty(0), np.empty(0)) is None


@pytest.mark.parametrize("size", [1e-12, 1.0, 1e12])
def test_what_rounding_leaves_of_an_exact_fit_is_no_variance(size: float) -> None:
    position = np.array([1.0, -1.0, 1.0, -1.0, 1.0])
    gaps = size * (1 / 3 + position / 7)
    assert classical.order_adjusted(gaps, position) is None
    assert classical.order_adjusted_mean(gaps, position) == pytest.approx(size / 3)
    spread = gaps + size * np.array([1e-9, 0, -1e-9, 0, 0])
    assert classical.order_adjusted(spread, position) is not None


@pytest.mark.parametrize("position", [[1.0] * 3, [1.0, -1.0, 0.0]])
def test_variance_beyond_a_float_is_none(position: list[float]) -> None:
    gaps = np.array([1e200, -1e200, 3e200])
    assert classical.order_adjusted(gaps, np.array(position)) is None


def test_a_ratio_to_what_may_be_zero_is_open() -> None:
    one = [np.array([x]) for x in (1.0, 2.0, 0.3, 0.5, -0.3, 2.0)]  # 1² < 2² · 0.3
    low, high = classical.fieller(*one)
    assert (low[0], high[0]) == (-math.inf, math.inf)
    one[-1] = np.array([math.inf])
    assert [float(end[0]) for end in classical.fieller(*one)] == [-math.inf, math.inf]


def test_the_fewest_degrees_of_freedom_of_hedges_g() -> None:
    # J(2) = Γ(1)/(√1 Γ(½)) = 1/√π (Hedges 1981)
    assert classical.hedges_g(1.0, 2) == pytest.approx(1 / math.sqrt(math.pi))
    assert classical.hedges_g(1.0, 1.9) is None
    assert classical.hedges_g(None, 10) is None


def test_one_order_says_nothing_about_it() -> None:
    test = classical.paired_test(DRUG_2 - DRUG_1, np.ones(10), 0.95)
    assert test is not None
    assert (test.order_effect, test.order_p_value) == (None, None)


def test_a_difference_or_a_t_beyond_a_float_is_none() -> None:
    near = Moments(2, 0.0, 1e-320)
    assert classical.welch_difference(near, Moments(2, 1e200, 1e-320)) is None
    assert classical.welch_difference(near, Moments(2, 1.0, 1e-320)) is not None
    far = [Moments(2, sign * 1.7e308, 1.0) for sign in (-1, 1)]
    assert classical.welch_difference(far[0], far[1]) is None

"""Group-sequential boundaries against published tables, and the looks of a plan."""

import json
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy import integrate, optimize, stats

from expci.core.dataset.unit_paths import UnitPath
from expci.core.model.experiment import Limit, Metric, PlanRules, to_json
from expci.core.model.results import Comparison
from expci.core.statistics import group_sequential as gs
from expci.core.statistics.planned_looks import planned_looks, schedule
from expci.core.statistics.proportion import safe_test
from expci.core.statistics.t_mixture import Rules
from expci.core.statistics.t_statistic import by_t
from expci.core.statistics.two_arms import Sample
from support.analysis_samples import DURATION, alternating, in_pairs, look_at, make_experiment

FIVE = gs.fractions_of(5)
SCORE = Metric("score", "primary", "mean", "increase", minimum_effect=Limit(0.5, False))


def test_lan_demets_obrien_fleming_of_five_equal_looks() -> None:
    # Lan & DeMets 1983; Reboussin et al. 2000: 4.8769 3.3570 2.6803 2.2898 2.0310
    found = gs.boundaries(FIVE, 0.05, "obrien-fleming")
    assert found == pytest.approx((4.8769, 3.3570, 2.6803, 2.2898, 2.0310), abs=5e-5)


def test_lan_demets_pocock_of_five_equal_looks() -> None:
    # Reboussin et al. 2000, Pocock-type: 2.4380 2.4268 2.4101 2.3966 2.3859
    found = gs.boundaries(FIVE, 0.05, "pocock")
    assert found == pytest.approx((2.4380, 2.4268, 2.4101, 2.3966, 2.3859), abs=2e-4)


@pytest.mark.parametrize(
    ("constant", "exponent"),
    # Jennison & Turnbull 2000, tables 2.1 and 2.3, K = 5, alpha = .05
    [(2.413, 0.0), (2.040, 0.5)],
)
def test_classical_constants_spend_five_percent(constant: float, exponent: float) -> None:
    bounds = tuple(constant * (1 / t) ** exponent for t in FIVE)
    above, below = gs.exit_probabilities(FIVE, bounds, 0.0)
    assert sum(above) + sum(below) == pytest.approx(0.05, abs=5e-5)


def test_repeated_tests_at_five_percent() -> None:
    # Armitage, McPherson & Rowe 1969: K = 1..5, 10, 20, 50
    published = {1: 0.05, 2: 0.083, 3: 0.107, 4: 0.126, 5: 0.142, 10: 0.193, 20: 0.248, 50: 0.320}
    for looks, rate in published.items():
        fractions = gs.fractions_of(looks)
        above, below = gs.exit_probabilities(fractions, (1.959964,) * looks, 0.0)
        assert sum(above) + sum(below) == pytest.approx(rate, abs=5.5e-4)


def test_the_default_design_of_gsdesign() -> None:
    """gsDesign(): k = 3, one-sided .025, power .9, Hwang-Shih-DeCani −4 and −2, non-binding.

    Its manual prints Z 3.01 2.55 2.00, futility −0.24 0.94 2.00, sample size ratio 1.07, and
    beta spent .0148 .0289 .0563.
    """

    def family(total: float, gamma: float) -> gs.Spend:
        return lambda t: total * (1 - math.exp(-gamma * t)) / (1 - math.exp(-gamma))

    fractions = gs.fractions_of(3)
    upper = gs.boundaries_by(fractions, family(0.025, -4))
    assert upper == pytest.approx((3.01, 2.55, 2.00), abs=5e-3)
    lower, drift = gs.futility_by(fractions, upper, family(0.1, -2))
    assert lower == pytest.approx((-0.24, 0.94, 2.00), abs=5e-3)
    assert (drift / (1.959964 + 1.281552)) ** 2 == pytest.approx(1.07, abs=5e-3)
    _, below = gs.exit_probabilities(fractions, upper, drift, lower)
    assert below == pytest.approx((0.0148, 0.0289, 0.0563), abs=5e-5)


def test_maximum_sample_sizes_of_jennison_and_turnbull() -> None:
    # Tables 2.2 and 2.4: K = 5, alpha .05, power .8: Pocock 1.228, O'Brien-Fleming 1.028.
    fixed = (1.959964 + 0.841621) ** 2
    for constant, exponent, ratio in [(2.413, 0.0, 1.228), (2.040, 0.5, 1.028)]:
        bounds = tuple(constant * (1 / t) ** exponent for t in FIVE)
        assert gs.drift_for(FIVE, bounds, 0.8) ** 2 / fixed == pytest.approx(ratio, abs=1.5e-3)
    assert 1.0 < gs.inflation(5, 0.05, 0.8, "obrien-fleming") < 1.028
    assert gs.inflation(1, 0.05, 0.8, "pocock") == pytest.approx(1.0, abs=1e-4)


def test_unequal_looks_by_the_bivariate_normal() -> None:
    """Two looks at .3 and 1: scipy's bivariate normal gives the probability of going on."""
    first, last = gs.boundaries((0.3, 1.0), 0.05, "power", 2.0)
    assert first == pytest.approx(stats.norm.isf(0.025 * 0.09), abs=1e-6)
    joint = stats.multivariate_normal([0, 0], [[1, math.sqrt(0.3)], [math.sqrt(0.3), 1]])
    inside = joint.cdf([first, last], lower_limit=[-first, -last])
    assert inside == pytest.approx(0.95, abs=2e-5)


def test_the_sequential_p_value_turns_at_the_boundary() -> None:
    rules = PlanRules(alpha=0.05)
    bounds = gs.boundaries(FIVE, 0.05, "obrien-fleming")
    for k, bound in enumerate(bounds):
        z = (*(0.3,) * k, bound)
        assert gs.p_value(z, FIVE[: k + 1], rules, 0.05) == pytest.approx(0.05, rel=1e-6)
        stronger = gs.p_value((*z[:-1], bound + 0.1), FIVE[: k + 1], rules, 0.05)
        weaker = gs.p_value((*z[:-1], bound - 0.1), FIVE[: k + 1], rules, 0.05)
        assert stronger < 0.05 < weaker
    # one look: the plain two-sided p-value
    assert gs.p_value((-1.7,), (1.0,), rules, 0.05) == pytest.approx(2 * stats.norm.sf(1.7))
    # a later, weaker look takes nothing back
    first = gs.p_value((4.0,), FIVE[:1], rules, 0.05)
    assert gs.p_value((4.0, 0.1, 0.2), FIVE[:3], rules, 0.05) <= first * (1 + 1e-9)


def test_a_look_that_may_spend_next_to_nothing_by_quadrature() -> None:
    """Where the first guess of a bound lies beyond what a float holds, it still is found."""
    early, both = 0.01, 0.01 + 1e-17
    first, last = gs.boundaries_by((0.5, 0.51), lambda t: early if t == 0.5 else both)

    def passed(bound: float) -> float:
        """P(|z| < first at .5, z > bound at .51), by the increment between them."""

        def density(z: float) -> float:
            rest = (bound * math.sqrt(0.51) - z * math.sqrt(0.5)) / math.sqrt(0.01)
            return float(stats.norm.pdf(z) * stats.norm.sf(rest))

        return float(integrate.quad(density, first - 1, first, epsabs=0)[0])  # lower, none is near

    exact = optimize.brentq(lambda bound: math.log(passed(bound) / (both - early)), 3.0, 3.7)
    assert first == pytest.approx(stats.norm.isf(early))
    assert last == pytest.approx(exact, abs=2e-3)  # the grid is no finer at its edge


@pytest.mark.parametrize(
    "rules", [PlanRules(spending="pocock"), PlanRules(spending="power", rho=2)]
)
def test_the_sequential_p_value_is_that_of_the_plans_spending(rules: PlanRules) -> None:
    bounds = gs.boundaries(FIVE, 0.01, rules.spending, rules.rho)
    z = (0.3, bounds[1])
    assert gs.p_value(z, FIVE[:2], rules, 0.05) == pytest.approx(0.01, rel=1e-5)


def test_early_looks_under_the_least_are_left_out_and_keep_their_alpha() -> None:
    assert schedule(60, 5, 5).units == (12, 24, 36, 48, 60)
    assert schedule(22, 5, 10).units == (14, 18, 22)
    assert schedule(4, 5, 10).units == (4,)
    assert schedule(22, 5, 10).fractions[-1] == 1.0


def compared(control: Any, treatment: Any, **plan: Any) -> Comparison:
    plan = {"inference": "group-sequential", "sample_size": 60, **plan}
    trials = alternating(control, treatment, "score")
    return look_at(make_experiment(primary=SCORE, **plan), trials).primary.comparisons[0]


def test_data_between_looks_change_nothing_and_a_look_spends_once() -> None:
    rng = np.random.default_rng(5)
    control, treatment = rng.normal(5, 1, 60), rng.normal(5.4, 1, 60)
    before = compared(control[:11], treatment[:11])
    assert before.evidence.p_value is None
    assert before.evidence.alpha_spent == 0.0
    assert "the first look of 5 is at 12 per arm" in before.notes
    at_look = compared(control[:24], treatment[:24])
    for n in (25, 30, 35):
        later = compared(control[:n], treatment[:n])
        same = ("difference", "difference_interval", "improvement", "interval")
        assert all(getattr(later, name) == getattr(at_look, name) for name in same)
        assert replace(later.evidence, harm_p_value=None) == replace(
            at_look.evidence, harm_p_value=None
        )
    assert at_look.evidence.looks == 2
    # 2 − 2Φ(z(.0125)/√.4), both sides: Lan & DeMets 1983
    expected = 2 * 2 * stats.norm.sf(stats.norm.isf(0.0125) / math.sqrt(0.4))
    assert at_look.evidence.alpha_spent == pytest.approx(expected)
    assert compared(control[:36], treatment[:36]).evidence.looks == 3


def test_the_interval_is_the_repeated_one_and_agrees_with_p() -> None:
    rng = np.random.default_rng(6)
    for shift in (0.0, 0.5, 1.2):
        control, treatment = rng.normal(5, 1, 60), rng.normal(5 + shift, 1, 60)
        low, high = -math.inf, math.inf
        bounds = gs.boundaries(FIVE, 0.05, "obrien-fleming")
        for n, bound in zip((12, 24, 36, 48, 60), bounds, strict=True):
            test = stats.ttest_ind(treatment[:n], control[:n], equal_var=False)
            critical = stats.t.isf(stats.norm.sf(bound), test.df)
            gap = treatment[:n].mean() - control[:n].mean()
            low = max(low, gap - critical * gap / test.statistic)
            high = min(high, gap + critical * gap / test.statistic)
        found = compared(control, treatment)
        assert found.difference_interval == pytest.approx((low, high), rel=1e-6)
        assert found.evidence.p_value is not None
        assert (found.evidence.p_value <= 0.05) == (low > 0 or high < 0)


def test_an_extension_buys_no_new_look() -> None:
    rng = np.random.default_rng(7)
    control, treatment = rng.normal(5, 1, 90), rng.normal(5.3, 1, 90)
    experiment = make_experiment(primary=SCORE, inference="group-sequential", sample_size=60)
    done = look_at(experiment, alternating(control[:60], treatment[:60], "score"))
    more = look_at(experiment, alternating(control, treatment, "score"), extra_trials=30)
    old, new = done.primary.comparisons[0], more.primary.comparisons[0]
    assert new.evidence.p_value == old.evidence.p_value
    assert any("extended by 30 per arm" in note for note in new.notes)


def test_futility_is_asked_for_and_binds_nobody() -> None:
    rng = np.random.default_rng(8)
    control, treatment = rng.normal(5, 1, 48), rng.normal(4.8, 1, 48)
    asked: dict[str, Any] = {"futility": True, "inference": "group-sequential", "sample_size": 60}
    experiment = make_experiment(primary=SCORE, **asked)
    analysis = look_at(experiment, alternating(control, treatment, "score"))
    assert analysis.primary.comparisons[0].evidence.futile is True
    assert (analysis.decision.verdict, analysis.decision.reason_code) == ("stop", "no_effect")
    plain = replace(experiment, plan=replace(experiment.plan, futility=False))
    without = look_at(plain, alternating(control, treatment, "score"))
    assert without.primary.comparisons[0].evidence.futile is None
    assert (
        without.primary.comparisons[0].evidence.p_value
        == analysis.primary.comparisons[0].evidence.p_value
    )
    hopeful = look_at(experiment, alternating(control, treatment + 1.0, "score"))
    assert hopeful.primary.comparisons[0].evidence.futile is False


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["mean", "proportion"])
def test_false_alarms_of_all_looks_together(kind: str) -> None:
    rng, runs, wins = np.random.default_rng(9), 1500, 0
    sizes = (10, 20, 30, 40, 50)
    bounds = gs.boundaries(FIVE, 0.05, "pocock")
    for _ in range(runs):
        draws = rng.normal(0, 1, (2, 50)) if kind == "mean" else (rng.random((2, 50)) < 0.3) * 1.0
        control, treatment = both(*draws)
        units = Sample(control, treatment)
        rules = Rules(0.05, 1, 2)
        looks = units.looks()
        assert looks is not None
        statistic = by_t(looks, rules) if kind == "mean" else safe_test(units, (1, 1), rules)
        assert statistic is not None
        plan = planned_looks(
            statistic.n,
            PlanRules(inference="group-sequential", spending="pocock"),
            50,
            start=2,
        )
        assert plan is not None
        assert (plan.units, plan.bounds) == (sizes, bounds)
        wins += bool(np.any(np.abs(statistic.planned_z(plan)) >= bounds))
    assert wins / runs <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / runs)
    assert wins / runs >= 0.02


def both(control: np.ndarray, treatment: np.ndarray) -> tuple[UnitPath, UnitPath]:
    index = np.arange(control.size)
    never = np.full(control.size, np.nan)
    return UnitPath(2 * index, index, control, never), UnitPath(
        2 * index + 1, index, treatment, never
    )


def test_pairs_and_durations_have_looks_too() -> None:
    rng = np.random.default_rng(10)
    job = np.exp(rng.normal(2.5, 0.5, 30))
    trials = in_pairs(job, 0.7 * job * np.exp(rng.normal(0, 0.05, 30)))
    experiment = make_experiment(
        primary=DURATION, design="paired", inference="group-sequential", sample_size=30
    )
    analysis = look_at(experiment, trials)
    assert analysis.decision.verdict == "promote"
    assert analysis.primary.comparisons[0].evidence.looks == 5
    again = look_at(experiment, trials)
    assert json.dumps(to_json(again)) == json.dumps(to_json(analysis))


@pytest.mark.parametrize("spending", ["obrien-fleming", "pocock", "power"])
def test_tabled_p_values_are_the_levels_whose_boundary_is_reached(spending: Any) -> None:
    z = np.array([[0.3, 1.2, 2.4], [-2.9, 0.1, 0.2], [0.0, 0.0, 4.5], [1.0, -2.05, 1.0]])
    fractions = (0.3, 0.7, 1.0)
    levels = gs.p_values(z, fractions, 0.05, spending)
    assert levels.shape == z.shape
    assert (np.diff(levels, axis=1) <= 0).all()
    for row in range(4):
        for look in range(3):
            level = levels[row, look]
            if 1e-8 < level < 0.9:  # at that level some look is on its boundary, none beyond it
                bounds = gs.boundaries(fractions, float(level), spending)
                beyond = np.abs(z[row, : look + 1]) - np.array(bounds[: look + 1])
                near = 0.005 if level < 0.1 else 0.05  # a table is read between its levels
                assert beyond.max() == pytest.approx(0, abs=near)
            crossed = np.abs(z[row, : look + 1]) >= np.array(
                gs.boundaries(fractions, 0.05, spending)[: look + 1]
            )
            assert (level <= 0.05) == crossed.any()
    one = gs.p_values(np.array([[1.5], [2.5], [-1.5]]), (1.0,), 0.05, spending)
    assert one[:, 0] == pytest.approx(2 * stats.norm.sf([1.5, 2.5, 1.5]), rel=5e-3)


def test_what_each_function_has_spent() -> None:
    # Lan & DeMets (1983): alpha ln(1 + (e − 1) t); Kim & DeMets (1987): alpha t^rho
    assert gs.spent(1.0, 0.025, "pocock") == pytest.approx(0.025)
    assert gs.spent(0.5, 0.025, "pocock") == pytest.approx(0.025 * math.log((1 + math.e) / 2))
    assert gs.spent(0.5, 0.025, "power", 3.0) == pytest.approx(0.025 / 8)
    deviate = stats.norm.isf(0.0125) / math.sqrt(0.5)
    assert gs.spent(0.5, 0.025, "obrien-fleming") == pytest.approx(2 * stats.norm.sf(deviate))
    for spending in ("pocock", "power", "obrien-fleming"):
        assert gs.spent(0.0, 0.025, spending) == 0
        assert gs.spent(1.5, 0.025, spending) == pytest.approx(0.025)


def test_the_mean_sample_counts_where_each_path_stops() -> None:
    upper, drift = gs.boundaries((0.5, 1.0), 0.05, "pocock"), 2.8
    at_half = stats.norm(drift * math.sqrt(0.5))
    stops = at_half.sf(upper[0]) + at_half.cdf(-upper[0])
    assert gs.mean_fraction((0.5, 1.0), upper, drift) == pytest.approx(1 - stops / 2, abs=1e-6)

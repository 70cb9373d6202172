"""The e-processes: closed forms against quadrature, and error rates under many looks."""

import math

import numpy as np
import pytest
from scipy import integrate, stats

from expci.core.dataset.unit_paths import UnitPath
from expci.core.statistics import bets, betting, mean_difference, moment_prior, t_mixture
from expci.core.statistics.mean_difference import Looks
from expci.core.statistics.proportion import safe_test
from expci.core.statistics.t_mixture import Rules
from expci.core.statistics.two_arms import Sample
from support.evidence import Weight, by_looks, weight

RULES = Rules(alpha=0.05, harm=1, start=5)


def path(values: object, start: int = 0, step: int = 1) -> UnitPath:
    array = np.asarray(values, dtype=float)
    index = np.arange(array.size)
    return UnitPath(start + step * index, index, array, np.full(array.size, np.nan))


def both(control: object, treatment: object) -> tuple[UnitPath, UnitPath]:
    return path(control, 0, 2), path(treatment, 1, 2)


def weighed(control: object, treatment: object, rules: Rules = RULES) -> Weight | None:
    return by_looks(Sample(*both(control, treatment)).looks(), rules)


def paired(control: np.ndarray, treatment: np.ndarray, position: np.ndarray) -> Looks:
    return mean_difference.paired(control[None, :], treatment[None, :], position[None, :])


def exceeds(blocks: betting.Blocks, delta: float = 0.0) -> np.ndarray:
    """log E after every change of one experiment's blocks, the largest so far."""
    count = np.arange(1, blocks.new.shape[1] + 1)[None, :]
    log_e: np.ndarray = betting.exceeds(betting.Blocks(blocks.new, count, blocks.old), delta)[0]
    return log_e


@pytest.mark.parametrize("t", [-3.0, 0.0, 0.4, 1.7, 6.0])
@pytest.mark.parametrize(("df", "n_e", "g"), [(8.0, 2.5, 0.5), (57.3, 15.0, 0.1), (3.0, 5.0, 2.0)])
def test_closed_forms_are_the_mixtures_of_noncentral_t(
    t: float, df: float, n_e: float, g: float
) -> None:
    def mixture(low: float) -> float:
        def density(d: float) -> float:
            return float(
                stats.norm.pdf(d, 0, math.sqrt(g)) * stats.nct.pdf(t, df, d * math.sqrt(n_e))
            )

        return float(integrate.quad(density, low, 12, limit=200)[0] / stats.t.pdf(t, df))

    assert t_mixture.log_e_value(t, df, n_e, g) == pytest.approx(math.log(mixture(-12)), abs=1e-6)
    positive = t_mixture.log_e_value_positive(t, df, n_e, g)
    assert positive == pytest.approx(math.log(2 * mixture(0)), abs=1e-6)


def test_critical_value_is_where_e_reaches_one_over_alpha() -> None:
    for df, n_e in [(18.0, 5.0), (198.0, 50.0)]:
        critical = t_mixture.critical_value(df, n_e, 0.05)
        assert t_mixture.log_e_value(critical, df, n_e) == pytest.approx(math.log(20), rel=1e-9)
    assert np.isinf(t_mixture.critical_value(3.0, 1.0, 0.05))


def test_evidence_is_finite_for_an_infinite_t() -> None:
    # limit of log E as t grows: −(ν/2) log r
    expected = -4 * math.log(1 / (1 + 0.5 * 2.5))
    assert t_mixture.log_e_value(np.inf, 8.0, 2.5) == pytest.approx(expected)
    assert t_mixture.log_e_value_positive(1e200, 8.0, 2.5) == pytest.approx(
        expected + math.log(2) + math.log(stats.t.cdf(math.sqrt(9 * 0.5 * 2.5), 9)), rel=1e-9
    )


def test_the_vectorised_path_is_welch_at_every_prefix() -> None:
    rng = np.random.default_rng(1)
    control, treatment = 50 + rng.normal(size=12), 51 + 3 * rng.normal(size=12)
    looks = Sample(*both(control, treatment)).looks()
    assert looks is not None
    for n in range(2, 13):
        expected = stats.ttest_ind(treatment[:n], control[:n], equal_var=False)
        at = 2 * n - 1
        t = looks.difference[0, at] / looks.error[0, at]
        assert t == pytest.approx(expected.statistic, rel=1e-9)
        assert looks.df[0, at] == pytest.approx(expected.df, rel=1e-9)


def test_the_paired_path_is_the_regression_at_every_prefix() -> None:
    rng = np.random.default_rng(2)
    position = np.array([1.0, -1.0] * 6)
    control = rng.normal(100, 5, 12)
    treatment = control + 1 + 0.7 * position + rng.normal(0, 0.4, 12)
    looks = paired(control, treatment, position)
    assert looks is not None
    for n in range(3, 13):
        fit = stats.linregress(position[:n], (treatment - control)[:n])
        assert looks.difference[0, n - 1] * looks.scale == pytest.approx(fit.intercept, rel=1e-9)
        assert looks.error[0, n - 1] * looks.scale == pytest.approx(fit.intercept_stderr, rel=1e-9)
        assert looks.df[0, n - 1] == n - 2


def test_a_unit_with_several_trials_counts_once_and_as_it_stood_then() -> None:
    # unit 0 reports 1 then 3: its mean moves from 1 to 2
    control = UnitPath(
        np.array([0, 2, 4, 6]),
        np.array([0, 1, 0, 2]),
        np.array([1.0, 5.0, 2.0, 4.0]),
        np.array([np.nan, np.nan, 1.0, np.nan]),
    )
    treatment = path([7.0, 8.0, 9.5], 1, 2)
    looks = Sample(control, treatment).looks()
    assert looks is not None
    expected = stats.ttest_ind([7.0, 8.0, 9.5], [2.0, 5.0, 4.0], equal_var=False)
    assert looks.n[0, -1] == 3
    assert looks.difference[0, -1] / looks.error[0, -1] == pytest.approx(
        expected.statistic, rel=1e-9
    )
    before = stats.ttest_ind([7.0, 8.0], [1.0, 5.0], equal_var=False)
    assert looks.difference[0, 3] / looks.error[0, 3] == pytest.approx(before.statistic, rel=1e-9)


def test_more_looks_only_narrow_the_interval_and_lower_p() -> None:
    rng = np.random.default_rng(4)
    control, treatment = rng.normal(size=80), rng.normal(0.6, 1, 80)
    p_value, interval = 1.0, (-math.inf, math.inf)
    for n in range(5, 81):
        found = weighed(control[:n], treatment[:n])
        assert found is not None
        assert found.p_value <= p_value * (1 + 1e-9)
        assert found.interval[0] >= interval[0] - 1e-9
        assert found.interval[1] <= interval[1] + 1e-9
        assert (found.p_value <= 0.05) == (found.interval[0] > 0 or found.interval[1] < 0)
        p_value, interval = found.p_value, found.interval
    assert p_value <= 0.05


def test_shift_and_scale_change_nothing_even_at_the_edge_of_a_float() -> None:
    rng = np.random.default_rng(7)
    control, treatment = rng.normal(size=30), rng.normal(1, 1, 30)
    plain = weighed(control, treatment)
    far = weighed(1e9 + 1e-3 * control, 1e9 + 1e-3 * treatment)
    vast = weighed(1e300 * control, 1e300 * treatment)
    tiny = weighed(1e-300 * control, 1e-300 * treatment)
    assert plain is not None
    assert far is not None
    assert vast is not None
    assert tiny is not None
    assert far.log_e_value == pytest.approx(plain.log_e_value, rel=1e-3)
    assert vast.log_e_value == pytest.approx(plain.log_e_value, rel=1e-9)
    assert tiny.log_e_value == pytest.approx(plain.log_e_value, rel=1e-9)


def test_values_that_do_not_vary_are_no_evidence() -> None:
    assert weighed([1.0] * 20, [2.0] * 20) is None
    late = Sample(*both([1.0] * 20 + [1.5], [2.0] * 20 + [2.5])).looks()
    assert late is not None
    assert 1 <= late.valid.sum() <= 2  # only once something varied
    one_sided = weighed([1.0] * 20, np.linspace(2, 3, 20))
    assert one_sided is not None
    assert one_sided.p_value < 0.05
    assert not paired(np.ones(9), np.ones(9), np.zeros(9)).valid.any()


def _first_crossings(runs: int, length: int, shift: float, seed: int) -> tuple[float, float, float]:
    """Share of runs with p ever <= .05, with harm ever <= .05, whose interval ever missed."""
    rng = np.random.default_rng(seed)
    wins = harms = misses = 0
    for _ in range(runs):
        found = weighed(rng.normal(size=length), rng.normal(shift, 1, length))
        assert found is not None
        wins += found.p_value <= 0.05
        harms += found.harm_p_value <= 0.05
        misses += not found.interval[0] <= shift <= found.interval[1]
    return wins / runs, harms / runs, misses / runs


def _above(rate: float, runs: int) -> float:
    """`rate` and three Monte-Carlo standard errors."""
    return rate + 3 * math.sqrt(rate * (1 - rate) / runs)


@pytest.mark.slow
def test_errors_stay_under_alpha_though_every_trial_is_a_look() -> None:
    wins, harms, _ = _first_crossings(1000, 100, 0.0, 11)
    assert wins <= _above(0.05, 1000)
    assert harms <= _above(0.05, 1000)


def test_an_improvement_is_not_called_harm_and_the_interval_covers() -> None:
    wins, harms, misses = _first_crossings(400, 100, -0.8, 12)
    assert wins >= 0.95  # power at d = 0.8: 1 within 200 per arm
    assert harms <= 0.01
    assert misses <= _above(0.05, 400)


def test_paired_errors_stay_under_alpha_with_a_first_run_penalty() -> None:
    rng = np.random.default_rng(13)
    position = np.array([1.0, -1.0, -1.0, 1.0] * 15)
    wins = 0
    for _ in range(1000):
        block = rng.normal(0, 2, 60)
        control = block + rng.normal(size=60) + 2 * (position < 0)
        treatment = block + rng.normal(size=60) + 2 * (position > 0)
        looks = paired(control, treatment, position)
        found = by_looks(looks, RULES)
        assert found is not None
        wins += found.p_value <= 0.05
    assert wins / 1000 <= _above(0.05, 1000)


# proportions


@pytest.mark.parametrize("rate", [0.02, 0.5, 0.9])
@pytest.mark.parametrize("sizes", [(1, 1), (3, 1), (2, 5)])
def test_one_block_is_a_fair_bet_by_enumeration(rate: float, sizes: tuple[int, int]) -> None:
    total, chance = 0.0, 0.0
    for outcome in np.ndindex(*(2,) * sum(sizes)):
        values = np.array(outcome, dtype=float)
        probability = float(np.prod(np.where(values == 1, rate, 1 - rate)))
        found = betting.blocks_of_units(
            path(values[: sizes[0]]), path(values[sizes[0] :], 50), sizes
        )
        total += probability * math.exp(exceeds(found)[-1])
        chance += probability
    assert chance == pytest.approx(1)
    assert total == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize("rate", [0.05, 0.5, 0.8])
def test_false_alarms_of_proportions_by_exact_enumeration(rate: float) -> None:
    """P(E of "larger" ever >= 20) over all paths of the three outcomes of a block."""
    up, level = rate * (1 - rate), math.log(20)
    weights = {1.0: up, 0.0: 1 - 2 * up, -1.0: up}
    states, alarmed = {(0, 0): 1.0}, 0.0
    for n in range(1, 61):
        after: dict[tuple[int, int], float] = {}
        for (gains, losses), probability in states.items():
            for outcome, share in weights.items():
                key = (gains + (outcome > 0), losses + (outcome < 0))
                after[key] = after.get(key, 0.0) + probability * share
        states = {}
        for (gains, losses), probability in after.items():
            log_bets = gains * np.log1p(bets.USUAL.sizes) + losses * np.log1p(-bets.USUAL.sizes)
            if np.log(np.mean(np.exp(log_bets))) >= level:
                alarmed += probability
            else:
                states[gains, losses] = probability
        assert alarmed <= 0.05, n
    assert alarmed > 0.0


def test_the_batch_form_is_the_product_of_its_bets() -> None:
    control, treatment = [1, 0, 1, 1, 0], [1, 1, 0, 1, 1]
    found = betting.blocks_of_units(*both(control, treatment))
    difference = np.array(treatment) - np.array(control)
    expected = np.log(
        np.mean(np.cumprod(1 + np.outer(difference, bets.USUAL.sizes), axis=0), axis=1)
    )
    assert exceeds(found) == pytest.approx(np.maximum.accumulate(expected))


@pytest.mark.slow
def test_proportion_interval_covers_and_agrees_with_its_p_value() -> None:
    rng = np.random.default_rng(21)
    misses = 0
    for _ in range(300):
        control, treatment = rng.random(120) < 0.9, rng.random(120) < 0.7
        test = safe_test(Sample(*both(control, treatment)), (1, 1), Rules(0.05, -1, 1))
        assert test is not None
        found = weight(test)
        assert found is not None
        low, high = found.interval
        misses += not low <= -0.2 <= high
        assert (found.p_value <= 0.05) == (low >= 0 or high <= 0)
    assert misses / 300 <= _above(0.05, 300)


def test_a_unit_that_reports_again_moves_its_block() -> None:
    # control units 0, 1; unit 0 reports 1 and later 0: its mean falls to 0.5
    control = UnitPath(
        np.array([0, 2, 4]),
        np.array([0, 1, 0]),
        np.array([1.0, 1.0, 0.5]),
        np.array([np.nan, np.nan, 1.0]),
    )
    found = betting.blocks_of_units(control, path([1.0, 0.0], 1, 2))
    assert found.new[0] == pytest.approx([0.0, -1.0, 0.5])
    assert found.old is not None
    assert found.old[0] == pytest.approx([np.nan, np.nan, 0.0], nan_ok=True)
    total = found.log_wealth(np.zeros((1, 1)))[:, 0, -1]
    fresh = betting.blocks_of_units(path([0.5, 1.0], 0, 2), path([1.0, 0.0], 1, 2))
    assert total == pytest.approx(fresh.log_wealth(np.zeros((1, 1)))[:, 0, -1])


def test_no_block_no_evidence() -> None:
    test = safe_test(Sample(path([]), path([1.0])), (1, 1), Rules(0.05, 1, 1))
    assert test is not None
    assert weight(test) is None
    assert betting.differing_rates(path([]), path([])) is None
    assert betting.block_sizes(3, 1) == (3, 1)
    assert betting.block_sizes(1, 1000) == (1, 20)


@pytest.mark.parametrize("harm", [1, -1])
@pytest.mark.parametrize("scale", [0.5, 0.1])
def test_harm_is_the_most_that_any_look_showed(harm: int, scale: float) -> None:
    """Against the one-sided mixture computed at every look, of effects of both signs."""
    rng = np.random.default_rng(31)
    arm = np.tile([0, 1], (12, 40))
    value = rng.normal(0, 1, arm.shape) + arm * np.linspace(-1, 1, 12)[:, None]
    value[:4] += arm[:4] * np.where(np.arange(80) < 40, 1.5, -1.5)  # the effect turns
    looks = mean_difference.two_sample(arm, value)
    rules = Rules(0.05, harm, 4, scale)
    evidence = t_mixture.weighable(looks, rules)
    t = np.where(evidence.at, looks.difference / np.where(evidence.at, looks.error, 1), 0)
    at = looks.valid & (looks.n >= 4)
    assert evidence.at.tolist() == at.tolist()
    df, n_e = (np.where(at, column, 1.0) for column in (looks.df, looks.n_e))
    one = np.where(at, t_mixture.log_e_value_positive(harm * t, df, n_e, scale), -np.inf)
    both = np.where(at, t_mixture.log_e_value(t, df, n_e, scale), -np.inf)
    harmed = evidence.harm_log_e()
    assert harmed == pytest.approx(np.maximum.accumulate(one, axis=1), rel=1e-9)
    assert evidence.log_e() == pytest.approx(np.maximum.accumulate(both, axis=1), rel=1e-9)
    assert evidence.log_e_now() == pytest.approx(both[:, -1], rel=1e-9)
    assert evidence.log_e()[:, -1].tolist() != evidence.log_e_now().tolist()
    critical = t_mixture.critical_value(df, n_e, 0.05, scale)
    with np.errstate(invalid="ignore"):
        margin = np.where(at, critical * looks.error, np.inf)
    low, high = evidence.interval()
    middle = np.where(at, looks.difference, 0.0)
    assert low == pytest.approx(np.maximum.accumulate(middle - margin, axis=1))
    assert high == pytest.approx(np.minimum.accumulate(middle + margin, axis=1))
    wide = evidence.at_level(0.001)
    assert wide.rules == Rules(0.001, harm, 4, scale)
    assert (wide.interval()[0] <= low).all()
    early = evidence.looks.only(np.full((12, 1), 5))
    assert np.isneginf(t_mixture.weighable(early, rules).log_e_now()).all()


def test_p_values_of_evidence() -> None:
    log_e = np.array([-np.inf, -1.0, 0.0, math.log(4), 1000.0])
    assert t_mixture.p_values(log_e) == pytest.approx([1, 1, 1, 0.25, 0])
    assert t_mixture.log_e_value([3], [5], [2]).dtype == np.float64


def test_rules_with_a_planned_effect_weigh_by_the_moment_prior() -> None:
    plain, tuned = Rules(0.05, 1, 5, 0.3), Rules(0.05, 1, 5, 0.3, planned=0.8)
    t, df, n_e = np.array([-1.0, 2.5, 4.0]), np.array([8.0, 20.0, 30.0]), np.array([3.0, 6.0, 9.0])
    g = 0.8**2 / 4  # where δ⁴ N(δ; 0, g) is largest
    for name, function in (
        ("log_e", moment_prior.log_e_value),
        ("log_e_positive", moment_prior.log_e_value_positive),
    ):
        assert getattr(tuned, name)(t, df, n_e).tolist() == function(t, df, n_e, g).tolist()
    assert plain.log_e(t, df, n_e).tolist() == t_mixture.log_e_value(t, df, n_e, 0.3).tolist()
    assert (
        plain.log_e_positive(t, df, n_e).tolist()
        == t_mixture.log_e_value_positive(t, df, n_e, 0.3).tolist()
    )
    for rules in (plain, tuned):
        at = rules.critical(df, n_e)
        there = np.isfinite(at)
        assert there.any()
        assert rules.log_e(at, df, n_e)[there] == pytest.approx(math.log(20))

"""A statistic in the plan's mode: what stops, and what is not stopped by missing numbers."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np
import pytest
from scipy import stats

from expci.core.dataset.unit_paths import UnitPath
from expci.core.kinds.continuous import planned_scale
from expci.core.model.experiment import Baseline, PlanRules
from expci.core.statistics import group_sequential
from expci.core.statistics.mean_difference import Looks, two_sample
from expci.core.statistics.planned_looks import planned_looks
from expci.core.statistics.t_mixture import Rules
from expci.core.statistics.t_statistic import by_t
from expci.core.statistics.terms import Terms
from expci.core.statistics.two_arms import Sample
from expci.core.statistics.weighed import Weighed, stops_for_futility
from support.analysis_samples import DURATION, make_experiment


def single(values: np.ndarray, arm: int) -> UnitPath:
    index = np.arange(values.size)
    return UnitPath(2 * index + arm, index, values, np.full(values.size, np.nan))


@pytest.mark.parametrize(("spread", "futile"), [(0.0, False), (1.0, True)])
def test_a_look_that_cannot_be_computed_is_no_sign_of_futility(spread: float, futile: bool) -> None:
    rules = replace(
        make_experiment(sample_size=40, inference="group-sequential").plan, futility=True
    )
    values = 5 + spread * np.random.default_rng(1).standard_normal(40)
    looks = Sample(single(values, 0), single(values, 1)).looks()
    assert looks is not None
    statistic = by_t(looks, Rules(0.05, 1, 5))
    plan = planned_looks(statistic.n, rules, 40, 5)
    assert bool(Weighed(statistic, plan, 0.025).futile[0, -1]) is futile


@pytest.mark.parametrize("mean", [1e300, 1e-300, 1e308])
@pytest.mark.parametrize("sd", [1e300, 1e-300])
def test_a_baseline_at_the_edge_of_a_float_has_a_scale(mean: float, sd: float) -> None:
    metric = replace(DURATION, kind="mean", baseline=Baseline(mean, sd))
    experiment = make_experiment(primary=metric)
    terms = Terms(experiment, experiment.plan, None, 0.05, False, None)
    assert 0.0999 <= planned_scale(metric, terms) <= 2.0001


def normal_looks(effects: list[float], n: int = 20) -> Looks:
    """Experiments of n normal units an arm, one after the other."""
    rng, arm = np.random.default_rng(4), np.tile([0, 1], (len(effects), n))
    return two_sample(arm, rng.normal(0, 1, arm.shape) + np.array(effects)[:, None] * arm)


RULES = Rules(0.05, 1, 3)


def weighed(looks: Looks, rules: PlanRules, exact: bool = False) -> Weighed:
    statistic = by_t(looks, RULES)
    return Weighed(statistic, planned_looks(statistic.n, rules, 20, 3), 0.025, exact)


def test_a_fixed_plan_is_weighed_once_by_the_t_test() -> None:
    looks = normal_looks([0.0, 0.7, -1.5])
    fixed = weighed(looks, PlanRules(inference="fixed"))
    assert (fixed.p_value[:, :-1] == 1).all()
    t = looks.difference[:, -1] / looks.error[:, -1]
    assert fixed.p_value[:, -1] == pytest.approx(2 * stats.t(looks.df[:, -1]).sf(np.abs(t)))
    assert np.isinf(fixed.interval[0][:, :-1]).all()
    half = stats.t(looks.df[:, -1]).isf(0.025) * looks.error[:, -1]
    assert fixed.interval[0][:, -1] == pytest.approx(looks.difference[:, -1] - half)
    assert fixed.interval[1][:, -1] == pytest.approx(looks.difference[:, -1] + half)
    assert not fixed.futile.any()


GROUPS = PlanRules(inference="group-sequential", looks=4)


def test_a_boundary_that_was_reached_stays_reached() -> None:
    looks = normal_looks([0.0, 0.9, 1.6, -1.6])
    weight = weighed(looks, GROUPS)
    plan, z = weight.plan, weight.planned_z
    assert plan is not None
    reached = (np.abs(z) >= np.array(plan.bounds)).tolist()
    assert [any(row) for row in reached] == [False, True, True, True]
    for row, by_look in enumerate(reached):
        for n in range(looks.n.shape[1]):
            done = [k for k, size in enumerate(plan.units) if looks.n[row, n] >= size]
            expected = 0.05 if any(by_look[k] for k in done) else 1.0
            assert weight.p_value[row, n] == expected


@pytest.mark.parametrize("reserve", [0.0, 0.2])
def test_exact_p_values_are_those_of_the_path(reserve: float) -> None:
    """One experiment's to the last digit; of many they are read from a table, 1 % off at most.

    The level at which the boundary without the reserve is reached, over the share it has of alpha.
    """
    rules = replace(GROUPS, reserve=reserve)
    effects = [0.0, 0.4, 0.9, -1.6, 0.2]
    looks = normal_looks(effects)
    rough, many = weighed(looks, rules), weighed(looks, rules, exact=True)
    assert ((many.p_value <= 0.05) == (rough.p_value <= 0.05)).all()
    for row in range(len(effects)):
        one = replace(looks, **{name: column[row : row + 1] for name, column in columns(looks)})
        single = weighed(one, rules, exact=True)
        plan = single.plan
        assert plan is not None
        expected = [1.0] * 9
        for k in range(4):
            path = tuple(single.planned_z[0, : k + 1].tolist())
            spendable = 0.05 * (1 - reserve)
            level = group_sequential.p_value(path, plan.fractions[: k + 1], rules, spendable)
            expected += [min(1.0, level / (1 - reserve))] * (10 if k < 3 else 1)
        assert single.p_value[0].tolist() == expected
        assert many.p_value[row] == pytest.approx(np.array(expected), rel=0.01)


def columns(looks: Looks) -> list[tuple[str, np.ndarray]]:
    return [(name, value) for name, value in vars(looks).items() if name != "scale"]


@pytest.mark.parametrize("inference", ["fixed", "group-sequential"])
def test_a_look_without_a_deviate_is_no_evidence(
    inference: Literal["fixed", "group-sequential"],
) -> None:
    looks = normal_looks([2.0])
    never = replace(looks, valid=np.zeros(looks.valid.shape, dtype=np.bool_))
    for exact in (True, False):
        weight = weighed(never, replace(GROUPS, inference=inference), exact)
        assert (weight.p_value >= 0.999).all()  # where the search of exact levels ends
        assert np.isinf(weight.interval[0]).all()


def test_a_plan_without_a_size_weighs_nothing() -> None:
    statistic = by_t(normal_looks([1.0]), RULES)
    for inference in ("fixed", "group-sequential"):
        rules = PlanRules(inference=inference, futility=True)
        weight = Weighed(statistic, planned_looks(statistic.n, rules, None, 3), 0.025)
        assert (weight.p_value == 1).all()
        assert not weight.futile.any()


def test_every_look_counts_where_none_is_planned() -> None:
    looks = normal_looks([0.5, 2.0])
    statistic = by_t(looks, RULES)
    weight = Weighed(statistic, None, 0.025)
    assert weight.p_value == pytest.approx(np.minimum(1, np.exp(-statistic.log_e())))
    assert weight.harm_p_value == pytest.approx(np.minimum(1, np.exp(-statistic.harm_log_e())))
    assert weight.estimated(looks.n) is looks.n
    assert weight.interval[0].tolist() == statistic.interval()[0].tolist()
    assert weight.relative[1].tolist() == statistic.relative()[1].tolist()
    with pytest.raises(ValueError, match="no planned looks"):
        _ = weight.planned_z


def test_estimates_are_made_of_the_last_planned_look() -> None:
    looks = normal_looks([0.5])
    weight = weighed(looks, GROUPS)
    column = np.arange(40.0)[None, :]  # the look's own number; units of 5, 10, 15 and 20 an arm
    estimated = weight.estimated(column)[0]
    assert estimated[:9].tolist() == list(range(9))  # before the first the present one
    assert estimated[9:].tolist() == [9] * 10 + [19] * 10 + [29] * 10 + [39]


@pytest.mark.parametrize("harm", [1, -1])
def test_success_is_unlikely_where_the_deviate_is_under_the_futility_bound(harm: int) -> None:
    rules = replace(GROUPS, futility=True)
    statistic = by_t(normal_looks([0.0, 1.2, -1.2]), Rules(0.05, harm, 3))
    plan = planned_looks(statistic.n, rules, 20, 3)
    assert plan is not None
    weight = Weighed(statistic, plan, 0.025)
    bounds = group_sequential.futility(
        plan.fractions, 0.05, 1 - rules.power, rules.spending, rules.rho
    )
    below = -harm * weight.planned_z < np.array(bounds)
    assert below[:, :-1].any(axis=1).tolist() == [True, harm > 0, harm < 0]
    assert weight.futile[:, [9, 19, 29, 39]].tolist() == below.tolist()
    assert not weight.futile[:, :9].any()
    assert not Weighed(statistic, replace(plan, rules=GROUPS), 0.025).futile.any()


@pytest.mark.parametrize(
    ("inference", "futility", "stops"),
    [
        ("group-sequential", True, True),
        ("group-sequential", False, False),
        ("fixed", True, False),
        ("anytime", True, False),
    ],
)
def test_only_group_sequential_plans_stop_for_futility(
    inference: Literal["group-sequential", "fixed", "anytime"], futility: bool, stops: bool
) -> None:
    assert stops_for_futility(PlanRules(inference=inference, futility=futility)) is stops


def test_harm_is_shown_by_either_share_of_its_level() -> None:
    """One planned look: Student's t by scipy; the evidence at every look keeps a tenth."""
    looks = normal_looks([0.5, 1.0, -1.0])
    once = PlanRules(inference="group-sequential", looks=1, planned_harm=0.9)
    t = looks.difference[:, -1] / looks.error[:, -1]
    planned = stats.t(looks.df[:, -1]).sf(t) / 0.9
    anytime = np.exp(-by_t(looks, RULES).harm_log_e()) / 0.1
    for row in range(3):
        one = replace(looks, **{name: column[row : row + 1] for name, column in columns(looks)})
        found = weighed(one, once, exact=True).harm_p_value[0]
        assert found[:-1] == pytest.approx(np.minimum(1, anytime[row, :-1]))
        assert found[-1] == pytest.approx(min(1, planned[row], anytime[row, -1]), rel=1e-5)
        rough = weighed(one, once).harm_p_value[0, -1]
        assert (rough <= 0.025) == (found[-1] <= 0.025)


TWENTY = PlanRules(
    inference="group-sequential", looks=20, spending="power", planned_harm=0.9, sample_size=200
)


def harm_in_walks(drift: float) -> float:
    """The share of experiments of 200 normal units an arm in which harm reaches .025."""
    rng, arm = np.random.default_rng(9), np.tile([0, 1], (2000, 200))
    effect = drift * np.sqrt(2 / 200) * arm
    statistic = by_t(two_sample(arm, rng.standard_normal(arm.shape) + effect), Rules(0.05, 1, 5))
    plan = planned_looks(statistic.n, TWENTY, 200, 5)
    return float((Weighed(statistic, plan, 0.025).harm_p_value <= 0.025).any(axis=1).mean())


@pytest.mark.slow
def test_harm_at_planned_looks_keeps_its_level_and_finds_more() -> None:
    """Drift 3.4: .88 by the normal theory of 20 looks at .0225, alpha spent as the cube."""
    assert 0 < harm_in_walks(0.0) <= 0.025 + 3 * np.sqrt(0.025 * 0.975 / 2000)
    bounds = group_sequential.boundaries(
        group_sequential.fractions_of(20), 2 * 0.9 * 0.025, "power", 3.0
    )
    walks = np.cumsum(np.random.default_rng(5).normal(3.4 / 20, np.sqrt(1 / 20), (20000, 20)), 1)
    z = walks / np.sqrt(np.arange(1, 21) / 20)
    by_theory = float((z >= np.array(bounds)).any(axis=1).mean())
    assert harm_in_walks(3.4) == pytest.approx(by_theory, abs=0.03)
    assert by_theory > 0.85

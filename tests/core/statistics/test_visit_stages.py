"""Exact evidence over units that are visited again and again: ranks and quantiles."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from expci.core.dataset.unit_paths import Pairs
from expci.core.model.cases import CaseSource
from expci.core.statistics.quantile import QuantileTest
from expci.core.statistics.row_by_row import RowByRow, UnitsRow, one_experiment
from expci.core.statistics.signed_rank import RankTest
from expci.core.statistics.t_mixture import Rules
from expci.core.statistics.two_arms import Sample, Visits, of_pairs, of_visits
from expci.core.statistics.visit_stages import AGAIN, ONCE, Stages, visit_stages
from support.analysis_samples import make_experiment

RULES = Rules(0.05, -1, 5)


def visited(control: np.ndarray, treatment: np.ndarray) -> Sample:
    """Values [visits, cases], all cases in turn."""
    unit = np.tile(np.arange(control.shape[1]), control.shape[0])
    plain = of_pairs(control.ravel(), treatment.ravel())
    assert plain.pairs is not None
    pairs: Pairs = replace(plain.pairs, unit=unit)
    return of_visits(plain, Visits(pairs, control.ravel(), treatment.ravel()))


def weighed(kind: type[RowByRow], units: Sample, stages: Stages) -> RowByRow:
    row = replace(one_experiment(units), bounds=(0.0,))  # no exact interval: it takes long
    row = replace(row, samples=row.growing_pairs)
    return kind(RULES, np.array([[units.n]]), [row], stages)


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "counted_as_cases"), [(RankTest, 0.2), (QuantileTest, 0.0)])
def test_visits_of_a_case_are_no_cases_and_no_stage_errs_beyond_alpha(
    kind: type[RowByRow], counted_as_cases: float
) -> None:
    """Each case leans to one arm for ever, without an effect on the mean of all cases."""
    rng, threshold = np.random.default_rng(3), math.log(20)
    experiments, shown, naive = 150, 0, 0
    for _ in range(experiments):
        lean = rng.normal(0, 1, 8)
        control = rng.normal(0, 1, (27, 8))
        treatment = control + lean + rng.normal(0, 0.5, (27, 8))
        log_e = weighed(kind, visited(control, treatment), AGAIN).log_e()
        shown += bool(log_e[0, -1] >= threshold)
        pairs = of_pairs(control.ravel(), treatment.ravel())
        naive += bool(weighed(kind, pairs, ONCE).log_e()[0, -1] >= threshold)
    assert shown <= 0.05 * experiments + 3 * math.sqrt(0.05 * 0.95 * experiments)
    assert naive >= counted_as_cases * experiments


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "cases"), [(RankTest, 14), (QuantileTest, 40)])
def test_visits_make_cases_surer(kind: type[RowByRow], cases: int) -> None:
    rng, shown = np.random.default_rng(4), np.zeros(2)
    for _ in range(40):
        control, noise = rng.normal(0, 2, (2, 27, cases))
        for index, visits in enumerate((1, 27)):
            units = visited(control[:visits], (control + noise + 1.3)[:visits])
            log_e = weighed(kind, units, AGAIN).log_e()
            shown[index] += log_e[0, -1] >= math.log(20)
    assert shown[1] > 32
    assert shown[0] < 16


def test_a_stage_weighs_each_case_as_it_stood_at_that_visit() -> None:
    rng = np.random.default_rng(5)
    control, treatment = rng.normal(0, 1, (2, 4, 12))
    units = visited(control, treatment)
    alone = [
        weighed(RankTest, of_pairs(control[:v].mean(axis=0), treatment[:v].mean(axis=0)), ONCE)
        for v in (1, 3)
    ]
    expected = max(
        float(test.log_e()[0, -1]) + math.log(share)
        for test, share in zip(alone, (0.4, 0.2), strict=True)
    )
    assert float(weighed(RankTest, units, AGAIN).log_e()[0, -1]) == pytest.approx(expected)


def test_an_interval_of_stages_is_at_each_ones_share_of_alpha() -> None:
    control = np.zeros((3, 12))
    treatment = np.arange(1.0, 13.0) + np.array([[0.0], [-3.0], [3.0]])
    [low], [high] = (
        end[:, -1]
        for end in RankTest(
            RULES, np.array([[12]]), [one_experiment(visited(control, treatment))], AGAIN
        ).interval()
    )
    ends = []
    for visits, share in ((1, 0.4), (3, 0.2)):
        once = of_pairs(control[0], treatment[:visits].mean(axis=0))
        rules = replace(RULES, alpha=RULES.alpha * share)
        test = RankTest(rules, np.array([[12]]), [one_experiment(once)])
        ends.append([float(end[0, -1]) for end in test.interval()])
    assert (low, high) == pytest.approx((max(e[0] for e in ends), min(e[1] for e in ends)))


def test_units_that_are_no_cases_count_by_their_first_pair() -> None:
    rng = np.random.default_rng(6)
    control, treatment = rng.normal(0, 1, (2, 3, 9))
    units, first = visited(control, treatment), of_pairs(control[0], treatment[0])
    for kind in (RankTest, QuantileTest):
        assert weighed(kind, units, ONCE).log_e() == pytest.approx(
            weighed(kind, first, ONCE).log_e()
        )


def test_a_stage_that_no_case_has_reached_says_nothing() -> None:
    once = one_experiment(visited(np.ones((2, 4)), np.zeros((2, 4))))
    stages = [once.stage(visits) for visits in (1, 2, 3)]
    assert [None if stage is None else stage.units.n for stage in stages] == [4, 4, None]
    plain: UnitsRow = one_experiment(of_pairs(np.ones(4), np.zeros(4)))
    assert (plain.stage(1) is plain, plain.stage(3)) == (True, None)


def test_only_cases_are_visited_again_and_share_alpha() -> None:
    experiment = make_experiment()
    assert visit_stages(experiment) == ONCE
    assert visit_stages(replace(experiment, cases=CaseSource(path="evals/*"))) == AGAIN
    for stages in (ONCE, AGAIN):
        assert sum(share for _, share in stages) == pytest.approx(1)

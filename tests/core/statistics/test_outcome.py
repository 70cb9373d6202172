"""One experiment's evidence in the plan's mode, and the words beside it."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy import stats

from expci.core.dataset.unit_paths import single_trials
from expci.core.model.experiment import PlanRules
from expci.core.statistics import group_sequential
from expci.core.statistics.mean_difference import two_sample
from expci.core.statistics.outcome import Harm, Outcome, Summary, Words, outcome
from expci.core.statistics.planned_looks import planned_looks
from expci.core.statistics.t_mixture import Rules
from expci.core.statistics.t_statistic import TStatistic, by_t
from expci.core.statistics.terms import Terms
from expci.core.statistics.two_arms import Sample
from support.analysis_samples import make_experiment

RULES = Rules(alpha=0.05, harm=-1, start=5)
WORDS = Words("mixture", "t test")


def statistic(n: int, effect: float, spread: float = 1.0) -> TStatistic:
    rng, arm = np.random.default_rng(3), np.tile([0, 1], (1, n))
    return by_t(two_sample(arm, spread * rng.normal(10, 1, arm.shape) + effect * arm), RULES)


def terms(target: int | None = None, extra: int = 0, **plan: Any) -> Terms:
    rules = PlanRules(**plan)
    return Terms(make_experiment(), rules, target, 0.05, False, None, extra)


def test_every_look_counts_in_an_anytime_plan() -> None:
    test = statistic(20, 2.0)
    now = outcome(test, 20, WORDS, RULES, terms(inference="anytime"))
    assert now.method == "anytime, mixture"
    assert (now.looks, now.notes, now.alpha_spent, now.futile, now.opened) == (
        None,
        (),
        None,
        None,
        None,
    )
    log_e = float(test.log_e()[0, -1])
    assert now.summary is not None
    assert now.summary.p_value == pytest.approx(math.exp(-log_e))
    assert now.summary.log_e_now == pytest.approx(float(test.log_e_now()[0]))
    assert now.interval == (float(test.interval()[0][0, -1]), float(test.interval()[1][0, -1]))
    assert now.harm is not None
    assert now.harm.log_e_value == pytest.approx(float(test.harm_log_e()[0, -1]))
    assert now.harm.p_value == pytest.approx(min(1, math.exp(-now.harm.log_e_value)))


@pytest.mark.parametrize(
    ("n", "note"),
    [
        (4, "evidence starts at 5 per arm; there are 4"),
        (5, "the values do not vary"),
    ],
)
def test_why_there_is_no_evidence(n: int, note: str) -> None:
    plan = terms(inference="anytime")
    for test in (None, statistic(n, 0.0, spread=0.0)):
        silent = outcome(test, n, WORDS, RULES, plan)
        assert (silent.summary, silent.harm, silent.notes) == (None, None, (note,))
        assert silent.interval is None
    assert outcome(None, 0, Words(), RULES, plan).method == "anytime"


def test_a_fixed_plan_is_locked_until_its_size() -> None:
    no_size = outcome(statistic(20, 0.5), 20, WORDS, RULES, terms(inference="fixed"))
    assert no_size.summary is None
    assert no_size.notes == ("locked: no sample size is known; state `plan: sample_size`",)
    assert no_size.harm is not None  # harm is weighed at every look
    early = outcome(statistic(19, 0.5), 19, WORDS, RULES, terms(20, inference="fixed"))
    assert (early.summary, early.notes) == (None, ("locked until 20 per arm",))
    assert early.method == no_size.method == "fixed, t test"
    assert early.looks is None
    done = outcome(statistic(20, 0.5), 20, WORDS, RULES, terms(20, inference="fixed"))
    assert (done.method, done.looks, done.notes) == ("fixed, t test", 1, ())
    assert (done.alpha_spent, done.futile, done.opened) == (0.05, None, 20)
    looks = statistic(20, 0.5).looks
    t = looks.difference[0, -1] / looks.error[0, -1]
    assert done.summary is not None
    assert done.summary.p_value == pytest.approx(2 * stats.t(looks.df[0, -1]).sf(abs(t)))
    assert done.summary.log_e_now is None


GROUPS: dict[str, Any] = {"inference": "group-sequential", "looks": 4}


@pytest.mark.parametrize(
    ("n", "looks", "opened", "words"),
    [
        (9, 0, None, "the first look of 4 is at 10 per arm"),
        (10, 1, 10, "look 1 of 4, at 10 per arm; the next at 20"),
        (29, 2, 20, "look 2 of 4, at 20 per arm; the next at 30"),
        (40, 4, 40, "look 4 of 4, at 40 per arm"),
        (45, 4, 40, "look 4 of 4, at 40 per arm"),
    ],
)
def test_the_looks_of_a_group_sequential_plan(
    n: int, looks: int, opened: int | None, words: str
) -> None:
    now = outcome(statistic(n, 0.3), n, WORDS, RULES, terms(40, **GROUPS))
    assert (now.looks, now.opened, now.notes) == (looks, opened, (words,))
    assert (now.summary is None) is (looks == 0)
    fraction = looks / 4
    spent = 2 * group_sequential.spent(fraction, 0.025, "obrien-fleming")
    assert now.alpha_spent == pytest.approx(spent)
    assert now.futile is None
    if now.summary is not None:
        then = outcome(statistic(n, 0.3), opened or 0, WORDS, RULES, terms(40, **GROUPS))
        assert then.summary == now.summary  # what came after the look changes nothing
        test = statistic(n, 0.3)
        plan = planned_looks(test.n, PlanRules(**GROUPS), 40, 5)
        assert plan is not None
        path = tuple(test.planned_z(plan)[0, :looks].tolist())
        expected = group_sequential.p_value(path, plan.fractions[:looks], PlanRules(**GROUPS), 0.05)
        assert now.summary.p_value == expected  # exact, and not only on which side of alpha


def test_success_that_has_become_unlikely() -> None:
    plan = terms(40, futility=True, **GROUPS)
    assert outcome(statistic(20, -1.0), 20, WORDS, RULES, plan).futile is True
    assert outcome(statistic(20, 1.0), 20, WORDS, RULES, plan).futile is False


def test_planned_looks_at_values_that_do_not_vary() -> None:
    flat = statistic(20, 1.0, spread=0.0)
    groups = outcome(flat, 20, WORDS, RULES, terms(40, **GROUPS))
    assert (groups.summary, groups.method) == (None, "group-sequential, t test")
    assert groups.notes == (
        "the values do not vary",
        "look 2 of 4, at 20 per arm; the next at 30",
    )
    assert groups.alpha_spent == pytest.approx(
        2 * group_sequential.spent(0.5, 0.025, "obrien-fleming")
    )
    assert (groups.looks, groups.opened) == (2, 20)
    for test in (flat, None):
        fixed = outcome(test, 20, WORDS, RULES, terms(20, inference="fixed"))
        assert (fixed.summary, fixed.notes) == (None, ("the values do not vary",))
        assert (fixed.alpha_spent, fixed.looks, fixed.opened) == (None, 1, 20)


def test_an_extension_is_told() -> None:
    plan = terms(30, 10, inference="fixed")
    now = outcome(statistic(24, 0.5), 24, WORDS, RULES, plan)
    assert now.opened == 20
    assert now.notes == (
        "extended by 10 per arm: alpha was planned over 20, "
        "so the trials after that are evidence of harm only",
    )


def test_the_units_that_the_evidence_uses() -> None:
    units = Sample(single_trials(np.arange(9.0)), single_trials(np.arange(9.0)))
    every = Outcome("anytime", None, None, None, ())
    assert every.opened_units(units) is units
    assert replace(every, opened=4).opened_units(units).n == 4
    assert [replace(every, method=method).is_exact for method in ("exact", "fixed")] == [
        True,
        False,
    ]


@pytest.mark.parametrize(
    ("log_e", "e_value"),
    [(None, None), (-1.0, math.exp(-1)), (700.0, math.exp(700)), (701.0, None)],
)
def test_evidence_as_it_is_reported(log_e: float | None, e_value: float | None) -> None:
    summary = Summary(log_e, 0.04, (0.0, 1.0), (0.0, 0.1))
    weighed = Outcome("anytime", summary, Harm(2.0, 0.13), 3, (), 0.01, True)
    evidence = weighed.evidence(0.025)
    assert evidence.e_value == (None if e_value is None else pytest.approx(e_value))
    assert (evidence.method, evidence.p_value, evidence.looks) == ("anytime", 0.04, 3)
    assert (evidence.log_e_value, evidence.harm_p_value) == (log_e, 0.13)
    assert (evidence.level_harm, evidence.alpha_spent, evidence.futile) == (0.025, 0.01, True)
    nothing = Outcome("fixed", None, None, None, ()).evidence(None)
    assert (nothing.p_value, nothing.e_value, nothing.harm_p_value) == (None, None, None)

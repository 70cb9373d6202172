"""Events per trial: which values count, what they are compared by, and what is simulated."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats

from expci.core.dataset.recorded import trial_columns
from expci.core.kinds import count
from expci.core.model.experiment import Baseline, Experiment, Limit, Metric
from expci.core.model.results import Check
from expci.core.planning.design_report import plan_report
from expci.core.planning.operating_characteristics import scenario_of_effect
from expci.core.planning.scenarios import simulated_trials, source_of
from expci.core.planning.simulation import Simulation
from support.analysis_samples import alternating, in_pairs, look_at, make_experiment

ERRORS = Metric(
    "errors",
    "primary",
    "count",
    "decrease",
    minimum_effect=Limit(1.0, False),
    max_regression=Limit(0.5, False),
)


def planned(**changes: object) -> Experiment:
    return make_experiment(**{"primary": ERRORS, "others": (), **changes})  # type: ignore[arg-type]


def uneven(rng: np.random.Generator, size: int | tuple[int, int], mean: float = 3.0) -> np.ndarray:
    """Negative binomial: a variance of eleven times the mean."""
    return rng.negative_binomial(0.3, 0.3 / (0.3 + mean), size).astype(float)


def unusable(control: list[float], treatment: list[float]) -> Check | None:
    analysis = look_at(planned(), alternating(control, treatment, "errors"))
    return next((check for check in analysis.checks if check.name == "unusable_values"), None)


@pytest.mark.parametrize(("value", "words"), [(-1.0, "−1"), (2.5, "2.50")])
def test_what_is_no_count_is_refused_by_name_and_by_arm(value: float, words: str) -> None:
    check = unusable([3.0] * 20, [4.0] * 18 + [value] * 2)
    assert check is not None
    assert check.status == "warning"  # 5% of all; more would fail
    for part in ("errors takes whole numbers from 0", "0 of 20 in control", "2 of 20 in treatment"):
        assert part in check.detail
    assert f"such as {words}" in check.detail
    assert "`kind: mean`" in check.detail


def test_no_event_is_a_count() -> None:
    assert unusable([0.0, 3.0] * 10, [0.0, 1.0] * 10) is None


def test_means_are_compared_by_the_spread_that_was_measured() -> None:
    rng = np.random.default_rng(3)
    control, treatment = uneven(rng, 60), uneven(rng, 60, 1.0)
    [comparison] = look_at(planned(), alternating(control, treatment, "errors")).primary.comparisons
    welch = stats.ttest_ind(treatment, control, equal_var=False)
    assert comparison.difference == pytest.approx(treatment.mean() - control.mean())
    assert comparison.welch is not None
    assert comparison.welch.p_value == pytest.approx(welch.pvalue, rel=1e-6)
    looks = [(k + more, k) for k in range(5, 61) for more in (0, 1) if k + more <= 60]
    p_value = min(1.0, *(1 / e_value(control[:c], treatment[:t]) for c, t in looks))
    assert comparison.evidence.p_value == pytest.approx(p_value, rel=1e-9)


def e_value(control: np.ndarray, treatment: np.ndarray) -> float:
    """The closed form of the t-mixture, g = 0.5, with the larger of Welch's and Student's error."""
    welch, student = (
        stats.ttest_ind(treatment, control, equal_var=equal) for equal in (False, True)
    )
    t, df = min(abs(welch.statistic), abs(student.statistic)), welch.df
    r = 1 / (1 + 0.5 * control.size * treatment.size / (control.size + treatment.size))
    return float(np.sqrt(r) * ((1 + t * t / df) / (1 + r * t * t / df)) ** ((df + 1) / 2))


@pytest.mark.parametrize(("mean", "sd"), [(3.0, 6.0), (0.05, 0.3), (4.0, 2.0), (6.0, 1.5)])
def test_a_stated_baseline_is_drawn_in_whole_numbers(mean: float, sd: float) -> None:
    drawn = count.drawn(mean, sd, (400, 500), np.random.default_rng(5))
    assert np.all((drawn >= 0) & (drawn == np.floor(drawn)))
    assert drawn.mean() == pytest.approx(mean, rel=0.03)
    assert drawn.std() == pytest.approx(sd, rel=0.04)


@pytest.mark.parametrize(("mean", "sd"), [(2.0**53, 1e300), (4.0, 1e300), (2.0**53, 0.0)])
def test_the_largest_counts_are_drawn_too(mean: float, sd: float) -> None:
    drawn = count.drawn(mean, sd, (20, 50), np.random.default_rng(5))
    assert np.all((drawn >= 0) & (drawn <= 1.01 * 2**53))


def test_nothing_happens_where_the_mean_is_nothing() -> None:
    assert not count.drawn(0.0, 1.0, (3, 4), np.random.default_rng(1)).any()


@pytest.mark.parametrize("share", [-1.0, -0.4, 0.0, 0.5])
def test_an_effect_multiplies_events_where_it_applies(share: float) -> None:
    rng = np.random.default_rng(6)
    counts = uneven(rng, (300, 400))
    where = np.zeros(counts.shape, dtype=np.bool_)
    where[:, ::2] = True
    other = count.multiplied(counts, share, where, rng)
    assert np.all((other >= 0) & (other == np.floor(other)))
    assert np.array_equal(other[~where], counts[~where])
    expected = (1 + share) * counts[where].mean()
    assert other[where].mean() == pytest.approx(expected, rel=0.01, abs=1e-12)
    if share > -1:  # still far from Poisson
        assert other[where].var() > 5 * other[where].mean()


@pytest.mark.parametrize(
    ("effect", "change"), [(Limit(0.3, True), -0.9), (Limit(-0.5, False), 0.5)]
)
def test_an_effect_is_what_it_says_from_a_pilot(effect: Limit, change: float) -> None:
    rng, experiment = np.random.default_rng(7), planned()
    control = rng.permutation(np.repeat([0.0, 1.0, 2.0, 9.0], 10))
    source = source_of(experiment, trial_columns(alternating(control, control, "errors")))
    assert source is not None
    simulated = simulated_trials(
        experiment, source, scenario_of_effect(experiment, effect), (300, 400), rng
    )
    values = simulated.values["errors"]
    assert set(np.unique(values[simulated.arm == 0])) == {0.0, 1.0, 2.0, 9.0}
    difference = values[simulated.arm == 1].mean() - values[simulated.arm == 0].mean()
    assert difference == pytest.approx(change, rel=0.03)


@pytest.mark.slow
@pytest.mark.parametrize("pilot", ["none", "alone", "pairs"])
def test_a_plan_for_counts_is_simulated(pilot: str) -> None:
    rng = np.random.default_rng(8)
    job = rng.poisson(3.0, 40)
    control, treatment = (job + rng.poisson(1.0, 40).astype(float) for _ in range(2))
    trials = {"none": [], "alone": alternating, "pairs": in_pairs}[pilot]
    primary = Metric(
        "errors",
        "primary",
        "count",
        "decrease",
        minimum_effect=Limit(0.5, True),
        max_regression=Limit(0.2, True),
        baseline=Baseline(4.0, 2.5) if pilot == "none" else None,
    )
    design = "paired" if pilot == "pairs" else "blocked"
    experiment = planned(primary=primary, design=design, sample_size=60)
    report = plan_report(
        experiment,
        trial_columns(trials(control, treatment, "errors") if callable(trials) else []),
        None,
        experiments=200,
    )
    rows = {row.scenario: row for row in report.operating_characteristics}
    assert rows["no_effect"].promote <= 0.05
    assert rows["hoped_effect"].promote >= 0.9
    assert rows["harm_twice"].promote == 0


def alarms(values: Callable[[np.random.Generator, tuple[int, int]], np.ndarray]) -> float:
    """How often an effect shows where there is none, at any look to 60 units per arm."""
    experiment = planned(sample_size=60)
    rng, size = np.random.default_rng(9), (1500, 130)
    stated = planned(primary=Metric(**{**vars(ERRORS), "baseline": Baseline(1, 1)}))
    source = source_of(stated, trial_columns([]))
    assert source is not None
    trials = simulated_trials(
        experiment, source, scenario_of_effect(experiment, Limit(0, False)), size, rng
    )
    trials = type(trials)(trials.arm, 2, {"errors": values(rng, size)}, trials.failed)
    evidence = Simulation(experiment, trials, 60).compared["errors", 1]
    return float((evidence.p_value <= 0.05).any(axis=1).mean())


@pytest.mark.parametrize(
    "values",
    [
        lambda rng, size: rng.poisson(4.0, size).astype(float),
        uneven,
        lambda rng, size: np.where(rng.random(size) < 0.8, 0.0, rng.poisson(10.0, size)),
        lambda rng, size: rng.poisson(0.05, size).astype(float),
    ],
    ids=["poisson", "negative binomial", "zero-inflated", "rare"],
)
def test_uneven_counts_call_no_more_than_alpha_false(
    values: Callable[[np.random.Generator, tuple[int, int]], np.ndarray],
) -> None:
    assert alarms(values) <= 0.05

"""Covariates within pairs, blocks by arrival, a unit's own history."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest

from expci.core.dataset.recorded import trial_columns
from expci.core.dataset.trials_table import TrialsTable, trials_table
from expci.core.model.experiment import Assignment, Limit, Metric
from expci.core.model.results import Comparison
from expci.core.model.trial import Trial, timestamp
from expci.core.spec.advice import advise
from expci.core.statistics import ancova_pairs
from expci.core.statistics.t_mixture import Rules
from expci.core.statistics.two_arms import sample
from support.analysis_samples import (
    START,
    alternating,
    in_pairs,
    look_at,
    make_experiment,
    make_trial,
)
from support.evidence import by_looks

SCORE = Metric(
    "score",
    "primary",
    "mean",
    "increase",
    minimum_effect=Limit(0.5, False),
    max_regression=Limit(5.0, False),
    adjust_by=("size",),
)


def pairs_with_sizes(rng: np.random.Generator, n: int, effect: float) -> list[Trial]:
    """Scores that grow with the size of what each run worked on."""
    sizes = rng.normal(size=(2, n))
    values = 20 + 2 * sizes + rng.normal(0, 0.5, (2, n)) + np.array([[0.0], [effect]])
    trials = in_pairs(values[0], values[1], "score")
    return [
        replace(t, covariates={"size": float(sizes[int(t.arm == "treatment"), i // 2])})
        for i, t in enumerate(trials)
    ]


def adjusted(trials: list[Trial], names: tuple[str, ...]) -> ancova_pairs.AdjustedPairs:
    table = trials_table(trial_columns(trials), ("control", "treatment"), True)
    plain = sample(table, 1, table.metric("score"), True)
    found = ancova_pairs.adjusted_pairs(table, plain, names)
    assert found is not None
    return found


def comparison(trials: list[Trial], metric: Metric = SCORE, **changes: object) -> Comparison:
    experiment = make_experiment(primary=metric, **changes)  # type: ignore[arg-type]
    return look_at(experiment, trials).primary.comparisons[0]


def test_the_effect_is_the_intercept_of_least_squares_at_every_prefix() -> None:
    trials = pairs_with_sizes(np.random.default_rng(1), 40, 0.4)
    looks = adjusted(trials, ("size",)).looks()
    assert looks is not None
    arms = {arm: [t for t in trials if t.arm == arm][:40] for arm in ("control", "treatment")}
    picks: tuple[Callable[[Trial], float | str], ...] = (
        lambda t: t.metrics["score"],
        lambda t: t.covariates["size"],
    )
    score, size = (
        {arm: np.array([pick(t) for t in found]) for arm, found in arms.items()} for pick in picks
    )
    first = np.array([1.0 if t.order == 1 else -1.0 for t in arms["treatment"]])
    d, z = (found["treatment"] - found["control"] for found in (score, size))
    for n in (10, 25, 40):
        design = np.column_stack([np.ones(n), first[:n], z[:n]])
        fit, rest, *_ = np.linalg.lstsq(design, d[:n], rcond=None)
        variance = rest[0] / (n - 3) * np.linalg.inv(design.T @ design)[0, 0]
        assert looks.difference[0, n - 1] * looks.scale == pytest.approx(fit[0], rel=1e-9)
        assert looks.error[0, n - 1] * looks.scale == pytest.approx(math.sqrt(variance), rel=1e-9)
        assert looks.df[0, n - 1] == n - 3
        assert 1 / looks.n_e[0, n - 1] == pytest.approx(np.linalg.inv(design.T @ design)[0, 0])


def test_without_covariates_it_is_the_order_adjusted_t() -> None:
    trials = pairs_with_sizes(np.random.default_rng(2), 30, 0.0)
    table = trials_table(trial_columns(trials), ("control", "treatment"), True)
    plain = sample(table, 1, table.metric("score"), True)
    mine, known = ancova_pairs.AdjustedPairs(plain, ()).looks(), plain.looks()
    assert mine is not None
    assert known is not None
    for name in ("difference", "error", "control", "control_variance", "covariance", "n_e"):
        factor = 1.0 if name == "n_e" else mine.scale / known.scale
        factor = factor**2 if "variance" in name else factor
        ours = getattr(mine, name)[:, 4:] * factor
        assert ours == pytest.approx(getattr(known, name)[:, 4:], rel=1e-8), name


@pytest.mark.slow
def test_a_covariate_that_differs_within_pairs_saves_pairs() -> None:
    rng, plain, with_it = np.random.default_rng(3), 0, 0
    for _ in range(20):
        trials = pairs_with_sizes(rng, 36, 0.6)
        for names in ((), ("size",)):
            found = comparison(trials, replace(SCORE, adjust_by=names), design="paired")
            shown = (found.evidence.p_value or 1.0) <= 0.05
            plain, with_it = plain + shown * (not names), with_it + shown * bool(names)
    assert plain <= 4
    assert with_it >= 17
    assert any("adjusted by size: 9" in note for note in found.notes)
    assert "covariates" in found.evidence.method
    assert found.difference == pytest.approx(0.6, abs=0.35)


def test_what_is_alike_in_both_runs_of_a_pair_explains_nothing() -> None:
    trials = pairs_with_sizes(np.random.default_rng(4), 20, 0.0)
    shared = [replace(t, covariates={"size": float(i // 2)}) for i, t in enumerate(trials)]
    found = comparison(shared, design="paired")
    assert "not adjusted by size: it never differed within a pair" in found.notes
    assert found.evidence.method == "anytime"


@pytest.mark.slow
def test_errors_stay_under_alpha_with_a_look_at_every_pair() -> None:
    rng, runs, wins, harms = np.random.default_rng(5), 300, 0, 0
    rules = Rules(0.05, 1, ancova_pairs.START, 0.35)
    for _ in range(runs):
        looks = adjusted(pairs_with_sizes(rng, 40, 0.0), ("size",)).looks()
        found = by_looks(looks, rules)
        assert found is not None
        wins += found.p_value <= 0.05
        harms += found.harm_p_value <= 0.05
    assert max(wins, harms) / runs <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / runs)


@pytest.mark.parametrize("mode", ["anytime", "fixed", "group-sequential"])
def test_modes_and_durations_are_adjusted_in_pairs_too(mode: str) -> None:
    trials = pairs_with_sizes(np.random.default_rng(6), 40, -6.0)
    metric = replace(SCORE, kind="duration", direction="decrease", minimum_effect=Limit(0.1, True))
    experiment = make_experiment(primary=metric, design="paired", inference=mode, sample_size=40)
    analysis = look_at(experiment, trials)
    assert analysis.decision.verdict == "promote"
    assert analysis.primary.comparisons[0].difference == pytest.approx(-6.0, abs=0.5)


def test_blocks_by_arrival_cancel_what_drifts() -> None:
    rng = np.random.default_rng(7)
    drift = np.cumsum(rng.normal(0, 3, 40))
    control, treatment = 100 + drift + rng.normal(0, 1, (2, 40)) + np.array([[0.0], [1.5]])
    trials = alternating(control, treatment, "score")
    blocked = replace(SCORE, adjust_by=("block",))
    found = comparison(trials, blocked, design="blocked")
    plain = comparison(trials, replace(SCORE, adjust_by=()), design="blocked")
    d = treatment - control
    assert found.difference == pytest.approx(d.mean())
    assert (found.evidence.p_value or 1.0) <= 0.05 < (plain.evidence.p_value or 0.0)
    assert any(note.startswith("adjusted by block") for note in found.notes)
    # the second unit of control comes before the first of the treatment: still k-th beside k-th
    late = [trials[0], trials[2], trials[1], *trials[3:]]
    assert comparison(late, blocked, design="blocked").difference == pytest.approx(d.mean())
    both = comparison(trials, replace(SCORE, adjust_by=("block", "size")), design="blocked")
    assert any("not adjusted by size" in note for note in both.notes)


def test_blocks_are_refused_where_there_are_none() -> None:
    control, treatment = np.random.default_rng(8).normal(20, 1, (2, 20))
    trials = alternating(control, treatment, "score")
    blocked = replace(SCORE, adjust_by=("block",))
    assert any("only `blocked` designs" in n for n in comparison(trials, blocked).notes)
    uneven = {"control": 1.0, "treatment": 3.0}
    found = comparison(trials, blocked, design="blocked", weights=uneven)
    assert any("equal weights" in note for note in found.notes)
    again = [replace(t, unit=f"{t.arm}-{i // 4}") for i, t in enumerate(trials)]
    found = comparison(again, blocked, design="blocked")
    assert "not adjusted by block: a unit has several trials" in found.notes
    pairs = pairs_with_sizes(np.random.default_rng(9), 20, 0.0)
    found = comparison(pairs, blocked, design="paired")
    assert "not adjusted by block: pairs are blocks already" in found.notes


def by_actor(rng: np.random.Generator, actors: int, effect: float) -> list[Trial]:
    """Every actor ran under an earlier plan's control five times, then once in this experiment."""
    skill = rng.normal(0, 2, actors)
    past = [
        make_trial(
            10_000 + 5 * a + i,
            "control",
            plan="b" * 64,
            unit=f"actor-{a}",
            started=timestamp(START - timedelta(days=9)),
            metrics={"score": float(20 + skill[a] + rng.normal(0, 0.5))},
        )
        for a in range(actors)
        for i in range(5)
    ]
    now = [
        make_trial(
            a,
            ("control", "treatment")[a % 2],
            unit=f"actor-{a}",
            metrics={"score": float(20 + skill[a] + effect * (a % 2) + rng.normal(0, 0.5))},
        )
        for a in range(actors)
    ]
    return past + now


def test_the_history_of_a_unit_is_taken_out_of_its_result() -> None:
    trials = by_actor(np.random.default_rng(10), 80, 0.7)
    asked = replace(SCORE, adjust_by=("history",))
    found = comparison(trials, asked)
    assert (found.evidence.p_value or 1.0) <= 0.05
    assert found.difference == pytest.approx(0.7, abs=0.3)
    assert any("adjusted by history: 9" in note for note in found.notes)
    without = comparison(trials, replace(SCORE, adjust_by=()))
    assert (without.evidence.p_value or 0.0) > 0.05


def test_only_what_control_did_before_is_history() -> None:
    trials = by_actor(np.random.default_rng(11), 40, 0.7)
    asked = replace(SCORE, adjust_by=("history",))
    known = comparison(trials, asked)
    # what an earlier plan's treatment did, and what arrives after the start, changes nothing
    others = [
        replace(trials[0], id="x" * 26, arm="treatment", metrics={"score": 900.0}),
        *trials,
        replace(trials[1], id="y" * 26, metrics={"score": -900.0}),
    ]
    assert comparison(others, asked).difference == known.difference
    alone = [t for t in trials if t.plan != "b" * 64]
    assert "not adjusted by history: it never varied" in comparison(alone, asked).notes


def test_the_validator_knows_where_history_and_blocks_are() -> None:
    asked = replace(SCORE, adjust_by=("history", "block"))
    experiment = make_experiment(primary=asked)
    lines = advise(experiment, {})
    assert any("history, but a run never comes back" in line for line in lines)
    assert any("names block" in line for line in lines)
    apt = replace(experiment, assignment=Assignment(unit="actor", design="blocked"))
    assert not any("adjust_by" in line for line in advise(apt, {}))


def test_the_estimate_its_gain_and_control_beside_it() -> None:
    trials = pairs_with_sizes(np.random.default_rng(12), 20, 0.4)
    units = adjusted(trials, ("size",))
    control, treatment = units.plain.pair_values()
    sizes = [
        np.array([t.covariates["size"] for t in trials if t.arm == arm], dtype=float)
        for arm in ("control", "treatment")
    ]
    first = np.array([1.0 if t.order == 1 else -1.0 for t in trials if t.arm == "treatment"])
    design = np.column_stack([np.ones(20), first, sizes[1] - sizes[0]])
    d = treatment - control
    fit, rest, *_ = np.linalg.lstsq(design, d, rcond=None)
    inverse = np.linalg.inv(design.T @ design)
    estimated, plain = units.estimated(), units.plain.estimated()
    assert estimated is not None
    assert plain is not None
    assert units.difference() == estimated.estimate == pytest.approx(fit[0])
    assert estimated.error == pytest.approx(math.sqrt(rest[0] / 17 * inverse[0, 0]))
    assert estimated.df == 17
    assert estimated.residual_sd == pytest.approx(math.sqrt(rest[0] / 17))
    assert units.gain() == pytest.approx(1 - (estimated.error / plain.error) ** 2)
    assert units.control_mean().mean == pytest.approx(control.mean())
    assert units.n == 20
    assert units.until(7).n == 7
    looks = units.looks()
    assert looks is not None
    assert not looks.valid[0, :3].any()  # three regressors and nothing to spare
    assert looks.valid[0, 3:].all()


def test_too_few_pairs_have_the_plain_estimate_and_no_gain() -> None:
    trials = pairs_with_sizes(np.random.default_rng(13), 3, 0.4)
    units = adjusted(trials, ("size",))
    assert units.estimated() is None
    assert units.gain() is None
    assert units.difference() == units.plain.difference()
    none = units.until(0)
    assert none.looks() is None
    apart = ancova_pairs.AdjustedPairs(replace(units.plain, pairs=None), units.covariates)
    assert apart.looks() is None
    far = np.array([-1.7e308, -1.7e308, -1.7e308, -1.7e308, -1.7e308, 1.7e308])
    for column in (np.ones(6), far):  # alike, or further apart than a float reaches
        same = replace(units.plain, column=column)
        assert ancova_pairs.AdjustedPairs(same, units.covariates).looks() is None


def test_the_kth_units_that_arrive_make_a_block() -> None:
    arm = np.array([0, 0, 1, 0, 1, 0])
    column = np.array([1.0, 2.0, 11.0, np.nan, 12.0, 3.0])
    table = TrialsTable(trial_columns([]), ("control", "treatment"), False, arm, np.arange(6))
    blocks = ancova_pairs.arrival_blocks(table, 1, column)
    assert blocks is not None
    assert blocks.pairs is not None
    assert [values.tolist() for values in blocks.pair_values()] == [[1.0, 2.0], [11.0, 12.0]]
    assert (blocks.pairs.lone_control, blocks.pairs.lone_treatment) == (1, 0)
    assert blocks.pairs.treatment_first.tolist() == [0, 0]
    assert blocks.control.final.tolist() == [1, 2, 3]
    assert blocks.treatment.final.tolist() == [11, 12]
    again = replace(table, unit=np.array([0, 0, 1, 2, 3, 4]))
    assert ancova_pairs.arrival_blocks(again, 1, column) is None


def test_covariates_that_differ_in_no_pair_are_left_out() -> None:
    trials = [
        replace(t, covariates={**t.covariates, "block": float(i // 2)})
        for i, t in enumerate(pairs_with_sizes(np.random.default_rng(14), 9, 0.0))
    ]
    assert len(adjusted(trials, ("size", "block")).covariates) == 1
    table = trials_table(trial_columns(trials), ("control", "treatment"), True)
    plain = sample(table, 1, table.metric("score"), True)
    assert ancova_pairs.adjusted_pairs(table, plain, ("block",)) is None
    apart = sample(table, 1, table.metric("score"), False)
    assert ancova_pairs.adjusted_pairs(table, apart, ("size",)) is None


def test_pairs_on_few_tasks_are_adjusted_by_the_means_of_each() -> None:
    trials = [
        replace(t, unit=f"task-{i // 2 % 4}")
        for i, t in enumerate(pairs_with_sizes(np.random.default_rng(15), 10, 0.0))
    ]
    units = adjusted(trials, ("size",))
    sizes = np.array([float(t.covariates["size"]) for t in trials])
    scaled = (sizes - sizes.min()) / np.ptp(sizes)  # a column of numbers is scaled to 0..1
    treated = np.array([t.arm == "treatment" for t in trials])
    apart = scaled[treated] - scaled[~treated]
    pairs, [column] = units.plain.pairs, units.covariates
    assert pairs is not None
    assert column[pairs.treatment] - column[pairs.control] == pytest.approx(
        [apart[task::4].mean() for task in range(4)]
    )

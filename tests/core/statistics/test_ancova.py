"""Covariates and outliers: analysis of covariance against least squares, winsorising."""

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from expci.core.dataset.metric_columns import metric_column
from expci.core.dataset.recorded import trial_columns
from expci.core.dataset.trials_table import TrialsTable, trials_table
from expci.core.dataset.unit_paths import unit_path
from expci.core.model.experiment import Limit, Metric
from expci.core.model.trial import Trial
from expci.core.statistics import ancova
from expci.core.statistics.t_mixture import Rules
from expci.core.statistics.two_arms import Sample
from support.analysis_samples import alternating, in_pairs, look_at, make_experiment, make_trial
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
CPUS = ("EPYC 7763", "Xeon 8370C", "EPYC 9V74")


def runs_of(rng: np.random.Generator, n: int, effect: float, slope: float = 2.0) -> list[Trial]:
    trials = []
    for index in range(2 * n):
        size, cpu = rng.normal(), int(rng.integers(3))
        treated = index % 2
        score = 20 + slope * size + 3 * cpu + effect * treated + rng.normal(0, 0.5)
        trials.append(
            make_trial(
                index,
                ("control", "treatment")[treated],
                metrics={"score": float(score)},
                covariates={"size": float(size)},
                context={"cpu": CPUS[cpu]},
            )
        )
    return trials


def adjusted(trials: list[Trial], names: tuple[str, ...]) -> ancova.Adjusted:
    table = trials_table(trial_columns(trials), ("control", "treatment"), False)
    column = table.metric("score")
    found = ancova.adjusted(table, 1, column, names)
    assert found is not None
    return found


def test_the_estimate_is_least_squares_at_every_prefix() -> None:
    trials = runs_of(np.random.default_rng(1), 40, 0.4)
    looks = adjusted(trials, ("size", "cpu")).looks()
    assert looks is not None
    for n in (20, 41, 80):
        part = trials[:n]
        y = np.array([t.metrics["score"] for t in part])
        treated = np.array([t.arm == "treatment" for t in part], dtype=float)
        size = np.array([t.covariates["size"] for t in part], dtype=float)
        cpus = [np.array([t.context["cpu"] == cpu for t in part], dtype=float) for cpu in CPUS[1:]]
        design = np.column_stack([np.ones(n), treated, size, *cpus])
        fit, rest, *_ = np.linalg.lstsq(design, y, rcond=None)
        assert looks.difference[0, n - 1] * looks.scale == pytest.approx(fit[1], rel=1e-8)
        # with one residual variance for both arms the error would be exactly this
        pooled = rest[0] / (n - 5) * np.linalg.inv(design.T @ design)[1, 1]
        assert looks.error[0, n - 1] * looks.scale == pytest.approx(math.sqrt(pooled), rel=0.05)


@pytest.mark.slow
def test_a_covariate_that_explains_much_saves_trials() -> None:
    rng = np.random.default_rng(2)
    plain, with_it = 0, 0
    for _ in range(20):
        trials = runs_of(rng, 40, 0.6)
        for names in ((), ("size", "cpu")):
            metric = replace(SCORE, adjust_by=names)
            found = look_at(make_experiment(primary=metric), trials).primary.comparisons[0]
            shown = (found.evidence.p_value or 1.0) <= 0.05
            plain, with_it = plain + shown * (not names), with_it + shown * bool(names)
    assert plain <= 4
    assert with_it >= 17
    with_covariates = make_experiment(primary=replace(SCORE, adjust_by=("size", "cpu")))
    found = look_at(with_covariates, trials).primary.comparisons[0]
    notes = found.notes
    assert any("adjusted by size, cpu: 9" in note and "less variance" in note for note in notes)
    assert "covariates" in found.evidence.method


@pytest.mark.slow
@pytest.mark.parametrize("names", [("size",), ("size", "cpu")])
def test_errors_stay_under_alpha_with_a_look_at_every_trial(names: tuple[str, ...]) -> None:
    rng, runs, wins, misses = np.random.default_rng(3), 250, 0, 0
    rules = Rules(0.05, 1, ancova.START, 0.35)
    for _ in range(runs):
        looks = adjusted(runs_of(rng, 50, 0.0), names).looks()
        found = by_looks(looks, rules)
        assert found is not None
        wins += found.p_value <= 0.05
        misses += not found.interval[0] <= 0 <= found.interval[1]
    assert wins / runs <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / runs)
    assert misses == wins


def test_unknown_values_and_useless_covariates() -> None:
    trials = runs_of(np.random.default_rng(4), 30, 0.6)
    gaps = [replace(t, covariates={}) if i % 5 == 0 else t for i, t in enumerate(trials)]
    found = look_at(make_experiment(primary=SCORE), gaps).primary
    assert found.arms["control"].n == 30  # nobody is dropped for a gap
    assert found.comparisons[0].difference is not None
    none = [replace(t, covariates={}) for t in trials]
    notes = look_at(make_experiment(primary=SCORE), none).primary.comparisons[0].notes
    assert "not adjusted by size: it never varied" in notes
    control, treatment = np.random.default_rng(5).normal(20, 1, (2, 12))
    paired = make_experiment(primary=SCORE, design="paired")
    notes = look_at(paired, in_pairs(control, treatment, "score")).primary.comparisons[0].notes
    assert any("not adjusted by size: it never differed" in note for note in notes)


def test_modes_and_durations_are_adjusted_too() -> None:
    trials = runs_of(np.random.default_rng(6), 40, -6.0)
    metric = replace(SCORE, kind="duration", direction="decrease", minimum_effect=Limit(0.1, True))
    for mode in ("anytime", "fixed", "group-sequential"):
        experiment = make_experiment(primary=metric, inference=mode, sample_size=40)
        analysis = look_at(experiment, trials)
        assert analysis.decision.verdict == "promote", mode
        found = analysis.primary.comparisons[0]
        assert found.difference == pytest.approx(-6.0, abs=0.5)


def test_outliers_are_pulled_in_by_what_came_before_and_counted() -> None:
    rng = np.random.default_rng(7)
    control, treatment = rng.normal(20, 1, (2, 60))
    control[40] = 1e6
    treatment[50] = -1e6
    metric = replace(SCORE, adjust_by=(), winsorize=0.95)
    trials = alternating(control, treatment, "score")
    found = look_at(make_experiment(primary=metric), trials)
    comparison = found.primary.comparisons[0]
    assert comparison.difference == pytest.approx(
        treatment[:50].mean() - control[:40].mean(), abs=0.4
    )
    assert any(note.startswith("winsorized: ") for note in comparison.notes)
    table = trials_table(trial_columns(trials), ("control", "treatment"), False)
    values = metric_column(metric, table, 100.0)
    for n in (30, 70, 110):  # what comes later changes nothing
        part = trials_table(trial_columns(trials[:n]), ("control", "treatment"), False)
        assert metric_column(metric, part, 100.0).value == pytest.approx(values.value[:n])
    assert values.value[80] == sorted(t.metrics["score"] for t in trials[:81])[76]
    few = trials_table(trial_columns(trials[:19]), ("control", "treatment"), False)
    assert metric_column(metric, few, 100.0).winsorized == 0  # under 1/(1 − .95) nothing is
    assert look_at(
        make_experiment(primary=replace(metric, winsorize=None)), trials
    ).primary.comparisons[0].difference == pytest.approx(treatment.mean() - control.mean())


def table_of(sizes: list[float | str | None], arm: str = "control") -> TrialsTable:
    trials = [
        make_trial(i, arm, covariates={} if size is None else {"size": size})
        for i, size in enumerate(sizes)
    ]
    return trials_table(trial_columns(trials), ("control", "treatment"), False)


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ([3.0, 7.0, 4.0], [[0.0, 1.0, 0.25]]),
        ([3.0, None, 7.0], [[0.0, 0.0, 1.0], [0.0, 1.0, 0.0]]),  # and that it is unknown
        ([5.0, 5.0, 5.0], []),
        ([5.0, None, 5.0], []),
        ([None, None, None], []),
        (["a", "b", "a", "c"], [[0, 1, 0, 0], [0, 0, 0, 1]]),
        (["a", None, "a"], [[0, 1, 0]]),
        ([1.0, "b", 1.0], [[0, 1, 0]]),
        ([1.0, "b", 2.0], [[0, 1, 0], [0, 0, 1]]),
        # the eighth level and those after it count as the first
        ([*"abcdefghij"], [[float(i == k) for i in range(10)] for k in range(1, 8)]),
    ],
)
def test_covariates_as_columns(
    sizes: list[float | str | None], expected: list[list[float]]
) -> None:
    columns = ancova.columns(table_of(sizes), ["size"])
    assert [column.tolist() for column in columns] == expected


def test_the_processor_is_known_from_the_run() -> None:
    trials = [
        make_trial(0, "control", context={"cpu": "a"}),
        make_trial(1, "control", context={"cpu": "b"}),
        make_trial(2, "control", context={"cpu": "a", "size": "9"}, covariates={"cpu": "b"}),
    ]
    table = trials_table(trial_columns(trials), ("control",), False)
    assert [column.tolist() for column in ancova.columns(table, ["cpu"])] == [[0, 1, 1]]
    assert ancova.columns(table, ["size"]) == ()


def test_the_share_that_covariates_leave_is_one_less_the_adjusted_r_squared() -> None:
    rng = np.random.default_rng(21)
    size = rng.normal(size=30)
    y = 50 + 2 * size + rng.normal(size=30)
    table = table_of(size.tolist())
    for units in (30, 12):
        r = stats.linregress(size[:units], y[:units]).rvalue
        expected = (1 - r**2) * (units - 1) / (units - 2)
        assert ancova.unexplained(table, y, ["size"], units) == pytest.approx(expected)
    assert ancova.unexplained(table, y, ["weather"], 30) == 1
    assert ancova.unexplained(table, np.ones(30), ["size"], 30) == 1
    assert ancova.unexplained(table, y, ["size"], 2) == 1  # a line through two points
    useless = y - np.polyval(np.polyfit(size, y, 1), size)  # nothing of it is explained
    assert ancova.unexplained(table, useless, ["size"], 30) == 1


def test_generalised_inverses_have_moores_and_penroses_properties() -> None:
    rng = np.random.default_rng(22)
    full, thin = rng.normal(size=(3, 5)), rng.normal(size=(3, 2))
    matrices = np.stack([full @ full.T, thin @ thin.T, np.zeros((3, 3)), 1e-30 * full @ full.T])
    inverse, rank = ancova.generalised_inverse(matrices)
    assert rank.tolist() == [3, 2, 0, 3]
    assert inverse[0] == pytest.approx(np.linalg.inv(matrices[0]))
    for a, b in zip(matrices, inverse, strict=True):
        assert a @ b @ a == pytest.approx(a)
        assert b @ a @ b == pytest.approx(b)
        assert b == pytest.approx(b.T)
    nearly = np.diag([1.0, 2e-9, 0.5e-9])[None]
    assert ancova.generalised_inverse(nearly)[1].tolist() == [2]


def by_formula(y: np.ndarray, z: np.ndarray, treated: np.ndarray) -> tuple[float, ...]:
    """Cochran's (1957) estimate, its squared error, n_e and df, by sums over each arm."""
    arms = [(y[treated == k], z[treated == k]) for k in (0, 1)]
    sxx = sum((x - x.mean(axis=0)).T @ (x - x.mean(axis=0)) for _, x in arms)
    sxy = sum((x - x.mean(axis=0)).T @ (v - v.mean()) for v, x in arms)
    beta = np.linalg.solve(sxx, sxy)
    gap = arms[1][1].mean(axis=0) - arms[0][1].mean(axis=0)
    rests = [v - v.mean() - (x - x.mean(axis=0)) @ beta for v, x in arms]
    n, p = [v.size for v, _ in arms], z.shape[1]
    spare = sum(n) - 2 - p
    stretch = (sum(n) - 2) / spare
    own = [stretch * float(r @ r) / (m * (m - 1)) for r, m in zip(rests, n, strict=True)]
    within = sum((m - 1) * m * v for m, v in zip(n, own, strict=True))
    student = within / (sum(n) - 2) * sum(1 / m for m in n)
    lever = float(gap @ np.linalg.solve(sxx, gap))
    square = max(sum(own), student) + sum(float(r @ r) for r in rests) / spare * lever
    estimate = arms[1][0].mean() - arms[0][0].mean() - float(gap @ beta)
    satterthwaite = sum(own) ** 2 / sum(v**2 / (m - 1) for m, v in zip(n, own, strict=True))
    return estimate, square, 1 / (sum(1 / m for m in n) + lever), satterthwaite / stretch


@pytest.mark.parametrize("size", [1e-8, 1.0, 1e8])
def test_the_error_is_cochrans_at_every_look(size: float) -> None:
    rng = np.random.default_rng(23)
    n, treated = 26, (rng.random(26) < 0.4).astype(int)
    z = rng.normal(size=(n, 2))
    y = size * (10 + z @ [2.0, -1.0] + treated + rng.normal(size=n) * (1 + treated))
    row = np.arange(n)
    arms = [
        Sample(unit_path(treated == 0, row, column), unit_path(treated == 1, row, column))
        for column in (y, z[:, 0], z[:, 1])
    ]
    units = ancova.Adjusted(arms[0], (arms[1], arms[2]))
    looks = units.looks()
    assert looks is not None
    seen = 0
    for rows in range(8, n + 1):
        part = treated[:rows]
        if min(part.sum(), rows - part.sum()) < 3:
            continue
        estimate, square, n_e, df = by_formula(y[:rows], z[:rows], part)
        at, seen = rows - 1, seen + 1
        assert looks.difference[0, at] * looks.scale == pytest.approx(estimate)
        assert looks.error[0, at] ** 2 * looks.scale**2 == pytest.approx(square)
        assert looks.n_e[0, at] == pytest.approx(n_e)
        assert looks.df[0, at] == pytest.approx(df)
        assert looks.n[0, at] == min(part.sum(), rows - part.sum())
        assert looks.valid[0, at]
    assert seen > 10
    difference, plain = units.estimated(), arms[0].estimated()
    assert difference is not None
    assert plain is not None
    assert (difference.estimate, difference.error**2) == pytest.approx((estimate, square))
    assert difference.df == pytest.approx(df)
    assert units.difference() == difference.estimate
    gap = (arms[0].difference() or 0.0) - difference.estimate
    assert units.control_mean().mean == pytest.approx(y[treated == 0].mean() + gap * treated.mean())
    control = looks.control[0, -1] * looks.scale
    assert control == pytest.approx(units.control_mean().mean)
    before = arms[0].looks()
    assert before is not None
    ratio = difference.error / (before.error[0, -1] * float(np.ravel(before.scale)[0]))
    assert units.gain() == pytest.approx(1 - ratio**2)
    then = units.until(5)
    assert then.n == 5
    assert [covariate.n for covariate in then.covariates] == [5, 5]


def test_without_an_error_the_estimate_is_the_plain_one() -> None:
    y, z = np.array([3.0, 5.0, 4.0, 8.0]), np.array([0.0, 1.0, 1.0, 0.0])
    arm = np.array([0, 1, 0, 1])
    arms = [
        Sample(unit_path(arm == 0, np.arange(4), c), unit_path(arm == 1, np.arange(4), c))
        for c in (y, z)
    ]
    for n, spare in ((1, False), (2, True)):  # two each and one slope: one to spare
        units = ancova.Adjusted(arms[0].first(n), (arms[1].first(n),))
        assert (units.estimated() is not None) is spare
        assert (units.gain() is not None) is spare
        if not spare:
            assert units.difference() == 2
            assert units.control_mean().mean == 3
    row, zero = np.arange(4), np.zeros(4)
    flat = Sample(unit_path(arm == 0, row, zero), unit_path(arm == 1, row, zero))
    assert ancova.Adjusted(flat, (arms[1],)).looks() is None
    never = unit_path(arm == 2, np.arange(4), y)
    nothing = ancova.Adjusted(Sample(never, never), (Sample(never, never),))
    assert (nothing.looks(), nothing.estimated(), nothing.difference()) == (None, None, None)
    assert nothing.gain() is None
    exact = Sample(unit_path(arm == 0, np.arange(4), z), unit_path(arm == 1, np.arange(4), z))
    assert ancova.Adjusted(exact, (arms[1],)).estimated() is None  # explained without a rest


def test_values_further_apart_than_a_float_reaches_have_no_estimate() -> None:
    y, z = np.array([-1.7e308, -1.7e308, -1.7e308, 1.7e308]), np.array([0.0, 1.0, 1.0, 0.0])
    row, arm = np.arange(4), np.array([0, 1, 0, 1])
    plain, sizes = (
        Sample(unit_path(arm == 0, row, column), unit_path(arm == 1, row, column))
        for column in (y, z)
    )
    assert ancova.Adjusted(plain, (sizes,)).looks() is None

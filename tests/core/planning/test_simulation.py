"""Many experiments at once must say what one experiment, looked at after every trial, says."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from expci.core.dataset.unit_paths import UnitPath
from expci.core.kinds.trial_arrays import TrialArrays
from expci.core.model.cases import Case as FrozenCase
from expci.core.model.cases import CaseSource
from expci.core.model.experiment import Baseline, Experiment, Limit, Metric
from expci.core.model.trial import Trial, parse_timestamp
from expci.core.planning.simulation import VERDICTS, Simulation, first_decisions
from expci.core.statistics import betting, mean_difference, t_mixture
from expci.core.statistics.t_mixture import Rules
from expci.core.statistics.t_statistic import by_t
from support.analysis_samples import DURATION, SUCCESS, look_at, make_experiment, make_trial
from support.properties import PROFILE, examples

SCORE = Metric("score", "primary", "mean", "increase", minimum_effect=Limit(0.1, True))
COST = Metric("cost", "guardrail", "mean", "decrease", max_regression=Limit(0.05, True))
PASSED = Metric("passed", "primary", "proportion", "increase", minimum_effect=Limit(0.3, False))
FOREVER = datetime.max.replace(tzinfo=UTC)
NOISE = {"duration_s": 0.25, "score": 1.5, "cost": 0.8}


@dataclass(frozen=True)
class Case:
    """One plan with what is true in it; `effect` is on the scale of analysis, per arm."""

    experiment: Experiment
    effect: tuple[float, ...]
    trials: int = 80
    failing: float = 0.0
    unit_size: int = 1
    means: Mapping[str, float] = field(default_factory=dict)
    drawn: tuple[float, ...] | None = None  # shares of a broken assignment
    turns: bool = False  # the effect changes its sign: intervals become empty
    cases: int = 0  # each pair runs on one of so many, in turn


def plan(**changes: Any) -> Experiment:
    return make_experiment(**{"sample_size": 30, "min_trials": 12, **changes})


def on_cases(**changes: Any) -> Experiment:
    frozen = tuple(FrozenCase(f"c{number}", "") for number in range(8))
    source = CaseSource("evals/*", frozen=frozen)
    return replace(plan(design="paired", inference="anytime", **changes), cases=source)


ABSOLUTE = replace(SCORE, minimum_effect=Limit(1.0, False), max_regression=Limit(0.5, False))
HELD = replace(COST, non_inferior=True, max_regression=Limit(1.0, False))
SAFE = replace(SUCCESS, name="safe", non_inferior=True, max_regression=Limit(0.3, False))
FIXED: dict[str, Any] = {"inference": "fixed", "sample_size": 25}
LOOKS: dict[str, Any] = {"inference": "group-sequential", "sample_size": 30, "looks": 4}
AUTO: dict[str, Any] = {
    "inference": "group-sequential",
    "looks": 20,
    "spending": "power",
    "reserve": 0.1,
    "planned_harm": 0.9,
    "sample_size": 40,
}
LONG: dict[str, Any] = {"sample_size": 90, "min_trials": 60}
RATIO_LOOKS: dict[str, Any] = {**LOOKS, "sample_size": 44}
RATE = Metric(
    "cost_per_token",
    "primary",
    "ratio",
    "decrease",
    minimum_effect=Limit(0.1, True),
    denominator="tokens",
)
RANKED = replace(ABSOLUTE, kind="rank", max_regression=Limit(9.0, False))
ERRORS = Metric(
    "errors",
    "primary",
    "count",
    "decrease",
    minimum_effect=Limit(0.5, False),
    max_regression=Limit(0.5, False),
)
LIKED = Metric(
    "preference",
    "primary",
    "preference",
    "increase",
    minimum_effect=Limit(0.15, False),
    max_regression=Limit(0.15, False),
)
MEDIAN = replace(RANKED, kind="quantile", quantile=0.5)
STRICT = replace(DURATION, minimum_effect=Limit(0.1, True), max_regression=Limit(9.0, True))
CASES = {
    "duration": Case(plan(others=(SUCCESS, COST)), (-0.2,), failing=0.1),
    "harm": Case(plan(others=(SUCCESS, COST)), (0.25,), failing=0.05),
    "pairs": Case(plan(design="paired"), (-0.2,), failing=0.1),
    "absolute duration": Case(
        plan(primary=replace(DURATION, minimum_effect=Limit(1.5, False))), (-0.2,), failing=0.05
    ),
    "uneven means": Case(
        plan(
            primary=replace(SCORE, baseline=Baseline(10.0, 1.5)),
            others=(SUCCESS, HELD),
            weights={"control": 1, "treatment": 3},
        ),
        (1.3,),
        trials=150,
    ),
    "pairs of means": Case(plan(primary=ABSOLUTE, others=(HELD,), design="paired"), (1.2,)),
    "relative pairs": Case(plan(primary=SCORE, others=(COST,), design="paired"), (1.2,)),
    "around zero": Case(plan(primary=SCORE, others=()), (2.0,), means={"score": 0.3}),
    "proportion": Case(plan(primary=PASSED, others=(SAFE,), sample_size=40), (0.35,), trials=100),
    "falling proportion": Case(
        plan(
            primary=replace(PASSED, direction="decrease"),
            others=(),
            weights={"control": 2, "treatment": 1},
        ),
        (-0.2,),
        trials=120,
    ),
    "pairs of proportions": Case(plan(primary=PASSED, others=(), design="paired"), (0.1,)),
    "three arms": Case(plan(treatments=("a", "b")), (-0.3, -0.15), trials=120),
    "three arms in blocks": Case(
        plan(treatments=("a", "b"), design="paired"), (-0.15, 0.0), trials=90, failing=0.05
    ),
    "at once": Case(plan(design="paired", min_trials=5), (-2.0,), trials=20),
    "broken assignment": Case(plan(sample_size=200), (0.0,), trials=90, drawn=(0.8, 0.2)),
    "turning": Case(plan(primary=STRICT, others=(), **LONG), (-0.45,), trials=150, turns=True),
    "turning proportion": Case(
        plan(primary=replace(PASSED, minimum_effect=Limit(0.7, False)), others=(), **LONG),
        (0.5,),
        trials=200,
        turns=True,
    ),
    "units": Case(plan(primary=SCORE, others=(COST,)), (1.5,), trials=160, unit_size=4),
    "durations on cases": Case(
        on_cases(others=(SUCCESS, COST), sample_size=40), (-0.2,), 96, failing=0.1, cases=8
    ),
    "means on cases": Case(
        on_cases(primary=ABSOLUTE, others=(SUCCESS, HELD), sample_size=45), (1.2,), 96, cases=8
    ),
    "proportions on cases": Case(
        on_cases(primary=PASSED, others=(SUCCESS, SAFE), sample_size=70), (0.4,), 160, cases=20
    ),
    "ratios on cases": Case(
        on_cases(primary=RATE, others=(SUCCESS, COST), sample_size=90), (-0.12,), 200, cases=24
    ),
    "preferences on cases": Case(
        on_cases(primary=LIKED, others=(SUCCESS,), sample_size=70), (0.3,), 160, cases=12
    ),
    "ranks on cases": Case(
        on_cases(primary=RANKED, others=(SUCCESS,), sample_size=40), (3.0,), 100, cases=10
    ),
    "quantiles on cases": Case(
        on_cases(primary=MEDIAN, others=(SUCCESS,), sample_size=55), (4.0,), 120, cases=14
    ),
    "harm in ranks on cases": Case(
        on_cases(primary=replace(RANKED, max_regression=Limit(0.1, False)), others=(SUCCESS,)),
        (-3.0,),
        100,
        cases=10,
    ),
    "harm on cases": Case(on_cases(others=(SUCCESS,), sample_size=60), (0.4,), 120, cases=6),
    "fixed": Case(plan(others=(SUCCESS,), **FIXED), (-0.15,), trials=70, failing=0.05),
    "fixed pairs": Case(plan(design="paired", **FIXED), (-0.12,), trials=70, failing=0.05),
    "fixed means": Case(plan(primary=SCORE, others=(COST,), **FIXED), (1.2,), trials=70),
    "fixed proportion": Case(plan(primary=PASSED, others=(SUCCESS,), **FIXED), (0.5,), trials=70),
    "fixed units": Case(
        plan(primary=SCORE, others=(COST,), **{**FIXED, "sample_size": 12}),
        (1.5,),
        trials=120,
        unit_size=3,
    ),
    "harm at planned looks": Case(plan(design="paired", **AUTO), (0.12,), trials=80, failing=0.05),
    "ratio": Case(plan(primary=RATE, others=(COST,), sample_size=40), (-0.08,), trials=100),
    "pairs of ratios": Case(
        plan(primary=RATE, others=(COST,), design="paired", sample_size=40), (-0.08,), trials=100
    ),
    "looks at ratios": Case(plan(primary=RATE, others=(), **RATIO_LOOKS), (-0.08,), trials=110),
    "fixed ranks": Case(plan(primary=RANKED, others=(), **FIXED), (1.2,), trials=70),
    "looks at ranks": Case(
        plan(primary=RANKED, others=(), design="paired", **LOOKS), (0.9,), trials=70
    ),
    "looks at quantiles": Case(plan(primary=MEDIAN, others=(), **LOOKS), (1.2,), trials=75),
    "counts": Case(plan(primary=ERRORS, others=(SUCCESS,)), (-1.5,), trials=90, failing=0.05),
    "preference": Case(
        plan(primary=LIKED, others=(SUCCESS,), design="paired", sample_size=60, min_trials=12),
        (0.25,),
        trials=120,
        failing=0.05,
    ),
    "preferred control": Case(
        plan(primary=LIKED, others=(), design="paired", **LONG), (-0.25,), trials=160
    ),
    "preferences of three arms": Case(
        plan(primary=LIKED, others=(), treatments=("a", "b"), design="paired"),
        (0.3, 0.1),
        trials=120,
    ),
    "turning preference": Case(
        plan(primary=LIKED, others=(), design="paired", **LONG),
        (0.45,),
        trials=200,
        turns=True,
    ),
    "looks at preferences": Case(
        plan(primary=LIKED, others=(), design="paired", **LOOKS), (0.25,), trials=70
    ),
    "fixed preference": Case(
        plan(primary=LIKED, others=(), design="paired", **FIXED), (0.25,), trials=70
    ),
    "looks": Case(plan(others=(SUCCESS, COST), **LOOKS), (-0.15,), trials=75, failing=0.05),
    "looks and futility": Case(
        plan(primary=SCORE, others=(HELD,), design="paired", futility=True, **LOOKS),
        (0.4,),
        trials=70,
    ),
    "looks at proportions": Case(
        plan(primary=PASSED, others=(SAFE,), spending="pocock", futility=True, **LOOKS),
        (0.35,),
        trials=75,
    ),
}


def simulate(case: Case, experiments: int, rng: np.random.Generator) -> TrialArrays:
    arms, experiment = len(case.experiment.arms), case.experiment
    paired = experiment.assignment.design == "paired"
    shape = (experiments, case.trials)
    if paired:
        blocks = rng.random((experiments, case.trials // arms, arms))
        arm = np.argsort(blocks, axis=2).reshape(shape).astype(np.int64)
    else:
        weights = [experiment.assignment.weights.get(a.name, 1.0) for a in experiment.arms]
        arm = rng.choice(arms, size=shape, p=case.drawn or np.array(weights) / sum(weights))
    unit = None
    if case.unit_size > 1:
        unit = rng.integers(0, case.trials // case.unit_size, shape)
        arm = np.take_along_axis(rng.integers(0, 2, shape), unit, axis=1)
    if case.cases:
        laps = math.ceil(case.trials / (arms * case.cases))
        order = np.argsort(rng.random((experiments, laps, case.cases)), axis=2)
        unit = np.repeat(order.reshape(experiments, -1), arms, axis=1)[:, : case.trials]
    failed = rng.random(shape) < case.failing
    effect = np.array([0.0, *case.effect])[arm]
    if case.turns:
        effect = np.where(np.arange(case.trials) < 0.3 * case.trials, effect, -effect)
    job = np.repeat(rng.normal(0, 1, (experiments, case.trials // arms)), arms, axis=1)
    values = {}
    for metric in experiment.metrics:
        shift = effect if metric.role == "primary" else 0.0
        if metric.kind == "proportion":
            found = rng.random(shape) < np.clip(0.5 + shift, 0, 1)
            values[metric.name] = (~failed if metric.name == "success" else found).astype(float)
            continue
        if metric.kind == "ratio":
            below = np.exp(rng.normal(3, 0.3, shape) + (0.3 * job if paired else 0.0))
            share = 0.4 * (1 + shift) * (1 + 0.15 * rng.normal(0, 1, shape))
            values |= {metric.name: share * below, metric.denominator or "": below}
            continue
        if metric.kind == "preference":
            drawn, won = rng.random(shape), 0.4 + shift
            answers = np.where(drawn < won, 1.0, np.where(drawn < 0.8, 0.0, 0.5))
            values[metric.name] = np.where(arm == 0, 0.5, answers)
            continue
        if metric.kind == "count":  # negative binomial
            rate = np.maximum(3 + shift + (job if paired else 0.0), 0.1)
            values[metric.name] = rng.poisson(rate * rng.gamma(2, 0.5, shape)).astype(float)
            continue
        noise = NOISE[metric.name] * rng.normal(0, 1, shape)
        if paired:
            noise += NOISE[metric.name] * job
        if case.cases and unit is not None:
            noise += 0.3 * arm * NOISE[metric.name] * np.sin(unit)
        elif unit is not None:
            noise += np.take_along_axis(rng.normal(0, 1, shape), unit, axis=1)
        if metric.kind == "duration":
            values[metric.name] = np.exp(2 + shift + noise)
        else:
            values[metric.name] = case.means.get(metric.name, 10.0) + shift + noise
    return TrialArrays(arm, arms, values, failed, paired, unit)


def records(case: Case, found: TrialArrays, row: int) -> list[Trial]:
    """Row `row` as trial records."""
    names = [arm.name for arm in case.experiment.arms]
    trials = []
    for index in range(found.arm.shape[1]):
        changes: dict[str, Any] = {}
        if found.paired:
            changes = {"block": f"b{index // found.arms}", "order": index % found.arms + 1}
        if found.unit is not None:
            changes["unit"] = f"unit-{found.unit[row, index]}"
        if found.failed[row, index]:
            changes["status"] = "failed"
        metrics = {name: float(column[row, index]) for name, column in found.values.items()}
        arm = names[int(found.arm[row, index])]
        trials.append(make_trial(index, arm, metrics=metrics, **changes))
    return trials


@pytest.mark.slow
@pytest.mark.wide
@pytest.mark.parametrize("name", CASES)
def test_the_batch_says_what_analyse_says_at_every_look(name: str) -> None:
    """In the gate at every fourth look of one experiment, and at some of the others."""
    case, experiments, stride, some = CASES[name], 5, 4, 1
    if PROFILE == "nightly":
        stride, some = 1, 4
    rng = np.random.default_rng(sum(name.encode()))
    found = simulate(case, experiments, rng)
    outcomes = first_decisions(case.experiment, found, case.experiment.plan.sample_size)
    for row in range(experiments):
        trials, step = records(case, found, row), found.arms if found.paired else 1
        last = int(outcomes.look[row])
        verdict = VERDICTS[outcomes.verdict[row]]
        looks = set(range(rng.integers(stride), last, stride)) if row == 0 else set()
        looks |= {int(look) for look in rng.integers(0, max(last, 1), some)}
        for look in sorted(looks | {max(last - 1, 0), last}):
            analysis = look_at(case.experiment, trials[: (look + 1) * step])
            expected = verdict if look == last and verdict != "undecided" else "continue"
            assert analysis.decision.verdict == expected, (name, row, look, analysis.decision)
            if look == last:
                assert analysis.progress.per_arm == outcomes.per_arm[row]


@pytest.mark.parametrize("paired", [False, True])
def test_a_row_does_not_know_of_the_others_or_of_what_comes(paired: bool) -> None:
    """Many rows say what each says alone, cut off at any look; values far from 0 cancel nothing."""
    rng = np.random.default_rng(21)
    values = 1e6 + rng.normal(0, 1e-2, (3, 40))
    arm = np.argsort(rng.random((3, 20, 2)), axis=2).reshape(3, 40)
    rules = Rules(0.05, -1, 5, 0.7)

    def numbers(rows: slice, looks: int) -> list[np.ndarray]:
        upto = slice(2 * looks) if paired else slice(looks)
        part = arm[rows, upto], values[rows, upto]
        trials = TrialArrays(part[0], 2, {}, np.zeros(part[0].shape, np.bool_), paired)
        test = by_t(trials.mean_looks(part[1], 1), rules)
        ends = (*test.interval(), *test.relative())
        return [column[:, -1] for column in (test.log_e(), test.harm_log_e(), *ends)]

    for looks in (3, 11, 20):
        together = numbers(slice(3), looks)
        for row in range(3):
            alone = numbers(slice(row, row + 1), looks)
            assert [x[row] for x in together] == [x[0] for x in alone]


def test_an_outlier_that_comes_later_changes_no_earlier_evidence() -> None:
    rng = np.random.default_rng(5)
    arm, values = np.arange(60)[None, :] % 2, rng.normal(10, 1, (1, 60))
    late = values.copy()
    late[0, 50] = 1e14
    rules = Rules(0.05, 1, 5)
    before, after = (
        by_t(mean_difference.two_sample(arm, v), rules).log_e()[0, :50] for v in (values, late)
    )
    assert before == pytest.approx(after, rel=1e-12)
    assert np.isfinite(before[20:]).all()


@pytest.mark.parametrize("sizes", [(1, 1), (2, 1)])
def test_blocks_of_many_are_those_of_one_experiment(sizes: tuple[int, int]) -> None:
    rng = np.random.default_rng(22)
    arm = rng.integers(0, 2, (4, 60))
    values = (rng.random((4, 60)) < np.where(arm == 1, 0.8, 0.4)).astype(float)
    found = betting.blocks(arm, values, 1, sizes)
    for row in range(4):
        for look in (3, 20, 59):
            control, treatment = (_path(arm[row], values[row], look, i) for i in (0, 1))
            one = betting.blocks_of_units(control, treatment, sizes)
            if not one.new.size:
                assert found.count[row, look] == 0
                continue
            log_e, low = betting.exceeds(one, 0.0)[0, 0], betting.lower_ends(one, 0.025)[0]
            assert betting.exceeds(found, 0.0)[row, look] == pytest.approx(log_e)
            for bound in (-0.5, -0.1, 0.0, 0.2, 0.37):
                above = betting.lower_end_above(found, bound, 0.025)[row, look]
                assert above == (low > bound)


def _path(arm: np.ndarray, values: np.ndarray, look: int, index: int) -> UnitPath:
    position = np.flatnonzero(arm[: look + 1] == index)
    unit = np.arange(position.size)
    return UnitPath(position, unit, values[position], np.full(position.size, np.nan))


@pytest.mark.slow
def test_the_evidence_of_harm_is_the_running_maximum_of_every_look() -> None:
    """Looks that cannot raise the maximum are left out: nothing may be missed by that."""
    rng = np.random.default_rng(31)
    for drift in (-0.4, 0.0, 0.05, 0.6):
        for harm in (1, -1):
            arm = rng.permuted(np.broadcast_to(np.arange(300) % 2, (60, 300)), axis=1)
            value = rng.standard_t(3, (60, 300)) + drift * arm
            rules = Rules(0.05, harm, 5, 0.5)
            found = t_mixture.weighable(mean_difference.two_sample(arm, value), rules)
            every = t_mixture.log_e_value_positive(harm * found.t, found.df, found.n_e, rules.scale)
            largest = np.maximum.accumulate(np.where(found.at, every, -np.inf), axis=1)
            assert found.harm_log_e() == pytest.approx(largest, rel=1e-12)


def _one_by_one(
    metric: Metric, design: str, seed: int, effect: float = 1.2
) -> tuple[Case, TrialArrays, Simulation]:
    experiment = plan(primary=metric, others=(), design=design, sample_size=60)
    case = Case(experiment, (effect,), trials=120)
    found = simulate(case, 10, np.random.default_rng(seed))
    return case, found, Simulation(experiment, found, 60)


@pytest.mark.slow
@pytest.mark.parametrize("design", ["randomized", "paired"])
def test_the_evidence_of_ranks_is_that_of_the_analysis_at_every_look(design: str) -> None:
    case, found, table = _one_by_one(replace(RANKED, max_regression=Limit(0.5, False)), design, 41)
    compared, step = table.compared["score", 1], 2 if found.paired else 1
    for row in range(3):
        trials = records(case, found, row)
        for look in range(20, found.looks, 9):
            one = look_at(case.experiment, trials[: (look + 1) * step]).primary.comparisons[0]
            assert compared.p_value[row, look] == pytest.approx(one.evidence.p_value or 1.0)
            assert compared.harm_p_value[row, look] == pytest.approx(
                one.evidence.harm_p_value or 1.0
            )
            low, high = one.difference_interval or (None, None)
            low, high = (-math.inf if low is None else low), (math.inf if high is None else high)
            assert (compared.absolute.low[row, look] >= 0) == (low >= 0)
            assert (compared.absolute.high[row, look] < 0.5) == (high < 0.5)
            assert (compared.absolute.low[row, look] >= -0.5) == (low >= -0.5)


@pytest.mark.slow
@pytest.mark.parametrize(("metric", "effect"), [(RANKED, 1.2), (MEDIAN, 4.0)])
@pytest.mark.parametrize("design", ["randomized", "paired"])
def test_what_is_decided_one_by_one_is_what_analyse_decides(
    metric: Metric, effect: float, design: str
) -> None:
    """Some two dozen looks at the estimate, for quantiles at all: one may come a little late."""
    case, found, table = _one_by_one(metric, design, 42, effect)
    outcomes, step, same = table.outcomes(), 2 if found.paired else 1, 0
    for row in range(10):
        upto = (int(outcomes.look[row]) + 1) * step
        analysis = look_at(case.experiment, records(case, found, row)[:upto])
        verdict = VERDICTS[outcomes.verdict[row]]
        same += analysis.decision.verdict in (verdict, "continue" if verdict == "undecided" else "")
    assert same >= 9
    assert outcomes.share("promote") >= 0.5


def test_every_look_is_welch_and_the_closed_form() -> None:
    """Welch by scipy; evidence and interval by Lindon et al. (arXiv:2210.08589) with Welch's t
    and df, written out here: log E = ½ log r + (nu+1)/2 · log((1 + t²/nu) / (1 + r t²/nu))."""
    drawn = np.random.default_rng(7)
    control, treatment = drawn.normal(5, 1, (4, 30)), drawn.normal(5.6, 2, (4, 22))
    arm = np.broadcast_to(np.repeat([0, 1], [30, 22]), (4, 52))
    looks = mean_difference.two_sample(arm, np.hstack([control, treatment])).last
    found = by_t(looks, Rules(0.05, 1, 5, scale=0.5))
    for row, (a, b) in enumerate(zip(control, treatment, strict=True)):
        welch = stats.ttest_ind(b, a, equal_var=False)
        t, df, r = welch.statistic, welch.df, 1 / (1 + 0.5 * 30 * 22 / 52)
        assert looks.difference[row, 0] / looks.error[row, 0] == pytest.approx(t, rel=1e-9)
        log_e = 0.5 * math.log(r) + (df + 1) / 2 * math.log((1 + t * t / df) / (1 + r * t * t / df))
        assert found.log_e()[row, 0] == pytest.approx(log_e, rel=1e-9)
        q = (r * 0.05**2) ** (1 / (df + 1))
        difference, error = (
            b.mean() - a.mean(),
            math.hypot(a.std(ddof=1) / 30**0.5, b.std(ddof=1) / 22**0.5),
        )
        margin = error * math.sqrt(df * (1 - q) / (q - r))
        low, high = (end[row, 0] for end in found.interval())
        assert (low, high) == pytest.approx((difference - margin, difference + margin), rel=1e-9)


BY_KIND = {
    "duration": replace(DURATION, max_regression=Limit(0.5, True)),
    "mean": ABSOLUTE,
    "proportion": PASSED,
    "ratio": RATE,
    "rank": RANKED,
    "quantile": MEDIAN,
    "count": ERRORS,
}
MODES: dict[str, dict[str, Any]] = {
    "anytime": {"sample_size": 24},
    "fixed": {"inference": "fixed", "sample_size": 20},
    "group-sequential": {"inference": "group-sequential", "sample_size": 24, "looks": 3},
}


@pytest.mark.slow
@examples(150)
@given(
    st.sampled_from(sorted(BY_KIND)),
    st.sampled_from(["randomized", "blocked", "paired"]),
    st.sampled_from(sorted(MODES)),
    st.floats(-1.5, 1.5),
    st.integers(0, 2**32 - 1),
)
def test_a_random_plan_is_decided_alike_by_analysis_and_simulation(
    kind: str, design: str, mode: str, effect: float, seed: int
) -> None:
    """The same verdict at the same look, and the same numbers there."""
    size = {"proportion": 0.3, "duration": 0.2, "ratio": 0.15}.get(kind, 1.0) * effect
    experiment = plan(
        primary=BY_KIND[kind], others=(), design=design, **{"min_trials": 10, **MODES[mode]}
    )
    case = Case(experiment, (size,), trials=58)
    drawn = simulate(case, 1, np.random.default_rng(seed))
    table = Simulation(experiment, drawn, experiment.plan.sample_size)
    outcomes = table.outcomes()
    look, step = int(outcomes.look[0]), drawn.arms if drawn.paired else 1
    trials, verdict = records(case, drawn, 0), VERDICTS[outcomes.verdict[0]]
    analysis = look_at(experiment, trials[: (look + 1) * step])
    assert analysis.decision.verdict == ("continue" if verdict == "undecided" else verdict)
    assert analysis.progress.per_arm == outcomes.per_arm[0]
    if look:
        earlier = look_at(experiment, trials[: look * step])
        assert earlier.decision.verdict == "continue"
    found, told = analysis.primary.comparisons[0], table.compared[experiment.primary.name, 1]
    alpha, p_value = experiment.plan.alpha, float(told.p_value[0, look])
    if mode == "group-sequential":  # alone, its simulated p-value says which side of alpha
        assert (p_value <= alpha) == ((found.evidence.p_value or 1.0) <= alpha)
    else:
        assert p_value == pytest.approx(found.evidence.p_value or 1.0, rel=1e-9)
    harm = float(told.harm_p_value[0, look])
    assert harm == pytest.approx(found.evidence.harm_p_value or 1.0, rel=1e-9)
    if found.difference is not None:
        better = 1 if experiment.primary.direction == "increase" else -1
        estimate = float(told.absolute.estimate[0, look])
        assert better * estimate == pytest.approx(found.difference, rel=1e-7, abs=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("design", ["paired", "blocked"])
def test_a_harmful_arm_is_dropped_and_leaves_the_other_its_evidence(design: str) -> None:
    """The first 60 % slower: the second wins where it is better, and seldom where it is not."""
    experiment = plan(
        treatments=("first", "second"), others=(), design=design, sample_size=60, min_trials=10
    )
    won = {}
    for second in (0.0, -0.2):
        case = Case(experiment, (0.47, second), trials=180)
        drawn = simulate(case, 300, np.random.default_rng(3))
        simulation = Simulation(experiment, drawn, 60)
        outcomes = simulation.outcomes()
        won[second] = outcomes.share("promote")
        assert outcomes.share("rollback") < 0.05
    assert won[0.0] <= 0.05
    assert won[-0.2] >= 0.6
    # The same trials, one experiment at a time: dropped at the same look, and decided alike.
    trials = records(case, drawn, 0)
    step, look = drawn.arms if drawn.paired else 1, int(outcomes.look[0])
    out: dict[str, datetime] = {}
    for length in range(step, (look + 1) * step + 1, step):
        given = [t for t in trials[:length] if parse_timestamp(t.started) < out.get(t.arm, FOREVER)]
        analysis = look_at(experiment, given, dropped=out)
        while analysis.decision.verdict == "drop":
            last = parse_timestamp(trials[length - 1].started)
            out[analysis.decision.arm or ""] = last + timedelta(minutes=1)
            analysis = look_at(experiment, given, dropped=out)
        if length <= look * step:
            assert analysis.decision.verdict == "continue"
    assert analysis.decision.verdict == VERDICTS[outcomes.verdict[0]]
    assert "first" in out

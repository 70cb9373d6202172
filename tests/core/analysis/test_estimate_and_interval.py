"""The estimate and its interval are of one method, at every look, or it is noted that they part."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from expci.core.dataset.moments import FloatArray
from expci.core.model.experiment import Experiment, Limit, Metric
from expci.core.model.metric_kinds import KINDS, Kind
from expci.core.model.results import Analysis, Comparison, Interval
from expci.core.model.trial import Trial
from support.analysis_samples import alternating, in_pairs, look_at, make_experiment
from support.properties import examples

N = 60  # of each arm
THREE_TIMES_SLOWER, FAR_OUT = 0.1, 0.05  # shares of the runs


def _near_ten(rng: np.random.Generator) -> FloatArray:
    return 10 * np.exp(0.1 * rng.standard_normal(N))


def _heavy(rng: np.random.Generator) -> FloatArray:
    return 10 + 100 * (rng.random(N) < FAR_OUT) * rng.pareto(1, N) + rng.random(N)


Draw = Callable[[np.random.Generator], FloatArray]
EARLY = np.arange(N) < N // 3
WORLDS: Mapping[str, tuple[Draw, FloatArray | float]] = {  # control's values, the effect on them
    "lognormal": (lambda rng: np.exp(rng.normal(2, 1, N)), 0.9),
    "heavy outliers": (_heavy, 0.9),
    "slow runs": (lambda r: _near_ten(r) * np.where(r.random(N) < THREE_TIMES_SLOWER, 3, 1), 0.8),
    "about zero": (lambda rng: np.abs(rng.normal(0.3, 1, N)) + 1e-3, 1.0),
    "fading": (_near_ten, np.where(EARLY, 0.7, 0.9)),
    "turning": (_near_ten, np.where(EARLY, 0.5, 1.6)),
    "never varying": (lambda _: np.full(N, 10.0), 0.9),
}


@dataclass(frozen=True)
class Case:
    """One experiment; `options` are the metric's own keys, `seed` is of its values."""

    kind: Kind
    world: str
    seed: int
    inference: Literal["anytime", "group-sequential", "fixed"] = "anytime"
    design: Literal["randomized", "paired", "blocked"] = "randomized"
    direction: Literal["increase", "decrease"] = "decrease"
    winsorize: bool = False
    adjusted: bool = False
    weight: float = 1.0
    failures: bool = False

    def metric(self) -> Metric:
        traits = KINDS[self.kind]
        return Metric(
            "m",
            "primary",
            self.kind,
            self.direction,
            minimum_effect=Limit(0.1, not traits.is_share),
            denominator="below" if self.kind == "ratio" else None,
            quantile=0.75 if self.kind == "quantile" else None,
            winsorize=0.95 if self.winsorize and "winsorize" in traits.keys else None,
            adjust_by=("x",) if self.adjusted and "adjust_by" in traits.keys else (),
        )

    def experiment(self) -> Experiment:
        return make_experiment(
            primary=self.metric(),
            others=(),
            design="paired" if self.kind == "preference" else self.design,
            weights={"treatment": self.weight},
            inference=self.inference,
            sample_size=N,
        )

    def values(self, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
        draw, effect = WORLDS[self.world]
        control = np.asarray(draw(rng), np.float64)
        treatment = np.asarray(draw(rng) * effect, np.float64)
        if self.kind == "preference":
            return np.full(N, 0.5), np.sign(control - treatment) / 2 + 0.5
        if self.kind == "proportion":
            middle = np.median(control)
            return (control > middle).astype(float), (treatment > middle).astype(float)
        if self.kind == "count":
            return np.floor(control), np.floor(treatment)
        return control, treatment

    def trials(self) -> list[Trial]:
        rng = np.random.default_rng(self.seed)
        in_blocks = self.experiment().assignment.design != "randomized"
        trials = (in_pairs if in_blocks else alternating)(*self.values(rng), "m")
        if self.weight > 1 and not in_blocks:
            trials = [one for i, one in enumerate(trials) if one.arm != "control" or i % 6 == 0]
        return [self._with_more(trial, rng) for trial in trials]

    def _with_more(self, trial: Trial, rng: np.random.Generator) -> Trial:
        covariate = math.log(abs(trial.metrics["m"]) + 1) + rng.normal(0, 0.3)
        more = {"below": math.exp(0.4 * rng.standard_normal()), "x": covariate}
        failed = self.failures and rng.random() < 0.1
        return replace(
            trial, metrics={**trial.metrics, **more}, status="failed" if failed else trial.status
        )

    def looks(self) -> Iterator[Analysis]:
        trials, experiment = self.trials(), self.experiment()
        for share in (0.2, 0.4, 0.7, 1.0):
            yield look_at(experiment, trials[: int(share * len(trials))])


cases = st.builds(
    Case,
    kind=st.sampled_from(sorted(KINDS)),
    world=st.sampled_from(sorted(WORLDS)),
    seed=st.integers(0, 2**32 - 1),
    inference=st.sampled_from(["anytime", "group-sequential", "fixed"]),
    design=st.sampled_from(["randomized", "paired", "blocked"]),
    direction=st.sampled_from(["increase", "decrease"]),
    winsorize=st.booleans(),
    adjusted=st.booleans(),
    weight=st.sampled_from([1.0, 3.0]),
    failures=st.booleans(),
)


def holds(interval: Interval | None, estimate: float | None) -> bool:
    """Whether the estimate lies between the ends, but for rounding; so where either is unknown."""
    if interval is None or estimate is None:
        return True
    low, high = (end if end is not None else side for end, side in zip(interval, OPEN, strict=True))
    margin = 1e-8 * max(abs(estimate), 1e-300)
    return low - margin <= estimate <= high + margin


OPEN = (-math.inf, math.inf)


def reported(comparison: Comparison) -> Iterator[tuple[float | None, Interval | None]]:
    yield comparison.improvement, comparison.interval
    yield comparison.difference, comparison.difference_interval
    yield comparison.log_odds_ratio, comparison.log_odds_ratio_interval
    yield comparison.cliffs_delta, comparison.cliffs_delta_interval


def corrected(comparison: Comparison) -> Iterator[tuple[float | None, Interval | None]]:
    if (fewer := comparison.corrected) is not None:
        yield fewer.improvement, fewer.interval
        yield fewer.difference, fewer.difference_interval


def parted(analysis: Analysis) -> bool:
    """Whether an estimate lies outside its interval."""
    [comparison] = analysis.primary.comparisons
    return not all(holds(interval, estimate) for estimate, interval in reported(comparison))


@pytest.mark.slow
@given(cases)
@example(Case("mean", "turning", 1))
@example(Case("rank", "turning", 1, design="paired"))
@example(Case("duration", "heavy outliers", 81, "group-sequential"))
@examples(200)
def test_an_estimate_lies_in_its_interval_or_a_note_says_that_it_does_not(case: Case) -> None:
    for analysis in case.looks():
        [comparison] = analysis.primary.comparisons
        if parted(analysis):
            assert "outside_interval" in comparison.note_codes
            sentence = comparison.note_codes["outside_interval"]
            assert sentence in comparison.notes
            assert any(sentence in note for note in analysis.notes)
        for estimate, interval in corrected(comparison):
            assert holds(interval, estimate)

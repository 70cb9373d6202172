"""Power and trials used, against the fixed test and against other anytime methods."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from scipy import special
from tables import experiments_of, share, table

from expci.core.dataset.recorded import trial_columns
from expci.core.model.experiment import (
    Arm,
    Assignment,
    Baseline,
    DecisionRules,
    Experiment,
    Limit,
    Metric,
    PlanRules,
)
from expci.core.planning.operating_characteristics import Question, confirmed_size
from expci.core.planning.planned_size import settled_experiment
from expci.core.planning.scenarios import Scenario, simulated_trials, source_of
from expci.core.planning.simulation import first_decisions
from expci.core.statistics import mean_difference, moment_prior
from expci.core.statistics.sample_size import fixed_sample_size, required_sample_size
from expci.core.statistics.t_mixture import log_e_value

EFFECTS = (0.5, 0.8, 1.2)
EXPERIMENTS = 4000
LONGEST = 200
START = 5
ALPHA = 0.05


def plan(d: float, inference: str) -> Experiment:
    """A plan for an effect of d, promoted at half of it, `min_trials` aside, as it is frozen."""
    primary = Metric(
        "a",
        "primary",
        "mean",
        "increase",
        minimum_effect=Limit(d, False),
        max_regression=Limit(d, False),
        baseline=Baseline(10.0, 1.0),
    )
    experiment = Experiment(
        id="power",
        name="",
        hypothesis="",
        arms=(Arm("control"), Arm("treatment")),
        metrics=(primary,),
        assignment=Assignment(design="blocked"),
        plan=PlanRules(inference=inference, min_trials=1),  # type: ignore[arg-type]
        decision=DecisionRules(),
    )
    return settled_experiment(experiment, trial_columns([]))


def section(scale: float) -> str:
    experiments = experiments_of(EXPERIMENTS, scale, 500)
    return "\n".join([_whole_plans(experiments), _methods(experiments)])


def _whole_plans(experiments: int) -> str:
    rows = []
    for d in EFFECTS:
        fixed = fixed_sample_size(d, ALPHA, 0.8) or 0
        for inference in ("fixed", "group-sequential", "anytime"):
            rows.append(_plan_row(d, inference, fixed, experiments))
    header = ("d", "fixed n", "inference", "sample size", "promoted", "mean n", "mean n / fixed n")
    return f"""
## Power and trials used by whole plans

Normal values, an effect of d standard deviations that the plan hopes for, promoted at half of
it or more; the sample size is the plan's own for a power of 80 %, raised by simulation where it
fell short. *n* are trials per arm until any verdict. Nothing is decided under 10 per arm.
{experiments} experiments a row.

{table(header, rows)}"""


def _plan_row(d: float, inference: str, fixed: int, experiments: int) -> list[str]:
    experiment = plan(d, inference)
    source = source_of(experiment, trial_columns([]))
    baseline = experiment.primary.baseline
    if source is None or baseline is None:
        raise ValueError("the plan states its baseline")
    size = required_sample_size(experiment.primary, experiment.plan, "blocked", baseline) or 0
    found = confirmed_size(Question(experiment, source, size, experiments=experiments))
    size = found[0] if found else size
    scenario = Scenario("hoped", {"a": Limit(d, False)})
    trials = simulated_trials(
        experiment, source, scenario, (experiments, 2 * size), np.random.default_rng(8)
    )
    outcomes = first_decisions(experiment, trials, size)
    mean = float(outcomes.per_arm.mean())
    return [
        f"{d}",
        f"{fixed}",
        inference,
        f"{size}",
        share(outcomes.share("promote"), experiments),
        f"{mean:.1f}",
        f"{mean / fixed:.2f}",
    ]


Evidence = Callable[[np.ndarray, np.ndarray, np.ndarray, np.ndarray, float], np.ndarray]


def _default(
    t: np.ndarray, df: np.ndarray, n_e: np.ndarray, _: np.ndarray, __: float
) -> np.ndarray:
    return log_e_value(t, df, n_e)


def _planned(t: np.ndarray, df: np.ndarray, n_e: np.ndarray, _: np.ndarray, d: float) -> np.ndarray:
    return log_e_value(t, df, n_e, min(2.0, max(0.1, d * d)))


def _known_variance(
    _: np.ndarray, __: np.ndarray, n_e: np.ndarray, z: np.ndarray, d: float
) -> np.ndarray:
    """The mixture sequential probability ratio test (Robbins 1970; Johari et al. 2022)."""
    scale = min(2.0, max(0.1, d * d))
    r = 1 / (1 + scale * n_e)
    return np.asarray(0.5 * np.log(r) + 0.5 * z * z * (1 - r))


def _all_known(
    _: np.ndarray, __: np.ndarray, n_e: np.ndarray, z: np.ndarray, d: float
) -> np.ndarray:
    """Wald's ratio at ±d with equal weight: nobody knows so much."""
    move = d * z * np.sqrt(n_e)
    return np.asarray(np.logaddexp(move, -move) - math.log(2) - 0.5 * d * d * n_e)


def _asymptotic(best: int) -> Evidence:
    """Confidence sequence of Waudby-Smith et al. (2024), equation 5, tuned to `best` per arm."""

    def log_e(
        t: np.ndarray, _: np.ndarray, n_e: np.ndarray, __: np.ndarray, ___: float
    ) -> np.ndarray:
        scale = (-2 * math.log(ALPHA) + math.log(-2 * math.log(ALPHA) + 1)) / (best / 2)
        r = 1 / (1 + scale * n_e)
        return np.asarray(0.5 * np.log(r) + 0.5 * t * t * (1 - r))

    return log_e


def _tuned(t: np.ndarray, df: np.ndarray, n_e: np.ndarray, _: np.ndarray, d: float) -> np.ndarray:
    return moment_prior.log_e_value(t, df, n_e, moment_prior.variance_around(d))


def _growth_rate_optimal(
    t: np.ndarray, df: np.ndarray, n_e: np.ndarray, _: np.ndarray, d: float
) -> np.ndarray:
    """±d with equal weight, σ unknown (Grünwald, de Heide & Koolen 2024): the even part of the
    noncentral t's ratio."""
    shift = d * d * n_e
    even = special.hyp1f1((df + 1) / 2, 0.5, shift * t * t / (df + t * t) / 2)
    return np.asarray(np.log(even) - shift / 2)


METHODS: tuple[tuple[str, Evidence], ...] = (
    ("growth-rate optimal at ±d", _growth_rate_optimal),
    ("expci, tuned to d", _tuned),
    ("expci, effect planned (g = d²)", _planned),
    ("expci, no effect planned (g = 0.5)", _default),
    ("mixture SPRT, variance known", _known_variance),
    ("SPRT, variance and effect known", _all_known),
    ("asymptotic, tuned to 25 per arm", _asymptotic(25)),
    ("asymptotic, tuned to 100 per arm", _asymptotic(100)),
)


def _methods(experiments: int) -> str:
    rows = []
    for name, evidence in METHODS:
        row = [name]
        for d in (0.0, *EFFECTS):
            found = _first_crossing(d, evidence, experiments)
            shown = float(np.mean(found < math.inf))
            if not d:
                row.append(share(shown, experiments, ALPHA))
                continue
            mean = float(np.minimum(found, LONGEST).mean())
            fixed = fixed_sample_size(d, ALPHA, 0.8) or 1
            row.append(f"{shown:.3f} / {mean:.1f} ({mean / fixed:.2f})")
        rows.append(row)
    header = ("method", "false alarms", *(f"d = {d}" for d in EFFECTS))
    return f"""
## Anytime methods side by side

The evidence alone, a look after every second trial (one per arm) from {START} to {LONGEST} per
arm, normal values: power / mean n per arm (as a multiple of the fixed design's n for 80 %
power). The two SPRT use the true effect, which nobody knows in practice; they bound what any
method can reach. The asymptotic sequences are of Waudby-Smith et al. (2024); tuned to small
samples they spend more than alpha. {experiments} experiments a cell.

{table(header, rows)}"""


def _first_crossing(d: float, evidence: Evidence, experiments: int) -> np.ndarray:
    """n per arm at which log E reaches log(1/alpha); infinite where it never does."""
    rng = np.random.default_rng(9)
    values = rng.standard_normal((experiments, 2 * LONGEST))
    arm = np.broadcast_to(np.arange(2 * LONGEST) % 2, values.shape)
    values = values + d * arm
    looks = mean_difference.two_sample(arm, values, 1)
    every = slice(2 * START - 1, None, 2)
    difference, n_e, n = looks.difference[:, every], looks.n_e[:, every], looks.n[:, every]
    t, df = difference / looks.error[:, every], looks.df[:, every]
    log_e = evidence(t, df, n_e, difference * np.sqrt(n_e), d or 0.7)
    crossed = log_e >= -math.log(ALPHA)
    first = np.take_along_axis(n, crossed.argmax(axis=1)[:, None], axis=1)[:, 0]
    return np.where(crossed.any(axis=1), first, math.inf)

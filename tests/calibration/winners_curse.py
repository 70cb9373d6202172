"""Estimates at a promotion, as measured and free of the winner's curse."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import harm
import numpy as np
from tables import covered, table

from expci.core.dataset.recorded import trial_columns
from expci.core.model.experiment import Experiment, Limit
from expci.core.model.limits import PRIOR_SHARE, PRIOR_WEIGHT
from expci.core.planning.planned_size import frozen_experiment
from expci.core.planning.scenarios import Scenario, simulated_trials, source_of
from expci.core.planning.simulation import VERDICTS, Simulation
from expci.core.statistics.shrinkage import prior_share, shrunk

EXPERIMENTS = 4000
CHUNK = 250
CV, PLANNED = 0.3, 0.15
TRUTHS = (0.0, 0.05, 0.1, 0.15, 0.2, 0.3)
Z, LEVEL = 1.96, 0.95
PAST = (5, 10, 20, 40)
SPREADS = (0.3, 0.5, 0.75, 1.5)
REPOSITORIES = 2000
PROMOTED = 200  # effects of each


@dataclass(frozen=True)
class Promoted:
    """The relative improvement, its error and interval, of each experiment that was promoted."""

    estimate: np.ndarray
    error: np.ndarray
    low: np.ndarray
    high: np.ndarray


def promoted(plan: Experiment, size: int, truth: float, experiments: int) -> Promoted:
    source = source_of(plan, trial_columns([]))
    if source is None:
        raise ValueError("the plan states its baseline")
    scenario = Scenario("", {"duration_s": Limit(truth, True)} if truth else {})
    rng, parts = np.random.default_rng(20_261), []
    trials = 2 * size + (0 if plan.assignment.design == "paired" else 60)
    for _ in range(experiments // CHUNK):
        drawn = simulated_trials(plan, source, scenario, (CHUNK, trials), rng)
        simulation = Simulation(plan, drawn, size)
        outcomes, evidence = simulation.outcomes(), simulation.compared["duration_s", 1]
        row = np.flatnonzero(outcomes.verdict == VERDICTS.index("promote"))
        look = outcomes.look[row]
        relative, error = evidence.relative, evidence.relative_error
        columns = relative.estimate, error, relative.low, relative.high
        parts.append(np.stack([column[row, look] for column in columns]))
    return Promoted(*np.concatenate(parts, axis=1))


def section(scale: float) -> str:
    experiments = max(CHUNK, int(EXPERIMENTS * scale) // CHUNK * CHUNK)
    rows = [
        row
        for design in ("paired", "randomized")
        for inference in ("auto", "anytime")
        for row in _rows(design, inference, experiments)
    ]
    header = (
        *("design", "plan", "truth", "promoted", "read", "corrected", "error", "corrected: error"),
        *("interval of one look covers", "plan's interval covers", "corrected interval covers"),
    )
    return f"""
## The winner's curse

A duration that is to fall by {PLANNED:.0%}, cv {CV}, the default plan and `anytime` at the size
that each computes. Of the promoted experiments alone: the mean improvement as *read* and as
*corrected* (shrunk towards no effect by a Cauchy prior with a scale of {PRIOR_SHARE} of the
planned effect), the root mean square *error* of either in points, and how
often an interval covers the truth, given the promotion: the 95 % interval of one look, the
plan's own, and the corrected one, which must cover an effect in {LEVEL}.
{experiments} experiments a row; ± is the Monte-Carlo error.

{table(header, rows)}
An effect of a third of the planned one that is promoted at all was overestimated by chance, and
no estimate from that one experiment can detect that.

### A repository's own past

Effects over the planned one are normal around none with the standard deviation above the
columns. Each repository has so many decided experiments, whichever way they were decided, with
standard errors of .25 to .6; then {PROMOTED} effects are measured with errors of .25 to .45, and
those 2.3 errors above 0 are promoted. Root mean square error (bias) of the promoted, over the
planned effect: as measured, by the usual prior of {PRIOR_SHARE}, and by the one estimated from
the past, the usual one counted as {PRIOR_WEIGHT} experiments more.
{max(200, int(REPOSITORIES * scale))} repositories a cell.

{_past(max(200, int(REPOSITORIES * scale)))}"""


def _rows(design: str, inference: str, experiments: int) -> Iterator[list[str]]:
    from expci.core.model.experiment import PlanRules

    whole = harm.plan(design, CV, harm.DEFAULT if inference == "auto" else PlanRules())
    plan, computed = frozen_experiment(whole, trial_columns([]))
    size = computed or plan.plan.sample_size
    if size is None:
        raise ValueError("the plan states its baseline")
    for truth in TRUTHS:
        won = promoted(plan, size, truth, experiments)
        ends, count = (won.low, won.high), won.estimate.size
        fewer = shrunk(won.estimate, won.error, ends, PRIOR_SHARE * PLANNED)
        one_look = Z * won.error
        usual = won.estimate - one_look, won.estimate + one_look
        yield [
            *(design, inference, f"{truth:.0%}", f"{count / experiments:.3f}"),
            *(_mean(won.estimate), _mean(fewer.estimate)),
            *(_error(won.estimate, truth), _error(fewer.estimate, truth)),
            *(
                covered(_covers(interval, truth), count, level)
                for interval, level in (
                    *((usual, 0.0), (ends, 0.0)),
                    ((fewer.low, fewer.high), LEVEL if truth else 0.0),
                )
            ),
        ]
    print(".", end="", flush=True)


def _mean(values: np.ndarray) -> str:
    return f"{100 * values.mean():.1f} ±{100 * values.std() / np.sqrt(values.size):.1f} %"


def _error(values: np.ndarray, truth: float) -> str:
    return f"{100 * np.sqrt(np.mean((values - truth) ** 2)):.1f}"


def _covers(interval: tuple[np.ndarray, np.ndarray], truth: float) -> float:
    low, high = interval
    return float(np.mean((low <= truth) & (truth <= high)))


def _past(repositories: int) -> str:
    rows = []
    for count in PAST:
        cells = [_of_repositories(spread, count, repositories) for spread in SPREADS]
        rows += [[f"{count}", name, *(cell[name] for cell in cells)] for name in cells[0]]
    return table(("decided", "estimate", *(f"{spread:g}" for spread in SPREADS)), rows)


def _of_repositories(spread: float, count: int, repositories: int) -> dict[str, str]:
    rng = np.random.default_rng(3)
    errors: dict[str, list[np.ndarray]] = {"as measured": [], "usual prior": [], "own past": []}
    for _ in range(repositories):
        noise = rng.uniform(0.25, 0.6, count)
        past = rng.normal(0, spread, count) + noise * rng.standard_normal(count)
        truth, error = rng.normal(0, spread, PROMOTED), rng.uniform(0.25, 0.45, PROMOTED)
        estimate = truth + error * rng.standard_normal(PROMOTED)
        won = estimate > 2.3 * error
        own = prior_share(list(zip(past.tolist(), noise.tolist(), strict=True)))
        for name, prior in zip(errors, (1e9, PRIOR_SHARE, own), strict=True):
            kept = estimate[won], error[won]
            fewer = shrunk(*kept, (-np.inf, np.inf), prior).estimate
            errors[name].append(fewer - truth[won])
    whole = {name: np.concatenate(parts) for name, parts in errors.items()}
    return {
        name: f"{np.sqrt(np.mean(one**2)):.3f} ({one.mean():+.3f})" for name, one in whole.items()
    }

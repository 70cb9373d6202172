"""Where the evidence breaks alpha, and by how much: what `assumptions` warns of."""

from __future__ import annotations

import numpy as np
from tables import experiments_of, share, table
from worlds import World, correlated, experiment, shared_in_pairs

from expci.core.checks import assumptions
from expci.core.kinds.trial_arrays import TrialArrays
from expci.core.planning.scenarios import assigned
from expci.core.planning.simulation import Simulation
from expci.core.statistics import mean_difference, t_mixture
from expci.core.statistics.t_mixture import Rules

ALPHA = 0.05
EXPERIMENTS = 2000
SIZE = 200
SPREADS = (1.0, 1.5, 2.0, 3.0)
LOG_SDS = (0.25, 0.4, 0.5, 0.6, 0.75, 1.0)
CORRELATIONS = (0.2, 0.35, 0.5, 0.7)


def section(scale: float) -> str:
    experiments = experiments_of(EXPERIMENTS, scale, 200)
    return "\n".join([_tails(experiments), _dependence(experiments)])


def _tails(experiments: int) -> str:
    rules, size, rows = Rules(ALPHA, 1, 5), (experiments, 2 * SIZE), []
    arm = np.broadcast_to(np.arange(2 * SIZE) % 2, size)
    for log_sd in LOG_SDS:
        values = np.exp(log_sd * np.random.default_rng(3).standard_normal(size))
        mean, sd = np.exp(log_sd**2 / 2), np.exp(log_sd**2 / 2) * np.sqrt(np.expm1(log_sd**2))
        z, cells = (values - mean) / sd, []
        for spread in SPREADS:
            looks = mean_difference.two_sample(arm, np.where(arm == 1, spread * z, z), 1)
            found = t_mixture.weighable(looks, rules).log_e()[:, -1]
            cells.append(share(float(np.mean(found >= -np.log(ALPHA))), experiments, ALPHA))
        median = float(np.median([assumptions.skewness(row) for row in z[:500, :40]]))
        rows.append([f"{log_sd:g}", f"{median:.1f}", *cells])
    header = ("log-sd", "skewness of 40 values", *(f"sd 1:{spread:g}" for spread in SPREADS))
    return f"""
## What is warned of

### Means of skewed values

*Effect shown* where the means are alike, in mode `anytime`, at any look up to {SIZE} per arm:
lognormal values by their log-sd, the treatment's sd a multiple of control's. {experiments}
experiments a cell.

{table(header, rows)}
Up to a spread of 1:1.5 nothing breaks; from 1:2 the limit is passed at a skewness of about 1.2.
So the check *long tail* warns where the skewness is {assumptions.SKEWED:g} or more, one arm
spreads {assumptions.UNEVEN:g} times as wide or more, and the spreads surely differ (p under 0.05
at that look).
"""


def _dependence(experiments: int) -> str:
    rows = []
    for design in ("randomized", "paired", "blocked"):
        for rho in CORRELATIONS:
            shares = [_effect_shown(design, rho, spread, experiments) for spread in SPREADS]
            cells = [share(found, experiments, ALPHA) for found in shares]
            rows.append([design, f"{rho:g}", *cells])
    header = ("design", "correlation", *(f"sd 1:{spread:g}" for spread in SPREADS))
    limits = ", ".join(f"{value:g} {design}" for design, value in assumptions.CORRELATED.items())
    return f"""
### Runs that follow one another

The same for normal values with a first-order autoregression over all runs (pairs share a noise
of their own beside it, as large). {experiments} experiments a cell.

{table(header, rows)}
The check *dependence* warns where the correlation of successive runs is clear (three standard
errors), the spreads surely differ, and the two together inflate the variance of the difference
by {100 * assumptions.INFLATED:g} % or more; in pairs, where the differences themselves are as
dependent as that. `plan` warns at a correlation in the pilot of {limits}.
"""


def _effect_shown(design: str, rho: float, spread: float, experiments: int) -> float:
    plan = experiment(World("", "normal", sd=spread), design, "anytime", SIZE)
    rng, shown, done = np.random.default_rng(5), 0, 0
    while done < experiments:
        size = (min(500, experiments - done), 2 * SIZE + (0 if design == "paired" else 30))
        arm, values = assigned(plan, size, rng), {}
        for metric in plan.metrics[:1]:
            noise = correlated(rng.standard_normal(size), rho)
            if design == "paired":
                noise += shared_in_pairs(size, rng)
            values[metric.name] = 10 + np.where(arm == 1, spread * noise, noise)
        trials = TrialArrays(arm, 2, values, np.zeros(size, np.bool_), design == "paired")
        shown += int(Simulation(plan, trials, SIZE).proves_effect().sum())
        done += size[0]
    return shown / experiments

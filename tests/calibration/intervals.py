"""Coverage of every interval that decides or is reported."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from tables import covered, experiments_of, table

from expci.core.dataset.moments import moments
from expci.core.model.experiment import PlanRules
from expci.core.statistics import betting, classical, mean_difference, t_mixture
from expci.core.statistics.cliffs_delta import interval as cliffs_interval
from expci.core.statistics.mean_difference import Looks
from expci.core.statistics.planned_looks import planned_looks
from expci.core.statistics.proportion import agresti_caffo, log_odds_ratio
from expci.core.statistics.t_mixture import Rules
from expci.core.statistics.t_statistic import by_t
from expci.core.statistics.weighed import Weighed

ALPHA = 0.05
EXPERIMENTS = 4000
SIZE = 200
RULES = Rules(ALPHA, 1, 5)
SINGLE_Z = 1.959963984540054

Shape = Callable[[np.random.Generator, tuple[int, int]], np.ndarray]


def _normal(rng: np.random.Generator, size: tuple[int, int]) -> np.ndarray:
    return rng.standard_normal(size)


def _skewed(rng: np.random.Generator, size: tuple[int, int]) -> np.ndarray:
    """Lognormal(1), centred and scaled."""
    values = np.exp(rng.standard_normal(size))
    mean, sd = np.exp(0.5), np.sqrt((np.e - 1) * np.e)
    return np.asarray((values - mean) / sd)


def _heavy(rng: np.random.Generator, size: tuple[int, int]) -> np.ndarray:
    return np.asarray(rng.standard_t(3, size) / np.sqrt(3))


SHAPES: tuple[tuple[str, Shape, float], ...] = (
    ("normal", _normal, 1.0),
    ("lognormal(1)", _skewed, 1.0),
    ("t(3)", _heavy, 1.0),
    ("normal, sd 3:1", _normal, 3.0),
    ("lognormal(1), sd 3:1", _skewed, 3.0),
)


def section(scale: float) -> str:
    experiments = experiments_of(EXPERIMENTS, scale, 200)
    return "\n".join(
        [_deciding(experiments), _skewed_and_uneven(experiments), _reported(experiments)]
    )


def _deciding(experiments: int) -> str:
    rows = [row for shape in SHAPES for row in _continuous(*shape, experiments)]
    rows += [_proportions(*rates, experiments) for rates in ((0.5, 0.7), (0.05, 0.1), (0.9, 0.9))]
    header = ("interval", "values", "anytime", "group-sequential", "fixed")
    return f"""
## Coverage of the intervals that decide

Level {1 - ALPHA:g}. An *anytime* interval counts as covering only if it held the true value at
every look up to {SIZE} per arm, a *group-sequential* one if it did at each of its five planned
looks; *fixed* is the one look at {SIZE}. The effect is half a standard deviation (control's
mean is 4 of them), a rate's as named. {experiments} experiments a cell.

{table(header, rows)}"""


def _skewed_and_uneven(experiments: int) -> str:
    starts, rows = (5, 10, 20, 40, 80), []
    rng, size = np.random.default_rng(16), (experiments, 2 * SIZE)
    noise, arm = _skewed(rng, size), np.broadcast_to(np.arange(2 * SIZE) % 2, size)
    for sd in (1.0, 1.5, 2.0, 3.0):
        looks = mean_difference.two_sample(arm, np.where(arm == 1, sd * noise, noise), 1)
        cells = []
        for start in starts:
            ends = t_mixture.weighable(looks, replace(RULES, start=start)).interval()
            inside = (ends[0][:, -1] <= 0) & (ends[1][:, -1] >= 0)
            cells.append(covered(float(inside.mean()), experiments, 1 - ALPHA))
        rows.append([f"{sd:g}:1", *cells])
    header = ("sd of the arms", *(f"from {start} per arm" for start in starts))
    return f"""
### Where it fails: means of values that are both skewed and uneven

No test of means that starts early holds where values are as skewed as lognormal(1) *and* spread
wider in one arm. The anytime interval of the difference of means, by the units per arm at
which evidence starts (expci: 5, with unequal weights 10):

{table(header, rows)}
So do not compare raw times, costs or sizes with long tails as `kind: mean`. As `kind: duration` the
same values are compared by their logarithms, which are not skewed; uneven spreads alone do no
harm (first table of this page). {experiments} experiments a cell.
"""


def _continuous(name: str, shape: Shape, sd: float, experiments: int) -> list[list[str]]:
    rng, effect, mean = np.random.default_rng(11), 0.5, 4.0
    size = (experiments, 2 * SIZE)
    noise = shape(rng, size)
    arm = np.broadcast_to(np.arange(2 * SIZE) % 2, size)
    values = mean + np.where(arm == 1, effect + sd * noise, noise)
    position = np.where(np.arange(SIZE) % 2 == 0, 1.0, -1.0)
    shared = rng.standard_normal((experiments, SIZE))
    pairs = mean_difference.paired(
        values[:, ::2] + shared,
        values[:, 1::2] + shared,
        np.broadcast_to(position, (experiments, SIZE)),
    )
    two = mean_difference.two_sample(arm, values, 1)
    return [
        ["difference of means", name, *_covering(two, effect, False, experiments)],
        ["ratio of means (Fieller)", name, *_covering(two, effect / mean, True, experiments)],
        ["difference in pairs", name, *_covering(pairs, effect, False, experiments)],
    ]


def _covering(looks: Looks, truth: float, ratio: bool, experiments: int) -> list[str]:
    cells = []
    for inference in ("anytime", "group-sequential", "fixed"):
        rules = PlanRules(inference=inference)
        plan = planned_looks(looks.n, rules, SIZE, RULES.start)
        weighed = Weighed(by_t(looks, RULES), plan, RULES.alpha)
        low, high = weighed.relative if ratio else weighed.interval
        inside = (low[:, -1] <= truth) & (truth <= high[:, -1])
        cells.append(covered(float(inside.mean()), experiments, 1 - ALPHA))
    return cells


def _proportions(control: float, treatment: float, experiments: int) -> list[str]:
    rng, size = np.random.default_rng(12), (experiments, 2 * SIZE)
    arm = np.broadcast_to(np.arange(2 * SIZE) % 2, size)
    values = (rng.random(size) < np.where(arm == 1, treatment, control)).astype(float)
    found, truth = betting.blocks(arm, values), treatment - control
    bound = -np.log(ALPHA / 2)
    sides = [betting.exceeds(found, truth), betting.exceeds(found.mirrored(), -truth)]
    always = np.maximum(*(side[:, -1] for side in sides)) < bound
    once = [_agresti_covers(row[::2], row[1::2], truth) for row in values]
    cells = [covered(float(always.mean()), experiments, 1 - ALPHA), ""]
    cells.append(covered(float(np.mean(once)), experiments, 1 - ALPHA))
    return ["difference of rates", f"{control:g} and {treatment:g}", *cells]


def _agresti_covers(control: np.ndarray, treatment: np.ndarray, truth: float) -> bool:
    counts = np.array(float(control.size)), np.array(float(treatment.size))
    _, difference, error = agresti_caffo(counts, (control.sum(), treatment.sum()))
    return bool(abs(difference - truth) <= SINGLE_Z * error)


def _reported(experiments: int) -> str:
    rows = [_welch(name, shape, sd, experiments) for name, shape, sd in SHAPES]
    rows += [_odds(*rates, experiments) for rates in ((0.5, 0.7), (0.05, 0.1))]
    rows += [_agresti(*rates, experiments) for rates in ((0.5, 0.7), (0.05, 0.1))]
    rows += [_cliffs(d, experiments) for d in (0.0, 0.5, 1.2)]
    header = ("interval", "values", "10 per arm", "30 per arm", "100 per arm")
    return f"""
## Coverage of the intervals that are only reported, or seen once

At one look, level {1 - ALPHA:g}. {experiments} experiments a cell.

{table(header, rows)}
"""


def _cells(covers: Callable[[int], float], experiments: int) -> list[str]:
    return [covered(covers(n), experiments, 1 - ALPHA) for n in (10, 30, 100)]


def _welch(name: str, shape: Shape, sd: float, experiments: int) -> list[str]:
    def covers(n: int) -> float:
        rng = np.random.default_rng(13)
        control, treatment = shape(rng, (experiments, n)), sd * shape(rng, (experiments, n))
        hits = 0
        for row in range(experiments):
            found = classical.welch(moments(control[row]), moments(treatment[row]), 1 - ALPHA)
            low, high = (found.interval if found else None) or (None, None)
            hits += low is not None and high is not None and low <= 0 <= high
        return hits / experiments

    return ["Welch", name, *_cells(covers, experiments)]


def _rates(
    control: float, treatment: float, n: int, experiments: int
) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(14)
    first = (rng.random((experiments, n)) < control).astype(float)
    return first, (rng.random((experiments, n)) < treatment).astype(float)


def _odds(control: float, treatment: float, experiments: int) -> list[str]:
    truth = np.log(treatment / (1 - treatment)) - np.log(control / (1 - control))

    def covers(n: int) -> float:
        hits = 0
        for c, t in zip(*_rates(control, treatment, n, experiments), strict=True):
            found = log_odds_ratio(c, t, 1 - ALPHA)
            hits += found is not None and found[1][0] <= truth <= found[1][1]
        return hits / experiments

    return ["log odds ratio", f"{control:g} and {treatment:g}", *_cells(covers, experiments)]


def _agresti(control: float, treatment: float, experiments: int) -> list[str]:
    def covers(n: int) -> float:
        hits = 0
        for c, t in zip(*_rates(control, treatment, n, experiments), strict=True):
            hits += _agresti_covers(c, t, treatment - control)
        return hits / experiments

    return ["Agresti-Caffo", f"{control:g} and {treatment:g}", *_cells(covers, experiments)]


def _cliffs(d: float, experiments: int) -> list[str]:
    from scipy import special

    truth = float(2 * special.ndtr(d / np.sqrt(2)) - 1)

    def covers(n: int) -> float:
        rng, hits = np.random.default_rng(15), 0
        for _ in range(experiments):
            found = cliffs_interval(rng.standard_normal(n), rng.standard_normal(n) + d, 1 - ALPHA)
            hits += found is not None and found[0] <= truth <= found[1]
        return hits / experiments

    return ["Cliff's delta", f"normal, d = {d:g}", *_cells(covers, experiments)]

"""Pairs on few units that are visited again and again: the unit is the observation."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import numpy as np
from kinds import PLAN, START
from tables import covered, experiments_of, share, table

from expci.core.dataset.recorded import trial_columns
from expci.core.dataset.trials_table import trials_table
from expci.core.model.trial import Trial, timestamp
from expci.core.statistics.t_mixture import Rules
from expci.core.statistics.t_statistic import of_units_and_pairs
from expci.core.statistics.two_arms import sample
from support.evidence import weight

ALPHA = 0.05
EXPERIMENTS = 400
SIZES = ((6, 20), (8, 25), (12, 16), (20, 10))  # units, visits of each
EFFECTS = (0.0, 0.3, 1.0)  # sd of the units' own effects, of the difference within a pair
Order = Callable[[int, int, np.random.Generator], np.ndarray]

ORDERS: tuple[tuple[str, Order], ...] = (
    ("in turn", lambda units, visits, rng: np.tile(np.arange(units), visits)),
    (
        "at random, unevenly",
        lambda units, visits, rng: rng.choice(
            units, units * visits, p=rng.dirichlet([1.0] * units)
        ),
    ),
    (
        "half of them first, again and again",
        lambda units, visits, rng: np.concatenate(
            [np.tile(part, visits) for part in np.array_split(np.arange(units), 2)]
        ),
    ),
)


def section(scale: float) -> str:
    runs = experiments_of(EXPERIMENTS, scale, 50)
    rows = []
    for units, visits in SIZES:
        for name, order in ORDERS:
            cells = []
            for effect in EFFECTS:
                shown, harm, covers = _measure((units, visits), order, effect, runs)
                cells += [share(max(shown, harm), runs, ALPHA), covered(covers, runs, 1 - ALPHA)]
            rows.append([f"{units} x {visits}", name, *cells])
    heads = [head for sd in EFFECTS for head in (f"shown, sd {sd:g}", f"covers, sd {sd:g}")]
    return f"""
## Repeated units in pairs

Units (tasks) with effects of their own that are 0 on average, their standard deviation in those
of the difference within a pair; many pairs on each. *Shown*: an effect or (if more often) harm,
at any look after any pair, mode `anytime`, one metric; limit {ALPHA:g}. *Covers*: the interval
includes 0 at every look. {runs} experiments a cell.

{table(("units x visits", "visited", *heads), rows)}
The evidence is the lesser of that over the units' means, at every look anew, and that over the
pairs. By the pairs alone effects of sd 1 are called an effect of the treatment in 25 to 60 %; by
the units' means alone the limit is exceeded a little where the units do not differ.
"""


def _measure(
    size: tuple[int, int], order: Order, effect: float, runs: int
) -> tuple[float, float, float]:
    rng, counts, rules = np.random.default_rng(31), np.zeros(3), Rules(ALPHA, 1, 5)
    for _ in range(runs):
        trials = tuple(trials_of(size, order, effect, rng))
        table = trials_table(trial_columns(trials), ("control", "treatment"), True)
        units = sample(table, 1, table.metric("a"), True)
        looks = units.looks()
        assert looks is not None
        assert units.visits is not None
        evidence = weight(of_units_and_pairs(looks, units.visits.pair_looks(), rules))
        if evidence is None:
            counts += [0, 0, 1]
            continue
        low, high = evidence.interval
        counts += [evidence.p_value <= ALPHA, evidence.harm_p_value <= ALPHA, low <= 0 <= high]
    shown, harm, covers = counts / runs
    return shown, harm, covers


def trials_of(
    size: tuple[int, int],
    order: Order,
    effect: float,
    rng: np.random.Generator,
    shift: float = 0.0,
) -> list[Trial]:
    unit = order(*size, rng)
    own = shift + effect * rng.standard_normal(size[0])
    shared, noise = rng.standard_normal(unit.size), rng.standard_normal((2, unit.size))
    values = 10 + shared + noise * np.sqrt(0.5) + np.stack([np.zeros(unit.size), own[unit]])
    trials = []
    for pair in range(unit.size):
        for place, arm in enumerate((0, 1) if pair % 4 in (0, 3) else (1, 0)):
            index = 2 * pair + place
            trials.append(
                Trial(
                    id=f"{index:026d}",
                    experiment="calibration",
                    plan=PLAN,
                    mode="lab",
                    arm=("control", "treatment")[arm],
                    unit=f"task-{unit[pair]}",
                    started=timestamp(START + timedelta(minutes=index)),
                    block=f"b{pair}",
                    order=place + 1,
                    metrics={"a": float(values[arm, pair])},
                )
            )
    return trials

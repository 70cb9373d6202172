"""Evidence over cases that are visited again and again: false alarms, and power against others."""

from __future__ import annotations

import math

import numpy as np
from repeated_units import ALPHA, trials_of
from tables import experiments_of, share, table

from expci.core.dataset.recorded import trial_columns
from expci.core.dataset.trials_table import trials_table
from expci.core.statistics.t_mixture import Rules
from expci.core.statistics.t_statistic import by_t, of_units_and_pairs
from expci.core.statistics.two_arms import sample
from support.evidence import weight

EXPERIMENTS = 400
SIZES = ((6, 50), (12, 1), (12, 10), (24, 5), (40, 1), (40, 10))  # cases, visits of each
BETWEEN = (0.0, 0.5)  # sd of the cases' own effects, of the difference within a pair
SHIFT = 0.5  # the mean effect for power, the same unit


def section(scale: float) -> str:
    runs = experiments_of(EXPERIMENTS, scale, 50)
    rows = []
    for size in SIZES:
        for between in BETWEEN:
            false = _shown(size, between, 0.0, runs)
            true = _shown(size, between, SHIFT, runs)
            cells = [share(false[0], runs, ALPHA), f"{false[1]:.2f}"]
            cells += [f"{power:.2f}" for power in true]
            rows.append([f"{size[0]} x {size[1]}", f"{between:g}", *cells])
    heads = ("false, over cases", "false, naive", "power, over cases", "power, naive")
    head = ("cases x visits", "sd between cases", *heads, "power, one visit each")
    error = 0.5 / math.sqrt(runs)
    return f"""
## Cases

Cases are visited in turn; their own effects vary about the mean effect. *False*: an effect is shown
at any look without one (mode `anytime`, limit {ALPHA:g}); *power*: the same with a mean effect of
{SHIFT:g} standard deviations of the difference within a pair. *Naive* counts every pair as an
observation; *one visit each* stops after the first visits. {runs} experiments a cell; shares
without ± have an error of at most {error:.2f}.

{table(head, rows)}
Where naive pairs show more than the evidence over cases, they do so without an effect as well. More
visits help as long as the noise within a case is what is left; where the cases differ, only more
cases do.
"""


def _shown(
    size: tuple[int, int], between: float, shift: float, runs: int
) -> tuple[float, float, float]:
    """How often over cases, by naive pairs, and after one visit of each case."""
    rng, counts, rules = np.random.default_rng(77), np.zeros(3), Rules(ALPHA, 1, 5)
    for _ in range(runs):
        trials = tuple(trials_of(size, _in_turn, between, rng, shift))
        table = trials_table(trial_columns(trials), ("control", "treatment"), True)
        units = sample(table, 1, table.metric("a"), True)
        first = units if units.visits is None else units.first(size[0])
        pairs, looks = first.looks(), units.looks()
        assert looks is not None
        assert pairs is not None
        if units.visits is None:
            over = naive = weight(by_t(looks, rules))
        else:
            naive_looks = units.visits.pair_looks()
            over = weight(of_units_and_pairs(looks, naive_looks, rules))
            naive = weight(by_t(naive_looks, rules))
        once = weight(by_t(pairs, rules))
        counts += [w is not None and w.p_value <= ALPHA for w in (over, naive, once)]
    over_share, naive_share, once_share = counts / runs
    return float(over_share), float(naive_share), float(once_share)


def _in_turn(units: int, visits: int, rng: np.random.Generator) -> np.ndarray:
    del rng
    return np.tile(np.arange(units), visits)

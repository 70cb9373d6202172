"""Ranks and quantiles over cases that are visited again and again, weighed in stages of visits."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from tables import experiments_of, share, table

from expci.core.statistics.quantile import QuantileTest
from expci.core.statistics.row_by_row import RowByRow, one_experiment
from expci.core.statistics.signed_rank import RankTest
from expci.core.statistics.t_mixture import Rules
from expci.core.statistics.two_arms import Sample, Visits, of_pairs, of_visits
from expci.core.statistics.visit_stages import AGAIN, ONCE, Stages

ALPHA = 0.05
EXPERIMENTS = 300
SIZES = ((6, 27), (12, 9), (24, 3), (40, 1), (40, 9))  # cases, visits of each
BETWEEN = (0.0, 0.5)  # sd of the cases' own effects, of the difference within a pair
SHIFT = 0.7  # the common effect for power, the same unit
KINDS: tuple[tuple[str, type[RowByRow]], ...] = (("rank", RankTest), ("quantile", QuantileTest))


def section(scale: float) -> str:
    runs = experiments_of(EXPERIMENTS, scale, 50)
    rows = []
    for name, kind in KINDS:
        for size in SIZES:
            for between in BETWEEN:
                false = _shown(kind, size, between, 0.0, runs)
                true = _shown(kind, size, between, SHIFT, runs)
                cells = [share(false[0], runs, ALPHA), f"{false[1]:.2f}"]
                cells += [f"{power:.2f}" for power in true]
                rows.append([name, f"{size[0]} x {size[1]}", f"{between:g}", *cells])
    heads = ("false, over cases", "false, naive", "power, over cases", "power, naive")
    head = ("kind", "cases x visits", "sd between cases", *heads, "power, one visit each")
    return f"""
## Ranks and quantiles on cases

As above, with heavy tails (t with 3 degrees of freedom) within a case, for `rank` and for the
median (`quantile`), which weigh each case after 1, 3, 9 and 27 visits; an effect of {SHIFT:g}.
{runs} experiments a cell; shares without ± have an error of at most {0.5 / math.sqrt(runs):.2f}.

{table(head, rows)}
The median's evidence in pairs is exact and weak: it is for many cases.
"""


def _shown(
    kind: type[RowByRow], size: tuple[int, int], between: float, shift: float, runs: int
) -> tuple[float, float, float]:
    """How often over cases, by naive pairs, and after one visit of each case."""
    rng, counts, (cases, visits) = np.random.default_rng(78), np.zeros(3), size
    for _ in range(runs):
        control = rng.normal(0, 1, (visits, cases))
        own = rng.standard_t(3, (visits, cases)) / math.sqrt(3)
        treatment = control + own + rng.normal(0, between, cases) + shift
        pairs = of_pairs(control.ravel(), treatment.ravel())
        first = of_pairs(control[0], treatment[0])
        units = _visited(pairs, cases, visits)
        weighed = (units, AGAIN), (pairs, ONCE), (first, AGAIN)
        counts += [_is_shown(kind, *one) for one in weighed]
    over, naive, once = counts / runs
    return float(over), float(naive), float(once)


def _visited(pairs: Sample, cases: int, visits: int) -> Sample:
    if pairs.pairs is None or visits == 1:
        return pairs
    named = replace(pairs.pairs, unit=np.tile(np.arange(cases), visits))
    return of_visits(pairs, Visits(named, *pairs.pair_values()))


def _is_shown(kind: type[RowByRow], units: Sample, stages: Stages) -> bool:
    """At any look: what was shown once stays shown."""
    row = replace(one_experiment(units), bounds=(0.0,))  # no exact interval: it takes long
    row = replace(row, samples=row.growing_pairs)
    test = kind(Rules(ALPHA, -1, 5), np.array([[float(units.n)]]), [row], stages)
    return bool(test.log_e()[0, -1] >= -math.log(ALPHA))

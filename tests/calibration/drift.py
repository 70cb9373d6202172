"""What both arms feel alike, drift and outages, at unequal weights: is it taken for an effect?"""

from __future__ import annotations

from datetime import timedelta

import numpy as np
from kinds import PLAN, START
from tables import experiments_of, share, table
from worlds import World, experiment

from expci.core.analysis.analyze import analyse
from expci.core.analysis.look import Look
from expci.core.dataset.recorded import trial_columns
from expci.core.kinds.trial_arrays import TrialArrays
from expci.core.model.trial import Trial, timestamp
from expci.core.planning.scenarios import assigned
from expci.core.planning.simulation import Simulation

ALPHA = 0.05
EXPERIMENTS = 400
OUTAGES = 200
SIZE = 100  # units of the smaller arm
WEIGHTS = ((1.0, 1.0), (4.0, 1.0), (1.0, 4.0), (9.0, 1.0))
DRIFTS = (0.0, 1.0, 3.0)  # over the whole experiment, in standard deviations
RATES = (0.9, 0.6)  # at the start and at the end


def section(scale: float) -> str:
    runs, outages = experiments_of(EXPERIMENTS, scale, 50), experiments_of(OUTAGES, scale, 50)
    rows = []
    for design in ("blocked", "randomized"):
        for weights in WEIGHTS:
            ranks = [shown("rank", design, weights, drift, runs) for drift in DRIFTS]
            rates = shown("proportion", design, weights, 0.0, runs)
            invalid = _invalid(design, weights, outages)
            cells = [share(value, runs, ALPHA) for value in (*ranks, rates)]
            ratio = f"{weights[0]:g}:{weights[1]:g}"
            rows.append([design, ratio, *cells, share(invalid, outages, 0.001)])
    header = (
        *("design", "control : treatment"),
        *(f"rank, drift {drift:g} sd" for drift in DRIFTS),
        *("proportion, rate .9 to .6", "outage called `invalid`"),
    )
    return f"""
## Drift and outages at unequal weights

The same affects both arms: normal values that rise by so many standard deviations over the
experiment, a rate that falls, or an early outage in which 80 % of the first tenth of all runs
are lost (2 % later). *Effect shown*, mode `anytime`, a look after every trial until the smaller
arm has {SIZE}; limit {ALPHA:g}; for the outage, verdict `invalid` at the end, limit 0.001.
{runs} experiments a cell, {outages} for the outage.

{table(header, rows)}
Ranks, proportions and the checks on rates compare the arms within blocks that hold as many units
of each as the weights say. By the k-th unit of each arm a drift of 1 sd at 1:4 was an effect in
42 % of experiments, and the outage made 80 to 90 % of them `invalid`. In random order an arm runs
ahead of its weight by chance, so a drift of 3 sd still shows there, at equal weights too: use
`design: blocked`.
"""


def shown(
    kind: str,
    design: str,
    weights: tuple[float, float],
    drift: float,
    runs: int,
    inference: str = "anytime",
) -> float:
    plan = experiment(World("", "normal", weights=weights, kind=kind), design, inference, SIZE)
    rng = np.random.default_rng(23)
    size = runs, int(SIZE * sum(weights) / min(weights))
    time = np.linspace(0, 1, size[1])
    if kind == "rank":
        values = 10 + rng.standard_normal(size) + drift * time
    else:
        values = (rng.random(size) < RATES[0] + (RATES[1] - RATES[0]) * time).astype(float)
    arm = assigned(plan, size, rng)
    trials = TrialArrays(arm, 2, {"a": values}, np.zeros(size, np.bool_))
    return float(np.mean(Simulation(plan, trials, SIZE).proves_effect()))


def _invalid(design: str, weights: tuple[float, float], runs: int) -> float:
    plan = experiment(World("", "normal", weights=weights, kind="mean"), design, "anytime", SIZE)
    rng, invalid = np.random.default_rng(29), 0
    size = int(SIZE * sum(weights) / min(weights))
    look = Look(plan, PLAN, "c" * 40, "running", START + timedelta(days=5), START)
    for _ in range(runs):
        arm = assigned(plan, (1, size), rng)[0]
        lost = rng.random(size) < np.where(np.arange(size) < size / 10, 0.8, 0.02)
        trials = [_trial(i, int(arm[i]), bool(lost[i]), rng) for i in range(size)]
        invalid += analyse(look, trial_columns(trials)).decision.verdict == "invalid"
    return invalid / runs


def _trial(index: int, arm: int, lost: bool, rng: np.random.Generator) -> Trial:
    return Trial(
        id=f"{index:026d}",
        experiment="calibration",
        plan=PLAN,
        mode="live",
        arm=("control", "treatment")[arm],
        unit=f"run-{index}",
        started=timestamp(START + timedelta(minutes=index)),
        status="lost" if lost else "ok",
        metrics={} if lost else {name: 10 + rng.standard_normal() for name in "abc"},
    )

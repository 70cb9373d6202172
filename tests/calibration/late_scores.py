"""Scores that arrive long after their trials, in another order."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import numpy as np
from kinds import PLAN, START
from tables import share, table
from worlds import World, experiment

from expci.core.analysis.analyze import Look, analyse
from expci.core.dataset.recorded import trial_columns
from expci.core.model.trial import Amendment, Trial, amended, timestamp

ALPHA = 0.05
EXPERIMENTS = 300
PAIRS = 100
LOOKS = 2  # by the pass: each weighs the values after every arrival up to it
DELAYS = (0, 10, 40, 120, 1000)  # mean, in trials


def section(scale: float) -> str:
    runs = max(50, int(EXPERIMENTS * scale))
    rows = []
    for delay in DELAYS:
        cells = [share(_shown(design, delay, runs), runs, ALPHA) for design in DESIGNS]
        rows.append([f"{delay}", *cells])
    return f"""
## Late scores

No effect; the score of each run comes later by an exponential time, in trials. An effect (mode
`anytime`) is shown after any arrival, as the pass sees it midway and at the end; after {PAIRS}
pairs (runs per arm) no more are run and the rest of the scores comes. Limit {ALPHA:g}. {runs}
experiments a cell.

{table(("mean delay", *DESIGNS), rows)}
A value stands where it arrived. Placed at their trials the same scores show an effect in
.041/.060/.086/.142 of experiments at mean delays of 10/40/120/1,000 trials (a look after each).
"""


DESIGNS = ("paired", "randomized")


def _shown(design: str, delay: int, runs: int) -> float:
    plan = experiment(World("", "normal"), design, "anytime", PAIRS)
    plan = replace(plan, metrics=plan.metrics[:1])
    rng, shown = np.random.default_rng(37), 0
    for _ in range(runs):
        trials = _trials(design, rng)
        delays = rng.exponential(max(delay, 1e-9), len(trials))
        arrival = np.arange(len(trials)) + delays
        values = 10 + rng.standard_normal(len(trials))
        shown += _any_look(plan, trials, arrival, values)
    return shown / runs


def _any_look(plan: object, trials: list[Trial], arrival: np.ndarray, values: np.ndarray) -> bool:
    ends = np.linspace(len(trials) / LOOKS, max(len(trials), float(arrival.max())) + 1, LOOKS)
    for end in ends:
        at = START + timedelta(minutes=float(end))
        look = Look(plan, PLAN, "c" * 40, "running", at, START)  # type: ignore[arg-type]
        came = [
            Amendment(f"{i:026d}", trials[i].id, "calibration", _time(arrival[i]), {"a": values[i]})
            for i in np.flatnonzero(arrival <= end)
        ]
        columns = trial_columns(amended(trials[: int(end)], came))
        comparison = analyse(look, columns).primary.comparisons[0]
        if (comparison.evidence.p_value or 1.0) <= ALPHA:
            return True
    return False


def _time(minutes: float) -> str:
    return timestamp(START + timedelta(minutes=float(minutes)))


def _trials(design: str, rng: np.random.Generator) -> list[Trial]:
    trials = []
    for block in range(PAIRS):
        for place, arm in enumerate(rng.permutation(2)):
            index = 2 * block + place
            trials.append(
                Trial(
                    id=f"{index:026d}",
                    experiment="calibration",
                    plan=PLAN,
                    mode="lab",
                    arm=("control", "treatment")[arm],
                    unit=f"unit-{block if design == 'paired' else index}",
                    started=_time(index),
                    block=f"b{block}" if design == "paired" else None,
                    order=place + 1,
                )
            )
    return trials

"""Scores that arrive long after their trials, in another order."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import numpy as np
from kinds import PLAN, START
from tables import experiments_of, share, table
from worlds import World, experiment

from expci.core.analysis.analyze import analyse
from expci.core.analysis.look import Look
from expci.core.dataset.recorded import trial_columns
from expci.core.model.experiment import Experiment
from expci.core.model.trial import Amendment, Arrival, Trial, amended, timestamp

ALPHA = 0.05
EXPERIMENTS = 300
PAIRS = 100
LOOKS = 2  # by the pass: each weighs the values after every arrival up to it
DELAYS = (0, 10, 40, 120, 1000)  # mean, in trials
CORRECTED = (0.1, 1.0)  # shares of the scores
CORRECTION_LOOKS = 6  # a correction leaves its old place, so the looks differ
CORRECTION_DELAY = 40
DESIGNS = ("paired", "randomized")


def section(scale: float) -> str:
    runs = experiments_of(EXPERIMENTS, scale, 50)
    fewer = experiments_of(EXPERIMENTS * 2 // 3, scale, 50)
    rows = []
    for delay in DELAYS:
        cells = [share(_late(design, delay, runs), runs, ALPHA) for design in DESIGNS]
        rows.append([f"{delay}", *cells])
    corrections = []
    for part in CORRECTED:
        cells = [share(_corrected(design, part, fewer), fewer, ALPHA) for design in DESIGNS]
        corrections.append([f"{part:.0%}", *cells])
    return f"""
## Late scores

No effect; the score of each run comes later by an exponential time, in trials. An effect (mode
`anytime`) is shown after any arrival, as computed midway and at the end; after {PAIRS} pairs
(runs per arm) no more are run and the rest of the scores comes. Every sender's clock states that
its score was taken with the run. Limit {ALPHA:g}. {runs} experiments a cell.

{table(("mean delay", *DESIGNS), rows)}
A value takes its place when the ledger takes it. Placed at their trials the same scores show an
effect in .041/.060/.086/.142 of experiments at mean delays of 10/40/120/1,000 trials (a look
after each).

Corrections: the scores come with their runs, and a share of them is replaced by another, drawn
anew (the worst case: it has nothing to do with what it corrects), an exponential time of mean
{CORRECTION_DELAY} trials later. An effect is shown at any of {CORRECTION_LOOKS} looks.
{fewer} experiments a cell.

{table(("corrected", *DESIGNS), corrections)}
"""


def _late(design: str, delay: int, runs: int) -> float:
    plan, rng, shown = _plan(design), np.random.default_rng(37), 0
    for _ in range(runs):
        trials = _trials(design, rng)
        arrival = np.arange(len(trials)) + rng.exponential(max(delay, 1e-9), len(trials))
        values = 10 + rng.standard_normal(len(trials))
        shown += _any_look(plan, trials, arrival, values, LOOKS)
    return shown / runs


def _corrected(design: str, part: float, runs: int) -> float:
    plan, rng, shown = _plan(design), np.random.default_rng(38), 0
    for _ in range(runs):
        trials = _trials(design, rng)
        first, second = 10 + rng.standard_normal((2, len(trials)))
        trials = [replace(t, metrics={"a": v}) for t, v in zip(trials, first, strict=True)]
        arrival = np.arange(len(trials)) + rng.exponential(CORRECTION_DELAY, len(trials))
        arrival[rng.random(len(trials)) >= part] = np.inf
        shown += _any_look(plan, trials, arrival, second, CORRECTION_LOOKS)
    return shown / runs


def _plan(design: str) -> Experiment:
    plan = experiment(World("", "normal"), design, "anytime", PAIRS)
    return replace(plan, metrics=plan.metrics[:1])


def _any_look(
    plan: Experiment, trials: list[Trial], arrival: np.ndarray, values: np.ndarray, looks: int
) -> bool:
    last = float(np.max(arrival, where=np.isfinite(arrival), initial=0.0))
    for end in np.linspace(0, max(len(trials), last) + 1, looks + 1)[1:]:
        look = Look(plan, PLAN, "c" * 40, "running", _at(end), START)
        present = trials[: int(end)]
        came = [i for i in np.argsort(arrival).tolist() if arrival[i] <= end and i < len(present)]
        late = [
            Amendment(
                f"{number:026d}",
                trials[i].id,
                "calibration",
                trials[i].started,
                {"a": values[i]},
                Arrival(trials[i].started, number, min(len(trials), int(arrival[i]) + 1)),
            )
            for number, i in enumerate(came)
        ]
        columns = trial_columns(amended(present, late))
        comparison = analyse(look, columns).primary.comparisons[0]
        if (comparison.evidence.p_value or 1.0) <= ALPHA:
            return True
    return False


def _at(minutes: float) -> datetime:
    return START + timedelta(minutes=float(minutes))


def _time(minutes: float) -> str:
    return timestamp(_at(minutes))


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

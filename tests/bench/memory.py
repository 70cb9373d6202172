"""Analyses in memory: ours, plain numpy, and the peers that are installed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from bench import peers, verbs
from bench.costs import cost_of
from bench.peers import EXPERIMENTS, TRIALS, best
from bench.rows import Result

_KEYS = {
    "gbstats": "in_memory",
    "tea_tasting": "in_memory_tea",
    "spotify_confidence": "in_memory_spotify",
}


def in_memory() -> Iterator[Result]:
    """1,000 experiments of 1,000 trials with three metrics."""
    from expci.core.dataset.recorded import trial_columns
    from expci.core.model.experiment import Limit, Metric
    from support.analysis_samples import SUCCESS, look_at_columns, make_experiment, make_trial

    cost = Metric("cost", "guardrail", "mean", "decrease", max_regression=Limit(0.05, True))
    experiment = make_experiment(others=(SUCCESS, cost), sample_size=10**4)
    rng, arms = np.random.default_rng(1), ("control", "treatment")
    times, dollars = np.exp(rng.normal(3, 0.3, TRIALS)), rng.normal(10, 1, TRIALS)
    columns = trial_columns(
        [
            make_trial(n, arms[n % 2], metrics={"duration_s": float(t), "cost": float(d)})
            for n, (t, d) in enumerate(zip(times, dollars, strict=True))
        ]
    )

    def welch() -> None:
        for column in (np.log(times), dollars, np.ones(TRIALS)):
            a, b = column[::2], column[1::2]
            variance = a.var(ddof=1) / a.size + b.var(ddof=1) / b.size
            (b.mean() - a.mean()) / np.sqrt(variance + 1e-300)

    ours = EXPERIMENTS * best(lambda: look_at_columns(experiment, columns), 5)
    plain = EXPERIMENTS * best(welch, 5)
    detail = f"{ours:.1f} s with every look's evidence and all checks; theirs"
    yield Result("in_memory_welch", ours / plain, f"{detail} {plain:.2f} s")
    python = os.environ.get("EXPCI_BENCH_PEERS", sys.executable)
    script = [python, str(Path(peers.__file__))]
    done = subprocess.run(script, check=True, capture_output=True, text=True)
    for name, theirs in json.loads(done.stdout).items():
        if isinstance(theirs, str):
            yield Result(_KEYS[name], None, f"{theirs}; see `pip install '.[bench]'`")
        else:
            yield Result(_KEYS[name], ours / theirs, f"{detail} {theirs:.2f} s")


def simulation() -> Iterator[Result]:
    """The operating characteristics of one scenario of a plan, against a bare import."""
    from expci.core.kinds.trial_arrays import TrialArrays
    from expci.core.model.experiment import (
        Arm,
        Assignment,
        DecisionRules,
        Experiment,
        Limit,
        Metric,
        PlanRules,
    )
    from expci.core.planning.simulation import first_decisions

    metrics = tuple(
        Metric(name, role, "mean", "decrease", Limit(0.1, True))  # type: ignore[arg-type]
        for name, role in (("a", "primary"), ("b", "guardrail"), ("c", "guardrail"))
    )
    experiment = Experiment(
        *("bench", "", "", (Arm("control"), Arm("treatment")), metrics),
        *(Assignment(design="blocked"), PlanRules(sample_size=50), DecisionRules()),
    )
    rng = np.random.default_rng(2)
    arm = np.broadcast_to(np.arange(100) % 2, (2000, 100))
    values = {m.name: 10 + rng.standard_normal(arm.shape) for m in metrics}
    trials = TrialArrays(arm, 2, values, np.zeros(arm.shape, np.bool_))
    bare = cost_of(verbs.BARE_IMPORT).cpu_s
    took = best(lambda: first_decisions(experiment, trials, 50), 3)
    detail = f"{took:.2f} s for 200,000 looks at the whole decision table with three metrics"
    yield Result("simulation", took / bare, detail)

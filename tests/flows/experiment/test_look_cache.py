"""A look from what an earlier one left is the look that a new process would have made."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import numpy as np

from expci.core.analysis.analyze import analyse
from expci.core.dataset.recorded import trial_columns
from expci.flows.experiment.look_cache import LookCache
from support.analysis_samples import SUCCESS, alternating, look_of, make_experiment
from support.repositories import Repository
from support.stage import Stage

RNG = np.random.default_rng(7)
TRIALS = [
    trial_columns(alternating(*np.exp(RNG.normal(2.5, 0.2, (2, count))))) for count in (20, 60)
]


def test_whatever_changes_between_two_looks_is_in_the_second() -> None:
    first = look_of(make_experiment(others=(SUCCESS,), sample_size=40))
    other = make_experiment(others=(SUCCESS,), sample_size=40, alpha=0.01)
    changes = [
        {"at": first.at + timedelta(days=40)},
        {"state": "stopped", "ledger": "d" * 40},
        {"extra_trials": 30},
        {"extra_days": 30.0},
        {"promoted": first.started + timedelta(hours=9), "promoted_arm": "treatment"},
        {"dropped": {"treatment": first.started + timedelta(hours=9)}},
        {"experiment": other},
        {"plan": "b" * 64},
        {"runs_a_month": 300.0},
        {},
    ]
    cache = LookCache()
    for change in changes:
        for trials in TRIALS:
            look = replace(first, **change)  # type: ignore[arg-type]
            assert cache.analysis(first, trials) == analyse(first, trials)
            assert cache.analysis(look, trials) == analyse(look, trials)


def test_trials_are_read_again_where_there_are_others(repository: Repository) -> None:
    stage, cache = Stage(repository), LookCache()
    stage.begin()
    stage.pairs(3, 1.0)
    stage.auto()
    ledger = stage.context.store.snapshot(inbox=False).ledger
    trials = cache.trials(ledger, "speed")
    assert cache.trials(stage.context.store.snapshot(inbox=False).ledger, "speed") is trials
    stage.pairs(2, 1.0)
    stage.auto()
    more = stage.context.store.snapshot(inbox=False).ledger
    assert (len(trials), len(cache.trials(more, "speed"))) == (6, 10)
    assert len(cache.trials(ledger, "speed")) == 6

"""Analyses of one experiment: computed from the ledger, and as past passes wrote them there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING

from expci import __version__
from expci.core.analysis.document import load_analysis
from expci.core.lifecycle.transitions import ENDED, LIVE, Life, fold, open_since
from expci.core.model.events import Event, Started
from expci.core.model.results import Analysis
from expci.core.model.trial import parse_timestamp
from expci.errors import LedgerDamaged
from expci.flows.experiment.look_cache import LookCache
from expci.store.ledger import paths
from expci.store.ledger.ledger import Ledger
from expci.store.ledger.plans import Plan
from expci.store.ledger.source_readings import read_source_readings

if TYPE_CHECKING:
    from expci.core.dataset.trial_columns import TrialColumns


def current_analysis(
    ledger: Ledger,
    plan: Plan,
    life: Life,
    trials: TrialColumns | None,
    now: datetime,
    runs_a_month: float | None = None,
    cache: LookCache | None = None,
) -> Analysis | None:
    """A fresh look while the experiment lives; what decided it once it has ended.

    `trials` are needed while it lives. `runs_a_month` is what the CI's records tell now; the last
    pass's where it is `None`. `cache` is of this experiment's earlier looks.
    """
    if life.state in LIVE and trials is not None:
        return analyse_ledger(ledger, plan, life, trials, now, runs_a_month, cache)
    stored = stored_analysis(ledger, paths.analysis(plan.experiment.id))
    if stored is not None and stored.state == life.state and stored.plan == plan.id:
        return stored
    return final_look(ledger, plan, life, cache)


def final_look(
    ledger: Ledger, plan: Plan, life: Life, cache: LookCache | None = None
) -> Analysis | None:
    """The look at the trials that the last decision saw; later trials are not counted.

    Where `expci gc` has removed them, the look that it stored.
    """
    stored = stored_analysis(ledger, paths.final(plan.experiment.id, plan.id))
    if stored is not None:
        return replace(stored, state=life.state)
    decided, ended = life.decided, life.ended
    if ended is None:
        return None
    earlier = ledger.at(decided.analysed) if decided and decided.analysed else ledger
    at = parse_timestamp(decided.at if decided else ended.at)
    cache = cache or LookCache()
    trials = cache.trials(earlier, plan.experiment.id)
    return analyse_ledger(earlier, plan, life, trials, at, cache=cache)


def earlier_lives(events: Sequence[Event]) -> Iterator[Life]:
    """The lives of the plans that had ended when the next plan of their experiment started."""
    for number, event in enumerate(events[1:], start=1):
        if isinstance(event, Started) and (life := fold(events[:number])).state in ENDED:
            yield life


def stored_analysis(ledger: Ledger, path: str) -> Analysis | None:
    """An analysis that the ledger holds; `None` also where it is damaged."""
    return readable_analysis(ledger.read(path))


def last_look(ledger: Ledger, name: str) -> Analysis | None:
    """The newest analysis of an experiment that a pass wrote; `None` also where it is damaged.

    While it lives this stands beside the ledger, so nothing is decided by it.
    """
    path = paths.analysis(name)
    look = readable_analysis(ledger.derived.read(path))
    return stored_analysis(ledger, path) if look is None else look


def readable_analysis(data: bytes | None) -> Analysis | None:
    try:
        return None if data is None else load_analysis(data)
    except LedgerDamaged:
        return None


def analyse_ledger(
    ledger: Ledger,
    plan: Plan,
    life: Life,
    trials: TrialColumns,
    now: datetime,
    runs_a_month: float | None = None,
    cache: LookCache | None = None,
) -> Analysis:
    """The analysis of an experiment as its ledger stands."""
    from expci.core.analysis.look import Look

    started = life.started
    if started is None:
        raise LookupError(plan.experiment.id)
    opened, promoted = open_since(plan.experiment, life), life.promoted
    return (cache or LookCache()).analysis(
        Look(
            experiment=plan.experiment,
            plan=plan.id,
            ledger=ledger.commit or "",
            state=life.state,
            at=now,
            started=parse_timestamp(opened) if opened else now,
            extra_days=life.extra_days,
            extra_trials=life.extra_trials,
            sample_size=started.sample_size,
            promoted=parse_timestamp(promoted.at) if promoted else None,
            promoted_arm=promoted.arm if promoted else None,
            holdback=promoted.holdback if promoted else None,
            version=__version__,
            refused=ledger.refused(plan.experiment.id, plan.id),
            change_sizes={
                arm.name: plan.change_size(arm.name) for arm in plan.experiment.treatments
            },
            dropped={}
            if promoted
            else {arm: parse_timestamp(event.at) for arm, event in life.dropped.items()},
            sources=read_source_readings(ledger, plan.experiment.id, plan.id),
            runs_a_month=last_rate(ledger, plan) if runs_a_month is None else runs_a_month,
        ),
        trials,
    )


def last_rate(ledger: Ledger, plan: Plan) -> float | None:
    """The rate of runs in the last analysis of this plan."""
    last = last_look(ledger, plan.experiment.id)
    return last.progress.runs_per_month if last is not None and last.plan == plan.id else None

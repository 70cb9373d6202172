"""One look at one experiment: from its trials to the `expci.analysis/1` document.

Select what counts, compare each treatment on each metric, run the trust checks, decide.
The same trials in the same order give the same bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from expci.core.analysis.look import Look
from expci.core.analysis.metric_results import metric_results
from expci.core.analysis.notes import contradictions, notes_on
from expci.core.analysis.per_case import case_notes, case_results, must_pass_answers
from expci.core.analysis.progress import progress_of, with_hours
from expci.core.analysis.sizes import (
    measured_by_treatment,
    size_by_treatment,
    target_size,
    units_by_treatment,
)
from expci.core.checks.inputs import CheckInputs
from expci.core.checks.registry import run_checks
from expci.core.checks.sources import queried_units
from expci.core.dataset.arrival import by_arrival
from expci.core.dataset.dataset import Dataset, dataset
from expci.core.dataset.selection import select
from expci.core.dataset.trial_columns import TrialColumns
from expci.core.dataset.trials_table import trials_table
from expci.core.dataset.unit_history import with_history
from expci.core.decision.decide import decide
from expci.core.decision.inputs import DecisionInput, Safeguard
from expci.core.decision.thresholds import harm_level
from expci.core.model.experiment import Experiment
from expci.core.model.results import Analysis, CaseResult, MetricResult, TrialCounts
from expci.core.model.trial import timestamp
from expci.core.statistics.terms import Terms


@dataclass(frozen=True)
class Measured:
    """What the trials come to, whenever somebody looks at them.

    `units` and `sizes` are by treatment: what bears on the primary, and what counts against the
    sample size, run and measured. `safeguards` are those of a primary that is a duration.
    """

    trials: TrialColumns
    data: Dataset
    terms: Terms
    units: Mapping[str, int]
    sizes: Mapping[str, int]
    measured_sizes: Mapping[str, int]
    metrics: tuple[MetricResult, ...]
    safeguards: Mapping[str, Safeguard]
    cases: tuple[CaseResult, ...]


def analyse(look: Look, trials: TrialColumns) -> Analysis:
    """Return the analysis of `trials`: the ledger's own order, amendments applied, any plan.

    >>> from expci.core.dataset.recorded import trial_columns
    >>> from support.analysis_samples import alternating, look_of, make_experiment
    >>> trials = trial_columns(alternating([10.0, 12.0], [9.0, 11.0]))
    >>> analysis = analyse(look_of(make_experiment()), trials)
    >>> analysis.decision.verdict, analysis.trials.arms
    ('continue', {'control': 2, 'treatment': 2})
    """
    return judged(look, measured(look, trials))


# Near the edge of a float sums overflow; what cannot be computed there is `None`, with the reason.
@np.errstate(over="ignore", invalid="ignore")
def measured(look: Look, trials: TrialColumns) -> Measured:
    """Return what `trials` come to: the same whatever the time of the look and its state are.

    >>> from expci.core.dataset.recorded import trial_columns
    >>> from support.analysis_samples import alternating, look_of, make_experiment
    >>> trials = trial_columns(alternating([10.0, 12.0], [9.0, 11.0]))
    >>> measured(look_of(make_experiment()), trials).units
    {'treatment': 2}
    """
    data = _counted_data(look, trials)
    arrived = by_arrival(data, look.experiment.primary)
    terms = _terms(look, data, target_size(look, arrived.table))
    return Measured(
        trials,
        data,
        terms,
        units_by_treatment(arrived),
        size_by_treatment(arrived),
        measured_by_treatment(arrived),
        *metric_results(terms, data),
        case_results(data),
    )


@np.errstate(over="ignore", invalid="ignore")
def judged(look: Look, m: Measured) -> Analysis:
    """Return the analysis of what trials came to: the checks, the decision, how far it is.

    >>> from dataclasses import replace
    >>> from datetime import timedelta
    >>> from expci.core.dataset.recorded import trial_columns
    >>> from support.analysis_samples import alternating, look_of, make_experiment
    >>> look = look_of(make_experiment())
    >>> today = measured(look, trial_columns(alternating([10.0, 12.0], [9.0, 11.0])))
    >>> judged(replace(look, at=look.deadline + timedelta(1)), today).decision.verdict
    'expire'
    """
    inputs = CheckInputs(m.data, look.weights, look.at, look.must_end, look.dropped, look.sources)
    checks = run_checks(inputs)
    progress = progress_of(look, m.trials, m.data, m.sizes, m.measured_sizes, m.terms)
    decision = decide(
        DecisionInput(
            experiment=look.experiment,
            metrics=m.metrics,
            checks=checks,
            units=m.units,
            target=m.terms.target,
            at=look.at,
            deadline=look.deadline,
            safeguards=m.safeguards,
            trials=len(m.data.table.trials),
            paired=m.data.table.paired,
            watching=look.watching,
            minimum_harm=progress.minimum_detectable_harm,
            change_sizes=look.change_sizes,
            dropped=look.dropped,
            budget=progress.budget,
            sizes=m.sizes,
            must_pass=must_pass_answers(look.experiment, m.cases, m.data.arms[1:]),
            cases=m.cases,
            queried=queried_units(inputs),
            measured_sizes=m.measured_sizes,
        )
    )
    return Analysis(
        experiment=look.experiment.id,
        plan=look.plan,
        ledger=look.ledger,
        state=look.state,
        at=timestamp(look.at),
        trials=_trial_counts(m.data),
        refused=look.refused,
        dropped=tuple(look.dropped),
        metrics=m.metrics,
        checks=checks,
        decision=decision,
        progress=with_hours(progress, look, m.data.table.trials, m.metrics, decision.arm),
        notes=(
            *notes_on(look, m.data, m.units, m.terms.target),
            *contradictions(m.metrics),
            *case_notes(look.experiment, m.cases),
        ),
        cases=m.cases,
        version=look.version,
    )


def _counted_data(look: Look, trials: TrialColumns) -> Dataset:
    """The trials that count, with what is on record of their units from before."""
    selection = select(trials, look.plan, look.arms, look.promoted)
    counted = trials.take(selection.counted)
    paired = _in_pairs(look.experiment, counted)
    counted = with_history(counted, trials, look.experiment, look.plan)
    return dataset(look.experiment, selection, trials_table(counted, look.arms, paired))


def _terms(look: Look, data: Dataset, target: int | None) -> Terms:
    return Terms(
        experiment=look.experiment,
        rules=look.rules,
        target=target,
        harm_level=harm_level(look.experiment, len(look.arms) - 1),
        paired=data.table.paired,
        weights=look.weights,
        extra=look.extra_trials,
    )


def _in_pairs(experiment: Experiment, counted: TrialColumns) -> bool:
    """Whether runs are compared within blocks.

    A paired plan whose trials are mostly live ones, one arm to a job, has no pairs to
    compare: it is analysed as randomized. Outcomes play no part in this.
    """
    if experiment.assignment.design != "paired":
        return False
    return 2 * int(counted.block.given.sum()) >= len(counted)


def _trial_counts(data: Dataset) -> TrialCounts:
    counts = np.bincount(data.table.arm, minlength=len(data.arms)).tolist()
    return TrialCounts(dict(zip(data.arms, counts, strict=True)), data.selection.excluded)

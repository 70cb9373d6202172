"""One look at one experiment: from its trials to the `expci.analysis/1` document.

Select what counts, compare each treatment on each metric, run the trust checks, decide.
The same trials in the same order give the same bytes.
"""

from __future__ import annotations

import numpy as np

from expci.core.analysis.look import Look
from expci.core.analysis.metric_results import metric_results
from expci.core.analysis.notes import contradictions, notes_on
from expci.core.analysis.per_case import case_notes, case_results, must_pass_answers
from expci.core.analysis.progress import progress_of, with_hours
from expci.core.analysis.sizes import size_by_treatment, target_size, units_by_treatment
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
from expci.core.decision.inputs import DecisionInput
from expci.core.decision.thresholds import harm_level
from expci.core.model.experiment import Experiment
from expci.core.model.results import Analysis, TrialCounts
from expci.core.model.trial import timestamp
from expci.core.statistics.terms import Terms


# Near the edge of a float sums overflow; what cannot be computed there is `None`, with the reason.
@np.errstate(over="ignore", invalid="ignore")
def analyse(look: Look, trials: TrialColumns) -> Analysis:
    """Return the analysis of `trials`: the ledger's own order, amendments applied, any plan.

    >>> from expci.core.dataset.recorded import trial_columns
    >>> from support.analysis_samples import alternating, look_of, make_experiment
    >>> trials = trial_columns(alternating([10.0, 12.0], [9.0, 11.0]))
    >>> analysis = analyse(look_of(make_experiment()), trials)
    >>> analysis.decision.verdict, analysis.trials.arms
    ('continue', {'control': 2, 'treatment': 2})
    """
    data = _counted_data(look, trials)
    arrived = by_arrival(data, look.experiment.primary)
    units, sizes = units_by_treatment(arrived), size_by_treatment(arrived)
    cases = case_results(data)
    terms = _terms(look, data, target_size(look, arrived.table))
    metrics, safeguards = metric_results(terms, data)
    inputs = CheckInputs(data, look.weights, look.at, look.must_end, look.dropped, look.sources)
    checks = run_checks(inputs)
    progress = progress_of(look, trials, data, sizes, terms)
    decision = decide(
        DecisionInput(
            experiment=look.experiment,
            metrics=metrics,
            checks=checks,
            units=units,
            target=terms.target,
            at=look.at,
            deadline=look.deadline,
            safeguards=safeguards,
            trials=len(data.table.trials),
            paired=data.table.paired,
            watching=look.watching,
            minimum_harm=progress.minimum_detectable_harm,
            change_sizes=look.change_sizes,
            dropped=look.dropped,
            budget=progress.budget,
            sizes=sizes,
            must_pass=must_pass_answers(look.experiment, cases, data.arms[1:]),
            cases=cases,
            queried=queried_units(inputs),
        )
    )
    return Analysis(
        experiment=look.experiment.id,
        plan=look.plan,
        ledger=look.ledger,
        state=look.state,
        at=timestamp(look.at),
        trials=_trial_counts(data),
        refused=look.refused,
        dropped=tuple(look.dropped),
        metrics=metrics,
        checks=checks,
        decision=decision,
        progress=with_hours(progress, look, data.table.trials, metrics, decision.arm),
        notes=(
            *notes_on(look, data, units, terms.target),
            *contradictions(metrics),
            *case_notes(look.experiment, cases),
        ),
        cases=cases,
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

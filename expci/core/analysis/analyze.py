"""One look at one experiment: from its trials to the `expci.analysis/1` document.

Select what counts, compare each treatment on each metric, run the trust checks, decide.
The same trials in the same order give the same bytes.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import numpy as np

from expci.core.analysis.hours_a_month import hours_a_month
from expci.core.analysis.per_case import case_notes, case_results, must_pass_answers
from expci.core.analysis.winners_curse import corrected
from expci.core.checks.inputs import CheckInputs
from expci.core.checks.registry import run_checks
from expci.core.checks.sources import queried_units
from expci.core.dataset.arrival import by_arrival
from expci.core.dataset.costs import budget_use
from expci.core.dataset.dataset import Dataset, dataset
from expci.core.dataset.moments import FloatArray, arm_summary
from expci.core.dataset.selection import select
from expci.core.dataset.trial_columns import TrialColumns
from expci.core.dataset.trials_table import TrialsTable, trials_table
from expci.core.dataset.unit_history import with_history
from expci.core.dataset.unit_paths import unpaired_trials
from expci.core.decision.decide import decide
from expci.core.decision.inputs import DecisionInput, Safeguard
from expci.core.decision.thresholds import harm_level, regression_limit
from expci.core.kinds import compare_by_kind, measured_spread
from expci.core.kinds.contrast import Contrast
from expci.core.model.budget import BudgetUse
from expci.core.model.experiment import CONTROL, Experiment, Metric, PlanRules
from expci.core.model.limits import DAYS_A_MONTH, PRIOR_SHARE
from expci.core.model.results import (
    Analysis,
    Comparison,
    MetricResult,
    NoteCode,
    Progress,
    TrialCounts,
)
from expci.core.model.source import SourceReading
from expci.core.model.trial import timestamp
from expci.core.number_format import count
from expci.core.statistics import multiplicity, sample_size
from expci.core.statistics.terms import Terms
from expci.core.statistics.two_arms import sample

_DAY = 86400.0


@dataclass(frozen=True)
class Look:
    """Everything about one look except the trials.

    `at` and `started`, from when its time runs, are aware. `sample_size` is per arm as computed at
    the start; the plan's own goes before it. While watching, `promoted` is when the change was
    merged and `promoted_arm` which one: only trials started from then on count, and only harm is
    decided; `holdback` is the share of units that keep the old content. `change_sizes` are
    how many paths and variables each treatment changes, where known. `refused` are records
    that were not taken, by the code of the reason and the arm ("" where that is not known).
    `dropped` says since when a treatment is out; none is while watching. `runs_a_month` is how
    often what it changes runs by the CI's records, where they tell. `sources` is what is on record
    of reading metrics from databases.
    """

    experiment: Experiment
    plan: str
    ledger: str
    state: str
    at: datetime
    started: datetime
    extra_days: float = 0
    extra_trials: int = 0
    sample_size: int | None = None
    promoted: datetime | None = None
    promoted_arm: str | None = None
    version: str = ""
    holdback: float | None = None
    change_sizes: Mapping[str, int] = field(default_factory=dict)
    refused: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    dropped: Mapping[str, datetime] = field(default_factory=dict)
    runs_a_month: float | None = None
    sources: Mapping[str, SourceReading] = field(default_factory=dict)

    @property
    def watching(self) -> bool:
        return self.promoted is not None

    @property
    def arms(self) -> tuple[str, ...]:
        """Control first; while watching only the promoted arm beside it."""
        names = [arm.name for arm in self.experiment.treatments]
        if self.watching and self.promoted_arm is not None:
            names = [self.promoted_arm]
        return (CONTROL, *names)


# Near the edge of a float sums overflow; what cannot be computed there is `None`, with the reason.
@np.errstate(over="ignore", invalid="ignore")
def analyse(look: Look, trials: TrialColumns) -> Analysis:
    """Return the analysis of `trials`: the ledger's own order, amendments applied, any plan.

    >>> from datetime import UTC
    >>> from expci.core.dataset.recorded import trial_columns
    >>> from support.analysis_samples import PLAN, alternating, make_experiment
    >>> start = datetime(2026, 11, 1, tzinfo=UTC)
    >>> look = Look(make_experiment(), PLAN, "", "running", start + timedelta(days=5), start)
    >>> trials = trial_columns(alternating([10.0, 12.0], [9.0, 11.0]))
    >>> analysis = analyse(look, trials)
    >>> analysis.decision.verdict, analysis.trials.arms
    ('continue', {'control': 2, 'treatment': 2})
    """
    selection = select(trials, look.plan, look.arms, look.promoted)
    counted = trials.take(selection.counted)
    paired = _in_pairs(look.experiment, counted)
    counted = with_history(counted, trials, look.experiment, look.plan)
    data = dataset(look.experiment, selection, trials_table(counted, look.arms, paired))
    rules = _rules(look)
    arrived = by_arrival(data, look.experiment.primary)
    units = _units(arrived)
    target, weights = _target(look, arrived.table, rules), _weights(look)
    level = harm_level(look.experiment, len(look.arms) - 1)
    terms = Terms(look.experiment, rules, target, level, paired, weights, extra=look.extra_trials)
    metrics, safeguards = _compare_all(terms, data)
    inputs = CheckInputs(data, weights, look.at, _must_end(look), look.dropped, look.sources)
    checks = run_checks(inputs)
    sizes, cases = _sizes(arrived, units), case_results(data)
    progress = _progress(look, data, sizes, target, terms)
    progress = replace(progress, budget=_budget_use(look, trials, progress))
    decision = decide(
        DecisionInput(
            experiment=look.experiment,
            metrics=metrics,
            checks=checks,
            units=units,
            target=target,
            at=look.at,
            deadline=_deadline(look),
            safeguards=safeguards,
            trials=len(counted),
            paired=paired,
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
        progress=_with_hours(look, progress, data, metrics, decision.arm),
        notes=(
            *_notes(look, target, data.table, units),
            *_unsteady(metrics),
            *case_notes(look.experiment, cases),
        ),
        cases=cases,
        version=look.version,
    )


_UNSTEADY: tuple[NoteCode, ...] = ("unsteady_effect", "unsteady_difference", "outside_interval")


def _unsteady(metrics: Sequence[MetricResult]) -> Iterator[str]:
    """Where the looks contradict one another: a note on the whole, so that no reader misses it."""
    for metric in metrics:
        for comparison in metric.comparisons:
            for sentence in filter(None, map(comparison.note_codes.get, _UNSTEADY)):
                yield f"{metric.name} with {comparison.arm}: {sentence}"


def _in_pairs(experiment: Experiment, counted: TrialColumns) -> bool:
    """Whether runs are compared within blocks.

    A paired plan whose trials are mostly live ones, one arm to a job, has no pairs to
    compare: it is analysed as randomized. Outcomes play no part in this.
    """
    if experiment.assignment.design != "paired":
        return False
    return 2 * int(counted.block.given.sum()) >= len(counted)


def _weights(look: Look) -> Mapping[str, float] | None:
    if not look.watching:
        stated = look.experiment.assignment.weights
        return {arm: stated.get(arm, 1.0) for arm in look.arms}
    holdback = look.holdback if look.holdback is not None else look.experiment.decision.holdback
    if holdback is None or not 0 < holdback < 1:
        return None
    return {CONTROL: holdback, look.arms[-1]: 1 - holdback}


def _rules(look: Look) -> PlanRules:
    """The plan's; its looks were planned for the trials before a promotion, not for the watch."""
    rules = look.experiment.effective_rules
    return replace(rules, planned_harm=0.0) if look.watching else rules


def _sizes(data: Dataset, units: Mapping[str, int]) -> dict[str, int]:
    """What counts against `min_trials` and the sample size: with cases every pair, else units."""
    experiment, primary = data.experiment, data.experiment.primary
    if experiment.cases is None or not data.table.paired:
        return dict(units)
    column = data.columns[primary.name].last
    return {
        arm: sample(data.table, index, column, True).pairs_run
        for index, arm in enumerate(data.arms)
        if index
    }


def _units(data: Dataset) -> dict[str, int]:
    """Units per treatment that bear on the primary: with a value, or failed in earning one.

    The smaller of the two arms; in pairs, the pairs.
    """
    primary = data.experiment.primary
    column, paired = data.columns[primary.name].last, data.table.paired
    return {
        arm: sample(data.table, index, column, paired and primary.traits.pairing != "never").n
        for index, arm in enumerate(data.arms)
        if index
    }


def _target(look: Look, table: TrialsTable, rules: PlanRules) -> int | None:
    """Units per arm at most: stated, known from the start, or from the first control units."""
    stated = look.experiment.plan.sample_size or look.sample_size
    if stated is None:
        stated = _computed_target(look, table, rules)
    return None if stated is None else stated + look.extra_trials


def _computed_target(look: Look, table: TrialsTable, rules: PlanRules) -> int | None:
    metric = look.experiment.primary
    if metric.minimum_effect is None:
        return None
    first = max(rules.min_trials, 2)
    if look.experiment.cases is not None:
        first = min(first, max(len(look.experiment.cases.frozen), 2))
    spread = measured_spread(metric, table, look.experiment.timeout_s, first)
    if spread is None:
        return None
    needed = sample_size.required_sample_size(
        metric,
        rules,
        "paired" if table.paired else "randomized",
        spread,
        look.experiment.arm_weights,
    )
    return None if needed is None else max(needed, rules.min_trials)


def _compare_all(
    terms: Terms, data: Dataset
) -> tuple[tuple[MetricResult, ...], dict[str, Safeguard]]:
    results, safeguards = [], {}
    for metric in terms.experiment.metrics:
        comparisons, arrived = [], by_arrival(data, metric)
        for index in range(1, len(data.arms)):
            comparison, safeguard = compare_by_kind(Contrast(metric, arrived, index, terms))
            comparisons.append(comparison)
            if safeguard is not None:
                safeguards[data.arms[index]] = safeguard
        if metric.role == "primary":
            comparisons = _holm(comparisons)
        results.append(_metric_result(metric, data, comparisons))
    return _false_discovery(results), safeguards


def _metric_result(metric: Metric, data: Dataset, comparisons: list[Comparison]) -> MetricResult:
    arms = {arm: arm_summary(data.units(metric.name, index)) for index, arm in enumerate(data.arms)}
    if metric.role == "primary":
        mean = arms[CONTROL].mean
        comparisons = [
            replace(one, corrected=corrected(one, metric, mean, PRIOR_SHARE)) for one in comparisons
        ]
    return MetricResult(
        name=metric.name,
        role=metric.role,
        kind=metric.kind,
        direction=metric.direction,
        arms=arms,
        comparisons=tuple(comparisons),
        unit=metric.unit,
    )


def _holm(comparisons: list[Comparison]) -> list[Comparison]:
    """The primary's p-values adjusted over the treatments."""
    adjusted = multiplicity.holm(_numbers(one.evidence.p_value for one in comparisons))
    return [
        replace(comparison, holm_p_value=p_value)
        for comparison, p_value in zip(comparisons, _none_for_nan(adjusted), strict=True)
    ]


def _numbers(values: Iterable[float | None]) -> list[float]:
    return [math.nan if value is None else value for value in values]


def _none_for_nan(values: FloatArray) -> list[float | None]:
    return [None if math.isnan(value) else value for value in values.tolist()]


def _false_discovery(results: Sequence[MetricResult]) -> tuple[MetricResult, ...]:
    """All p-values of secondary metrics adjusted together; they are reported, not decided on."""
    secondary = [metric for metric in results if metric.role == "secondary"]
    p_values = (one.evidence.p_value for metric in secondary for one in metric.comparisons)
    adjusted = iter(_none_for_nan(multiplicity.benjamini_hochberg(_numbers(p_values))))
    return tuple(
        replace(
            metric,
            comparisons=tuple(
                replace(comparison, false_discovery_p_value=next(adjusted))
                for comparison in metric.comparisons
            ),
        )
        if metric.role == "secondary"
        else metric
        for metric in results
    )


def _must_end(look: Look) -> datetime | None:
    return None if look.watching else _deadline(look)


def _deadline(look: Look) -> datetime:
    return look.started + timedelta(days=look.experiment.plan.max_days + look.extra_days)


def _trial_counts(data: Dataset) -> TrialCounts:
    counts = np.bincount(data.table.arm, minlength=len(data.arms)).tolist()
    return TrialCounts(dict(zip(data.arms, counts, strict=True)), data.selection.excluded)


def _progress(
    look: Look, data: Dataset, units: Mapping[str, int], target: int | None, terms: Terms
) -> Progress:
    """How far it is; `trials_needed` are units per arm (pairs), as `target` and `per_arm`."""
    per_arm = min((n for arm, n in units.items() if arm not in look.dropped), default=0)
    needed = None if target is None else max(0, target - per_arm)
    rate = measured_rate(data.table.trials)
    return Progress(
        in_pairs=data.table.paired,
        per_arm=per_arm,
        target=target,
        trials_needed=needed,
        trials_per_day=rate,
        expected_end=_expected_end(look, needed, rate, len(data.arms) - len(look.dropped)),
        minimum_detectable_harm=_detectable_harm(look, data, terms),
    )


def _budget_use(look: Look, trials: TrialColumns, progress: Progress) -> BudgetUse | None:
    """What was spent, and what the trials that are still needed will cost at the mean so far."""
    if look.experiment.budget is None:
        return None
    use = budget_use(look.experiment.budget, trials, look.plan)
    if progress.trials_needed is None or use.per_trial is None:
        return use
    arms = len(look.arms) - len(look.dropped)
    return replace(use, to_decision=progress.trials_needed * arms * use.per_trial)


def measured_rate(trials: TrialColumns) -> float | None:
    """Return trials a day between the first and the last start; `None` before two of them.

    The first trial opens the time that is measured, it does not count.

    >>> from support.analysis_samples import make_trial
    >>> from expci.core.dataset.recorded import trial_columns
    >>> hourly = trial_columns([make_trial(hour, "control") for hour in range(49)])
    >>> measured_rate(hourly), measured_rate(hourly.take(np.arange(1)))
    (24.0, None)
    """
    if len(trials) < 2:
        return None
    return (len(trials) - 1) / max(float(np.ptp(trials.seconds)) / _DAY, 1.0)


def _expected_end(look: Look, needed: int | None, rate: float | None, arms: int) -> str | None:
    """The day on which the sample size or the time limit is reached, whichever is first."""
    if needed is None or not rate:
        return None
    days = min(needed * arms / rate, 36500.0)
    end = min(look.at + timedelta(days=days), max(_deadline(look), look.at))
    return end.astimezone(UTC).date().isoformat()


def _detectable_harm(look: Look, data: Dataset, terms: Terms) -> float | None:
    """The smallest worsening of the primary that these trials show with the plan's power.

    One-sided at the level of harm, and at least the limit that the estimate must pass.
    """
    metric = look.experiment.primary
    spread = measured_spread(metric, data.table, look.experiment.timeout_s)
    if spread is None:
        return None
    sizes = [int(data.path(metric.name, arm).first.sum()) for arm in range(2)]
    if not min(sizes):
        return None
    units = 2 * sizes[0] * sizes[1] / sum(sizes)
    harm = sample_size.detectable_effect(
        metric, terms.design, spread, units, 2 * terms.harm_level, terms.rules.power, worse=True
    )
    limit = regression_limit(metric)
    if harm is None or metric.traits.is_share or not limit.relative:
        return harm
    return max(harm, abs(limit.value))


def _with_hours(
    look: Look,
    progress: Progress,
    data: Dataset,
    metrics: tuple[MetricResult, ...],
    arm: str | None,
) -> Progress:
    rate = _runs_a_month(look, data.table.trials)
    hours, fewer = (None, None) if rate is None else hours_a_month(rate, metrics, arm)
    return replace(
        progress,
        hours_saved_per_month=hours,
        corrected_hours_saved_per_month=fewer,
        runs_per_month=rate,
    )


def _runs_a_month(look: Look, counted: TrialColumns) -> float | None:
    """How often what is changed runs: as the plan states it, as real jobs took part, or by the CI.

    The number of lab trials is no measure of it. A burst on one afternoon is not a rate for a
    month: trials of less than a day count as that day's.
    """
    if look.experiment.rate is not None:
        return look.experiment.rate
    a_day = measured_rate(counted.take(np.flatnonzero(counted.mode.is_any("live"))))
    return look.runs_a_month if a_day is None else a_day * DAYS_A_MONTH


def _notes(
    look: Look, target: int | None, table: TrialsTable, units: Mapping[str, int]
) -> tuple[str, ...]:
    notes, counted, paired = [], len(table.trials), table.paired
    alone = unpaired_trials(table.trials, table.arm) if paired else 0
    if alone and any(units.values()):
        notes.append(
            f"{alone:,} of {count(counted, 'trial')} have no partner: no trial of another arm in "
            "their block, so they are in no pair that is compared"
        )
    if paired and counted and not any(units.values()):
        notes.append(
            "no pair is complete: a pair is the trials of both arms in one block, and no block "
            "here has both with a value of the primary metric"
        )
    if look.watching:
        notes.append(
            "watching: only trials started since the promotion count, only harm is decided"
        )
    if look.experiment.assignment.design == "paired" and counted and not paired:
        notes.append(
            "most counted trials name no block, so there are no pairs to compare: the arms are "
            "compared as independent samples"
        )
    if target is None and look.experiment.primary.minimum_effect is None:
        notes.append("no sample size: the primary metric states no minimum_effect")
    return tuple(notes)

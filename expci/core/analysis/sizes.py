"""How many units of each treatment there are, and how many the plan needs."""

from __future__ import annotations

from expci.core.analysis.look import Look
from expci.core.dataset.dataset import Dataset
from expci.core.dataset.moments import FloatArray
from expci.core.dataset.trials_table import TrialsTable
from expci.core.kinds import measured_spread
from expci.core.statistics import sample_size
from expci.core.statistics.two_arms import Sample, sample


def units_by_treatment(data: Dataset) -> dict[str, int]:
    """Return units per treatment that bear on the primary: with a value, or failed in earning one.

    The smaller of the two arms; in pairs, the pairs.

    >>> from support.analysis_samples import alternating, make_experiment
    >>> from support.examples import data_of
    >>> units_by_treatment(data_of(make_experiment(), alternating([10.0, 12.0], [9.0, 11.0])))
    {'treatment': 2}
    """
    return _units(data, data.columns[data.experiment.primary.name].last)


def size_by_treatment(data: Dataset) -> dict[str, int]:
    """Return what counts against `min_trials` and the sample size: every pair of cases, else units.

    >>> from support.analysis_samples import alternating, make_experiment
    >>> from support.examples import data_of
    >>> size_by_treatment(data_of(make_experiment(), alternating([10.0, 12.0], [9.0, 11.0])))
    {'treatment': 2}
    """
    return _sizes(data, data.columns[data.experiment.primary.name].last)


def measured_by_treatment(data: Dataset) -> dict[str, int]:
    """Return how much of that was measured: a failed run has no duration, and its pair none.

    >>> from dataclasses import replace
    >>> from support.analysis_samples import in_pairs, make_experiment
    >>> from support.examples import data_of
    >>> first, *others = in_pairs([10.0, 12.0], [9.0, 11.0])
    >>> failed = [replace(first, status="failed"), *others]
    >>> plan = make_experiment(design="paired")
    >>> measured_by_treatment(data_of(plan, failed)), size_by_treatment(data_of(plan, failed))
    ({'treatment': 1}, {'treatment': 2})
    """
    return _sizes(data, data.columns[data.experiment.primary.name].value)


def _sizes(data: Dataset, column: FloatArray) -> dict[str, int]:
    if data.experiment.cases is None or not data.table.paired:
        return _units(data, column)
    samples = _samples(data, column, paired=True)
    return {arm: units.pairs_run for arm, units in samples.items()}


def _units(data: Dataset, column: FloatArray) -> dict[str, int]:
    paired = data.table.paired and data.experiment.primary.traits.pairing != "never"
    return {arm: units.n for arm, units in _samples(data, column, paired).items()}


def _samples(data: Dataset, column: FloatArray, paired: bool) -> dict[str, Sample]:
    return {
        arm: sample(data.table, index, column, paired)
        for index, arm in enumerate(data.arms)
        if index
    }


def target_size(look: Look, table: TrialsTable) -> int | None:
    """Return units per arm at most: stated, fixed at the start, or by the first control units.

    `None` as long as none of the three gives it.

    >>> from support.analysis_samples import look_of, make_experiment
    >>> from support.examples import data_of
    >>> look = look_of(make_experiment(sample_size=40), extra_trials=10)
    >>> target_size(look, data_of(look.experiment, []).table)
    50
    """
    size = look.experiment.plan.sample_size or look.sample_size
    if size is None:
        size = _computed_size(look, table)
    return None if size is None else size + look.extra_trials


def _computed_size(look: Look, table: TrialsTable) -> int | None:
    metric, rules = look.experiment.primary, look.rules
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

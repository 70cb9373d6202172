"""Every treatment compared with control on every metric, adjusted for how many there are."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace

from expci.core.analysis.winners_curse import corrected
from expci.core.dataset.arrival import by_arrival
from expci.core.dataset.dataset import Dataset
from expci.core.dataset.moments import FloatArray, arm_summary
from expci.core.decision.inputs import Safeguard
from expci.core.kinds import compare_by_kind
from expci.core.kinds.contrast import Contrast
from expci.core.model.experiment import CONTROL, Metric
from expci.core.model.limits import PRIOR_SHARE
from expci.core.model.results import Comparison, MetricResult
from expci.core.statistics import multiplicity
from expci.core.statistics.terms import Terms


def metric_results(
    terms: Terms, data: Dataset
) -> tuple[tuple[MetricResult, ...], dict[str, Safeguard]]:
    """Return the results of all metrics, and by treatment the safeguard that a duration has.

    >>> from support.analysis_samples import DURATION, alternating
    >>> from support.examples import data_of, terms_of
    >>> terms = terms_of(DURATION)
    >>> data = data_of(terms.experiment, alternating([10.0, 12.0, 11.0], [9.0, 11.0, 10.0]))
    >>> (duration,), safeguards = metric_results(terms, data)
    >>> duration.arms["control"].mean, list(safeguards)
    (11.0, ['treatment'])
    """
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

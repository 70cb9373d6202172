"""What one comparison is asked, and the parts of the answer that all kinds of metric share."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from expci.core import number_format
from expci.core.dataset.dataset import Dataset
from expci.core.dataset.metric_columns import MetricColumn
from expci.core.dataset.moments import FloatArray, moments
from expci.core.dataset.trials_table import TrialsTable
from expci.core.model.experiment import Metric
from expci.core.model.results import Comparison
from expci.core.statistics import classical, ratio
from expci.core.statistics.effect_scale import (
    CROSSED,
    NO_DIFFERENCE,
    Change,
    closed,
    finite,
    unsteady,
)
from expci.core.statistics.inference import Terms, Units, Weighed, by_t, rules_of, weigh
from expci.core.statistics.two_arms import Sample, sample


@dataclass(frozen=True)
class Asked:
    """What is compared: a metric's column in the arm with index `arm`, against control."""

    metric: Metric
    data: Dataset
    arm: int
    terms: Terms

    @property
    def table(self) -> TrialsTable:
        return self.data.table

    @property
    def column(self) -> MetricColumn:
        return self.data.columns[self.metric.name]

    @property
    def better(self) -> int:
        return 1 if self.metric.direction == "increase" else -1

    def sample(self, column: FloatArray) -> Sample:
        return sample(self.table, self.arm, column, self.terms.paired)

    def samples(self, column: FloatArray) -> Sample:
        """As two independent samples, whatever the design."""
        return sample(self.table, self.arm, column, False)


def compared(asked: Asked, weighed: Weighed, change: Change, raw: Sample | None) -> Comparison:
    """All but the difference and what depends on the kind, on the raw values of all units."""
    terms = asked.terms
    control, treatment = (
        moments(asked.data.units(asked.metric.name, index)) for index in (0, asked.arm)
    )
    d = classical.cohens_d(control, treatment)
    welch = classical.welch(control, treatment, terms.level)
    why_none = () if welch else ("no Welch test: it needs two units in each arm that vary",)
    return Comparison(
        arm=asked.data.arms[asked.arm],
        difference=None,
        difference_interval=None,
        improvement=change.improvement,
        interval=change.interval,
        level=terms.level,
        evidence=weighed.evidence(_harm_level(asked)),
        welch=welch,
        paired=None if raw is None else raw.paired_test(terms.level),
        cohens_d=d,
        hedges_g=classical.hedges_g(d, control.n + treatment.n - 2),
        power=None,
        effect_size_word=classical.effect_size_word(d),
        notes=(*weighed.notes, *change.notes, *_data_notes(asked), *why_none),
    )


def _harm_level(asked: Asked) -> float | None:
    return None if asked.metric.role == "secondary" else asked.terms.harm_level


def ended_well(asked: Asked, arm: int) -> bool:
    """Whether any run of this arm has a value of its own."""
    return bool(np.isfinite(asked.column.value[asked.table.arm == arm]).any())


def _compared(asked: Asked) -> list[tuple[int, str]]:
    return [(arm, asked.table.arms[arm]) for arm in (0, asked.arm)]


def _data_notes(asked: Asked) -> tuple[str, ...]:
    column, terms, notes = asked.column, asked.terms, []
    if column.censored:
        limit = number_format.stated(terms.experiment.timeout_s)
        notes.append(f"censored: {column.censored} timed-out runs count at the timeout, {limit} s")
    silent = [name for arm, name in _compared(asked) if not ended_well(asked, arm)]
    if column.failures and silent:
        notes.append(f"every run of {' and '.join(silent)} failed: no value of it is known")
    elif column.failures and terms.paired:
        notes.append(f"failed runs: {column.failures}, each the worst time so far in its pair")
    elif column.failures:
        notes.append(f"failed runs: {column.failures}, without a duration; a win must hold so")
    if column.winsorized:
        share = number_format.stated_percent(asked.metric.winsorize or 0.0)
        notes.append(
            f"winsorized: {column.winsorized} values were pulled in to the {share} quantile"
        )
    if column.unusable:
        notes.append(f"{column.unusable} values are outside what this kind of metric can be")
    return tuple(notes)


def with_difference(
    comparison: Comparison, difference: float | None, weighed: Weighed
) -> Comparison:
    difference = None if difference is None else finite(difference)
    ends, interval = weighed.interval, closed(weighed.interval)
    found = unsteady(difference, interval)
    if ends is not None and ends[0] > ends[1]:
        found = (CROSSED if comparison.interval is None else NO_DIFFERENCE,)
    return replace(
        comparison,
        difference=difference,
        difference_interval=interval,
        notes=tuple(dict.fromkeys((*comparison.notes, *found))),
    )


def asymptotic(units: Units, words: tuple[str, str], start: int, asked: Asked) -> Weighed:
    """Estimates that are normal in large samples only: from `start` per arm, tuned to the plan."""
    terms = asked.terms
    planned = None if terms.planned is None else 2 * terms.planned
    scale = ratio.asymptotic_scale(planned, terms.rules.alpha)
    return weigh(by_t(units, words), rules_of(asked.metric, terms, scale, start), terms)

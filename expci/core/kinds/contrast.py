"""One treatment against control on one metric: what all kinds of metric share of it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from expci.core import number_format
from expci.core.dataset.dataset import Dataset
from expci.core.dataset.metric_columns import MetricColumn
from expci.core.dataset.moments import FloatArray, IntArray, moments
from expci.core.dataset.trials_table import TrialsTable
from expci.core.decision.wording.quantities import repeated_units
from expci.core.kinds.trial_arrays import TrialArrays
from expci.core.model.experiment import Limit, Metric
from expci.core.model.results import Comparison, NoteCode
from expci.core.special_functions import special
from expci.core.statistics import classical, ratio, t_mixture
from expci.core.statistics.effect_scale import (
    NO_DIFFERENCE,
    UNSTEADY,
    Change,
    closed,
    finite,
    unsteady,
)
from expci.core.statistics.mean_difference import Looks
from expci.core.statistics.outcome import Outcome, Words, outcome
from expci.core.statistics.planned_looks import planned_looks
from expci.core.statistics.row_by_row import Look
from expci.core.statistics.sample_size import Spread, planned_effect
from expci.core.statistics.statistic import Statistic, Units
from expci.core.statistics.t_statistic import Snapshot, by_t, of_units_and_pairs
from expci.core.statistics.terms import Terms, rules_of
from expci.core.statistics.two_arms import Sample, sample
from expci.core.statistics.weighed import Weighed


def on_scale(metric: Metric, values: FloatArray) -> FloatArray:
    """Return values on the scale of analysis.

    >>> on_scale(Metric("duration_s", "primary", "duration", "decrease"), np.array([1.0, np.e]))
    array([0., 1.])
    """
    return np.log(values) if metric.traits.is_logarithmic else values


@dataclass(frozen=True)
class Contrast:
    """The arm with index `arm` against control on one metric of one experiment."""

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


def compared(
    contrast: Contrast, outcome: Outcome, change: Change, raw: Sample | None
) -> Comparison:
    """Return all but the difference and what depends on the kind, on the raw values of all units.

    >>> from expci.core.kinds import continuous
    >>> from support.examples import contrast_of
    >>> score = Metric("score", "primary", "mean", "increase")
    >>> contrast = contrast_of(score, [4.0, 6.0], [7.0, 9.0])
    >>> units = contrast.sample(contrast.column.value)
    >>> result = compared(contrast, continuous.weigh_units(units, None, contrast), Change(), units)
    >>> result.arm, round(result.welch.t, 3), result.difference  # 3/√2
    ('treatment', 2.121, None)
    """
    terms = contrast.terms
    control, treatment = (
        moments(contrast.data.units(contrast.metric.name, index)) for index in (0, contrast.arm)
    )
    d = classical.cohens_d(control, treatment)
    welch = classical.welch(control, treatment, terms.level)
    repeated = _repeated_units(contrast)
    why_none = () if welch else ("no Welch test: it needs two units in each arm that vary",)
    return Comparison(
        arm=contrast.data.arms[contrast.arm],
        difference=None,
        difference_interval=None,
        improvement=change.improvement,
        interval=change.interval,
        level=terms.level,
        evidence=outcome.evidence(_harm_level(contrast)),
        welch=welch,
        paired=None if raw is None else raw.paired_test(terms.level),
        cohens_d=d,
        hedges_g=classical.hedges_g(d, control.n + treatment.n - 2),
        power=None,
        effect_size_word=classical.effect_size_word(d),
        notes=(
            *outcome.notes,
            *change.notes,
            *change.coded.values(),
            *repeated.values(),
            *_data_notes(contrast),
            *why_none,
        ),
        note_codes={**change.coded, **repeated},
    )


def _repeated_units(contrast: Contrast) -> Mapping[NoteCode, str]:
    """Of which population the numbers speak, where units have several pairs."""
    pairs = contrast.table.pairs(contrast.arm) if contrast.terms.paired else None
    if pairs is None or pairs.unit is None:
        return {}
    units = int(np.unique(pairs.unit).size)
    return {"repeated_units": repeated_units(int(pairs.unit.size), units)}


def _harm_level(contrast: Contrast) -> float | None:
    return None if contrast.metric.role == "secondary" else contrast.terms.harm_level


def ended_well(contrast: Contrast, arm: int) -> bool:
    """Return whether any run of this arm has a value of its own.

    >>> from support.examples import contrast_of
    >>> score = Metric("score", "primary", "mean", "increase")
    >>> contrast = contrast_of(score, [4.0, 6.0], [math.nan, math.nan])
    >>> ended_well(contrast, 0), ended_well(contrast, 1)
    (True, False)
    """
    return bool(np.isfinite(contrast.column.value[contrast.table.arm == arm]).any())


def _named_arms(contrast: Contrast) -> list[tuple[int, str]]:
    return [(arm, contrast.table.arms[arm]) for arm in (0, contrast.arm)]


def _data_notes(contrast: Contrast) -> tuple[str, ...]:
    column, terms, notes = contrast.column, contrast.terms, []
    if column.censored:
        limit = number_format.stated(terms.experiment.timeout_s)
        notes.append(f"censored: {column.censored} timed-out runs count at the timeout, {limit} s")
    silent = [name for arm, name in _named_arms(contrast) if not ended_well(contrast, arm)]
    if column.failures and silent:
        notes.append(f"every run of {' and '.join(silent)} failed, so it has no value")
    elif column.failures:
        pairs = ", so their pairs have no difference" if terms.paired else ""
        notes.append(
            f"failed runs: {column.failures}, without a duration{pairs}; a win must hold with them "
            "ranked last"
        )
    if column.winsorized:
        share = number_format.stated_percent(contrast.metric.winsorize or 0.0)
        notes.append(
            f"winsorized: {column.winsorized} values were pulled in to the {share} quantile"
        )
    if column.unusable:
        notes.append(f"{column.unusable} values are outside what this kind of metric can be")
    return tuple(notes)


def with_difference(
    comparison: Comparison, difference: float | None, outcome: Outcome
) -> Comparison:
    """Return the comparison with the difference; a note where its interval excludes it.

    >>> from expci.core.kinds import continuous
    >>> from support.examples import contrast_of
    >>> score = Metric("score", "primary", "mean", "increase")
    >>> contrast = contrast_of(score, [4.0, 6.0], [7.0, 9.0])
    >>> units = contrast.sample(contrast.column.value)
    >>> weighed = continuous.weigh_units(units, None, contrast)
    >>> result = with_difference(compared(contrast, weighed, Change(), units), 3.0, weighed)
    >>> result.difference, result.difference_interval  # too few units for an interval
    (3.0, None)
    """
    difference = None if difference is None else finite(difference)
    ends, interval = outcome.interval, closed(outcome.interval)
    codes = unsteady(difference, interval)
    if ends is not None and ends[0] > ends[1]:
        codes = UNSTEADY if comparison.interval is None else {"unsteady_difference": NO_DIFFERENCE}
    return replace(
        comparison,
        difference=difference,
        difference_interval=interval,
        notes=tuple(dict.fromkeys((*comparison.notes, *codes.values()))),
        note_codes={**comparison.note_codes, **codes},
    )


def with_errors(
    comparison: Comparison, now: Snapshot | Look | None, control: float | None
) -> Comparison:
    """Return it with the standard errors of one look; the share's without control's own error.

    >>> from support.look_numbers import Effect
    >>> now = Snapshot(z=-2.0, error=0.5, clear=True)
    >>> result = with_errors(Effect().comparison("treatment"), now, control=10.0)
    >>> result.difference_error, result.improvement_error
    (0.5, 0.05)
    """
    if now is None or not math.isfinite(now.error):
        return comparison
    share = finite(now.error / abs(control)) if control else None
    return replace(comparison, difference_error=now.error, improvement_error=share)


def compared_by_t(units: Units, words: Words, rules: t_mixture.Rules, terms: Terms) -> Outcome:
    """Return the evidence of a difference that has a standard error after every trial.

    >>> from expci.core.statistics.terms import rules_of
    >>> from support.examples import contrast_of
    >>> score = Metric("score", "primary", "mean", "increase")
    >>> contrast = contrast_of(score, [4.0, 6.0], [7.0, 9.0])
    >>> units, rules = contrast.sample(contrast.column.value), rules_of(score, contrast.terms, 0.5)
    >>> compared_by_t(units, Words(), rules, contrast.terms).notes
    ('evidence starts at 5 per arm; there are 2',)
    """
    looks = units.looks()
    of_pairs = units.pair_looks() if isinstance(units, Sample | ratio.Fractions) else None
    statistic = None if looks is None else by_t(looks, rules)
    if looks is not None and of_pairs is not None:
        statistic = of_units_and_pairs(looks, of_pairs, rules)
    return replace(outcome(statistic, units.n, words, rules, terms), error=last_error(looks))


def last_error(looks: Looks | None) -> float | None:
    """Return the standard error of the difference after the last trial.

    0 where nothing varies, `None` under two units.

    >>> from support.examples import contrast_of
    >>> score = Metric("score", "primary", "mean", "increase")
    >>> contrast = contrast_of(score, [4.0, 6.0], [7.0, 9.0])
    >>> last_error(contrast.sample(contrast.column.value).looks()), last_error(None)  # √(1 + 1)
    (1.4142135623730951, None)
    """
    if looks is None:
        return None
    return finite(float(looks.error[0, -1]) * float(np.ravel(looks.scale)[0]))


def asymptotic(units: Units, words: Words, start: int, contrast: Contrast) -> Outcome:
    """Weigh estimates that are normal in large samples only: from `start` per arm on.

    >>> from support.examples import contrast_of
    >>> score = Metric("score", "primary", "mean", "increase")
    >>> contrast = contrast_of(score, [4.0, 6.0], [7.0, 9.0])
    >>> asymptotic(contrast.sample(contrast.column.value), Words(), 30, contrast).notes
    ('evidence starts at 30 per arm; there are 2',)
    """
    rules = asymptotic_rules(contrast.metric, contrast.terms, start)
    return compared_by_t(units, words, rules, contrast.terms)


def asymptotic_rules(metric: Metric, terms: Terms, start: int) -> t_mixture.Rules:
    """Return how such an estimate is weighed: from `start` units per arm, tuned to the plan.

    >>> from support.examples import terms_of
    >>> score = Metric("score", "primary", "mean", "increase")
    >>> asymptotic_rules(score, terms_of(score), start=30).start
    30
    """
    planned = None if terms.planned is None else 2 * terms.planned
    return rules_of(metric, terms, ratio.asymptotic_scale(planned, terms.rules.alpha), start)


@dataclass(frozen=True)
class Simulated:
    """The arm with index `arm` against control on one metric, in simulated trials.

    `bounds` are what the decision holds the metric's interval against; `goal` is the look at
    which each experiment has its sample size (−1: never). `exact` asks for p-values at planned
    looks where more than alpha is needed of them.
    """

    metric: Metric
    arrays: TrialArrays
    arm: int
    terms: Terms
    bounds: tuple[Limit, ...]
    goal: IntArray
    exact: bool = False

    @property
    def better(self) -> int:
        return 1 if self.metric.direction == "increase" else -1

    @property
    def name(self) -> str:
        return self.terms.experiment.arms[self.arm].name

    def weighed(self, statistic: Statistic) -> Weighed:
        """The statistic in the plan's mode."""
        terms, start = self.terms, statistic.rules.start
        plan = planned_looks(statistic.n, terms.rules, terms.planned, start, terms.extra)
        return Weighed(statistic, plan, terms.harm_level, self.exact)


def normal_power(
    contrast: Contrast, control: float | None, now: Snapshot | Look | None
) -> float | None:
    """Return the power of one look at the planned effect, by the normal with the error so far.

    >>> from support.examples import contrast_of
    >>> effect = Limit(1.0, relative=False)
    >>> score = Metric("score", "primary", "mean", "increase", minimum_effect=effect)
    >>> contrast = contrast_of(score, [4.0, 6.0], [7.0, 9.0])
    >>> now = Snapshot(z=0.0, error=1 / 2.8, clear=True)
    >>> round(normal_power(contrast, 5.0, now), 2)  # an effect of 2.8 standard errors
    0.8
    """
    if control is None or now is None:
        return None
    effect = planned_effect(contrast.metric, Spread(control, 1.0))
    if effect is None or not 0 < now.error < math.inf:
        return None
    size, critical = effect / now.error, float(special.ndtri(contrast.terms.rules.alpha / 2))
    return float(special.ndtr(critical + size) + special.ndtr(critical - size))

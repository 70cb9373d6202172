"""One treatment against control on one metric: estimates and the evidence.

A metric's kind decides the scale: durations by logarithms (the ratio of geometric means),
means as they are, proportions by blocks. The evidence and its interval come from
`sequential` or `betting`; what `estimate` gives beside it is for the reader.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from expci.core import betting, estimate, sequential
from expci.core.model import CONTROL, Experiment, Metric, PlanRules
from expci.core.observation import Frame, Path, Values, path
from expci.core.results import Comparison, Evidence, Interval, Paired
from expci.core.sample import Sample, sample
from expci.core.sample_size import Spread, planned_effect, scale_sd
from expci.core.sequential import Rules, Sequence
from expci.core.summary import Moments, moments

KINDS = ("duration", "mean", "proportion")
MINIMUM_UNITS = {"paired": 5, "randomized": 10}  # no decision under these


@dataclass(frozen=True)
class Terms:
    """What all comparisons of one look share.

    `target` is units per arm, where known; `weights` the shares by arm (`None`: not known).
    """

    experiment: Experiment
    rules: PlanRules
    target: int | None
    harm_level: float
    paired: bool
    weights: Mapping[str, float] | None

    @property
    def start(self) -> int:
        """Units per arm before which there is no evidence: Welch's t needs more if unequal."""
        equal = self.weights is not None and len(set(self.weights.values())) == 1
        return 5 if equal or self.paired else 10

    @property
    def level(self) -> float:
        return 1 - self.rules.alpha

    @property
    def design(self) -> str:
        """How the units are compared, whatever the plan called it."""
        return "paired" if self.paired else "randomized"

    def block_sizes(self, arm: str) -> tuple[int, int]:
        """Units of control and of `arm` in a block of the safe test."""
        if self.weights is None:
            return 1, 1
        return betting.block_sizes(self.weights[CONTROL], self.weights[arm])


@dataclass(frozen=True)
class Safeguard:
    """What a `duration` win must hold against besides its own evidence.

    `saving` is the arithmetic difference, positive where better. `p_value` and `cautious`
    (the interval's worse end, as improvement) hold with failures ranked last.
    """

    arm: str
    saving: float | None
    p_value: float | None
    cautious: float | None
    failures: tuple[int, int]


def compare(
    metric: Metric, table: Frame, column: Values, arm: int, terms: Terms
) -> tuple[Comparison, Safeguard | None]:
    """Everything about one treatment on one metric; a safeguard for a duration primary."""
    if metric.kind == "proportion":
        return _proportion(metric, table, column, arm, terms), None
    if metric.kind in ("duration", "mean"):
        return _continuous(metric, table, column, arm, terms)
    return _not_available(metric, table, arm, terms), None


@dataclass(frozen=True)
class _Weighed:
    """The two-sided evidence in the plan's mode beside the always anytime evidence of harm."""

    method: str
    found: Sequence | None
    harm: Sequence | None
    looks: int | None
    notes: tuple[str, ...]

    def evidence(self, harm_level: float | None) -> Evidence:
        found, log_e = self.found, self.found.log_e_value if self.found else None
        e_value = None if log_e is None or log_e > 700 else math.exp(log_e)
        return Evidence(
            method=self.method,
            p_value=None if found is None else found.p_value,
            e_value=e_value,
            looks=self.looks,
            log_e_value=log_e,
            harm_p_value=None if self.harm is None else self.harm.harm_p_value,
            level_harm=harm_level,
        )


def _locked(n: int, terms: Terms) -> str | None:
    """Why the two-sided evidence may not be seen yet; `None` where it may."""
    if terms.rules.inference == "group-sequential":
        return "group-sequential inference is not available in this version; only harm is tested"
    if terms.rules.inference == "fixed" and terms.target is None:
        return "locked: no sample size is known; state `plan: sample_size`"
    if terms.rules.inference == "fixed" and terms.target is not None and n < terms.target:
        return f"locked until {terms.target} per arm"
    return None


def _opened(units: Sample, terms: Terms) -> Sample:
    """What the estimate is made of: in a fixed plan the planned units and no later ones."""
    if terms.rules.inference != "fixed" or terms.target is None:
        return units
    return units.first(terms.target)


def _weigh(units: Sample, rules: Rules, terms: Terms) -> _Weighed:
    looks = units.looks()
    harm = None if looks is None else sequential.weigh(looks, rules)
    locked, method = _locked(units.n, terms), str(terms.rules.inference)
    if locked is not None:
        return _Weighed(method, None, harm, None, (locked,))
    if terms.rules.inference == "fixed":
        planned = _opened(units, terms).looks()
        found = None if planned is None else sequential.only_look(planned, rules)
        return _Weighed(method, found, harm, 1, ())
    notes = () if harm is not None else (_why_no_evidence(units, rules),)
    return _Weighed(method, harm, harm, None, notes)


def _why_no_evidence(units: Sample, rules: Rules) -> str:
    if units.n < rules.start:
        return f"no evidence before {rules.start} per arm; there are {units.n}"
    return "no evidence: the values do not vary"


def _continuous(
    metric: Metric, table: Frame, column: Values, arm: int, terms: Terms
) -> tuple[Comparison, Safeguard | None]:
    paired, log = terms.paired, metric.kind == "duration"
    # A pair is never dropped for a failure: its failed run takes the longest time so far.
    counted = column.last if paired else column.value
    scaled = sample(table, arm, np.log(counted) if log else counted, paired)
    raw = sample(table, arm, counted, paired)
    rules = _rules(metric, terms)
    weighed = _weigh(scaled, rules, terms)
    change = (
        _log_change(metric, scaled, weighed, terms)
        if log
        else _relative_change(metric, raw, weighed, terms)
    )
    on_raw = _weigh(raw, rules, terms) if log else weighed
    comparison = _comparison(metric, table, column, arm, terms, weighed, change)
    comparison = _with_difference(comparison, _opened(raw, terms), on_raw)
    comparison = _with_power(comparison, metric, scaled, raw, terms)
    if not log or metric.role != "primary":
        return comparison, None
    return comparison, _safeguard(metric, table, column, arm, terms, comparison)


def _rules(metric: Metric, terms: Terms) -> Rules:
    return Rules(
        alpha=terms.rules.alpha,
        harm=1 if metric.direction == "decrease" else -1,
        start=terms.start,
        scale=_planned_scale(metric, terms),
    )


def _planned_scale(metric: Metric, terms: Terms) -> float:
    """g: the square of the planned standardised effect, if stated before any trial, else 0.5.

    Never from the data that are tested. Kept within the range that was simulated.
    """
    if metric.baseline is None or terms.paired:
        return sequential.SCALE
    spread = Spread(metric.baseline.mean, metric.baseline.sd)
    effect = planned_effect(metric, spread)
    sd = scale_sd(metric, spread, terms.design)
    if not effect or not sd:
        return sequential.SCALE
    return min(2.0, max(0.1, (effect / sd) ** 2))


@dataclass(frozen=True)
class _Change:
    """The relative improvement with its interval, and what to say of it."""

    improvement: float | None = None
    interval: Interval | None = None
    notes: tuple[str, ...] = ()


def _log_change(metric: Metric, units: Sample, weighed: _Weighed, terms: Terms) -> _Change:
    """From the log scale: 1 − ratio of geometric means for `decrease`, ratio − 1 else."""
    difference = _opened(units, terms).difference()
    if difference is None:
        return _Change()
    ends = weighed.found.interval if weighed.found else None
    crossed = ends is not None and ends[0] > ends[1]
    interval: Interval | None = None
    if ends is not None and not crossed:
        low, high = sorted(_from_log(metric, end) for end in ends)
        interval = (_finite(low), _finite(high))
    return _Change(_finite(_from_log(metric, difference)), interval, _crossed(crossed))


def _from_log(metric: Metric, difference: float) -> float:
    try:
        ratio = math.exp(difference)
    except OverflowError:
        ratio = math.inf
    return 1 - ratio if metric.direction == "decrease" else ratio - 1


def _crossed(crossed: bool) -> tuple[str, ...]:
    if not crossed:
        return ()
    return ("the interval is empty: the effect was not the same over the whole time",)


def _relative_change(metric: Metric, units: Sample, weighed: _Weighed, terms: Terms) -> _Change:
    """(treatment − control)/|control|, with Fieller's interval; refused where control may be 0."""
    opened = _opened(units, terms)
    control, difference = opened.control_mean(), opened.difference()
    if difference is None:
        return _Change()
    refused = _refusal(metric, control, terms.rules.alpha)
    if refused is not None:
        return _Change(notes=(refused,))
    sign = math.copysign(1.0, control.mean) * (1 if metric.direction == "increase" else -1)
    improvement = _finite(sign * difference / control.mean)
    if weighed.found is None:
        return _Change(improvement)
    low, high = weighed.found.relative
    if low > high:
        return _Change(improvement, None, _crossed(True))
    ends = sorted((sign * low, sign * high))
    note = "relative interval: Fieller (1954) with the critical value of the evidence"
    return _Change(improvement, (_finite(ends[0]), _finite(ends[1])), (note,))


def _refusal(metric: Metric, control: Moments, alpha: float) -> str | None:
    """Why a relative change of this metric means nothing; `None` where it does."""
    if control.squared_error is None:
        return "no relative change before control has two units"
    error = math.sqrt(control.squared_error)
    margin = estimate.t_quantile(control.n - 1, 1 - alpha / 2) * error if error else 0.0
    if abs(control.mean) > margin:
        return None
    return (
        f"no relative change: control's interval for {metric.name} includes 0; write absolute "
        f"limits, such as `max_regression: {_example(control)}` in the metric's own unit"
    )


def _example(control: Moments) -> str:
    return f"{control.sd / 2:.2g}" if control.sd else "0.3"


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _comparison(
    metric: Metric,
    table: Frame,
    column: Values,
    arm: int,
    terms: Terms,
    weighed: _Weighed,
    change: _Change,
) -> Comparison:
    """All but the difference and the power, on the raw values of all units."""
    control, treatment = (moments(path(table, index, column.value).final) for index in (0, arm))
    d = estimate.cohens_d(control, treatment)
    g = estimate.hedges_g(d, control.n + treatment.n - 2)
    counted = column.last if metric.kind == "duration" else column.value
    raw = sample(table, arm, counted, terms.paired)
    welch = estimate.welch(control, treatment, terms.level)
    why_none = () if welch else ("no Welch test: it needs two units in each arm that vary",)
    return Comparison(
        arm=table.arms[arm],
        difference=None,
        difference_interval=None,
        improvement=change.improvement,
        interval=change.interval,
        level=terms.level,
        evidence=weighed.evidence(_harm_level(metric, terms)),
        welch=welch,
        paired=raw.paired_test(terms.level),
        cohens_d=d,
        hedges_g=g,
        power=None,
        effect_size_word=estimate.effect_size_word(d),
        notes=(*weighed.notes, *change.notes, *_data_notes(column, terms), *why_none),
    )


def _harm_level(metric: Metric, terms: Terms) -> float | None:
    return None if metric.role == "secondary" else terms.harm_level


def _data_notes(column: Values, terms: Terms) -> tuple[str, ...]:
    notes = []
    if column.censored:
        limit = terms.experiment.timeout_s
        notes.append(
            f"censored: {column.censored} timed-out runs count at the timeout, {limit:g} s"
        )
    if column.failures and terms.paired:
        notes.append(
            f"{column.failures} failed runs count in their pair as the longest time so far"
        )
    elif column.failures:
        notes.append(f"{column.failures} failed runs have no duration; a win must hold without it")
    if column.unusable:
        notes.append(f"{column.unusable} values are outside what this kind of metric can be")
    return tuple(notes)


def _with_difference(comparison: Comparison, raw: Sample, weighed: _Weighed) -> Comparison:
    difference = raw.difference()
    ends = weighed.found.interval if weighed.found else None
    usable = ends is not None and ends[0] <= ends[1]
    return _replace(
        comparison,
        difference=None if difference is None else _finite(difference),
        difference_interval=(_finite(ends[0]), _finite(ends[1])) if usable and ends else None,
    )


def _with_power(
    comparison: Comparison, metric: Metric, scaled: Sample, raw: Sample, terms: Terms
) -> Comparison:
    """Power of the fixed test at the planned effect, with the n and sd so far."""
    control = raw.control_mean()
    if control.sd is None:
        return comparison
    effect = planned_effect(metric, Spread(control.mean, control.sd))
    if effect is None:
        return comparison
    return _replace(comparison, power=_power(effect, scaled, terms.rules.alpha))


def _power(effect: float, units: Sample, alpha: float) -> float | None:
    looks = units.looks()
    if looks is None or not looks.valid[-1]:
        return None
    error = float(looks.error[-1]) * looks.scale
    return estimate.t_test_power(effect / error, float(looks.df[-1]), alpha)


def _safeguard(
    metric: Metric,
    table: Frame,
    column: Values,
    arm: int,
    terms: Terms,
    comparison: Comparison,
) -> Safeguard:
    ranked = sample(table, arm, np.log(column.last), terms.paired)
    weighed = _weigh(ranked, _rules(metric, terms), terms)
    change = _log_change(metric, ranked, weighed, terms)
    better = 1 if metric.direction == "increase" else -1
    failures = [int(np.sum(table.failed & (table.arm == index))) for index in (0, arm)]
    return Safeguard(
        arm=table.arms[arm],
        saving=None if comparison.difference is None else better * comparison.difference,
        p_value=weighed.found.p_value if weighed.found else None,
        cautious=change.interval[0] if change.interval else None,
        failures=(failures[0], failures[1]),
    )


def _proportion(metric: Metric, table: Frame, column: Values, arm: int, terms: Terms) -> Comparison:
    """Difference of shares in points; improvement is it, signed."""
    control, treatment = (path(table, index, column.value) for index in (0, arm))
    sizes = terms.block_sizes(table.arms[arm])
    weighed = _weigh_proportion(control, treatment, metric, sizes, terms)
    if terms.rules.inference == "fixed" and terms.target is not None:
        control, treatment = control.up_to(terms.target), treatment.up_to(terms.target)
    units = Sample(control, treatment)
    difference = units.difference()
    better = 1 if metric.direction == "increase" else -1
    ends = weighed.found.interval if weighed.found else None
    crossed = ends is not None and ends[0] > ends[1]
    interval: Interval | None = None
    if ends is not None and not crossed:
        low, high = sorted(better * end for end in ends)
        interval = (low, high)
    improvement = None if difference is None else better * difference
    change = _Change(improvement, interval, _crossed(crossed))
    comparison = _comparison(metric, table, column, arm, terms, weighed, change)
    comparison = _replace(comparison, paired=None, difference=difference)
    if ends is not None and not crossed:
        comparison = _replace(comparison, difference_interval=ends)
    return _with_proportion_power(comparison, metric, control, treatment, terms)


def _weigh_proportion(
    control: Path, treatment: Path, metric: Metric, sizes: tuple[int, int], terms: Terms
) -> _Weighed:
    rules = _rules(metric, terms)
    found = betting.blocks(control, treatment, sizes)
    harm = betting.two_proportions(found, rules.alpha, rules.harm)
    units = Sample(control, treatment)
    locked, method = _locked(units.n, terms), f"{terms.rules.inference}, safe 2x2"
    if locked is not None:
        return _Weighed(method, None, harm, None, (locked,))
    if terms.rules.inference == "fixed" and terms.target is not None:
        planned = units.first(terms.target)
        only = betting.blocks(planned.control, planned.treatment, sizes)
        return _Weighed(method, betting.two_proportions(only, rules.alpha, rules.harm), harm, 1, ())
    notes = () if harm is not None else ("no evidence before both arms have a unit",)
    return _Weighed(method, harm, harm, None, notes)


def _with_proportion_power(
    comparison: Comparison, metric: Metric, control: Path, treatment: Path, terms: Terms
) -> Comparison:
    rates = moments(control.final), moments(treatment.final)
    if metric.minimum_effect is None or not rates[0].n or not rates[1].n:
        return comparison
    spread = Spread(rates[0].mean, rates[0].sd or 0.0)
    sd = scale_sd(metric, spread, "randomized")
    n = 2 * rates[0].n * rates[1].n / (rates[0].n + rates[1].n)
    if not sd:
        return comparison
    power = estimate.two_sample_power(metric.minimum_effect.value, sd, n, terms.rules.alpha)
    return _replace(comparison, power=power)


def _not_available(metric: Metric, table: Frame, arm: int, terms: Terms) -> Comparison:
    """A kind that this version cannot analyse: no number, no decision."""
    return Comparison(
        arm=table.arms[arm],
        difference=None,
        difference_interval=None,
        improvement=None,
        interval=None,
        level=terms.level,
        evidence=Evidence("none", None, None, None, level_harm=_harm_level(metric, terms)),
        welch=None,
        paired=None,
        cohens_d=None,
        hedges_g=None,
        power=None,
        notes=(f"kind `{metric.kind}` is not available in this version",),
    )


def _replace(
    comparison: Comparison,
    **changes: float | Interval | Paired | str | tuple[str, ...] | Literal[None],
) -> Comparison:
    from dataclasses import replace

    return replace(comparison, **changes)  # type: ignore[arg-type]

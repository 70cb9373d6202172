"""One treatment against control on one metric: estimates and the evidence.

A metric's kind decides the scale: durations by logarithms (the ratio of geometric means),
means as they are, proportions by blocks. `weighing` turns the units into evidence in the
plan's mode; what `estimate` and `posterior` give beside it is for the reader.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from expci.core import number_format
from expci.core.dataset.dataset import Dataset
from expci.core.dataset.moments import FloatArray
from expci.core.dataset.unit_history import covariate_names
from expci.core.decision.inputs import Safeguard
from expci.core.kinds import other_kinds
from expci.core.kinds.asked import Asked, asymptotic, compared, ended_well, with_difference
from expci.core.model.experiment import Metric
from expci.core.model.results import Comparison
from expci.core.statistics import ancova, classical, posterior, t_mixture
from expci.core.statistics.ancova import Adjusted, adjusted
from expci.core.statistics.ancova_pairs import BLOCK, AdjustedPairs, adjusted_pairs, arrival_blocks
from expci.core.statistics.effect_scale import log_change, relative_change
from expci.core.statistics.inference import Terms, Weighed, by_t, rules_of, weigh
from expci.core.statistics.sample_size import Spread, planned_effect, scale_sd
from expci.core.statistics.two_arms import Sample

__all__ = ["Terms", "compare"]


def compare(
    metric: Metric, data: Dataset, arm: int, terms: Terms
) -> tuple[Comparison, Safeguard | None]:
    """Everything about one treatment on one metric; a safeguard for a duration primary."""
    asked = Asked(metric, data, arm, terms)
    if metric.kind in ("duration", "mean"):
        return _continuous(asked)
    by_kind = {
        "proportion": other_kinds.proportions,
        "ratio": other_kinds.ratios,
        "rank": other_kinds.ranks,
        "quantile": other_kinds.quantiles,
    }
    return by_kind[metric.kind](asked), None


def _continuous(asked: Asked) -> tuple[Comparison, Safeguard | None]:
    metric, terms = asked.metric, asked.terms
    log = metric.kind == "duration"
    counted = _counted(asked)
    scaled, how = _units(np.log(counted) if log else counted, asked)
    raw, _ = _units(counted, asked)
    weighed = _weigh(scaled, asked)
    on_raw = _weigh(raw, asked) if log else weighed
    change = (
        log_change(metric, weighed.seen(scaled).difference(), weighed)
        if log
        else relative_change(metric, weighed.seen(raw), weighed, terms.rules.alpha)
    )
    change = replace(change, notes=(*change.notes, *how))
    found = compared(asked, weighed, change, asked.sample(counted))
    seen, seen_raw = weighed.seen(scaled), on_raw.seen(raw)
    found = with_difference(found, seen_raw.difference(), on_raw)
    found = _with_posterior(found, seen.estimated(), seen_raw.estimated(), asked.better)
    found = replace(found, power=_power(asked, scaled, raw))
    if not log or metric.role != "primary":
        return found, None
    return found, _safeguard(asked, found)


def _counted(asked: Asked) -> FloatArray:
    """The values that are compared. A pair is never dropped for a failure: its failed run takes
    the worst time so far. But of an arm in which no run ever ended well, no time is known."""
    known = ended_well(asked, 0) and ended_well(asked, asked.arm)
    return asked.column.last if asked.terms.paired and known else asked.column.value


def _units(column: FloatArray, asked: Asked) -> tuple[AnyUnits, tuple[str, ...]]:
    """The units with the covariates that the plan asks for, and what came of them."""
    names = covariate_names(asked.metric)
    plain, notes = asked.sample(column), tuple[str, ...]()
    if not names:
        return plain, ()
    if BLOCK in names:
        names = tuple(name for name in names if name != BLOCK)
        plain, notes = _in_blocks(plain, column, asked)
    if not names:
        return plain, notes
    listed = ", ".join(name for name in asked.metric.adjust_by if name != BLOCK)
    found: Adjusted | AdjustedPairs | None
    if plain.pairs is None:
        found, why = adjusted(asked.table, asked.arm, column, names), "it never varied"
    else:
        found, why = adjusted_pairs(asked.table, plain, names), "it never differed within a pair"
    if found is None:
        return plain, (*notes, f"not adjusted by {listed}: {why}")
    gain = found.gain()
    took = "" if gain is None else f": {number_format.frequency(gain)} less variance"
    return found, (*notes, f"adjusted by {listed}{took}")


AnyUnits = Sample | Adjusted | AdjustedPairs


def _in_blocks(plain: Sample, column: FloatArray, asked: Asked) -> tuple[Sample, tuple[str, ...]]:
    """The k-th units of both arms side by side, where the design makes them neighbours."""
    sizes = asked.terms.block_sizes(asked.table.arms[asked.arm])
    if asked.terms.paired:
        return plain, ("not adjusted by block: pairs are blocks already",)
    if asked.terms.experiment.assignment.design != "blocked" or sizes != (1, 1):
        return plain, (
            "not adjusted by block: only `blocked` designs with equal weights have them",
        )
    found = arrival_blocks(asked.table, asked.arm, column)
    if found is None:
        return plain, ("not adjusted by block: a unit has several trials",)
    return found, ("adjusted by block: the k-th units of both arms are compared as a pair",)


def _weigh(units: AnyUnits, asked: Asked) -> Weighed:
    terms = asked.terms
    if isinstance(units, Adjusted | AdjustedPairs):
        return asymptotic(units, ancova.WORDS, ancova.START, asked)
    rules = rules_of(asked.metric, terms, planned_scale(asked.metric, terms))
    return weigh(by_t(units), rules, terms)


def planned_scale(metric: Metric, terms: Terms) -> float:
    """g: the square of the planned standardised effect, if stated before any trial, else 0.5.

    Never from the data that are tested. Kept within the range that was simulated.
    """
    if metric.baseline is None or terms.paired:
        return t_mixture.SCALE
    spread = Spread(metric.baseline.mean, metric.baseline.sd)
    effect = planned_effect(metric, spread)
    sd = scale_sd(metric, spread, terms.design)
    if not effect or not sd:
        return t_mixture.SCALE
    return min(2.0, max(0.1, (effect / sd) ** 2))


def _with_posterior(
    comparison: Comparison,
    on_scale: classical.Difference | None,
    on_raw: classical.Difference | None,
    better: int,
) -> Comparison:
    """The chance on the scale of analysis, the loss in the metric's unit."""
    return replace(
        comparison,
        chance_to_beat=None if on_scale is None else posterior.chance_to_beat(on_scale, better),
        expected_loss=None if on_raw is None else posterior.expected_loss(on_raw, better),
    )


def _power(asked: Asked, scaled: AnyUnits, raw: AnyUnits) -> float | None:
    """Power of the fixed test at the planned effect, with the n and sd so far."""
    control, now = raw.control_mean(), scaled.estimated()
    if control.sd is None or now is None:
        return None
    effect = planned_effect(asked.metric, Spread(control.mean, control.sd))
    if effect is None:
        return None
    return classical.t_test_power(effect / now.error, now.df, asked.terms.rules.alpha)


def _safeguard(asked: Asked, comparison: Comparison) -> Safeguard:
    table = asked.table
    ranked, _ = _units(np.log(asked.column.last), asked)
    weighed = _weigh(ranked, asked)
    change = log_change(asked.metric, weighed.seen(ranked).difference(), weighed)
    failures = [int(np.sum(table.failed & (table.arm == index))) for index in (0, asked.arm)]
    return Safeguard(
        saving=None if comparison.difference is None else asked.better * comparison.difference,
        p_value=weighed.found.p_value if weighed.found else None,
        low=change.interval[0] if change.interval else None,
        failures=(failures[0], failures[1]),
    )

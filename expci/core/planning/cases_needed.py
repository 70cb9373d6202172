"""How many visits the cases need, and what no number of visits shows: cases differ in their effect.

The variance of a case's mean difference after r pairs is τ² + σ²/r: τ between cases, σ between
the pairs of one case. Repeats take only the second part down.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

from expci.core import number_format
from expci.core.dataset.metric_columns import metric_column
from expci.core.dataset.trials_table import TrialsTable
from expci.core.kinds.contrast import on_scale
from expci.core.kinds.spreads import run_pairs
from expci.core.model import limits
from expci.core.model.experiment import Experiment
from expci.core.statistics.sample_size import (
    Spread,
    detectable_effect,
    looks_cost,
    required_sample_size,
    scale_sd,
)
from expci.core.statistics.variance_components import variance_components

MOST_VISITS = 1000
FEW = 40  # cases that a pilot visits twice each


@dataclass(frozen=True)
class CasesNeeded:
    """What the plan's cases can show. `None` where nothing tells.

    `between_sd` and `within_sd` are of the difference within a pair, on the scale of analysis, as
    `basis` tells them: the pilot's repeated visits, or else the usual share of the variance.
    `pairs_per_case` are needed to see `minimum_effect`, `pairs` of all together: fewer than there
    are cases where some of them are enough. `floor` is the smallest effect that these cases
    show however often they are visited, `cases_needed` how many would show
    `minimum_effect` with endless visits, where these do not.
    """

    cases: int
    repeats: int
    basis: Literal["pilot", "assumed"] | None = None
    between_sd: float | None = None
    within_sd: float | None = None
    pairs_per_case: int | None = None
    floor: float | None = None
    cases_needed: int | None = None
    pairs: int | None = None

    def of_cases(self, spread: Spread, pairs: int) -> tuple[Spread, int]:
        """The spread of the cases' means after so many pairs, and how many cases those reach."""
        if self.between_sd is None or self.within_sd is None:
            return spread, min(pairs, self.cases)
        visits = max(1.0, pairs / self.cases)
        sd = math.sqrt(self.between_sd**2 + self.within_sd**2 / visits)
        return replace(spread, difference_sd=sd), min(pairs, self.cases)


def cases_needed(
    experiment: Experiment, table: TrialsTable | None, spread: Spread | None
) -> CasesNeeded | None:
    """Return the visits that the cases ask for; `None` without cases.

    >>> from dataclasses import replace
    >>> from expci.core.model.cases import Case, CaseSource
    >>> from support.analysis_samples import make_experiment
    >>> ten = CaseSource("evals/*", frozen=tuple(Case(str(n), "") for n in range(10)))
    >>> plan = replace(make_experiment(design="paired"), cases=ten)
    >>> without_pilot = cases_needed(plan, None, None)
    >>> without_pilot.cases, without_pilot.pairs_per_case
    (10, None)
    """
    if experiment.cases is None:
        return None
    plain = CasesNeeded(len(experiment.cases.frozen), experiment.repeats)
    sd = None if spread is None else scale_sd(experiment.primary, spread, "paired")
    if spread is None or not sd or plain.cases < 2:
        return plain
    measured = None if table is None else _variances(experiment, table)
    between, within = measured or (sd**2 * limits.CASE_SHARE, sd**2 * (1 - limits.CASE_SHARE))
    needed = replace(
        plain,
        basis="assumed" if measured is None else "pilot",
        between_sd=math.sqrt(between),
        within_sd=math.sqrt(within),
    )
    return _answered(experiment, spread, needed, between, within)


def _answered(
    experiment: Experiment, spread: Spread, needed: CasesNeeded, between: float, within: float
) -> CasesNeeded:
    metric, rules = experiment.primary, experiment.effective_rules

    def units(variance: float) -> int | None:
        apart = replace(spread, difference_sd=math.sqrt(variance))
        return required_sample_size(metric, rules, "paired", apart) if variance > 0 else None

    floor = None
    if between > 0:
        apart = replace(spread, difference_sd=math.sqrt(between))
        factor = looks_cost(metric, rules)
        floor = detectable_effect(
            metric, "paired", apart, needed.cases, rules.alpha, rules.power, factor
        )
    visits = next(
        (r for r in _visits() if (units(between + within / r) or 0) <= needed.cases), None
    )
    more = units(between) if visits is None else None
    pairs = None if visits is None else visits * needed.cases
    if visits == 1:
        pairs = units(between + within)
    return replace(needed, pairs_per_case=visits, floor=floor, cases_needed=more, pairs=pairs)


def _visits() -> Iterator[int]:
    """1, 2, 3, …, coarser further up."""
    visits = 1
    while visits <= MOST_VISITS:
        yield visits
        visits += max(1, visits // 20)


def _variances(experiment: Experiment, table: TrialsTable) -> tuple[float, float] | None:
    """τ² and σ² by the analysis of variance of pair differences over cases.

    `None` where no case has two pairs.
    """
    metric = experiment.primary
    column = metric_column(metric, table, experiment.timeout_s).value
    pairs = run_pairs(table, on_scale(metric, column)) if table.paired else None
    if pairs is None or pairs.pairs.unit is None:
        return None
    return variance_components(pairs.treatment - pairs.control, pairs.pairs.unit)


def case_advice(experiment: Experiment, needed: CasesNeeded | None) -> Iterator[str]:
    """Yield what to do about the cases, in sentences.

    >>> from support.analysis_samples import make_experiment
    >>> advice = case_advice(make_experiment(), CasesNeeded(cases=10, repeats=1))
    >>> next(advice).rpartition(": ")[2]
    'expci trial faster --pilot --pairs 20'
    """
    if needed is None:
        return
    many, primary = number_format.count(needed.cases, "case"), experiment.primary
    effect = number_format.limit(primary.minimum_effect, primary)
    if needed.basis != "pilot":
        assumed = (
            f"{number_format.stated_percent(limits.CASE_SHARE)} of a pair's variance is taken to "
            "lie between cases. "
        )
        pilot = f"expci trial {experiment.id} --pilot --pairs"
        yield (
            f"{many}. How much the effect differs between them is unknown"
            f"{f'; {assumed}' if needed.basis else '. '}"
            + (
                f"Two visits of each tell: {pilot} {2 * needed.cases}"
                if needed.cases <= FEW
                else f"Two visits of some {FEW // 2} of them tell: {pilot} 2 --case NAME"
            )
        )
    if needed.between_sd is None or primary.minimum_effect is None:
        return
    if needed.pairs is not None and needed.pairs_per_case is not None:
        each = number_format.count(needed.pairs_per_case, "pair")
        if needed.pairs < needed.cases:
            yield f"{needed.pairs} of {many} with {each} each show {effect}."
        else:
            yield f"{many} with {each} each ({needed.pairs} pairs) show {effect}."
    elif needed.cases_needed is not None:
        yield (
            f"No number of repeats shows {effect} on these {many}: the effect differs too much "
            f"between them. It takes about {needed.cases_needed} cases."
        )
    if needed.floor is not None:
        is_share = primary.traits.is_share
        floor = (number_format.points if is_share else number_format.percent)(needed.floor)
        yield (
            f"More repeats make each case surer, not the cases more alike: an effect under {floor} "
            "cannot be detected on these, however often they are visited."
        )

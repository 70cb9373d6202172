"""The criteria of the decision table: predicates on numbers, elementwise.

An `Answer` is an array of 1 (met), 0 (not met) and NaN (undecidable so far).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from expci.core.decision.numbers import BoolArray, FloatArray, LookNumbers
from expci.core.decision.thresholds import (
    ROUNDING,
    least_trials,
    promotion_threshold,
    regression_limit,
)
from expci.core.model.experiment import Metric
from expci.core.model.limits import FAILURES_LEVEL, GUARDRAIL_CHANCE, GUARDRAIL_ODDS, HARM_CHANCE
from expci.core.model.results import CriterionCode
from expci.core.special_functions import special

Answer = FloatArray
_LARGEST_LOG = 700.0  # exp of more does not fit a 64-bit float


@dataclass(frozen=True)
class CriterionKey:
    """One criterion: its code, and the treatment and metric (or check) that it is about."""

    code: CriterionCode
    arm: str = ""
    about: str = ""


def answer(n: LookNumbers, question: CriterionKey) -> Answer:
    """Return where the criterion is met, is not met, and cannot be decided (NaN).

    >>> from support.look_numbers import numbers
    >>> answer(numbers(), CriterionKey("sample_size"))  # 40 of 100
    array([[0.]])
    >>> answer(numbers(target=np.nan), CriterionKey("sample_size"))  # no size: never to be answered
    array([[nan]])
    """
    return PREDICATES[question.code](n, question)


def met(n: LookNumbers, question: CriterionKey) -> BoolArray:
    """Return where the criterion is met; what cannot be decided is not met.

    >>> from support.look_numbers import numbers
    >>> met(numbers(), CriterionKey("evidence", "treatment"))
    array([[ True]])
    >>> met(numbers(target=np.nan), CriterionKey("sample_size"))
    array([[False]])
    """
    return np.asarray(answer(n, question) == 1)


def _answer(condition: BoolArray, defined: BoolArray) -> Answer:
    return np.where(defined, condition, np.nan)


def _metric(n: LookNumbers, question: CriterionKey) -> Metric:
    return next(metric for metric in n.experiment.metrics if metric.name == question.about)


def _harm(n: LookNumbers, q: CriterionKey) -> Answer:
    """Evidence of harm at its level and, but for proportions, an estimate beyond the limit.

    Values that never vary need no evidence beside the estimate.
    """
    metric, evidence = _metric(n, q), n.evidence[q.about, q.arm]
    is_sure = (evidence.harm_p_value <= n.harm_level) | evidence.exact
    defined = ~np.isnan(evidence.harm_p_value) | evidence.exact
    # A failed run bears on the primary though it has no value: a stop counts it as well.
    units = n.units[q.arm] if metric.role == "primary" else evidence.units
    enough = units >= n.minimum_units
    if metric.traits.is_share or not is_sure.any():
        return _answer(is_sure & enough, defined)
    limit = regression_limit(metric)
    estimate = n.improvement(metric, q.arm, limit).estimate
    is_worse = (estimate < -abs(limit.value)) & enough
    return _answer(is_sure & is_worse, defined & ~(is_sure & np.isnan(estimate)))


def _check(n: LookNumbers, q: CriterionKey) -> Answer:
    """A trust check that did not fail."""
    return n.checks[q.about]


def _enough_trials(n: LookNumbers, q: CriterionKey) -> Answer:
    """As many units as a promotion needs."""
    enough = n.size(q.arm) >= max(least_trials(n.experiment), n.minimum_units)
    enough &= n.units[q.arm] >= n.minimum_units
    return _answer(enough, np.ones_like(enough))


def _evidence(n: LookNumbers, q: CriterionKey) -> Answer:
    """Evidence at alpha, and an interval on the better side of 0: evidence has a direction.

    Values that never vary need no more than the direction.
    """
    numbers = n.evidence[n.experiment.primary.name, q.arm]
    is_sure = (numbers.p_value <= n.alpha) | numbers.exact
    defined = ~np.isnan(numbers.p_value) | numbers.exact
    if is_sure.any():
        is_sure &= _low_end(n, q.arm, is_sure) >= 0
    return _answer(is_sure, defined)


def _low_end(n: LookNumbers, arm: str, where: BoolArray) -> FloatArray:
    """The interval's worse end; where it has none as a share, the one in the unit."""
    numbers = n.evidence[n.experiment.primary.name, arm]
    if n.experiment.primary.traits.is_share:
        return numbers.absolute.low
    low = numbers.relative.low
    if np.isfinite(low[where]).all():
        return low
    return np.where(np.isfinite(low), low, numbers.absolute.low)


def _effect(n: LookNumbers, q: CriterionKey) -> Answer:
    """An estimate that reaches the promotion threshold."""
    threshold = promotion_threshold(n.experiment)
    estimate = n.improvement(n.experiment.primary, q.arm, threshold).estimate
    return _answer((estimate >= threshold.value) & (estimate > 0), ~np.isnan(estimate))


def _guardrail(n: LookNumbers, q: CriterionKey) -> Answer:
    """A guardrail whose estimate (non-inferior: whole interval) is within its limit."""
    metric = _metric(n, q)
    limit = regression_limit(metric)
    improvement = n.improvement(metric, q.arm, limit)
    value = improvement.low if metric.non_inferior else improvement.estimate
    return _answer(value >= -abs(limit.value) - ROUNDING, np.isfinite(value))


def _guardrail_evidence(n: LookNumbers, q: CriterionKey) -> Answer:
    """A guardrail whose data speak: for no loss rather than twice the limit, or within the limit.

    An estimate alone passes whatever has hardly been measured. Values that never vary need no more.
    """
    odds, chance = guardrail_odds(n, q), guardrail_chance(n, q)
    is_exact = n.evidence[q.about, q.arm].exact
    speaks = (odds >= GUARDRAIL_ODDS) | (chance >= GUARDRAIL_CHANCE) | is_exact
    return _answer(speaks, ~np.isnan(chance) | is_exact)


def guardrail_odds(n: LookNumbers, q: CriterionKey) -> FloatArray:
    """Return how many times as likely the data are without a loss as with twice the limit.

    Between two simple hypotheses (Wald 1945), by the normal likelihood of the estimate where the
    kind of metric knows no better one.

    >>> from support.look_numbers import effect, evidence, looks, numbers
    >>> point = evidence(absolute=effect(0.0), absolute_error=looks(0.05))
    >>> guardrail = CriterionKey("guardrail", "treatment", "success")
    >>> n = numbers(evidences={("success", "treatment"): point})
    >>> guardrail_odds(n, guardrail).round(2)  # exp(2 · 0.05²/0.05²): no loss, by 5 points ± 5
    array([[7.39]])
    """
    room, error = _room(n, q)
    limit = abs(regression_limit(_metric(n, q)).value)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        normal = np.exp(np.minimum(2 * limit * room / error**2, _LARGEST_LOG))
    of_kind = n.evidence[q.about, q.arm].no_loss_odds
    return np.where(np.isnan(of_kind), normal, of_kind)


def guardrail_chance(n: LookNumbers, q: CriterionKey) -> FloatArray:
    """Return the chance under a flat prior that the effect is within the limit.

    >>> from support.look_numbers import effect, evidence, looks, numbers
    >>> point = evidence(absolute=effect(0.0), absolute_error=looks(0.05))
    >>> guardrail = CriterionKey("guardrail", "treatment", "success")
    >>> n = numbers(evidences={("success", "treatment"): point})
    >>> guardrail_chance(n, guardrail).round(3)  # one standard error inside the limit of 5 points
    array([[0.841]])
    """
    room, error = _room(n, q)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(special.ndtr(room / error))


def _room(n: LookNumbers, q: CriterionKey) -> tuple[FloatArray, FloatArray]:
    """By how much the estimate is better than the limit, and its standard error."""
    metric = _metric(n, q)
    limit = regression_limit(metric)
    estimate = n.improvement(metric, q.arm, limit).estimate
    return estimate + abs(limit.value) + ROUNDING, n.error(metric, q.arm, limit)


def _arithmetic_mean(n: LookNumbers, q: CriterionKey) -> Answer:
    """A duration that is shorter in the arithmetic mean too."""
    guard = n.evidence[n.experiment.primary.name, q.arm].guard
    saving = np.full_like(n.per_arm, np.nan) if guard is None else guard.saving
    return _answer(saving > 0, ~np.isnan(saving))


def _failures_last(n: LookNumbers, q: CriterionKey) -> Answer:
    """A duration that is shorter with failed runs ranked last too."""
    guard = n.evidence[n.experiment.primary.name, q.arm].guard
    if guard is None:
        return np.full_like(n.per_arm, np.nan)
    is_better = ((guard.p_value <= FAILURES_LEVEL * n.alpha) | guard.exact) & (guard.low >= 0)
    return _answer(is_better, ~np.isnan(guard.p_value) | guard.exact)


def _must_pass(n: LookNumbers, q: CriterionKey) -> Answer:
    """No case that must pass is broken; undecidable before each was run under both arms."""
    return n.must_pass[q.arm]


def _below_threshold(n: LookNumbers, q: CriterionKey) -> Answer:
    """A treatment that cannot reach the threshold: its whole interval, or the futility bound.

    Not while harm beyond the limit is likely: the evidence of it may still come.
    """
    threshold, primary = promotion_threshold(n.experiment), n.experiment.primary
    futile = n.evidence[primary.name, q.arm].futile
    high = n.improvement(primary, q.arm, threshold).high
    enough = n.units[q.arm] >= n.minimum_units
    defined = np.isfinite(high) | (futile & enough)
    hopeless = ((high < threshold.value) | futile) & enough
    return _answer(hopeless & ~harm_is_likely(n, q.arm), defined)


def _sample_size(n: LookNumbers, q: CriterionKey) -> Answer:
    """The sample size in every arm, of runs that were measured: a failed one has no duration, and
    a guardrail in a database must have been asked for."""
    del q
    reached = (n.per_arm >= n.target) & (n.measured >= n.target)
    return _answer(reached, np.full_like(reached, not np.isnan(n.target)))


def _budget(n: LookNumbers, q: CriterionKey) -> Answer:
    """A budget that is used up; undecidable where the plan has none."""
    del q
    return np.full_like(n.counted, np.nan) if n.spent is None else n.spent.astype(np.float64)


def _time_over(n: LookNumbers, q: CriterionKey) -> Answer:
    """The plan's last day."""
    del q
    return n.overdue.astype(np.float64)


def looks_harmful(n: LookNumbers, arm: str) -> BoolArray:
    """Return where a treatment's estimate is worse than the limit, proven or not.

    >>> from support.look_numbers import effect, evidence, looks, numbers
    >>> slower = evidence(relative=effect(-0.12, -0.4, 0.1))  # the limit is 10%
    >>> n = numbers(evidences={("duration_s", "treatment"): slower})
    >>> looks_harmful(n, "treatment")
    array([[ True]])
    """
    primary = n.experiment.primary
    limit = regression_limit(primary)
    estimate = n.improvement(primary, arm, limit).estimate
    return np.asarray((estimate < -abs(limit.value)) & (n.units[arm] >= n.minimum_units))


def harm_is_likely(n: LookNumbers, arm: str) -> BoolArray:
    """Return where the effect may well be worse than the limit: its estimate is, or it has a chance
    of `HARM_CHANCE` under a flat prior.

    >>> from support.look_numbers import effect, evidence, looks, numbers
    >>> slower = evidence(relative=effect(-0.09, -0.3, 0.1), relative_error=looks(0.05))
    >>> n = numbers(evidences={("duration_s", "treatment"): slower})  # the limit is 10%
    >>> harm_is_likely(n, "treatment"), looks_harmful(n, "treatment")
    (array([[ True]]), array([[False]]))
    """
    within = guardrail_chance(n, CriterionKey("harm", arm, n.experiment.primary.name))
    enough = n.units[arm] >= n.minimum_units
    return looks_harmful(n, arm) | ((1 - within >= HARM_CHANCE) & enough)


def is_small_harm(n: LookNumbers, arm: str) -> BoolArray:
    """Return where a treatment is worse for sure, by no more than the limit.

    >>> from support.look_numbers import effect, evidence, numbers
    >>> slower = evidence(relative=effect(-0.05, -0.08, -0.02))  # the limit is 10%
    >>> n = numbers(evidences={("duration_s", "treatment"): slower})
    >>> is_small_harm(n, "treatment"), looks_harmful(n, "treatment")
    (array([[ True]]), array([[False]]))
    """
    limit = regression_limit(n.experiment.primary)
    improvement = n.improvement(n.experiment.primary, arm, limit)
    return (improvement.high < 0) & (improvement.estimate >= -abs(limit.value))


PREDICATES: dict[CriterionCode, Callable[[LookNumbers, CriterionKey], Answer]] = {
    "harm": _harm,
    "check": _check,
    "enough_trials": _enough_trials,
    "evidence": _evidence,
    "effect": _effect,
    "guardrail": _guardrail,
    "guardrail_evidence": _guardrail_evidence,
    "arithmetic_mean": _arithmetic_mean,
    "failures_last": _failures_last,
    "must_pass": _must_pass,
    "below_threshold": _below_threshold,
    "sample_size": _sample_size,
    "budget": _budget,
    "time_over": _time_over,
}

"""The criteria of a decision: the rule of each, and how the numbers answer it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from expci.core import number_format
from expci.core.decision.criteria import (
    CriterionKey,
    answer,
    guardrail_chance,
    guardrail_odds,
    harm_is_likely,
    met,
)
from expci.core.decision.inputs import DecisionInput, scalar
from expci.core.decision.thresholds import least_trials, promotion_threshold, regression_limit
from expci.core.decision.wording.quantities import (
    EXACTLY,
    FUTILE,
    against_limit,
    amount,
    because,
    because_unknown,
    bound,
    p_value_words,
    sample_words,
)
from expci.core.model.experiment import CONTROL, Limit
from expci.core.model.limits import FAILURES_LEVEL, GUARDRAIL_CHANCE, GUARDRAIL_ODDS
from expci.core.model.results import Criterion, CriterionCode

_MOST_ODDS = 1000.0  # beyond it the number says no more

_RULES: Mapping[CriterionCode, str] = {
    "harm": "rollback: {arm} harms {about}",
    "check": "trust: {about}",
    "enough_trials": "promote {arm}: enough trials",
    "evidence": "promote {arm}: evidence",
    "effect": "promote {arm}: effect",
    "guardrail": "promote {arm}: guardrail {about}",
    "guardrail_evidence": "promote {arm}: data on guardrail {about}",
    "arithmetic_mean": "promote {arm}: arithmetic mean",
    "failures_last": "promote {arm}: failures ranked last",
    "must_pass": "promote {arm}: no case broken that must pass",
    "below_threshold": "stop {arm}: cannot reach the threshold",
    "sample_size": "stop: sample size reached",
    "budget": "stop: budget spent",
    "time_over": "expire: max_days",
}


def criterion(s: DecisionInput, question: CriterionKey) -> Criterion:
    """Return one criterion with its answer, in words.

    >>> from support.look_numbers import LookSample
    >>> size = criterion(LookSample().input(), CriterionKey("sample_size"))
    >>> size.rule, size.met, size.detail
    ('stop: sample size reached', False, '40 of 100 trials per arm')
    """
    is_met, about = scalar(answer(s.numbers, question)), question.about
    spoken = about.replace("_", " ") if question.code == "check" else about
    return Criterion(
        rule=_RULES[question.code].format(arm=question.arm, about=spoken),
        met=None if is_met is None else bool(is_met),
        detail=_DETAILS[question.code](s, question),
        code=question.code,
        arm=question.arm or None,
        about=about or None,
    )


def _harm(s: DecisionInput, q: CriterionKey) -> str:
    metric, comparison = s.metric(q.about), s.comparison(q.about, q.arm)
    p_value = scalar(s.numbers.evidence[q.about, q.arm].harm_p_value)
    is_exact = comparison.evidence.is_exact
    if p_value is None and not is_exact:
        return "no evidence yet" + because(comparison)
    limit, level = regression_limit(metric), s.numbers.harm_level
    estimate = scalar(s.numbers.improvement(metric, q.arm, limit).estimate)
    weight = (
        f"one-sided {p_value_words(p_value, level)}, needs {number_format.stated(level)} or less"
    )
    detail = f"{EXACTLY if is_exact else weight}; estimate {amount(estimate, metric, limit)}"
    if metric.traits.is_share:
        return detail
    detail += f", limit {bound(metric, limit, -1)}"
    if estimate is None and (p_value is None or p_value <= level):
        detail += "; harm is likely, but the limit cannot be applied" + because_unknown(comparison)
    return detail


def _check(s: DecisionInput, q: CriterionKey) -> str:
    return next(check.detail for check in s.checks if check.name == q.about)


def _enough_trials(s: DecisionInput, q: CriterionKey) -> str:
    needed = max(least_trials(s.experiment), s.numbers.minimum_units)
    return f"{sample_words(s, q.arm)}, needs {needed}"


def _must_pass(s: DecisionInput, q: CriterionKey) -> str:
    names = s.experiment.must_pass
    broken = [case.id for case in s.cases if q.arm in case.broken_by]
    if broken:
        return f"{q.arm} fails what control passes: {', '.join(broken)}"
    ran = {case.id for case in s.cases if case.runs[CONTROL] and case.runs[q.arm]}
    absent = [name for name in names if name not in ran]
    if absent:
        return f"not run yet under both arms: {', '.join(absent)}"
    return f"not broken: {', '.join(names)}"


def _evidence(s: DecisionInput, q: CriterionKey) -> str:
    comparison = s.comparison(s.experiment.primary.name, q.arm)
    p_value = scalar(s.numbers.evidence[s.experiment.primary.name, q.arm].p_value)
    if p_value is None and not comparison.evidence.is_exact:
        return "no evidence yet" + because(comparison)
    alpha = s.numbers.alpha
    detail = f"{p_value_words(p_value, alpha)}, needs {number_format.stated(alpha)} or less"
    detail = detail if p_value is not None else EXACTLY
    if (p_value is not None and p_value > alpha) or met(s.numbers, q).item():
        return detail
    if unsteady := comparison.note_codes.get("unsteady_effect"):
        return f"{detail}; but {unsteady}"
    return f"{detail}; but the interval does not show an improvement"


def _effect(s: DecisionInput, q: CriterionKey) -> str:
    primary, threshold = s.experiment.primary, promotion_threshold(s.experiment)
    estimate = scalar(s.numbers.improvement(primary, q.arm, threshold).estimate)
    needed = bound(primary, threshold)
    if estimate is None:
        why = because_unknown(s.comparison(primary.name, q.arm))
        return f"no estimate yet, needs {needed}{why}"
    return f"{amount(estimate, primary, threshold)}, needs {needed} or more"


def _guardrail(s: DecisionInput, q: CriterionKey) -> str:
    metric = s.metric(q.about)
    limit = regression_limit(metric)
    improvement = s.numbers.improvement(metric, q.arm, limit)
    value = scalar(improvement.low if metric.non_inferior else improvement.estimate)
    what = "interval's worse end" if metric.non_inferior else "estimate"
    allowed = bound(metric, limit, -1)
    if value is None:
        why = because_unknown(s.comparison(q.about, q.arm))
        return f"no {what} yet, allowed {allowed}{why}"
    return f"{what} {amount(value, metric, limit)}, allowed {allowed}"


def _guardrail_evidence(s: DecisionInput, q: CriterionKey) -> str:
    metric, n = s.metric(q.about), s.numbers
    limit, chance = regression_limit(metric), scalar(guardrail_chance(n, q))
    if n.evidence[q.about, q.arm].exact.item():
        return EXACTLY
    if chance is None:
        return "no standard error yet" + because_unknown(s.comparison(q.about, q.arm))
    twice = bound(metric, Limit(2 * abs(limit.value), limit.relative), -1)
    odds = number_format.times(min(guardrail_odds(n, q).item(), _MOST_ODDS))
    needed = number_format.stated(GUARDRAIL_ODDS)
    enough = number_format.stated_percent(GUARDRAIL_CHANCE)
    return (
        f"an effect of 0 fits the data {odds} as well as {twice} (needs {needed}); the chance of "
        f"being within {bound(metric, limit, -1)} is {number_format.frequency(chance)} "
        f"({enough} is enough)"
    )


def _arithmetic_mean(s: DecisionInput, q: CriterionKey) -> str:
    guard = s.safeguards.get(q.arm)
    if guard is None:
        return "not known yet"
    saving = guard.saving
    verb = "adds" if saving is not None and saving < 0 else "saves"
    size = number_format.quantity(None if saving is None else abs(saving), s.experiment.primary)
    return f"{verb} {size} per run on average"


def _failures_last(s: DecisionInput, q: CriterionKey) -> str:
    guard = s.safeguards.get(q.arm)
    if guard is None:
        return "not known yet"
    failures = f"{guard.failures[1]} failed runs in {q.arm}, {guard.failures[0]} in control"
    if guard.is_exact:
        return f"{EXACTLY} with them last; {failures}"
    level = FAILURES_LEVEL * s.numbers.alpha
    weight, needed = p_value_words(guard.p_value, level), number_format.stated(level)
    return f"{weight} with them last, needs {needed} or less; {failures}"


def _below_threshold(s: DecisionInput, q: CriterionKey) -> str:
    primary, threshold = s.experiment.primary, promotion_threshold(s.experiment)
    high = scalar(s.numbers.improvement(primary, q.arm, threshold).high)
    needed = bound(primary, threshold)
    by_bound = bool(s.numbers.evidence[primary.name, q.arm].futile.item())
    if by_bound and s.units[q.arm] >= s.numbers.minimum_units:
        return f"{FUTILE}; threshold {needed}{_unless_harmful(s, q.arm)}"
    if high is None:
        return f"no upper end yet, threshold {needed}"
    end = f"upper end {amount(high, primary, threshold)}, threshold {needed}"
    return end + (_unless_harmful(s, q.arm) if high < threshold.value else "")


def _unless_harmful(s: DecisionInput, arm: str) -> str:
    """Why a treatment that cannot win goes on: more trials may prove the harm."""
    if not harm_is_likely(s.numbers, arm).item():
        return ""
    return f"; not while harm may still be proven: {against_limit(s, arm)}"


def _sample_size(s: DecisionInput, q: CriterionKey) -> str:
    if s.target is None:
        return "the sample size is not known yet"
    detail = f"{s.per_arm} of {s.target} {s.unit}"
    if s.per_arm >= s.target and not met(s.numbers, q).item():
        return f"{detail}, of which {s.measured} were measured"
    return detail


def _budget(s: DecisionInput, q: CriterionKey) -> str:
    del q
    return "there is no budget" if s.budget is None else number_format.spent_of(s.budget)


def _time_over(s: DecisionInput, q: CriterionKey) -> str:
    if met(s.numbers, q).item():
        return "its time is over"
    left = (s.deadline - s.at).total_seconds() / 86400
    return f"{number_format.days(left)} left"


_DETAILS: Mapping[CriterionCode, Callable[[DecisionInput, CriterionKey], str]] = {
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

"""Every sentence of a decision: rules, details, reasons and what comes next.

Composed of codes and numbers when all is decided; nothing is ever decided by a sentence.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from expci.core import number_format
from expci.core.decision.criteria import (
    CriterionKey,
    answer,
    guardrail_chance,
    guardrail_odds,
    harm_is_likely,
    looks_harmful,
    met,
)
from expci.core.decision.inputs import DecisionInput, scalar
from expci.core.decision.table import (
    RowCode,
    Ruling,
    alike,
    questions,
    win_estimate,
    win_questions,
)
from expci.core.decision.thresholds import least_trials, promotion_threshold, regression_limit
from expci.core.model.experiment import CONTROL, Limit, Metric
from expci.core.model.limits import GUARDRAIL_CHANCE, GUARDRAIL_ODDS
from expci.core.model.results import Comparison, Criterion, CriterionCode, Decision

_FUTILE = "success has become unlikely by the plan's futility bound"
EXACTLY = "exact: the values never vary"
_MOST_ODDS = 1000.0  # beyond it the number says no more
_NO_CHANCE = "The values never vary: the difference is exact, and no p-value is needed."
# What the threshold holds for, by mode: only anytime evidence may be looked at whenever.
_WHEN = {
    "anytime": "at whatever time one looks",
    "group-sequential": "over all planned looks together",
    "fixed": "at the one planned look",
}


def decision(s: DecisionInput, ruling: Ruling) -> Decision:
    """Return the decision as it is published.

    >>> from support.look_numbers import LookSample
    >>> look = LookSample().input()
    >>> win = Ruling("win", "promote", "win", "treatment")
    >>> decision(look, win).reasons[0].split(";")[0]
    'treatment improves duration_s by 30.0% after 40 trials per arm'
    """
    return Decision(
        verdict=ruling.verdict,
        reason_code=ruling.reason_code,
        reasons=_REASONS[ruling.row](s, ruling),
        next=_next(s, ruling),
        arm=ruling.arm,
        criteria=tuple(
            criterion(s, question)
            for question in questions(s.numbers)
            if question.arm not in s.dropped
        ),
    )


# --- criteria ----------------------------------------------------------------------------

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
    is_met = scalar(answer(s.numbers, question))
    return Criterion(
        rule=_RULES[question.code].format(arm=question.arm, about=question.about),
        met=None if is_met is None else bool(is_met),
        detail=_DETAILS[question.code](s, question),
        code=question.code,
        arm=question.arm or None,
        about=question.about or None,
    )


def _harm(s: DecisionInput, q: CriterionKey) -> str:
    metric, comparison = s.metric(q.about), s.comparison(q.about, q.arm)
    p_value = scalar(s.numbers.evidence[q.about, q.arm].harm_p_value)
    is_exact = comparison.evidence.is_exact
    if p_value is None and not is_exact:
        return "no evidence yet" + because(comparison)
    limit, level = regression_limit(metric), s.numbers.harm_level
    estimate = scalar(s.numbers.improvement(metric, q.arm, limit).estimate)
    weight = f"one-sided {p_value_words(p_value)}, needs {number_format.stated(level)} or less"
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
    return f"{s.counted(s.size(q.arm))}{_on_cases(s, s.units[q.arm])}, needs {needed}"


def _on_cases(s: DecisionInput, units: int) -> str:
    """On how many cases the pairs ran; "" without cases."""
    if s.experiment.cases is None:
        return ""
    return f" on {number_format.count(units, 'case')}"


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
    detail = f"{p_value_words(p_value)}, needs {number_format.stated(s.numbers.alpha)} or less"
    detail = detail if p_value is not None else EXACTLY
    if (p_value is not None and p_value > s.numbers.alpha) or met(s.numbers, q).item():
        return detail
    if unsteady := comparison.note_codes.get("unsteady_effect"):
        return f"{detail}; but {unsteady}"
    return f"{detail}; but the interval does not say that it is better"


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
        f"no change fits the data {odds} as well as {twice}, needs {needed}; the chance of being "
        f"within {bound(metric, limit, -1)} is {number_format.frequency(chance)}, {enough} will do"
    )


def _arithmetic_mean(s: DecisionInput, q: CriterionKey) -> str:
    guard = s.safeguards.get(q.arm)
    if guard is None:
        return "not known yet"
    saving = guard.saving
    verb = "adds" if saving is not None and saving < 0 else "saves"
    size = number_format.number(None if saving is None else abs(saving))
    return f"{verb} {size} per run on average"


def _failures_last(s: DecisionInput, q: CriterionKey) -> str:
    guard = s.safeguards.get(q.arm)
    if guard is None:
        return "not known yet"
    failures = f"{guard.failures[1]} failed runs in {q.arm}, {guard.failures[0]} in control"
    weight = EXACTLY if guard.is_exact else p_value_words(guard.p_value)
    return f"{weight} with them last; {failures}"


def _below_threshold(s: DecisionInput, q: CriterionKey) -> str:
    primary, threshold = s.experiment.primary, promotion_threshold(s.experiment)
    high = scalar(s.numbers.improvement(primary, q.arm, threshold).high)
    needed = bound(primary, threshold)
    by_bound = bool(s.numbers.evidence[primary.name, q.arm].futile.item())
    if by_bound and s.units[q.arm] >= s.numbers.minimum_units:
        return f"{_FUTILE}; threshold {needed}{_unless_harmful(s, q.arm)}"
    if high is None:
        return f"no upper end yet, threshold {needed}"
    end = f"upper end {amount(high, primary, threshold)}, threshold {needed}"
    return end + (_unless_harmful(s, q.arm) if high < threshold.value else "")


def _unless_harmful(s: DecisionInput, arm: str) -> str:
    """Why a treatment that cannot win goes on: more trials may prove the harm."""
    if not harm_is_likely(s.numbers, arm).item():
        return ""
    return f"; not while harm may still be proven: {_against_limit(s, arm)}"


def _against_limit(s: DecisionInput, arm: str) -> str:
    primary, limit = s.experiment.primary, regression_limit(s.experiment.primary)
    estimate = scalar(s.numbers.improvement(primary, arm, limit).estimate)
    return f"estimate {amount(estimate, primary, limit)}, limit {bound(primary, limit, -1)}"


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


# --- reasons -----------------------------------------------------------------------------


def _harm_reasons(s: DecisionInput, ruling: Ruling) -> tuple[str, ...]:
    name, arm = ruling.about, ruling.arm or ""
    metric, evidence = s.metric(name), s.numbers.evidence[name, arm]
    limit = regression_limit(metric)
    estimate = scalar(s.numbers.improvement(metric, arm, limit).estimate)
    loss = None if estimate is None else -estimate
    return (
        f"{arm} makes {name} worse by {size(loss, metric, limit)} "
        f"after {s.counted(evidence.units.item())}.",
        _NO_CHANCE
        if evidence.exact.item()
        else f"The evidence of harm is {p_value_words(scalar(evidence.harm_p_value))}; "
        f"{number_format.stated(s.numbers.harm_level)} or less is needed "
        "at whatever time one looks.",
    )


def _trust_reasons(s: DecisionInput, ruling: Ruling) -> tuple[str, ...]:
    del ruling
    return tuple(
        f"The check {check.name} failed: {check.detail}"
        + (f" ({p_value_words(check.p_value)})." if check.p_value is not None else ".")
        for check in s.checks
        if check.name in s.numbers.checks and check.status == "failed"
    )


def _win_reasons(s: DecisionInput, ruling: Ruling) -> tuple[str, ...]:
    primary, threshold, arm = s.experiment.primary, promotion_threshold(s.experiment), ruling.arm
    evidence = s.numbers.evidence[primary.name, arm or ""]
    best = scalar(win_estimate(s.numbers, arm or ""))
    reasons = [
        f"{arm} improves {primary.name} by {size(best, primary, threshold)} after "
        f"{s.counted(s.units[arm or ''])}; a promotion needs {bound(primary, threshold)} "
        "or more.",
        _NO_CHANCE
        if evidence.exact.item()
        else f"The evidence is {p_value_words(scalar(evidence.p_value))}; "
        f"{number_format.stated(s.numbers.alpha)} or less is needed "
        f"{_WHEN[s.experiment.plan.inference]}.",
    ]
    if s.numbers.guardrails:
        names = ", ".join(metric.name for metric in s.numbers.guardrails)
        reasons.append(f"Every guardrail is within its limit: {names}.")
        reasons += [_possible_loss(s, metric, arm or "") for metric in s.numbers.guardrails]
    return (*reasons, *_other_winners(s, arm or ""))


def _possible_loss(s: DecisionInput, metric: Metric, arm: str) -> str:
    """Return the largest loss of a guardrail that the data leave possible."""
    limit = regression_limit(metric)
    low = scalar(s.numbers.improvement(metric, arm, limit).low)
    if low is None:
        return f"What {metric.name} may have lost is not bounded yet: no loss could be excluded."
    if low >= 0:
        return f"Any loss of {metric.name} could be excluded."
    if s.numbers.evidence[metric.name, arm].exact.item():
        worse = f"{size(-low, metric, limit)} (limit {bound(metric, limit)})"
        return f"{metric.name} is worse by exactly {worse}."
    return (
        f"Could not be excluded: a loss of {metric.name} of up to "
        f"{size(-low, metric, limit)} (limit {bound(metric, limit)})."
    )


def _other_winners(s: DecisionInput, arm: str) -> tuple[str, ...]:
    n = s.numbers
    estimates = {name: win_estimate(n, name) for name in n.treatments}
    others = [name for name in n.treatments if name != arm and scalar(estimates[name]) is not None]
    if not others:
        return ()
    tied = [name for name in others if alike(estimates[name], estimates[arm]).item()]
    mine = s.change_sizes.get(arm)
    why = "has the same estimate and was named first"
    if not tied:
        why = "has the best estimate"
    elif mine is not None and all(mine < s.change_sizes.get(name, 0) for name in tied):
        why = "has the same estimate and changes less"
    return (f"{', '.join(others)} won too; {arm} {why}.",)


def _below_reasons(s: DecisionInput, ruling: Ruling) -> tuple[str, ...]:
    arms = (ruling.arm,) if ruling.arm else s.remaining
    return tuple(_at_best(s, arm) for arm in arms)


def _at_best(s: DecisionInput, arm: str) -> str:
    primary, threshold = s.experiment.primary, promotion_threshold(s.experiment)
    high = scalar(s.numbers.improvement(primary, arm, threshold).high)
    if high is None or high >= threshold.value:
        return f"{arm}: {_FUTILE} (look {s.comparison(primary.name, arm).evidence.looks})."
    return (
        f"{arm} changes {primary.name} by {amount(high, primary, threshold)} at best "
        f"(positive is better); a promotion needs {bound(primary, threshold)}."
    )


def _size_reasons(s: DecisionInput, ruling: Ruling) -> tuple[str, ...]:
    del ruling
    first = f"The sample size is reached: {s.per_arm} of {s.target} {s.unit}."
    harmful = [arm for arm in s.remaining if looks_harmful(s.numbers, arm).item()]
    unmet = [item for arm in s.remaining if arm not in harmful for item in _unmet(s, arm)]
    return (
        first,
        *(_looks_harmful(s, arm) for arm in harmful),
        *(f"Not met: {item.rule} ({item.detail})." for item in unmet),
    )


def _looks_harmful(s: DecisionInput, arm: str) -> str:
    primary = s.experiment.primary.name
    p_value = p_value_words(scalar(s.numbers.evidence[primary, arm].harm_p_value))
    return (
        f"{arm} looks harmful to {primary}, and it is not proven: {_against_limit(s, arm)}; "
        f"the evidence of harm is {p_value}, and "
        f"{number_format.stated(s.numbers.harm_level)} or less is needed."
    )


def _unmet(s: DecisionInput, arm: str) -> list[Criterion]:
    items = (criterion(s, question) for question in win_questions(s.numbers, arm))
    return [item for item in items if not item.met]


def _time_reasons(s: DecisionInput, ruling: Ruling) -> tuple[str, ...]:
    del ruling
    done = s.counted(s.per_arm) if s.target is None else f"{s.per_arm} of {s.counted(s.target)}"
    return (f"The time is over after {done}; nothing was shown.",)


def _money_reasons(s: DecisionInput, ruling: Ruling) -> tuple[str, ...]:
    del ruling
    needed = "" if s.target is None else f" of {s.target}"
    spent = "" if s.budget is None else f" ({number_format.spent_of(s.budget)})"
    return (f"The budget is used up after {s.per_arm}{needed} {s.unit}{spent}; nothing was shown.",)


def _waiting_reasons(s: DecisionInput, ruling: Ruling) -> tuple[str, ...]:
    if ruling.reason_code == "no_data":
        return (f"No trial has been counted{' since the promotion' if s.watching else ''}.",)
    if s.watching:
        return _watch_reasons(s)
    most = s.target
    done = s.counted(s.per_arm) if most is None else f"{s.per_arm} of at most {s.counted(most)}"
    first = f"{done} so far; nothing is decided yet."
    unmet = [item for arm in s.remaining for item in _unmet(s, arm)[:2]]
    return (first, *(f"Not met yet: {item.rule} ({item.detail})." for item in unmet))


def _watch_reasons(s: DecisionInput) -> tuple[str, ...]:
    first = f"No harm shown in {s.counted(s.per_arm)} since the promotion."
    if s.minimum_harm is None:
        return (first, "How small a harm would have been seen is not known yet.")
    power = number_format.stated_percent(s.experiment.plan.power)
    smallest = size(s.minimum_harm, s.experiment.primary, Limit(0.0, True))
    return (
        first,
        f"A harm to {s.experiment.primary.name} of {smallest} or more would have been seen with "
        f"{power} probability; a smaller one may be there.",
    )


_REASONS: Mapping[RowCode, Callable[[DecisionInput, Ruling], tuple[str, ...]]] = {
    "implausible": _trust_reasons,
    "harm": _harm_reasons,
    "harm_by_one": _harm_reasons,
    "distrust": _trust_reasons,
    "win": _win_reasons,
    "below_threshold": _below_reasons,
    "one_below_threshold": _below_reasons,
    "sample_size": _size_reasons,
    "budget": _money_reasons,
    "time_over": _time_reasons,
    "waiting": _waiting_reasons,
}


# --- what comes next ---------------------------------------------------------------------


def _next(s: DecisionInput, ruling: Ruling) -> str:
    """What the next pass will do."""
    match ruling.verdict:
        case "continue" if s.watching:
            days = number_format.days(s.experiment.decision.watch_days)
            return f"The next pass looks again; it will watch for {days} after the promotion."
        case "continue":
            return "The next pass looks again as trials arrive."
        case "promote":
            return _next_promotion(s, ruling.arm or "")
        case "rollback":
            return _next_rollback(s)
        case "drop":
            return _next_drop(s, ruling.arm or "")
        case "invalid":
            return "The pass pauses the experiment and raises an alert."
    return "The pass ends the experiment; control stays."


def _next_promotion(s: DecisionInput, arm: str) -> str:
    return {
        "pr": f"The pass opens a pull request that promotes {arm}.",
        "merge": f"The pass opens a pull request that promotes {arm} and merges it.",
        "never": "The pass ends the experiment as a win; its plan says never to promote.",
    }[s.experiment.decision.promote]


def _next_rollback(s: DecisionInput) -> str:
    if s.experiment.decision.rollback == "manual":
        return "The pass raises an alert; a person rolls back (`rollback: manual`)."
    if s.watching:
        return "The pass reverts the promoted change."
    return "The pass stops exposure first, then ends the experiment; control stays."


def _next_drop(s: DecisionInput, arm: str) -> str:
    others = ", ".join(other for other in s.remaining if other != arm)
    if s.experiment.decision.rollback == "manual" and _does_harm(s, arm):
        return "The pass raises an alert; a person rolls back (`rollback: manual`)."
    return (
        f"The pass drops {arm}: nothing is exposed to it any more, its share goes to the others, "
        f"and the experiment goes on with {others}."
    )


def _does_harm(s: DecisionInput, arm: str) -> bool:
    harms = (q for q in questions(s.numbers) if q.code == "harm" and q.arm == arm)
    return any(met(s.numbers, question).item() for question in harms)


# --- numbers -----------------------------------------------------------------------------


def because(comparison: Comparison) -> str:
    """Return why there is no evidence: what its weighing noted first.

    >>> from support.look_numbers import Effect
    >>> because(Effect(notes=("two units in each arm at least",)).comparison("treatment"))
    ': two units in each arm at least'
    """
    return f": {comparison.notes[0]}" if comparison.notes else ""


def because_unknown(comparison: Comparison) -> str:
    """Return why there is no estimate: a refused relative change says so itself.

    >>> from support.look_numbers import Effect
    >>> refused = {"no_relative_change": "control's mean may be 0"}
    >>> because_unknown(Effect(notes=("n",), note_codes=refused).comparison("treatment"))
    ": control's mean may be 0"
    """
    refused = comparison.note_codes.get("no_relative_change")
    return f": {refused}" if refused else because(comparison)


def p_value_words(value: float | None) -> str:
    """Return a p-value with its sign; what its absence means where there is none.

    >>> p_value_words(0.03), p_value_words(None)
    ('p = 0.03', 'no evidence yet')
    """
    return "no evidence yet" if value is None else number_format.p_value(value)


def bound(metric: Metric, limit: Limit, sign: float = 1) -> str:
    """Return a limit as the plan states it; `sign` -1 for what a loss must not pass.

    >>> cost = Metric("cost_usd", "guardrail", "mean", "decrease")
    >>> bound(cost, Limit(0.1, relative=True), -1), bound(cost, Limit(0.3, relative=False))
    ('−10%', '0.3 USD')
    """
    return number_format.limit(limit, metric, sign)


def amount(value: float | None, metric: Metric, limit: Limit, *, sign: bool = True) -> str:
    """Return an improvement in per cent, points, or the metric's unit; signed.

    >>> cost = Metric("cost_usd", "guardrail", "mean", "decrease")
    >>> amount(0.213, cost, Limit(0.1, relative=True)), amount(-1.5, cost, Limit(1, relative=False))
    ('+21.3%', '−1.50 USD')
    """
    return number_format.improvement(value, metric, limit.relative, sign=sign)


def size(value: float | None, metric: Metric, limit: Limit) -> str:
    """Return an amount that the sentence around it gives a direction.

    >>> size(0.213, Metric("cost_usd", "guardrail", "mean", "decrease"), Limit(0.1, relative=True))
    '21.3%'
    """
    return amount(value, metric, limit, sign=False)


def repeated_units(pairs: int, units: int) -> str:
    """Return of which population a result speaks where units have several pairs.

    >>> repeated_units(24, 8).split(":")[0]
    '24 pairs on 8 units'
    """
    many = f"{number_format.count(pairs, 'pair')} on {number_format.count(units, 'unit')}"
    return (
        f"{many}: each unit counts once, with the mean of its pairs, so "
        "the result speaks of new units like these, not only of these"
    )

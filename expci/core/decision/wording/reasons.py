"""Why a decision is what it is, row by row of the table."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from expci.core import number_format
from expci.core.decision.criteria import looks_harmful
from expci.core.decision.inputs import DecisionInput, scalar
from expci.core.decision.table import RowCode, Ruling, alike, win_estimate, win_questions
from expci.core.decision.thresholds import promotion_threshold, regression_limit
from expci.core.decision.wording.criterion import criterion
from expci.core.decision.wording.quantities import (
    FUTILE,
    against_limit,
    amount,
    bound,
    p_value_words,
    sample_words,
    size,
    units_words,
)
from expci.core.model.experiment import Limit, Metric
from expci.core.model.results import Criterion

_NO_CHANCE = "The values never vary: the difference is exact, and no p-value is needed."
# What the threshold holds for, by mode: only anytime evidence may be looked at whenever.
_WHEN = {
    "anytime": "at every look",
    "group-sequential": "over all planned looks together",
    "fixed": "at the one planned look",
}


def reasons(s: DecisionInput, ruling: Ruling) -> tuple[str, ...]:
    """Return why the row of `ruling` applies, most important first.

    >>> from support.look_numbers import LookSample
    >>> look, win = LookSample().input(), Ruling("win", "promote", "win", "treatment")
    >>> reasons(look, win)[0].split(";")[0]
    'treatment improves duration_s by 30.0% after 40 trials per arm'
    """
    return _REASONS[ruling.row](s, ruling)


def _harm_reasons(s: DecisionInput, ruling: Ruling) -> tuple[str, ...]:
    name, arm = ruling.about, ruling.arm or ""
    metric, evidence = s.metric(name), s.numbers.evidence[name, arm]
    limit = regression_limit(metric)
    estimate = scalar(s.numbers.improvement(metric, arm, limit).estimate)
    loss = None if estimate is None else -estimate
    return (
        f"{arm} makes {name} worse by {size(loss, metric, limit)} "
        f"after {units_words(s, evidence.units.item())}.",
        _NO_CHANCE
        if evidence.exact.item()
        else f"The evidence of harm is {p_value_words(scalar(evidence.harm_p_value))}; "
        f"{number_format.stated(s.numbers.harm_level)} or less is needed "
        "at every look.",
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
        f"{sample_words(s, arm or '')}; a promotion needs {bound(primary, threshold)} "
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
        return f"What {metric.name} may have lost has no bound yet: no loss can be excluded."
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
        return f"{arm}: {FUTILE} (look {s.comparison(primary.name, arm).evidence.looks})."
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
        f"{arm} looks harmful to {primary}, and it is not proven: {against_limit(s, arm)}; "
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
        return (first, "Which harm would have been detected is not known yet.")
    power = number_format.stated_percent(s.experiment.plan.power)
    smallest = size(s.minimum_harm, s.experiment.primary, Limit(0.0, True))
    return (
        first,
        f"A harm to {s.experiment.primary.name} of {smallest} or more would have been detected "
        f"with {power} probability; a smaller one may exist.",
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

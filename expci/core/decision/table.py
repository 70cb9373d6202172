"""The decision table: from comparisons, checks and time to one verdict.

The rows are tried in order, the first that applies wins: rollback, invalid, promote, stop,
expire, continue. A point estimate alone never decides. Nothing here is computed from
trials; every criterion that was looked at is kept with its numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from expci.core import number_format
from expci.core.decision.criteria import (
    Situation,
    Standing,
    adjusted_p_value,
    amount,
    because,
    because_unknown,
    evidence_criterion,
    in_words,
    measured_units,
    promotion_threshold,
    regression_limit,
    size,
    standing_of,
    win_criteria,
)
from expci.core.model.experiment import CONTROL, Limit, Metric
from expci.core.model.results import (
    Check,
    Comparison,
    Criterion,
    Decision,
    MetricResult,
    ReasonCode,
    Verdict,
)

_TRUST: Mapping[str, ReasonCode] = {
    "sample_ratio": "sample_ratio",
    "attrition": "attrition",
    "missing_primary": "attrition",
    "exposure": "not_exposed",
    "plan_drift": "plan_drift",
}


@dataclass(frozen=True)
class _Row:
    """One row of the table as these data meet it."""

    verdict: Verdict
    code: ReasonCode
    reasons: tuple[str, ...]
    arm: str | None = None


def decide(situation: Situation) -> Decision:
    """The verdict, why, and each criterion in the order of the table."""
    rows, criteria = [], []
    table = (_rollback, _invalid) if situation.watching else _TABLE
    for rule in table:
        row, looked_at = rule(situation)
        criteria += looked_at
        if row is not None:
            rows.append(row)
    row = rows[0] if rows else _continue(situation)
    return Decision(
        row.verdict, row.code, row.reasons, _next(row, situation), row.arm, tuple(criteria)
    )


_Looked = tuple[_Row | None, list[Criterion]]


def _rollback(s: Situation) -> _Looked:
    rows, criteria = [], []
    for metric in (s.primary, *s.guardrails):
        for arm in s.treatments:
            found, spec = s.of(metric, arm), s.spec(metric.name)
            if found is None or spec is None:
                continue
            row, criterion = _harm(s, metric, spec, found)
            criteria.append(criterion)
            if row is not None:
                rows.append(row)
    return (rows[0] if rows else None), criteria


def _harm(
    s: Situation, metric: MetricResult, spec: Metric, found: Comparison
) -> tuple[_Row | None, Criterion]:
    limit, evidence = regression_limit(spec), found.evidence
    rule = f"rollback: {found.arm} harms {metric.name}"
    if evidence.harm_p_value is None or evidence.level_harm is None:
        return None, Criterion(rule, None, "no evidence yet" + because(found))
    shown = evidence.harm_p_value <= evidence.level_harm
    enough = measured_units(metric, found.arm) >= s.minimum_units
    standing = standing_of(metric, found, limit)
    detail = (
        f"one-sided p {in_words(evidence.harm_p_value)}, "
        f"needs {in_words(evidence.level_harm)} or less; "
        f"estimate {amount(standing.estimate, metric, limit)}"
    )
    worse: bool | None = True
    if metric.kind != "proportion":
        detail += f", limit {amount(-abs(limit.value), metric, limit)}"
        worse = None if standing.estimate is None else standing.estimate < -abs(limit.value)
    met = shown and enough and worse
    if shown and worse is None:
        detail += "; harm is likely, but the limit cannot be applied" + because_unknown(found)
    if not met:
        return None, Criterion(rule, None if shown and worse is None else False, detail)
    return _harm_row(s, metric, found, standing, limit), Criterion(rule, True, detail)


def _harm_row(
    s: Situation, metric: MetricResult, found: Comparison, standing: Standing, limit: Limit
) -> _Row:
    code: ReasonCode = "harm_primary" if metric.role == "primary" else "harm_guardrail"
    if metric.name == "success":
        code = "errors"
    evidence = found.evidence
    return _Row(
        "rollback",
        code,
        (
            f"{found.arm} makes {metric.name} worse: {amount(standing.estimate, metric, limit)} "
            f"against control after {measured_units(metric, found.arm)} {s.unit}.",
            f"The evidence of harm is p {in_words(evidence.harm_p_value)}; "
            f"{in_words(evidence.level_harm)} or less is needed at whatever time one looks.",
        ),
        found.arm,
    )


def _invalid(s: Situation) -> _Looked:
    criteria = [
        Criterion(f"trust: {check.name}", _trust(check), check.detail)
        for check in s.checks
        if check.name in _TRUST
    ]
    failed = [check for check in s.checks if check.name in _TRUST and check.status == "failed"]
    if not failed:
        return None, criteria
    reasons = tuple(
        f"The check {check.name} failed: {check.detail}"
        + (f" (p {in_words(check.p_value)})." if check.p_value is not None else ".")
        for check in failed
    )
    return _Row("invalid", _TRUST[failed[0].name], reasons), criteria


def _trust(check: Check) -> bool | None:
    return None if check.status == "unknown" else check.status != "failed"


def _promote(s: Situation) -> _Looked:
    winners: list[tuple[float, str]] = []
    criteria: list[Criterion] = []
    for arm in s.treatments:
        looked_at = win_criteria(s, arm)
        criteria += looked_at
        if all(criterion.met for criterion in looked_at):
            found = s.of(s.primary, arm)
            threshold = promotion_threshold(s.experiment)
            estimate = standing_of(s.primary, found, threshold).estimate if found else None
            winners.append((estimate or 0.0, arm))
    if not winners:
        return None, criteria
    best = max(estimate for estimate, _ in winners)
    tied = [(estimate, arm) for estimate, arm in winners if _alike(estimate, best)]
    # The one named first where nothing tells how much each changes.
    estimate, arm = min(tied, key=lambda winner: s.change_sizes.get(winner[1], 0))
    return _Row("promote", "win", _win_reasons(s, arm, winners, estimate), arm), criteria


def _alike(one: float, other: float) -> bool:
    """Two estimates that read the same in three digits."""
    return f"{one:.3g}" == f"{other:.3g}"


# What the threshold holds for, by mode: only anytime evidence may be looked at whenever.
_WHEN = {
    "anytime": "at whatever time one looks",
    "group-sequential": "over all planned looks together",
    "fixed": "at the one planned look",
}


def _win_reasons(
    s: Situation, arm: str, winners: list[tuple[float, str]], best: float
) -> tuple[str, ...]:
    found, threshold = s.of(s.primary, arm), promotion_threshold(s.experiment)
    p_value = None if found is None else adjusted_p_value(found)
    reasons = [
        f"{arm} improves {s.primary.name} by {size(best, s.primary, threshold)} after "
        f"{s.units[arm]} {s.unit}; at least {size(threshold.value, s.primary, threshold)} "
        "was asked for.",
        f"The evidence is p {in_words(p_value)}; {in_words(s.alpha)} or less is needed "
        f"{_WHEN[s.experiment.plan.inference]}.",
    ]
    if s.guardrails:
        names = ", ".join(metric.name for metric in s.guardrails)
        reasons.append(f"Every guardrail is within its limit: {names}.")
    if len(winners) > 1:
        other = ", ".join(name for _, name in winners if name != arm)
        reasons.append(f"{other} won too; {arm} {_why_chosen(s, arm, winners, best)}.")
    return tuple(reasons)


def _why_chosen(s: Situation, arm: str, winners: list[tuple[float, str]], best: float) -> str:
    tied = [name for estimate, name in winners if _alike(estimate, best) and name != arm]
    if not tied:
        return "has the best estimate"
    mine = s.change_sizes.get(arm)
    if mine is not None and all(mine < s.change_sizes.get(name, 0) for name in tied):
        return "has the same estimate and changes less"
    return "has the same estimate and was named first"


def _stop(s: Situation) -> _Looked:
    criteria: list[Criterion] = []
    below = [_futile(s, arm) for arm in s.treatments]
    criteria += [criterion for criterion, _ in below]
    reached = _size_reached(s)
    criteria.append(reached)
    if below and all(criterion.met for criterion, _ in below):
        return _futile_row(s), criteria
    if reached.met:
        return _reached_row(s), criteria
    return None, criteria


def _futile(s: Situation, arm: str) -> tuple[Criterion, float | None]:
    rule, found = f"stop {arm}: cannot reach the threshold", s.of(s.primary, arm)
    threshold = promotion_threshold(s.experiment)
    high = None if found is None else standing_of(s.primary, found, threshold).high
    needed = amount(threshold.value, s.primary, threshold)
    enough = s.units[arm] >= s.minimum_units
    if found is not None and found.evidence.futile and enough:
        return Criterion(rule, True, f"{_FUTILE}; threshold {needed}"), high
    if high is None:
        return Criterion(rule, None, f"no upper end yet, threshold {needed}"), None
    met = high < threshold.value and enough
    detail = f"upper end {amount(high, s.primary, threshold)}, threshold {needed}"
    return Criterion(rule, met, detail), high


_FUTILE = "success has become unlikely by the plan's futility bound"


def _futile_row(s: Situation) -> _Row:
    threshold = promotion_threshold(s.experiment)
    reasons, by_bound = [], False
    for arm in s.treatments:
        found, high = s.of(s.primary, arm), _futile(s, arm)[1]
        if high is not None and high < threshold.value:
            reasons.append(_at_best(s, arm, high))
        elif found is not None:
            by_bound = True
            reasons.append(f"{arm}: {_FUTILE} (look {found.evidence.looks}).")
    code: ReasonCode = "no_effect" if by_bound else "effect_below_threshold"
    if all(_small_harm(s, arm) for arm in s.treatments):
        code = "harm_below_limit"
    return _Row("stop", code, tuple(reasons), _only(s))


def _at_best(s: Situation, arm: str, high: float) -> str:
    threshold = promotion_threshold(s.experiment)
    return (
        f"{arm} changes {s.primary.name} by {amount(high, s.primary, threshold)} at best "
        f"(positive is better); {size(threshold.value, s.primary, threshold)} was asked for."
    )


def _small_harm(s: Situation, arm: str) -> bool:
    """Shown to be worse, by no more than the limit."""
    found = s.of(s.primary, arm)
    if found is None:
        return False
    limit = regression_limit(s.experiment.primary)
    standing = standing_of(s.primary, found, limit)
    if standing.high is None or standing.estimate is None:
        return False
    return standing.high < 0 and standing.estimate >= -abs(limit.value)


def _only(s: Situation) -> str | None:
    return s.treatments[0] if len(s.treatments) == 1 else None


def _size_reached(s: Situation) -> Criterion:
    rule = "stop: sample size reached"
    if s.target is None:
        return Criterion(rule, None, "the sample size is not known yet")
    detail = f"{s.per_arm} of {s.target} {s.unit}"
    planned = s.experiment.plan.inference != "anytime" and not s.paired
    if planned and s.per_arm >= s.target > _measured(s):
        # A failed run has no duration: the planned look waits until enough were measured.
        return Criterion(rule, False, f"{detail}, of which {_measured(s)} were measured")
    return Criterion(rule, s.per_arm >= s.target, detail)


def _measured(s: Situation) -> int:
    """Units of the smallest arm with a value of the primary metric."""
    arms = s.primary.arms
    return min((arms[name].n for name in (CONTROL, *s.treatments) if name in arms), default=0)


def _reached_row(s: Situation) -> _Row:
    code, arm = _why_no_win(s)
    open_ones = [c for name in s.treatments for c in win_criteria(s, name) if not c.met]
    reasons = [f"The sample size is reached: {s.per_arm} of {s.target} {s.unit}."]
    reasons += [f"Not met: {criterion.rule} ({criterion.detail})." for criterion in open_ones]
    return _Row("stop", code, tuple(reasons), arm)


def _why_no_win(s: Situation) -> tuple[ReasonCode, str | None]:
    """The reason of the treatment that came nearest to a win."""
    for arm in s.treatments:
        own = {c.rule.split(": ", 1)[1]: c.met for c in win_criteria(s, arm)}
        if own.get("evidence") and own.get("effect") and own.get("enough trials"):
            return "guardrail_unproven", arm
    for arm in s.treatments:
        found = s.of(s.primary, arm)
        if found is not None and evidence_criterion(s, found).met:
            return "effect_below_threshold", arm
    if any(_small_harm(s, arm) for arm in s.treatments):
        return "harm_below_limit", _only(s)
    return "no_effect", _only(s)


def _expire(s: Situation) -> _Looked:
    over = s.at >= s.deadline
    left = (s.deadline - s.at).total_seconds() / 86400
    detail = "its time is over" if over else f"{number_format.days(left)} left"
    criterion = Criterion("expire: max_days", over, detail)
    if not over:
        return None, [criterion]
    needed = "" if s.target is None else f" of {s.target}"
    reasons = [f"The time is over after {s.per_arm}{needed} {s.unit}; nothing was shown."]
    return _Row("expire", "expired", tuple(reasons), _only(s)), [criterion]


_TABLE = (_rollback, _invalid, _promote, _stop, _expire)


def _continue(s: Situation) -> _Row:
    if not s.trials:
        since = " since the promotion" if s.watching else ""
        return _Row("continue", "no_data", (f"No trial has been counted{since}.",))
    if s.watching:
        return _Row("continue", "collecting", _watch_reasons(s))
    needed = "" if s.target is None else f" of at most {s.target}"
    reasons = [f"{s.per_arm}{needed} {s.unit} so far; nothing is decided yet."]
    for arm in s.treatments:
        open_ones = [c for c in win_criteria(s, arm) if not c.met]
        reasons += [f"Not met yet: {c.rule} ({c.detail})." for c in open_ones[:2]]
    return _Row("continue", "collecting", tuple(reasons))


def _watch_reasons(s: Situation) -> tuple[str, ...]:
    first = f"No harm shown in {s.per_arm} {s.unit} since the promotion."
    if s.minimum_harm is None:
        return (first, "How small a harm would have been seen is not known yet.")
    power = number_format.stated_percent(s.experiment.plan.power)
    smallest = size(s.minimum_harm, s.primary, Limit(0.0, True))
    return (
        first,
        f"A harm to {s.primary.name} of {smallest} or more would have been seen with "
        f"{power} probability; a smaller one may be there.",
    )


def _next(row: _Row, s: Situation) -> str:
    """What the next pass will do."""
    if row.verdict == "continue":
        days = number_format.days(s.experiment.decision.watch_days)
        watch = f"watch for {days} after the promotion"
        return (
            f"The next pass looks again; it will {watch}."
            if s.watching
            else ("The next pass looks again as trials arrive.")
        )
    if row.verdict == "promote":
        return {
            "pr": f"The pass opens a request that promotes {row.arm}.",
            "merge": f"The pass opens a request that promotes {row.arm} and merges it.",
            "never": "The pass ends the experiment as a win; its plan says never to promote.",
        }[s.experiment.decision.promote]
    if row.verdict == "rollback":
        return _next_rollback(s)
    return {
        "invalid": "The pass pauses the experiment and raises an alert.",
        "stop": "The pass ends the experiment; control stays.",
        "expire": "The pass ends the experiment; control stays.",
    }[row.verdict]


def _next_rollback(s: Situation) -> str:
    if s.experiment.decision.rollback == "manual":
        return "The pass raises an alert; a person rolls back (`rollback: manual`)."
    if s.watching:
        return "The pass reverts the promoted change."
    return "The pass stops exposure first, then ends the experiment; control stays."

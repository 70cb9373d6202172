"""What the sentences of a decision share: numbers with their limits, and why one is missing."""

from __future__ import annotations

import math

from expci.core import number_format
from expci.core.decision.inputs import DecisionInput, scalar
from expci.core.decision.thresholds import regression_limit
from expci.core.model.experiment import Limit, Metric
from expci.core.model.results import Comparison

FUTILE = "success has become unlikely by the plan's futility bound"
EXACTLY = "exact: the values never vary"


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


def sample_words(s: DecisionInput, arm: str) -> str:
    """Return what counts against the sample size, and on how many cases it ran.

    >>> from support.look_numbers import LookSample
    >>> sample_words(LookSample().input(), "treatment")
    '40 trials per arm'
    """
    pairs = s.counted(s.size(arm))
    return pairs if s.experiment.cases is None else f"{pairs} on {units_words(s, s.units[arm])}"


def units_words(s: DecisionInput, units: float) -> str:
    """Return how many units evidence speaks of: with cases the unit is the case.

    >>> from support.look_numbers import LookSample
    >>> units_words(LookSample().input(), 12)
    '12 trials per arm'
    """
    is_case = s.experiment.cases is not None
    return number_format.count(units, "case") if is_case else s.counted(units)


def p_value_words(value: float | None, level: float | None = None) -> str:
    """Return a p-value with its sign; what its absence means where there is none.

    Never rounded to the `level` that it is compared with.

    >>> p_value_words(0.03), p_value_words(None)
    ('p = 0.03', 'no evidence yet')
    """
    return "no evidence yet" if value is None else number_format.p_value(value, level)


def bound(metric: Metric, limit: Limit, sign: float = 1) -> str:
    """Return a limit as the plan states it; `sign` -1 for what a loss must not pass.

    >>> cost = Metric("cost_usd", "guardrail", "mean", "decrease")
    >>> bound(cost, Limit(0.1, relative=True), -1), bound(cost, Limit(0.3, relative=False))
    ('−10%', '0.3 USD')
    """
    return number_format.limit(limit, metric, sign)


def amount(value: float | None, metric: Metric, limit: Limit, *, sign: bool = True) -> str:
    """Return an improvement in per cent, points, or the metric's unit; signed.

    Never rounded to the limit that it is compared with, a gain or a loss of that size.

    >>> cost = Metric("cost_usd", "guardrail", "mean", "decrease")
    >>> amount(-0.1002, cost, Limit(0.1, relative=True))
    '−10.02%'
    >>> amount(0.213, cost, Limit(0.1, relative=True)), amount(-1.5, cost, Limit(1, relative=False))
    ('+21.3%', '−1.50 USD')
    """
    beside = None if value is None else math.copysign(limit.value, value)
    return number_format.improvement(value, metric, limit.relative, sign, beside)


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


def against_limit(s: DecisionInput, arm: str) -> str:
    """Return an arm's estimate on the primary metric beside the limit of a loss.

    >>> from support.look_numbers import LookSample
    >>> against_limit(LookSample().input(), "treatment")
    'estimate +30.0%, limit −10%'
    """
    primary, limit = s.experiment.primary, regression_limit(s.experiment.primary)
    estimate = scalar(s.numbers.improvement(primary, arm, limit).estimate)
    return f"estimate {amount(estimate, primary, limit)}, limit {bound(primary, limit, -1)}"

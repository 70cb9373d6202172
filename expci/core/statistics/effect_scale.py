"""An effect relative to control, with its interval, by the method that its kind demands."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from expci.core.dataset.moments import BoolArray, FloatArray, Moments
from expci.core.decision.numbers import Improvement
from expci.core.model.experiment import Metric
from expci.core.model.results import Interval, NoteCode
from expci.core.special_functions import special
from expci.core.statistics.ancova import Adjusted
from expci.core.statistics.ancova_pairs import AdjustedPairs
from expci.core.statistics.outcome import Outcome
from expci.core.statistics.statistic import RowEnds
from expci.core.statistics.t_mixture import Ends
from expci.core.statistics.two_arms import Sample

FIELLER = "relative interval: Fieller (1954) with the critical value of the evidence"
BY_LOGARITHMS = "relative interval: the log scale's, as a ratio of geometric means"
CROSSED = (
    "the interval is empty: the effect was not the same over the whole time, so no single effect "
    "fits all looks and this comparison cannot win any more"
)
NO_DIFFERENCE = (
    "the interval of the difference is empty: in the metric's own unit the effect was not the same "
    "over the whole time"
)
OUTSIDE = (
    "the estimate of all trials lies outside the interval of what fits every look so far: the "
    "effect was not the same over the whole time"
)


Coded = Mapping[NoteCode, str]
UNSTEADY: Coded = {"unsteady_effect": CROSSED}


def unsteady(estimate: float | None, interval: Interval | None) -> Coded:
    """Return `OUTSIDE` where the estimate is not in its interval: never one without that sentence.

    Empty where it is, or where either is unknown (`None`); an end of `None` is open.

    >>> list(unsteady(0.3, (0.1, 0.2))), list(unsteady(0.3, (0.1, None)))
    (['outside_interval'], [])
    """
    if estimate is None or interval is None:
        return {}
    low, high = interval
    below = low is not None and estimate < low - _ROUNDING * abs(low)
    above = high is not None and estimate > high + _ROUNDING * abs(high)
    return {"outside_interval": OUTSIDE} if below or above else {}


_ROUNDING = 1e-9


@dataclass(frozen=True)
class Change:
    """The relative improvement (positive is better) with its interval, and what to say of it.

    `coded` are the notes that something depends on, `notes` the others.
    """

    improvement: float | None = None
    interval: Interval | None = None
    notes: tuple[str, ...] = ()
    coded: Coded = field(default_factory=dict)


def finite(value: float) -> float | None:
    """Return `value`; `None` where it is infinite or nan, which JSON cannot write.

    >>> finite(0.25), finite(-math.inf)
    (0.25, None)
    """
    return value if math.isfinite(value) else None


def closed(ends: RowEnds | None) -> Interval | None:
    """Return ends as they are reported: `None` for an open one, no interval where they cross.

    >>> closed((-0.1, math.inf)), closed((0.2, 0.1))
    ((-0.1, None), None)
    """
    if ends is None or ends[0] > ends[1]:
        return None
    return finite(ends[0]), finite(ends[1])


def where_clear(improvement: Improvement, clear: BoolArray) -> Improvement:
    """Return the improvement where it is defined, nan with open ends elsewhere; elementwise.

    >>> both = Improvement(np.array([0.1, 0.1]), np.zeros(2), np.array([0.2, 0.2]))
    >>> kept = where_clear(both, np.array([True, False]))
    >>> kept.estimate, kept.high
    (array([0.1, nan]), array([0.2, inf]))
    """
    return Improvement(
        np.where(clear, improvement.estimate, np.nan),
        np.where(clear, improvement.low, -np.inf),
        np.where(clear, improvement.high, np.inf),
    )


def signed(estimate: FloatArray, ends: Ends, better: float | FloatArray) -> Improvement:
    """Return a difference as an improvement: positive is better; elementwise.

    `better` is +1 where larger is better, −1 where smaller is; an empty interval is none.

    >>> faster = signed(np.array([-2.0]), (np.array([-3.0]), np.array([-1.5])), -1)
    >>> faster.estimate, faster.low, faster.high
    (array([2.]), array([1.5]), array([3.]))
    """
    up = np.asarray(better) > 0
    low, high = np.where(up, ends[0], -ends[1]), np.where(up, ends[1], -ends[0])
    empty = low > high
    return Improvement(
        better * estimate, np.where(empty, -np.inf, low), np.where(empty, np.inf, high)
    )


def from_logs(difference: FloatArray, ends: Ends, better: int) -> Improvement:
    """Return an improvement from the log scale, elementwise.

    1 − ratio of geometric means where smaller is better, ratio − 1 where larger is.

    >>> half = from_logs(np.log([[0.5]]), (np.log([[0.4]]), np.log([[0.8]])), -1)
    >>> half.estimate.round(3), half.low.round(3), half.high.round(3)
    (array([[0.5]]), array([[0.2]]), array([[0.6]]))
    """
    with np.errstate(over="ignore"):
        low, high = np.expm1(ends[0]), np.expm1(ends[1])
        return signed(np.expm1(difference), (low, high), better)


def as_share(
    difference: FloatArray, control: FloatArray, relative: Ends, better: int
) -> Improvement:
    """Return `difference` over control as an improvement, signed by control's sign; elementwise.

    `relative` are the ends of that share, of the difference over control.

    >>> less = as_share(np.array(-2.0), np.array(10.0), (np.array(-0.3), np.array(-0.1)), -1)
    >>> float(less.estimate), float(less.low), float(less.high)
    (0.2, 0.1, 0.3)
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        return signed(difference / control, relative, better * np.where(control < 0, -1.0, 1.0))


def log_change(metric: Metric, difference: float | None, outcome: Outcome) -> Change:
    """Return the relative change of one experiment, from the difference of its logarithms.

    An empty change where there is no difference; open ends where there is no evidence.

    >>> time = Metric("duration_s", "primary", "duration", "decrease")
    >>> change = log_change(time, math.log(0.75), Outcome("anytime", None, None, None, ()))
    >>> round(change.improvement or 0.0, 3), change.interval
    (0.25, None)
    """
    if difference is None:
        return Change()
    ends = (-math.inf, math.inf) if outcome.interval is None else outcome.interval
    improvement = from_logs(np.array(difference), _arrays(ends), _better(metric))
    return _change(improvement, outcome.interval, BY_LOGARITHMS)


def _better(metric: Metric) -> int:
    return 1 if metric.direction == "increase" else -1


def _arrays(ends: RowEnds) -> Ends:
    return np.array(ends[0]), np.array(ends[1])


def _change(change: Improvement, ends: RowEnds | None, note: str) -> Change:
    improvement = finite(float(change.estimate))
    if ends is None:
        return Change(improvement)
    if ends[0] > ends[1]:
        return Change(improvement, None, coded=UNSTEADY)
    interval = finite(float(change.low)), finite(float(change.high))
    notes = () if ends[0] == ends[1] else (note,)  # one point has no method
    return Change(improvement, interval, notes, unsteady(improvement, interval))


def relative_change(
    metric: Metric, units: Sample | Adjusted | AdjustedPairs, outcome: Outcome, alpha: float
) -> Change:
    """Return (treatment − control)/|control| of one experiment, with Fieller's (1954) interval.

    Only a note, without numbers, where control's mean may be 0.

    >>> from expci.core.dataset.unit_paths import single_trials
    >>> units = Sample(*(single_trials(10 + up + np.array([-1.0, 0.0, 1.0])) for up in (0, 2)))
    >>> score = Metric("score", "primary", "mean", "increase")
    >>> relative_change(score, units, Outcome("", None, None, None, ()), 0.05).improvement
    0.2
    """
    control, difference = units.control_mean(), units.difference()
    if difference is None:
        return Change()
    refused = _refusal(metric, control, alpha)
    if refused is not None:
        return Change(coded=refused)
    return share_of(metric, difference, control.mean, outcome, FIELLER)


def share_of(
    metric: Metric, difference: float, control: float, outcome: Outcome, note: str
) -> Change:
    """Return `difference` and the evidence's relative ends as improvement; `note` names the method.

    >>> cost = Metric("cost", "primary", "mean", "decrease")
    >>> share_of(cost, -3.0, 12.0, Outcome("", None, None, None, ()), FIELLER).improvement
    0.25
    """
    ends = None if outcome.summary is None else outcome.summary.relative
    arrays = _arrays((-math.inf, math.inf) if ends is None else ends)
    improvement = as_share(np.array(difference), np.array(control), arrays, _better(metric))
    return _change(improvement, ends, note)


def _refusal(metric: Metric, control: Moments, alpha: float) -> Coded | None:
    """Why a relative change of this metric means nothing; `None` where it does."""
    if control.squared_error is None:
        return {"no_relative_change": "no relative change before control has two units"}
    error = np.array(control.squared_error)
    if differs_from_zero(np.array(control.n), np.array(control.mean), error, alpha):
        return None
    return refusal_at_zero(metric, control.sd)


def differs_from_zero(
    n: FloatArray, mean: FloatArray, squared_error: FloatArray, alpha: float
) -> BoolArray:
    """Return whether Student's interval for a mean excludes 0, at level 1 − `alpha`; elementwise.

    >>> n, mean = np.array([10.0, 10.0]), np.array([2.0, 2.0])  # t is 2.26: margins 1.6 and 2.3
    >>> differs_from_zero(n, mean, np.array([0.5, 1.0]), 0.05)
    array([ True, False])
    """
    with np.errstate(invalid="ignore"):
        margin = -special.stdtrit(n - 1, alpha / 2) * np.sqrt(squared_error)
    return np.asarray(np.abs(mean) > np.where(squared_error > 0, margin, 0.0 * squared_error))


def refusal_at_zero(metric: Metric, sd: float | None) -> Coded:
    """Return why there is no relative change, with an absolute limit of half control's sd to write.

    >>> cost = Metric("cost", "primary", "mean", "decrease")
    >>> refusal_at_zero(cost, 5.0)["no_relative_change"].partition("; ")[2]
    "write absolute limits, such as `max_regression: 2.5` in the metric's own unit"
    """
    example = f"{sd / 2:.2g}" if sd else "0.3"
    why = (
        f"no relative change: control's interval for {metric.name} includes 0; write absolute "
        f"limits, such as `max_regression: {example}` in the metric's own unit"
    )
    return {"no_relative_change": why}

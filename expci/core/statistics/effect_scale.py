"""An effect relative to control, with its interval, by the method that its kind demands."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from scipy import special

from expci.core.dataset.moments import BoolArray, FloatArray, Moments
from expci.core.decision.numbers import Improvement
from expci.core.model.experiment import Metric
from expci.core.model.results import Interval, NoteCode
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
    """`OUTSIDE` where the estimate is not in its interval: never one without that sentence."""
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
    return value if math.isfinite(value) else None


def closed(ends: RowEnds | None) -> Interval | None:
    """Ends as they are reported: `None` for an open one, no interval where they cross."""
    if ends is None or ends[0] > ends[1]:
        return None
    return finite(ends[0]), finite(ends[1])


def where_clear(improvement: Improvement, clear: BoolArray) -> Improvement:
    """The improvement where it is defined, nan elsewhere."""
    return Improvement(
        np.where(clear, improvement.estimate, np.nan),
        np.where(clear, improvement.low, -np.inf),
        np.where(clear, improvement.high, np.inf),
    )


def signed(estimate: FloatArray, ends: Ends, better: float | FloatArray) -> Improvement:
    """`better` is +1 where larger is better, −1 where smaller is; an empty interval is none."""
    up = np.asarray(better) > 0
    low, high = np.where(up, ends[0], -ends[1]), np.where(up, ends[1], -ends[0])
    empty = low > high
    return Improvement(
        better * estimate, np.where(empty, -np.inf, low), np.where(empty, np.inf, high)
    )


def from_logs(difference: FloatArray, ends: Ends, better: int) -> Improvement:
    """From the log scale: 1 − ratio of geometric means where smaller is better, ratio − 1 else.

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
    """`difference` over control, signed by control's own sign; `relative` are the same's ends."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return signed(difference / control, relative, better * np.where(control < 0, -1.0, 1.0))


def log_change(metric: Metric, difference: float | None, outcome: Outcome) -> Change:
    """The relative change of one experiment, from the log scale."""
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
    """(treatment − control)/|control|, with Fieller's interval; refused where control may be 0."""
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
    """`difference` and the evidence's relative ends as improvement; `note` names the method."""
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
    """Whether Student's interval for a mean excludes 0, elementwise."""
    with np.errstate(invalid="ignore"):
        margin = -special.stdtrit(n - 1, alpha / 2) * np.sqrt(squared_error)
    return np.asarray(np.abs(mean) > np.where(squared_error > 0, margin, 0.0 * squared_error))


def refusal_at_zero(metric: Metric, sd: float | None) -> Coded:
    example = f"{sd / 2:.2g}" if sd else "0.3"
    why = (
        f"no relative change: control's interval for {metric.name} includes 0; write absolute "
        f"limits, such as `max_regression: {example}` in the metric's own unit"
    )
    return {"no_relative_change": why}

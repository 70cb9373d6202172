"""An effect relative to control, with its interval, by the method that its kind demands."""

from __future__ import annotations

import math
from dataclasses import dataclass

from expci.core.dataset.moments import Moments
from expci.core.decision.wording import UNSTEADY
from expci.core.model.experiment import Metric
from expci.core.model.results import Interval
from expci.core.statistics import classical as estimate
from expci.core.statistics.ancova import Adjusted
from expci.core.statistics.ancova_pairs import AdjustedPairs
from expci.core.statistics.inference import Ends, Weighed
from expci.core.statistics.two_arms import Sample

FIELLER = "relative interval: Fieller (1954) with the critical value of the evidence"
BY_LOGARITHMS = "relative interval: the log scale's, as a ratio of geometric means"
CROSSED = UNSTEADY
NO_DIFFERENCE = (
    "the interval of the difference is empty: in the metric's own unit the effect was not the same "
    "over the whole time"
)
OUTSIDE = (
    "the estimate of all trials lies outside the interval of what fits every look so far: the "
    "effect was not the same over the whole time"
)


def unsteady(estimate: float | None, interval: Interval | None) -> tuple[str, ...]:
    """`OUTSIDE` where the estimate is not in its interval: never one without that sentence."""
    if estimate is None or interval is None:
        return ()
    low, high = interval
    below = low is not None and estimate < low - _ROUNDING * abs(low)
    above = high is not None and estimate > high + _ROUNDING * abs(high)
    return (OUTSIDE,) if below or above else ()


_ROUNDING = 1e-9


@dataclass(frozen=True)
class Change:
    """The relative improvement (positive is better) with its interval, and what to say of it."""

    improvement: float | None = None
    interval: Interval | None = None
    notes: tuple[str, ...] = ()


def finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def closed(ends: Ends | None) -> Interval | None:
    """Ends as they are reported: `None` for an open one, no interval where they cross."""
    if ends is None or ends[0] > ends[1]:
        return None
    return finite(ends[0]), finite(ends[1])


def log_change(metric: Metric, difference: float | None, weighed: Weighed) -> Change:
    """From the log scale: 1 − ratio of geometric means for `decrease`, ratio − 1 else."""
    if difference is None:
        return Change()
    improvement, ends = finite(_from_log(metric, difference)), weighed.interval
    if ends is None:
        return Change(improvement)
    if ends[0] > ends[1]:
        return Change(improvement, None, (CROSSED,))
    low, high = sorted(_from_log(metric, end) for end in ends)
    interval = finite(low), finite(high)
    return Change(improvement, interval, (BY_LOGARITHMS, *unsteady(improvement, interval)))


def _from_log(metric: Metric, difference: float) -> float:
    try:
        ratio = math.exp(difference)
    except OverflowError:
        ratio = math.inf
    return 1 - ratio if metric.direction == "decrease" else ratio - 1


def relative_change(
    metric: Metric, units: Sample | Adjusted | AdjustedPairs, weighed: Weighed, alpha: float
) -> Change:
    """(treatment − control)/|control|, with Fieller's interval; refused where control may be 0."""
    control, difference = units.control_mean(), units.difference()
    if difference is None:
        return Change()
    refused = _refusal(metric, control, alpha)
    if refused is not None:
        return Change(notes=(refused,))
    return share_of(metric, difference, control.mean, weighed, FIELLER)


def share_of(
    metric: Metric, difference: float, control: float, weighed: Weighed, note: str
) -> Change:
    """`difference` and the evidence's relative ends as improvement; `note` names the method."""
    sign = math.copysign(1.0, control) * (1 if metric.direction == "increase" else -1)
    improvement = finite(sign * difference / control)
    if weighed.found is None:
        return Change(improvement)
    low, high = weighed.found.relative
    if low > high:
        return Change(improvement, None, (CROSSED,))
    ends = sorted((sign * low, sign * high))
    interval = finite(ends[0]), finite(ends[1])
    return Change(improvement, interval, (note, *unsteady(improvement, interval)))


def _refusal(metric: Metric, control: Moments, alpha: float) -> str | None:
    """Why a relative change of this metric means nothing; `None` where it does."""
    if control.squared_error is None:
        return "no relative change before control has two units"
    error = math.sqrt(control.squared_error)
    margin = estimate.t_quantile(control.n - 1, 1 - alpha / 2) * error if error else 0.0
    if abs(control.mean) > margin:
        return None
    return refusal_at_zero(metric, control.sd)


def refusal_at_zero(metric: Metric, sd: float | None) -> str:
    example = f"{sd / 2:.2g}" if sd else "0.3"
    return (
        f"no relative change: control's interval for {metric.name} includes 0; write absolute "
        f"limits, such as `max_regression: {example}` in the metric's own unit"
    )

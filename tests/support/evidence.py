"""What the looks of one experiment add up to, as plain numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass

from expci.core.statistics import t_mixture
from expci.core.statistics.mean_difference import Looks
from expci.core.statistics.statistic import Statistic
from expci.core.statistics.t_mixture import Rules
from expci.core.statistics.t_statistic import by_t


@dataclass(frozen=True)
class Weight:
    log_e_value: float
    p_value: float
    harm_log_e_value: float
    harm_p_value: float
    interval: tuple[float, float]
    relative: tuple[float, float]


def weight(statistic: Statistic) -> Weight | None:
    """At the last look of the first row; `None` before there is any evidence."""
    log_e, harm = (float(x[0, -1]) for x in (statistic.log_e(), statistic.harm_log_e()))
    if log_e == -math.inf:
        return None
    interval, relative = (
        (float(ends[0][0, -1]), float(ends[1][0, -1]))
        for ends in (statistic.interval(), statistic.relative())
    )
    p_values = t_mixture.p_value_of(log_e), t_mixture.p_value_of(harm)
    return Weight(log_e, p_values[0], harm, p_values[1], interval, relative)


def by_looks(looks: Looks | None, rules: Rules) -> Weight | None:
    return None if looks is None else weight(by_t(looks, rules))

"""What a flat prior makes of one look: reported beside the evidence, it decides nothing.

Under a flat prior the posterior of a difference of means is Student's t about the
estimate (Box & Tiao 1973, section 2.5, with Welch's df for unequal variances).
"""

from __future__ import annotations

import math

from expci.core.special_functions import special
from expci.core.statistics.classical import Difference


def chance_to_beat(difference: Difference, better: int) -> float:
    """Return P(the treatment is better) under a flat prior; `better` is +1 where larger is.

    >>> chance_to_beat(Difference(estimate=0.0, error=1.0, df=9), 1)
    0.5
    """
    return float(special.stdtr(difference.df, better * difference.t))


def expected_loss(difference: Difference, better: int) -> float | None:
    """Return E[max(0, what is lost by shipping the treatment)], in the estimate's unit.

    For u = estimate/error and Student's density f and distribution F of ν > 1 degrees of
    freedom: error · (f(u)(ν + u²)/(ν − 1) − u F(−u)). `None` where it is infinite.

    >>> round(expected_loss(Difference(estimate=0.0, error=1.0, df=1e6), 1) or 0.0, 3)  # 1/√(2π)
    0.399
    """
    df, u = difference.df, better * difference.t
    if df <= 1:
        return None
    log_density = math.lgamma((df + 1) / 2) - math.lgamma(df / 2) - 0.5 * math.log(df * math.pi)
    density = math.exp(log_density - (df + 1) / 2 * math.log1p(u * u / df))
    loss = difference.error * (density * (df + u * u) / (df - 1) - u * float(special.stdtr(df, -u)))
    return max(loss, 0.0) if math.isfinite(loss) else None

"""The bets of the safe test of proportions: which, and how much capital is on each.

Bets on blocks whose differences have mean δ and mean square V grow fastest at the size λ = δ/V
(Kelly 1956). Where the sample is smaller than that needs, a larger one reaches the threshold more
often: by the normal approximation √(2 log(2/alpha)/(n V)) after n blocks.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from expci.core.dataset.moments import FloatArray

_USUAL = np.array([0.03, 0.08, 0.2, 0.4, 0.6, 0.8, 0.95])
_LARGEST = 0.95
_ON_PLANNED = 0.9  # of the capital; the rest is for other effects


@dataclass(frozen=True, eq=False)
class Bets:
    """Sizes between 0 and 1, and the logarithm of the share of the capital on each."""

    sizes: FloatArray
    log_shares: FloatArray


USUAL = Bets(_USUAL, np.full(_USUAL.size, -math.log(_USUAL.size)))


def planned_bets(
    effect: float, sd: float, block: tuple[int, int], blocks: int | None, alpha: float
) -> Bets:
    """Return most of the capital on the bet for a planned `effect`, the rest as usual.

    `effect` in points, `sd` the root of the mean variance of both arms' units; `block` the units of
    each arm in a block, and `blocks` how many are planned (`None`: as many as it takes).

    >>> round(float(planned_bets(0.1, 0.3536, (1, 1), None, 0.05).sizes[0]), 3)
    0.385
    """
    square = sd * sd * (1 / block[0] + 1 / block[1]) + effect * effect
    bet = effect / square
    if blocks:
        bet = max(bet, math.sqrt(2 * math.log(2 / alpha) / (blocks * square)))
    sizes = np.append(min(bet, _LARGEST), _USUAL)
    rest = np.full(_USUAL.size, math.log((1 - _ON_PLANNED) / _USUAL.size))
    return Bets(sizes, np.append(math.log(_ON_PLANNED), rest))

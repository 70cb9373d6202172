"""One treatment against control at every look of many experiments, as the decision reads it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from expci.core.dataset.moments import BoolArray, FloatArray, IntArray
from expci.core.decision.numbers import DurationGuard, Improvement
from expci.core.statistics.weighed import Weighed


@dataclass(frozen=True)
class LookEvidence:
    """Evidence and improvement at every look, [experiments, looks].

    `units` are those with a value in the smaller of the two arms. Improvements are computed
    when first read: a decision needs few of them. `empties` answers at given looks whether an
    interval that is only computed on a grid is empty (`None`: an empty one shows itself).
    """

    weighed: Weighed
    units: FloatArray
    shares: Callable[[], Improvement]
    differences: Callable[[], Improvement]
    share_errors: Callable[[], FloatArray]
    difference_errors: Callable[[], FloatArray]
    guards: Callable[[], DurationGuard] | None = None
    empties: Callable[[BoolArray, IntArray], BoolArray] | None = None
    odds: Callable[[], FloatArray] | None = None

    @property
    def p_value(self) -> FloatArray:
        """Two-sided, not adjusted over treatments; 1 where there is no evidence."""
        return self.weighed.p_value

    @property
    def harm_p_value(self) -> FloatArray:
        return self.weighed.harm_p_value

    @property
    def futile(self) -> BoolArray:
        return self.weighed.futile

    @property
    def exact(self) -> BoolArray:
        """Nowhere: simulated values vary."""
        return np.zeros(self.units.shape, dtype=np.bool_)

    @cached_property
    def relative(self) -> Improvement:
        """As a share of control's value."""
        return self.shares()

    @property
    def absolute(self) -> Improvement:
        """In the metric's unit, or in points."""
        improvement, usable = self._absolute, self._usable
        if usable.all():
            return improvement
        low = np.where(usable, improvement.low, -np.inf)
        high = np.where(usable, improvement.high, np.inf)
        return Improvement(improvement.estimate, low, high)

    @cached_property
    def _absolute(self) -> Improvement:
        return self.differences()

    @cached_property
    def _usable(self) -> BoolArray:
        """Where the interval was not withdrawn as empty."""
        return np.ones(self.units.shape, dtype=np.bool_)

    @cached_property
    def relative_error(self) -> FloatArray:
        """The standard error of the relative improvement, as of one look."""
        return self.share_errors()

    @cached_property
    def absolute_error(self) -> FloatArray:
        return self.difference_errors()

    @cached_property
    def no_loss_odds(self) -> FloatArray:
        """How much likelier the data are without a loss, where the kind tells it."""
        return np.full(self.units.shape, np.nan) if self.odds is None else self.odds()

    def withdraw(self, row: IntArray, look: IntArray) -> bool:
        """Take the intervals of the experiments `row` back from their `look` on where its ends
        have crossed; return whether there was such a one."""
        if self.empties is None:
            return False
        row = row[self._usable[row, look[row]]]
        chosen = np.zeros(look.shape, dtype=np.bool_)
        chosen[row] = True
        empty = self.empties(chosen, look[row])
        for index in row[empty]:
            self._usable[index, look[index] :] = False
        return bool(empty.any())

    @cached_property
    def guard(self) -> DurationGuard | None:
        return None if self.guards is None else self.guards()


def no_share(like: FloatArray) -> Improvement:
    """Return the relative improvement of a metric that has none.

    >>> no_share(np.array([[1.0, 2.0]])).estimate
    array([[nan, nan]])
    """
    unknown = np.full(like.shape, np.nan)
    return Improvement(unknown, np.full(like.shape, -np.inf), np.full(like.shape, np.inf))

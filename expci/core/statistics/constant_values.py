"""Values that never vary: compared as they are, without a p-value.

A size in bytes or a count of instructions is the same at every run. There is no variance to
weigh a difference with, and none is needed: the difference is exact.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from expci.core import number_format
from expci.core.dataset.moments import FloatArray
from expci.core.model.results import EXACT
from expci.core.statistics.outcome import Outcome, Summary
from expci.core.statistics.terms import Terms

FEWEST = 10  # units of each arm


@dataclass(frozen=True)
class ConstantValues:
    """The one value that each arm always had, and how often."""

    control: float
    treatment: float
    counts: tuple[int, int]

    @property
    def relative(self) -> tuple[float, float]:
        """The ends of the difference as a share of control's value: open where that is 0."""
        if not self.control:
            return -math.inf, math.inf
        share = (self.treatment - self.control) / self.control
        return share, share

    @property
    def note(self) -> str:
        once = (
            f"{count} times {number_format.number(value)} in {arm}"
            for count, value, arm in zip(
                self.counts,
                (self.control, self.treatment),
                ("control", "the treatment"),
                strict=True,
            )
        )
        return f"exact: the values never vary ({', '.join(once)})"


def fewest_units(level: float) -> int:
    """Return how many units of each arm show that a value never varies, for errors of `level`.

    Were the arms alike and their values of chance, n pairs would split so with probability
    2^(1−n) at most (the sign test), independent arms with 2/C(2n, n). It holds at all looks
    together: what is constant at a later look was so at the n-th unit.

    >>> fewest_units(0.025), fewest_units(0.0001)
    (10, 15)
    """
    return max(FEWEST, math.ceil(1 - math.log2(level)))


def constant_values(
    control: FloatArray, treatment: FloatArray, level: float
) -> ConstantValues | None:
    """Return each arm's only value; `None` where one varies or has too few units for `level`.

    >>> constant_values(np.full(10, 4.0), np.full(12, 3.0), 0.025)
    ConstantValues(control=4.0, treatment=3.0, counts=(10, 12))
    >>> constant_values(np.arange(10.0), np.full(12, 3.0), 0.025) is None
    True
    """
    if min(control.size, treatment.size) < fewest_units(level):
        return None
    if np.ptp(control) > 0 or np.ptp(treatment) > 0:
        return None
    return ConstantValues(
        float(control[0]), float(treatment[0]), (int(control.size), int(treatment.size))
    )


def exact(
    outcome: Outcome, values: ConstantValues | None, difference: float | None, terms: Terms
) -> Outcome:
    """Return the outcome of values that never vary, whose interval is the `difference` itself.

    Unchanged where they vary, and before the first planned look of a plan that has some.

    >>> from expci.core.model.experiment import Assignment, DecisionRules, Experiment, PlanRules
    >>> plan = PlanRules(inference="anytime")
    >>> experiment = Experiment("", "", "", (), (), Assignment(), plan, DecisionRules())
    >>> terms = Terms(experiment, plan, None, 0.025, False, None)
    >>> silent = Outcome("anytime", None, None, None, ("the values do not vary",))
    >>> exact(silent, ConstantValues(4.0, 3.0, (10, 12)), -1.0, terms).summary.relative
    (-0.25, -0.25)
    """
    may_look = bool(outcome.looks) or terms.rules.inference == "anytime"
    if values is None or difference is None or outcome.summary is not None or not may_look:
        return outcome
    summary = Summary(None, None, (difference, difference), values.relative)
    return replace(outcome, method=EXACT, summary=summary, harm=None, notes=(values.note,))

"""When the planned looks of a `fixed` or `group-sequential` plan come, and their bounds."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from expci.core.dataset.moments import BoolArray, FloatArray, IntArray
from expci.core.model.experiment import PlanRules
from expci.core.special_functions import special
from expci.core.statistics import group_sequential


@dataclass(frozen=True)
class Schedule:
    """The planned looks: units per arm at each, and the fraction of the sample that is."""

    units: tuple[int, ...]
    fractions: tuple[float, ...]


def schedule(planned: int, looks: int, start: int) -> Schedule:
    """Return equal steps of `planned`; a look before `start` units is skipped, its alpha kept.

    >>> schedule(planned=50, looks=4, start=20)
    Schedule(units=(25, 38, 50), fractions=(0.5, 0.76, 1.0))
    """
    sizes = sorted({math.ceil(planned * k / looks - 1e-9) for k in range(1, looks + 1)})
    units = tuple(n for n in sizes if n >= min(start, planned))
    return Schedule(units, tuple(n / planned for n in units))


@dataclass(frozen=True)
class PlannedLooks:
    """The planned looks of a `fixed` or `group-sequential` plan.

    `index` is the look at which each experiment reached each of them, [experiments,
    planned looks]; `reached` how many of them at each look; `latest` the look that the
    estimates use: the last planned one, before the first and in an extension the present one.
    `extended` are the looks at the trials of an extension, for which a reserve of alpha was kept.
    """

    rules: PlanRules
    units: tuple[int, ...]
    fractions: tuple[float, ...]
    index: IntArray
    reached: IntArray
    latest: IntArray
    extended: BoolArray

    @cached_property
    def bounds(self) -> tuple[float, ...]:
        """Critical |z| of each planned look."""
        if self.rules.inference == "fixed":
            return (-float(special.ndtri(self.rules.alpha / 2)),)
        spending = self.rules.spending, self.rules.rho
        return group_sequential.boundaries(self.fractions, self.rules.planned_alpha, *spending)

    def as_it_stands(self) -> PlannedLooks:
        """The same of the last look alone."""
        return replace(
            self,
            reached=self.reached[:, -1:],
            latest=self.latest[:, -1:],
            extended=self.extended[:, -1:],
        )

    def at(self, column: FloatArray) -> FloatArray:
        """The values at the planned looks: [experiments, planned looks]."""
        return np.take_along_axis(column, self.index, axis=1)

    def estimated(self, column: FloatArray) -> FloatArray:
        """The values behind the estimate of each look."""
        return np.take_along_axis(column, self.latest, axis=1)

    def spread(self, by_look: FloatArray, before: float) -> FloatArray:
        """What stands after each planned look, at every look; `before` the first one."""
        first = np.full((by_look.shape[0], 1), before)
        return np.take_along_axis(np.hstack([first, by_look]), self.reached, axis=1)


def planned_looks(
    n: FloatArray, rules: PlanRules, target: int | None, start: int, extra: int = 0
) -> PlannedLooks | None:
    """Return when the planned looks come, by the units so far; `None` where none are planned.

    `target` is what alpha was planned over, `extra` how many units were added to it.

    >>> n = np.array([[1.0, 2.0, 3.0, 4.0]])
    >>> plan = planned_looks(n, PlanRules(inference="group-sequential", looks=2), target=4, start=1)
    >>> (plan.units, plan.index, plan.reached) if plan else None
    ((2, 4), array([[1, 3]]), array([[0, 1, 1, 2]]))
    """
    if rules.inference == "anytime":
        return None
    units: tuple[int, ...] = ()
    fractions: tuple[float, ...] = ()
    if target is not None and rules.inference == "fixed":
        units, fractions = (target,), (1.0,)
    elif target is not None:
        steps = schedule(target, rules.looks, start)
        units, fractions = steps.units, steps.fractions
    reached = np.searchsorted(units, n, side="right").astype(np.int64)
    now = np.broadcast_to(np.arange(n.shape[1]), n.shape)
    has_reserve = bool(extra and rules.reserve and units)
    extended = has_reserve & (n > (target or math.inf))
    if not units:
        index = np.zeros((n.shape[0], 0), np.int64)
        return PlannedLooks(rules, (), (), index, reached, now, extended)
    index = np.stack([np.argmax(n >= size, axis=1) for size in units], axis=1)
    last = np.take_along_axis(index, np.maximum(reached - 1, 0), axis=1)
    latest = np.where((reached > 0) & ~extended, last, now)
    return PlannedLooks(rules, units, fractions, index, reached, latest, extended)

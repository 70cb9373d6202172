"""The sizes of a plan without a pilot, against the power of the two-sample t test (scipy)."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace

import pytest
from scipy import stats

from expci.core.model.experiment import Limit, Metric
from expci.core.planning.size_by_variation import (
    SHARES,
    VARIATIONS,
    SizeAtVariation,
    sizes_by_variation,
)
from support.report_samples import experiment

RATE = Metric("passes", "primary", "proportion", "increase", Limit(0.1, False))
SCORE = Metric("score", "primary", "mean", "increase", Limit(0.3, relative=False))


def power(n: int, effect: float, alpha: float) -> float:
    """Of the two-sided two-sample t test, by the noncentral t distribution."""
    df, shift = 2 * n - 2, effect * math.sqrt(n / 2)
    bound = stats.t.ppf(1 - alpha / 2, df)
    return float(stats.nct.sf(bound, df, shift) + stats.nct.cdf(-bound, df, shift))


def one_look(effect: float, alpha: float = 0.05) -> int:
    """The least n per arm that sees an effect in standard deviations with 80 % power."""
    return next(n for n in range(2, 2000) if power(n, effect, alpha) >= 0.8)


def planned(**changes: object) -> list[SizeAtVariation]:
    base = experiment()
    plan = replace(base.plan, min_trials=2, sample_size=None)
    assignment = replace(base.assignment, design="randomized")
    changed = replace(base, plan=plan, assignment=assignment, **changes)  # type: ignore[arg-type]
    return list(sizes_by_variation(changed, None))


def sizes_are_those_of_one_look(sizes: Iterable[int], effects: Iterable[float]) -> None:
    """Up to what looking costs, which is a factor between one and two, the same in all rows."""
    costs = [size / one_look(effect) for size, effect in zip(sizes, effects, strict=True)]
    assert min(costs) >= 1
    assert max(costs) <= 2
    assert max(costs) / min(costs) < 1.1


def test_a_relative_effect_goes_by_the_variation_relative_to_the_mean() -> None:
    rows = planned()
    assert tuple(row.variation for row in rows) == VARIATIONS
    # a fall by 15 % of a log-normal duration
    effects = [-math.log(0.85) / math.sqrt(math.log(1 + cv**2)) for cv in VARIATIONS[2:]]
    sizes_are_those_of_one_look([row.per_arm for row in rows[2:]], effects)


def test_an_effect_in_the_metric_s_own_unit_goes_by_the_sd_in_that_unit() -> None:
    rows = planned(metrics=(SCORE, *experiment().metrics[1:]))
    assert [row.sd for row in rows] == pytest.approx([0.15, 0.3, 0.6, 1.2])
    sizes_are_those_of_one_look([row.per_arm for row in rows[2:]], [0.3 / 0.6, 0.3 / 1.2])
    assert {(row.variation, row.share) for row in rows} == {(None, None)}


def test_a_share_goes_by_control_s_own_as_far_as_the_hoped_for_one_can_be() -> None:
    rows = planned(metrics=(RATE, *experiment().metrics[1:]))
    assert [row.share for row in rows] == [share for share in SHARES if share <= 0.9]
    middle = next(row for row in rows if row.share == 0.5)
    sd = math.sqrt((0.5 * 0.5 + 0.6 * 0.4) / 2)  # the mean variance of both arms
    sizes_are_those_of_one_look([middle.per_arm], [0.1 / sd])
    falling = replace(RATE, direction="decrease")
    assert [row.share for row in planned(metrics=(falling,))] == [0.2, 0.5, 0.8, 0.95]


def test_a_rate_makes_days_of_sizes() -> None:
    rows = list(sizes_by_variation(experiment(), 10.0))
    arms = len(experiment().arms)
    assert [row.expected_days for row in rows] == [row.per_arm * arms / 10 for row in rows]


def test_an_absolute_effect_on_a_duration_has_no_such_table() -> None:
    """On the scale of ratios it depends on control's mean too."""
    first, *rest = experiment().metrics
    absolute = replace(first, minimum_effect=Limit(0.3, relative=False))
    assert planned(metrics=(absolute, *rest)) == []

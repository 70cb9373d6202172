"""What shipping the treatment is worth, against numerical integration of Student's density."""

from __future__ import annotations

import pytest
from scipy import integrate, stats

from expci.core.statistics import posterior
from expci.core.statistics.classical import Difference


@pytest.mark.parametrize("better", [1, -1])
@pytest.mark.parametrize(("estimate", "error", "df"), [(0.4, 0.5, 3.0), (-2.0, 0.8, 17.5)])
def test_chance_and_expected_loss(estimate: float, error: float, df: float, better: int) -> None:
    difference = Difference(estimate, error, df)
    effect = stats.t(df, better * estimate, error)
    assert posterior.chance_to_beat(difference, better) == pytest.approx(effect.sf(0), rel=1e-9)
    loss = integrate.quad(lambda x: -x * effect.pdf(x), -200, 0, points=[-10], limit=200)[0]
    # what is left out below −200 is under 1e-3 of it with three degrees of freedom
    assert posterior.expected_loss(difference, better) == pytest.approx(loss, rel=2e-3)


def test_an_infinite_loss_is_none() -> None:
    assert posterior.expected_loss(Difference(1.0, 1.0, 1.0), 1) is None

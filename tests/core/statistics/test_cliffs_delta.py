"""Cliff's delta against the definition, pair by pair."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from expci.core.statistics import cliffs_delta

CONTROL = np.array([3.0, 1.0, 4.0, 1.0, 5.0, 9.0, 2.0])
TREATMENT = np.array([2.0, 7.0, 1.0, 8.0])


def by_definition(control: np.ndarray, treatment: np.ndarray, level: float) -> tuple[float, float]:
    """Cliff (1993, eq. 13) and Feng & Cliff (2004, eq. 9), from the matrix of dominances."""
    signs = np.sign(treatment[:, None] - control[None, :])
    (n, m), delta = signs.shape, signs.mean()
    rows, columns = signs.mean(axis=1), signs.mean(axis=0)
    variance = m * m * np.sum((rows - delta) ** 2) + n * n * np.sum((columns - delta) ** 2)
    variance = (variance - np.sum((signs - delta) ** 2)) / (m * n * (m - 1) * (n - 1))
    variance = max(variance, (1 - delta**2) / (m * n - 1))
    z = stats.norm.isf((1 - level) / 2)
    half = z * math.sqrt(variance) * math.sqrt((1 - delta**2) ** 2 + z * z * variance)
    scale = 1 - delta**2 + z * z * variance
    return (delta - delta**3 - half) / scale, (delta - delta**3 + half) / scale


@pytest.mark.parametrize("shift", [0.0, 1.5, -3.0])
@pytest.mark.parametrize("level", [0.8, 0.95])
def test_the_interval_is_that_of_the_definition(shift: float, level: float) -> None:
    found = cliffs_delta.interval(CONTROL, TREATMENT + shift, level)
    assert found == pytest.approx(by_definition(CONTROL, TREATMENT + shift, level), rel=1e-12)


def test_the_interval_of_many_values() -> None:
    rng = np.random.default_rng(1)
    control, treatment = rng.normal(size=30), rng.normal(0.4, 2, 22)
    found = cliffs_delta.interval(control, treatment, 0.95)
    assert found == pytest.approx(by_definition(control, treatment, 0.95), rel=1e-12)


def test_too_little_has_no_interval() -> None:
    assert cliffs_delta.cliffs_delta(np.empty(0), TREATMENT) is None
    assert cliffs_delta.interval(CONTROL[:1], TREATMENT, 0.95) is None


@pytest.mark.parametrize(
    ("delta", "word"),
    [  # Romano et al. (2006): negligible below .147, small below .33, medium below .474
        (0.146, "negligible"),
        (-0.147, "small"),
        (0.329, "small"),
        (0.33, "medium"),
        (-0.474, "large"),
        (1.0, "large"),
    ],
)
def test_the_word_for_its_size(delta: float, word: str) -> None:
    assert cliffs_delta.word(delta) == word
    assert cliffs_delta.word(None) is None

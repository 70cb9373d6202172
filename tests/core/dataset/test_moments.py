"""Sums against certified values."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from expci.core.dataset.moments import Moments, arm_summary, moments

# NIST StRD univariate: https://www.itl.nist.gov/div898/strd/univ/. Each data set is made
# by the rule that its file states; mean and sd are certified.
MICHELSON = [
    299.85, 299.74, 299.90, 300.07, 299.93, 299.85, 299.95, 299.98, 299.98, 299.88,
    300.00, 299.98, 299.93, 299.65, 299.76, 299.81, 300.00, 300.00, 299.96, 299.96,
    299.96, 299.94, 299.96, 299.94, 299.88, 299.80, 299.85, 299.88, 299.90, 299.84,
    299.83, 299.79, 299.81, 299.88, 299.88, 299.83, 299.80, 299.79, 299.76, 299.80,
    299.88, 299.88, 299.88, 299.86, 299.72, 299.72, 299.62, 299.86, 299.97, 299.95,
    299.88, 299.91, 299.85, 299.87, 299.84, 299.84, 299.85, 299.84, 299.84, 299.84,
    299.89, 299.81, 299.81, 299.82, 299.80, 299.77, 299.76, 299.74, 299.75, 299.76,
    299.91, 299.92, 299.89, 299.86, 299.88, 299.72, 299.84, 299.85, 299.85, 299.78,
    299.89, 299.84, 299.78, 299.81, 299.76, 299.81, 299.79, 299.81, 299.82, 299.85,
    299.87, 299.87, 299.81, 299.74, 299.81, 299.94, 299.95, 299.80, 299.81, 299.87,
]  # fmt: skip
CERTIFIED = {
    "Michelso": (MICHELSON, 299.852400000000, 0.0790105478190518, 1e-9),
    "NumAcc1": ([10000001.0, 10000003.0, 10000002.0], 10000002.0, 1.0, 1e-12),
    "NumAcc2": ([1.2] + [1.1, 1.3] * 500, 1.2, 0.1, 1e-9),
    "NumAcc3": ([1000000.2] + [1000000.1, 1000000.3] * 500, 1000000.2, 0.1, 1e-9),
    "NumAcc4": ([10000000.2] + [10000000.1, 10000000.3] * 500, 10000000.2, 0.1, 2e-8),
}


@pytest.mark.parametrize("name", CERTIFIED)
def test_moments_agree_with_nist(name: str) -> None:
    data, mean, sd, tolerance = CERTIFIED[name]
    found = moments(data)
    assert found.mean == pytest.approx(mean, rel=1e-12)
    assert found.sd == pytest.approx(sd, rel=tolerance)


@pytest.mark.parametrize("name", CERTIFIED)
def test_merged_parts_agree_with_nist(name: str) -> None:
    data, mean, sd, tolerance = CERTIFIED[name]
    total = Moments()
    for start in range(0, len(data), 7):
        total = total + moments(data[start : start + 7])
    assert total.n == len(data)
    assert total.mean == pytest.approx(mean, rel=1e-12)
    assert total.sd == pytest.approx(sd, rel=tolerance)


@given(
    st.lists(st.floats(-1e6, 1e6), max_size=20),
    st.lists(st.floats(-1e6, 1e6), max_size=20),
)
def test_merging_is_the_same_as_all_at_once(left: list[float], right: list[float]) -> None:
    both, merged = moments(left + right), moments(left) + moments(right)
    assert merged.n == both.n
    assert merged.mean == pytest.approx(both.mean, rel=1e-9, abs=1e-9)
    assert merged.m2 == pytest.approx(both.m2, rel=1e-9, abs=1e-3)


def test_nothing_is_invented_for_few_or_extreme_values() -> None:
    empty, one = arm_summary([]), arm_summary([3.0])
    assert (empty.n, empty.mean, empty.sd) == (0, None, None)
    assert (one.n, one.mean, one.sd) == (1, 3.0, None)
    assert moments([0.1] * 10).m2 == 0.0
    huge = moments([1e200, 2e200, -1e200])
    assert huge.sd is None
    assert math.isfinite(moments([1.7e308, 1.7e308, 1.6e308]).mean)


def test_a_tiny_sd_far_from_zero_survives() -> None:
    values = 1e9 + 1e-3 * np.array([-1.0, 0.0, 1.0] * 50)
    assert moments(values).sd == pytest.approx(math.sqrt(100e-6 / 149), rel=1e-3)

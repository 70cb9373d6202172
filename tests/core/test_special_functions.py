"""What an analysis does not wait for."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import special as package

from expci.core.special_functions import log_sum_exp
from support.properties import examples

PARTS = {"numpy.f2py", "numpy.polynomial", "numpy.random", "numpy.testing", "scipy.special._basic"}
ANALYSIS = "import expci.core.analysis.analyze, sys\n"
ELSEWHERE = """\
import sys
class Elsewhere:
    def find_spec(self, name, path=None, target=None):
        real = hasattr(sys.modules.get("scipy.special"), "__file__")
        if name == "scipy.special._ufuncs" and not real:
            raise ImportError(name)
sys.meta_path.insert(0, Elsewhere())
"""


def run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout


def test_an_analysis_imports_no_part_of_numpy_and_scipy_that_it_does_not_use() -> None:
    imported = set(run(ANALYSIS + "print(*sys.modules)").split())
    assert "scipy.special._ufuncs" in imported
    assert imported & PARTS == set()


@pytest.mark.slow
def test_the_whole_packages_are_there_for_who_uses_them() -> None:
    use = "print(scipy.stats.norm.cdf(0.0), scipy.special.comb(4, 2))"
    assert run(f"{ANALYSIS}import scipy.stats, scipy.special\n{use}").split() == ["0.5", "6.0"]


@pytest.mark.slow
def test_where_scipy_keeps_its_functions_elsewhere_the_package_has_them() -> None:
    use = "from expci.core.special_functions import special as door\n"
    use += "print(door.__name__, door.ndtr(0.0))"
    assert run(use).split() == ["scipy.special._ufuncs", "0.5"]
    assert run(ELSEWHERE + use).split() == ["scipy.special", "0.5"]


@examples(100)
@given(st.lists(st.floats(-800, 800) | st.sampled_from([-np.inf, np.inf]), min_size=1))
def test_the_sum_of_exponentials_is_scipys(logs: list[float]) -> None:
    expected = package.logsumexp(logs)
    assert log_sum_exp(logs) == pytest.approx(expected, rel=1e-12, abs=1e-12)
    assert log_sum_exp([logs, logs], axis=1) == pytest.approx([expected] * 2, rel=1e-12, abs=1e-12)

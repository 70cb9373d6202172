"""What an analysis does not wait for."""

from __future__ import annotations

import subprocess
import sys

import pytest

from expci.core.special_functions import PARTS

INSIDE = {
    "f2py": "numpy.f2py.crackfortran",
    "ma": "numpy.ma.core",
    "polynomial": "numpy.polynomial.polynomial",
    "random": "numpy.random._generator",
    "testing": "numpy.testing._private.utils",
}


def run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout


def test_an_analysis_imports_no_part_of_numpy_that_it_does_not_use() -> None:
    assert set(INSIDE) == set(PARTS)
    code = "import expci.core.analysis.analyze, scipy.special, sys; print(*sys.modules, sep='\\n')"
    imported = set(run(code).split())
    assert "scipy.special._ufuncs" in imported
    assert imported & set(INSIDE.values()) == set()


USES = {
    "np.random.default_rng(1).integers(0, 1)": "0",
    "np.ma.array([1, 2], mask=[0, 1]).sum()": "1",
    "np.polynomial.Polynomial([1, 2])(3)": "7.0",
    "np.testing.assert_equal(1, 1)": "None",
    "scipy.stats.norm.cdf(0.0)": "0.5",  # which uses them all
}


@pytest.mark.slow
def test_each_is_there_for_who_uses_it() -> None:
    code = "import expci.core.analysis.analyze, scipy.stats, numpy as np\n"
    assert run(code + "\n".join(f"print({use})" for use in USES)).split() == list(USES.values())

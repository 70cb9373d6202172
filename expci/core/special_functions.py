"""The door to `scipy.special`: its compiled functions alone.

The package around them adapts them to other array libraries and imports most of numpy for that,
which takes as long as numpy itself. So it is imported only where it has no such module.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

PACKAGE = "scipy.special"


def _compiled_functions() -> Any:
    """`scipy.special._ufuncs`, imported while an empty package stands for the one around it."""
    if PACKAGE in sys.modules:
        return sys.modules[PACKAGE]
    import scipy

    empty = ModuleType(PACKAGE)
    empty.__path__ = [f"{place}/special" for place in scipy.__path__]
    sys.modules[PACKAGE] = empty
    try:
        return importlib.import_module(f"{PACKAGE}._ufuncs")
    except ImportError:
        del sys.modules[PACKAGE]
        return importlib.import_module(PACKAGE)
    finally:
        if sys.modules.get(PACKAGE) is empty:
            del sys.modules[PACKAGE]


special = _compiled_functions()


def log_sum_exp(values: ArrayLike, axis: int | None = None) -> Any:
    """Return the logarithm of the sum of exponentials, -inf where nothing is added.

    >>> float(log_sum_exp([1000.0, 1000.0])), float(log_sum_exp([-np.inf, -np.inf]))
    (1000.6931471805599, -inf)
    """
    logs = np.asarray(values, dtype=np.float64)
    peak = np.max(logs, axis=axis, keepdims=True)
    peak = np.where(np.isfinite(peak), peak, 0.0)
    with np.errstate(divide="ignore", over="ignore"):
        total = np.log(np.sum(np.exp(logs - peak), axis=axis))
    return total + np.squeeze(peak, axis=axis)

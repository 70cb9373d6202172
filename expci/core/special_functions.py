"""The door to `scipy.special`, without the parts of numpy that nothing here uses.

scipy imports all of numpy's parts by their names (`from numpy import *`), and f2py, `testing`
and their like take longer to import than everything that an analysis uses of both. So they
wait until somebody uses them.
"""

from __future__ import annotations

import sys
from importlib import util

import numpy as np

PARTS = ("f2py", "ma", "polynomial", "random", "testing")


def import_lazily(name: str) -> None:
    """Have the module `numpy.NAME` imported when it is first used.

    >>> import_lazily("testing")
    >>> np.testing.assert_equal(1, 1)
    """
    full = f"numpy.{name}"
    spec = None if full in sys.modules else util.find_spec(full)
    if spec is None or spec.loader is None:
        return
    spec.loader = util.LazyLoader(spec.loader)
    module = util.module_from_spec(spec)
    sys.modules[full] = module
    spec.loader.exec_module(module)
    setattr(np, name, module)


for _name in PARTS:
    import_lazily(_name)

from scipy import special as special  # noqa: E402

"""Fixtures of the core's tests; what they are made of stands in `analysis_samples.py`."""

from __future__ import annotations

import pytest

from analysis_samples import make_experiment
from expci.core.model import Experiment


@pytest.fixture
def experiment() -> Experiment:
    return make_experiment()

"""Fixtures of the core's tests; what they are made of stands in `analysis_samples.py`."""

from __future__ import annotations

import pytest

from expci.core.model.experiment import Experiment
from support.analysis_samples import make_experiment


@pytest.fixture
def experiment() -> Experiment:
    return make_experiment()

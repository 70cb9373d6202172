"""The ids of trials that begin now."""

from __future__ import annotations

import os
from datetime import datetime

from expci.core.model.trial import trial_id


def new_trial_id(at: datetime) -> str:
    """An id that sorts by the time `at` and that nobody else has."""
    return trial_id(at, os.urandom(10))

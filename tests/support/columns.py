"""Columns of trials as plain values: equal where they are the same to the last bit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import numpy as np

from expci.core.dataset.trial_columns import TrialColumns


def plain(columns: TrialColumns) -> dict[str, Any]:
    """Each column's values, with kinds and bits; of words the codes and what they stand for."""
    return {field.name: _plain(getattr(columns, field.name)) for field in fields(columns)}


def _plain(column: Any) -> Any:
    if isinstance(column, Mapping):
        return {name: _plain(own) for name, own in column.items()}
    if isinstance(column, np.ndarray):
        return column.dtype.str, column.tobytes()
    return _plain(column.codes), column.levels

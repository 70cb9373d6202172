"""The number formats of reports: those of `core/number_format.py`, under one name."""

from __future__ import annotations

from expci.core.number_format import (
    MINUS,
    MISSING,
    amount_of,
    bare_p_value,
    count,
    days,
    e_value,
    frequency,
    hours,
    limit,
    number,
    p_value,
    per_day,
    percent,
    points,
    quantity,
    stated,
    stated_percent,
    unit,
    with_unit,
)

__all__ = [
    "MINUS",
    "MISSING",
    "amount_of",
    "bare_p_value",
    "count",
    "days",
    "e_value",
    "frequency",
    "hours",
    "limit",
    "number",
    "p_value",
    "per_day",
    "percent",
    "points",
    "quantity",
    "stated",
    "stated_percent",
    "unit",
    "with_unit",
]

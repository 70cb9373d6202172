"""The columns of a segment as bytes, and back: what the clone's cache of them holds.

A column that says one thing throughout is one value; codes take no more bytes than they need.
"""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import msgspec
import numpy as np

from expci.core.dataset.factor import Factor
from expci.core.dataset.joining import ColumnsPart
from expci.core.dataset.trial_columns import TrialColumns

FORMAT = 1  # another number where columns or their bytes come to mean something else


class _Array(msgspec.Struct, array_like=True):
    """`data` is one value where all are alike."""

    kind: str
    size: int
    data: memoryview


class _Factor(msgspec.Struct, array_like=True):
    codes: _Array
    levels: list[str]


class _Packed(msgspec.Struct):
    """`arrays` and `factors` by the names of fields, or of a group's field and the name in it."""

    lines: int
    arrays: list[tuple[str, str | None, _Array]]
    factors: list[tuple[str, str | None, _Factor]]
    groups: list[str]


_DECODER = msgspec.msgpack.Decoder(_Packed)


def dump_columns(part: ColumnsPart) -> bytes:
    """The bytes of a segment's columns."""
    packed = _Packed(part.lines, [], [], [])
    for field in fields(TrialColumns):
        column = getattr(part.columns, field.name)
        if isinstance(column, np.ndarray | Factor):
            _put(packed, field.name, None, column)
        else:
            packed.groups.append(field.name)
            for name, own in column.items():
                _put(packed, field.name, name, own)
    return msgspec.msgpack.encode(packed)


def load_columns(data: bytes | memoryview) -> ColumnsPart:
    """The columns that `dump_columns` made bytes of; `ValueError` for other bytes."""
    packed = _DECODER.decode(data)
    columns: dict[str, Any] = {group: {} for group in packed.groups}
    for field, name, item in packed.arrays:
        _set(columns, field, name, _array(item))
    for field, name, factor in packed.factors:
        codes = _array(factor.codes).astype(np.int32)
        _set(columns, field, name, Factor(codes, tuple(factor.levels)))
    return ColumnsPart(TrialColumns(**columns), packed.lines)


def _put(packed: _Packed, field: str, name: str | None, column: Any) -> None:
    if isinstance(column, Factor):
        codes = column.codes.astype(np.min_scalar_type(-max(len(column.levels), 1)))
        packed.factors.append((field, name, _Factor(_packed(codes), list(column.levels))))
    else:
        packed.arrays.append((field, name, _packed(column)))


def _set(columns: dict[str, Any], field: str, name: str | None, column: Any) -> None:
    if name is None:
        columns[field] = column
    else:
        columns[field][name] = column


def _packed(column: np.ndarray[Any, Any]) -> _Array:
    rows = np.ascontiguousarray(column).view(np.uint8).reshape(-1, column.dtype.itemsize)
    alike = column.size > 0 and bool(np.all(rows == rows[0]))  # by bytes: nan is like nan
    return _Array(
        column.dtype.str, column.size, memoryview((rows[:1] if alike else rows).tobytes())
    )


def _array(item: _Array) -> np.ndarray[Any, Any]:
    values = np.frombuffer(item.data, dtype=item.kind)
    return values if values.size == item.size else np.broadcast_to(values, item.size)

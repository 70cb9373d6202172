"""The encoding of files that other tools write: UTF-8, or whatever a byte order mark says."""

from __future__ import annotations

import codecs

from expci.errors import InvalidRecord

_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # before UTF-16's, with which it begins
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


def decode(data: bytes) -> str:
    """The text without its mark. `InvalidRecord` for bytes that are not of its encoding."""
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return _decoded(data[len(mark) :], encoding)
    return _decoded(data, "utf-8")


def _decoded(data: bytes, encoding: str) -> str:
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        raise InvalidRecord(f"it is not {encoding.upper()} text (byte {error.start})") from error

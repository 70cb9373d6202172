"""The encoding of files that other tools write: UTF-8, or whatever a byte order mark says."""

from __future__ import annotations

import codecs
import contextlib
import io
from collections.abc import Iterator
from typing import BinaryIO, TextIO

from expci.errors import InvalidRecord

_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # before UTF-16's, with which it begins
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


_CHUNK = 1_000_000  # bytes


def decode(data: bytes) -> str:
    """The text without its mark. `InvalidRecord` for bytes that are not of its encoding."""
    mark, encoding = _form(data[:4])
    return _decoded(data[mark:], encoding)


def _form(head: bytes) -> tuple[int, str]:
    """The length of the byte order mark, and the encoding."""
    marks = ((len(mark), encoding) for mark, encoding in _MARKS if head.startswith(mark))
    return next(marks, (0, "utf-8"))


@contextlib.contextmanager
def opened_text(source: BinaryIO) -> Iterator[TextIO]:
    """The text of a file from its beginning, some of it in memory at a time.

    A line ends where a carriage return or a newline is, or both; as one newline. `InvalidRecord`
    where the bytes that are read are not of the file's encoding.
    """
    source.seek(0)
    mark, encoding = _form(source.read(4))
    source.seek(mark)
    text = io.TextIOWrapper(source, encoding)
    try:
        yield text
    except UnicodeDecodeError as error:
        where = _first_fault(source, mark, encoding)
        raise InvalidRecord(f"it is not {encoding.upper()} text (byte {where})") from error
    finally:
        text.detach()  # or the source would be closed with it


def _first_fault(source: BinaryIO, mark: int, encoding: str) -> int:
    """The place of the first byte behind the mark that is not of the encoding."""
    source.seek(mark)
    decoder, place = codecs.getincrementaldecoder(encoding)(), 0
    while True:
        pending, data = len(decoder.getstate()[0]), source.read(_CHUNK)
        try:
            decoder.decode(data, final=not data)
        except UnicodeDecodeError as error:
            return place - pending + error.start
        place += len(data)


def _decoded(data: bytes, encoding: str) -> str:
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        raise InvalidRecord(f"it is not {encoding.upper()} text (byte {error.start})") from error

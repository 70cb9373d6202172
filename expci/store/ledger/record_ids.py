"""Which records a segment holds, by their ids: whether one that arrives is there already.

An index of a segment's ids says so without its lines; only where it names an id that is asked
for are the lines read.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Collection, Iterable

import msgspec

from expci.core.model.trial import load_line
from expci.errors import InvalidRecord

FORMAT = 1  # of an index; another number where its bytes come to mean something else
_WIDTH = 26
_TRIAL_ID, _AMENDMENT_ID = slice(13, 39), slice(20, 46)  # in a line of expci's own form
_OWN_FORM = re.compile(rb'\{"v":1,"(id|amendment)":"[0-9A-Z]{26}"').match


class _Index(msgspec.Struct, array_like=True):
    """`ids` are those of 26 bytes, sorted and behind one another; `others` all else."""

    ids: memoryview
    others: list[bytes]


_DECODER = msgspec.msgpack.Decoder(_Index)


def dump_index(data: bytes) -> bytes:
    """The index of a segment: each line's id, with some that are none where a line is damaged."""
    ids = sorted(_id(line) for line in data.splitlines())
    own = [one for one in ids if len(one) == _WIDTH]
    return msgspec.msgpack.encode(
        _Index(memoryview(b"".join(own)), [one for one in ids if len(one) != _WIDTH])
    )


def is_any_in(index: bytes | memoryview, wanted: Iterable[str]) -> bool:
    """Whether the segment of an index may hold a record with one of these ids.

    >>> index = dump_index(b'{"v":1,"id":"' + b"0" * 26 + b'"}')
    >>> is_any_in(index, ["0" * 26]), is_any_in(index, ["1" * 26])
    (True, False)
    """
    read = _DECODER.decode(index)
    return any(_is_in(read, one.encode()) for one in wanted)


def _is_in(index: _Index, wanted: bytes) -> bool:
    if len(wanted) != _WIDTH:
        return wanted in index.others

    def at(place: int) -> bytes:
        return bytes(index.ids[place * _WIDTH : (place + 1) * _WIDTH])

    count = len(index.ids) // _WIDTH
    return at(bisect_left(range(count), wanted, key=at)) == wanted


def _id(line: bytes) -> bytes:
    own = _OWN_FORM(line)
    if own is None:
        return _identity(line).encode(errors="surrogatepass")
    return line[_TRIAL_ID] if own[1] == b"id" else line[_AMENDMENT_ID]


def lines_with_ids(lines: Iterable[bytes], wanted: Collection[str]) -> dict[str, bytes]:
    """The lines that may be of records with these ids, by their id.

    Of lines in expci's own form only those are parsed that have a wanted id in its place.
    """
    ids = {one.encode() for one in wanted}
    candidates = [
        line
        for line in lines
        if line[_TRIAL_ID] in ids or line[_AMENDMENT_ID] in ids or not _OWN_FORM(line)
    ]
    return {_identity(line): line for line in candidates}


def _identity(line: bytes) -> str:
    try:
        record = load_line(line)
    except InvalidRecord:
        return ""  # a damaged line of the ledger, which `expci fsck` names
    return str(record.get("id") or record.get("amendment"))

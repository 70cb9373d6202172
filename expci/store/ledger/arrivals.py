"""The ledger's own note of when it took each amendment: after how many trials.

Trials and amendments lie in directories of their own, each in the order in which they were
taken; this joins the two orders, so that no sender's clock has to. A ledger of an earlier
version has no notes.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import msgspec

from expci.core.model.trial import FORMAT, Amendment, Arrival


class _Note(msgspec.Struct, forbid_unknown_fields=True):
    """The amendments from `first` to `last`, counted from 1, came after `trials` trials."""

    v: int
    first: int
    last: int
    trials: int


_DECODER = msgspec.json.Decoder(_Note)


def arrivals_line(present: int, arrived: int, trials: int) -> bytes:
    """The line for `arrived` amendments behind those `present`, with `trials` in the ledger.

    >>> arrivals_line(14, 3, 120)
    b'{"v":1,"first":15,"last":17,"trials":120}\\n'
    """
    numbers = {"v": FORMAT, "first": present + 1, "last": present + arrived, "trials": trials}
    return json.dumps(numbers, separators=(",", ":")).encode() + b"\n"


def why_no_note(line: bytes) -> str | None:
    """Why a line is no note; `None` where it is one."""
    try:
        read = _DECODER.decode(line)
    except msgspec.MsgspecError as error:
        return str(error)
    sound = read.v == FORMAT and 0 < read.first <= read.last and read.trials >= 0
    return None if sound else "its numbers are none that the ledger writes"


def with_arrivals(
    amendments: Sequence[tuple[int, Amendment]], trial_numbers: Sequence[int], notes: bytes | None
) -> list[Amendment]:
    """The amendments with the ledger's note of each.

    Records come with their number among the lines of their directory, from 1; a damaged line
    has a number too.
    """
    trials = dict(_taken(notes or b"", max((number for number, _ in amendments), default=0)))
    return [_with_arrival(one, number, trials, trial_numbers) for number, one in amendments]


def _taken(notes: bytes, last: int) -> Iterator[tuple[int, int]]:
    for line in notes.splitlines():
        if why_no_note(line) is None:
            read = _DECODER.decode(line)
            yield from ((n, read.trials) for n in range(read.first, min(read.last, last) + 1))


def _with_arrival(
    amendment: Amendment, number: int, trials: Mapping[int, int], trial_numbers: Sequence[int]
) -> Amendment:
    if number not in trials:
        return amendment
    before = bisect_right(trial_numbers, trials[number])
    return replace(amendment, arrival=Arrival(amendment.at, number, before))

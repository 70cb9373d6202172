"""Immutable segments of records, merged in size tiers so that total work is O(N log N).

A segment is a run of records in the ledger's order. Four neighbours of one tier (a tier
holds four times as many records as the one below) merge into one, which keeps the files
few and each record rewritten about log4(N) times, up to a largest size. Pure: names and
sizes in, the tail to merge out.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from expci.store.ledger import paths

FANOUT = 4
MOST_BYTES = 8_000_000  # of a segment: forges refuse files of 100 MB, and warn at 50
_NAME = re.compile(r"(\d{9,})-([0-9a-f]{16})\.jsonl")


@dataclass(frozen=True)
class Segment:
    """`first` is the position of its first record, from 1; `records` how many it holds."""

    first: int
    records: int
    name: str


def ordered_segments(names: Sequence[str], total: int) -> list[Segment]:
    """The segments of a directory in the ledger's order. `total` counts all records."""
    firsts = sorted((position(name), name) for name in names)
    ends = [*(first for first, _ in firsts[1:]), total + 1]
    return [Segment(first, end - first, name) for (first, name), end in zip(firsts, ends)]  # noqa: B905


def position(name: str) -> int:
    """The position of a segment's first record; `ValueError` when it is no segment's name."""
    match = _NAME.fullmatch(name)
    if match is None:
        raise ValueError(f"not a segment's name: {name!r}")
    return int(match[1])


def name_for(first: int, data: bytes) -> str:
    return paths.segment(first, hashlib.sha256(data).hexdigest())


def tier(records: int) -> int:
    """0 for 1..3 records, 1 for 4..15, 2 for 16..63, …"""
    level = 0
    while records >= FANOUT:
        records //= FANOUT
        level += 1
    return level


def tail_start(sizes: Sequence[int], weights: Sequence[int]) -> int:
    """Where the tail of segments that become one starts, given the newest as the last of them.

    `sizes` are their records, `weights` their bytes. Only a tail can merge: older segments are in
    higher tiers. Merging repeats until no four neighbours at the end can; without a merge the tail
    is the newest segment alone. Nothing merges beyond `MOST_BYTES`.
    """
    merged = list(zip(sizes, weights, range(len(sizes)), strict=True))
    while len(merged) >= FANOUT:
        last = merged[-FANOUT:]
        weight = sum(weight for _, weight, _ in last)
        # The oldest of the four must not outrank the newest: nothing big is rewritten for little.
        if tier(last[0][0]) > tier(last[-1][0]) or weight > MOST_BYTES:
            break
        merged[-FANOUT:] = [(sum(size for size, _, _ in last), weight, last[0][2])]
    return merged[-1][2]


def pieces(lines: Iterable[bytes]) -> Iterator[list[bytes]]:
    """Lines as the contents of segments that are no larger than they may be."""
    piece, weight = list[bytes](), 0
    for line in lines:
        if piece and weight + len(line) + 1 > MOST_BYTES:
            yield piece
            piece, weight = [], 0
        piece.append(line)
        weight += len(line) + 1
    if piece:
        yield piece

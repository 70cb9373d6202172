"""Segments keep the order, stay few, and rewrite little."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from expci.store.ledger import segments


@settings(max_examples=200)
@given(st.lists(st.integers(1, 50), min_size=1, max_size=60))
def test_merging_keeps_every_record_in_order_and_the_files_few(sizes: list[int]) -> None:
    held: list[list[int]] = []
    written = 0
    for number, size in enumerate(sizes):
        fresh = [number * 1000 + index for index in range(size)]
        sizes = [*(len(segment) for segment in held), size]
        start = segments.tail_start(sizes, sizes)
        merged = [record for segment in held[start:] for record in segment] + fresh
        held[start:] = [merged]
        written += len(merged)
    everything = [record for segment in held for record in segment]
    assert everything == sorted(everything)
    total = len(everything)
    assert total == sum(sizes)
    assert len(held) <= 3 * (segments.tier(total) + 1) + 3
    assert written <= total * (math.log(total, 4) + 3)


def test_four_of_one_size_become_one() -> None:
    for sizes, start in (([1, 1, 1, 1], 0), ([4, 4, 4, 1, 1, 1, 1], 0), ([400, 1, 1, 1], 3)):
        assert segments.tail_start(sizes, sizes) == start


def test_nothing_merges_beyond_the_largest_size() -> None:
    quarter = segments.MOST_BYTES // 4
    assert segments.tail_start([1, 1, 1, 1], [quarter] * 4) == 0
    assert segments.tail_start([1, 1, 1, 1], [quarter, quarter, quarter, quarter + 1]) == 3
    # A segment of 100 MB that an earlier version wrote stays alone.
    assert segments.tail_start([300_000, 300_000, 300_000, 300_000], [10**8, 9, 9, 9]) == 3


def test_what_is_larger_is_cut_at_a_line() -> None:
    line = b"x" * 999_999
    assert [len(piece) for piece in segments.pieces([line] * 17)] == [8, 8, 1]
    huge = b"y" * segments.MOST_BYTES
    assert list(segments.pieces([huge, b"z"])) == [[huge], [b"z"]]
    assert list(segments.pieces([])) == []


def test_a_name_tells_position_and_content() -> None:
    name = segments.name_for(41, b"x\n")
    assert name.startswith("000000041-")
    assert segments.position(name) == 41
    assert name != segments.name_for(41, b"y\n")
    with pytest.raises(ValueError, match="segment"):
        segments.position("../evil.jsonl")


def test_sizes_come_from_the_names_alone() -> None:
    names = [segments.name_for(4, b"b"), segments.name_for(1, b"a")]
    assert [s.records for s in segments.ordered_segments(names, 10)] == [3, 7]

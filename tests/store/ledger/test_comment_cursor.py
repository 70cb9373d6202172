"""Comments are answered once, whatever the clocks say and however many people talk."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from expci.errors import LedgerDamaged
from expci.store.ledger.comment_cursor import (
    CHATTER,
    FIRST,
    OVERLAP,
    CommentCursor,
    after,
    dump_comment_cursor,
    parse_comment_cursor,
)

NOW = datetime(2026, 11, 22, 10, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def test_the_first_pass_looks_back_a_week_and_a_later_one_overlaps() -> None:
    assert CommentCursor().since(NOW) == NOW - FIRST
    assert CommentCursor(NOW).since(NOW + MINUTE) == NOW - OVERLAP


def test_chatter_of_no_consequence_is_not_noted_until_there_is_much_of_it() -> None:
    nothing = CommentCursor()
    few = dict.fromkeys(range(CHATTER), NOW - MINUTE)
    assert after(nothing, NOW, few, (), ()) is nothing
    many = dict.fromkeys(range(CHATTER + 1), NOW - MINUTE)
    noted = after(nothing, NOW, many, (), ())
    assert noted == CommentCursor(NOW)
    assert after(noted, NOW + OVERLAP, many, (), ()) is noted
    later = NOW + OVERLAP + MINUTE
    assert after(noted, later, many, (), ()) == CommentCursor(later)


def test_an_answered_command_is_remembered_while_it_is_read_again() -> None:
    listed = {1: NOW - MINUTE, 2: NOW - OVERLAP - MINUTE}
    answered = after(CommentCursor(), NOW, listed, (1, 2), ())
    assert answered == CommentCursor(NOW, frozenset({1}))
    next_pass = after(answered, NOW + MINUTE, {1: NOW - MINUTE, 3: NOW}, (3,), ())
    assert next_pass == CommentCursor(NOW + MINUTE, frozenset({1, 3}))


def test_a_command_that_waits_is_read_again() -> None:
    """Number 2 is left for the next pass, so nothing younger than it is done with."""
    listed = {1: NOW - 3 * MINUTE, 2: NOW - 2 * MINUTE, 3: NOW - MINUTE}
    cursor = after(CommentCursor(), NOW, listed, (1,), (2, 3))
    assert cursor.read == NOW - 2 * MINUTE
    assert cursor.since(NOW) < listed[2]
    assert cursor.ids == {1}


def test_the_cursor_never_goes_back() -> None:
    cursor = CommentCursor(NOW, frozenset({1}))
    early = NOW - timedelta(hours=2)
    assert after(cursor, NOW + MINUTE, {1: NOW, 2: early}, (1,), (2,)).read == NOW


def test_it_reads_back_as_it_was_written() -> None:
    cursor = CommentCursor(NOW, frozenset({3, 1, 2}))
    assert parse_comment_cursor(dump_comment_cursor(cursor)) == cursor


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"null",
        b'{"v": 2, "read": "2026-11-22T10:00:00.000Z", "ids": []}',
        b'{"v": 1, "read": "yesterday", "ids": []}',
        b'{"v": 1, "read": "2026-11-22T10:00:00.000Z", "ids": ["x"]}',
        b'{"v": 1, "ids": []}',
    ],
)
def test_what_cannot_be_read_does_not_begin_anew(data: bytes) -> None:
    """Commands would be carried out a second time."""
    with pytest.raises(LedgerDamaged):
        parse_comment_cursor(data)

"""Events from before there were codes get them when they are read."""

from __future__ import annotations

import json

import pytest

from expci.core.model.events import Paused, parse_event


def paused(**fields: str) -> Paused:
    data = {"v": 1, "event": "paused", "at": "2026-11-22T10:00:00.000Z", "by": "expci", **fields}
    event = parse_event(json.dumps(data))
    assert isinstance(event, Paused)
    return event


@pytest.mark.parametrize(
    ("why", "by", "code"),
    [
        ("the experiment's pull request was closed", "expci", "pull_request_closed"),
        ("it was removed from the default branch", "expci", "removed"),
        ("its content changed", "ada", "content_changed"),
        (
            "its content changed; `expci start` starts the changed experiment afresh",
            "expci",
            "content_changed",
        ),
        ("The check exposure failed: 6 of 30 trials ran.", "expci", "distrust"),
        ("the runners are slow", "ada", "manual"),
        ("", "ada", "manual"),
    ],
)
def test_a_pause_without_a_code_gets_that_of_its_sentence(why: str, by: str, code: str) -> None:
    assert paused(why=why, by=by).reason_code == code


def test_a_code_that_was_written_stands_whatever_the_sentence() -> None:
    """A person may write anything as the reason of a pause."""
    event = paused(why="the experiment's pull request was closed", by="ada", reason_code="manual")
    assert event.reason_code == "manual"


@pytest.mark.parametrize(
    ("why", "comment"),
    [
        ("asked for in #12 (comment 3401)", "3401"),
        ("asked for in #12 (comment 3401): the runners are slow", "3401"),
        ("asked for in #12 (comment 3401); treatment improves it", "3401"),
        ("asked for in #12 (comment 3401) it broke (forced by hand, without evidence)", "3401"),
        ("asked for in #12 (label expci:start)", ""),
        ("as asked for in #12 (comment 3401)", ""),
    ],
)
def test_who_asked_in_a_comment_is_read_from_the_old_reason(why: str, comment: str) -> None:
    assert paused(why=why).comment == comment


def test_what_says_nothing_is_not_written_so_that_older_versions_read_it() -> None:
    event = Paused(at="2026-11-22T10:00:00.000Z", by="ada", reason_code="manual")
    assert set(json.loads(event.line())) == {"v", "event", "at", "by", "why", "reason_code"}

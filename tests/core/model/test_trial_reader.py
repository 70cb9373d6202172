"""Trial records: they round-trip, and nothing hostile gets past the parser."""

from __future__ import annotations

import json
from datetime import UTC

import pytest
from hypothesis import given
from hypothesis import strategies as st

from expci.core.model.trial import (
    Amendment,
    Trial,
    timestamp,
)
from expci.core.model.trial_reader import parse_line
from expci.errors import InvalidRecord
from support.properties import examples

PLAN = "ab" * 32
ID = "01JD9Z3V5W8X2Y4Z6A7B8C9D0E"

names = st.from_regex(r"[A-Za-z_][A-Za-z0-9_.-]{0,20}", fullmatch=True)
texts = st.text(st.characters(min_codepoint=32, exclude_categories=["Cs"]), min_size=1, max_size=50)
numbers = st.floats(allow_nan=False, allow_infinity=False)
trials = st.builds(
    Trial,
    id=st.from_regex(r"[0-9A-HJKMNP-TV-Z]{26}", fullmatch=True),
    experiment=st.from_regex(r"[a-z0-9][a-z0-9-]{0,62}", fullmatch=True),
    plan=st.from_regex(r"[0-9a-f]{64}", fullmatch=True),
    mode=st.sampled_from(["lab", "live"]),
    arm=st.sampled_from(["control", "treatment", "B.2"]),
    unit=texts,
    started=st.datetimes(timezones=st.just(UTC)).map(timestamp),
    block=st.none() | texts,
    seq=st.integers(0, 1000),
    order=st.integers(0, 4),
    attempt=st.integers(1, 9),
    status=st.sampled_from(["ok", "failed", "timeout", "cancelled", "error", "lost"]),
    excluded=st.none() | st.just("file_changed"),
    metrics=st.dictionaries(names, numbers, max_size=4),
    covariates=st.dictionaries(names, numbers | texts, max_size=3),
    context=st.dictionaries(st.from_regex(r"[a-z][a-z0-9_]{0,9}", fullmatch=True), texts),
)


@pytest.mark.slow
@examples(200)
@given(trials)
def test_a_trial_reads_back_as_it_was_written(trial: Trial) -> None:
    line = trial.line()
    assert "\n" not in line
    assert parse_line(line) == trial


def test_an_amendment_reads_back_as_it_was_written() -> None:
    amendment = Amendment(ID, ID, "review", "2026-11-22T10:00:00.000Z", {"satisfaction": 0.8})
    assert parse_line(amendment.line()) == amendment


def record(**changes: object) -> dict[str, object]:
    trial = Trial(ID, "review", PLAN, "lab", "control", "u", "2026-11-22T10:00:00.000Z")
    return {**json.loads(trial.line()), **changes}


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"metrics": {"duration_s": True}}, "number"),
        ({"metrics": {"duration_s": "12"}}, "number"),
        ({"metrics": {"duration_s": None}}, "number"),
        ({"metrics": {"a b": 1}}, "name"),
        ({"metrics": [1]}, "object"),
        ({"metrics": {f"m{n}": 1 for n in range(101)}}, "100"),
        ({"metrics": {"duration_s": 10**400}}, "too large"),
        ({"id": "../../etc"}, "id"),
        ({"experiment": "A"}, "experiment"),
        ({"plan": "x"}, "plan"),
        ({"mode": "prod"}, "mode"),
        ({"status": "fine"}, "status"),
        ({"arm": "<script>"}, "arm"),
        ({"unit": ""}, "unit"),
        ({"unit": "a\nb"}, "control characters"),
        ({"unit": "x" * 301}, "300"),
        ({"started": "yesterday"}, "ISO 8601"),
        ({"started": "2026-11-22T10:00:00"}, "zone"),
        ({"seq": -1}, "seq"),
        ({"order": True}, "order"),
        ({"attempt": 1.5}, "attempt"),
        ({"v": 2}, "newer expci"),
        ({"v": True}, "version"),
        ({"surprise": 1}, "surprise"),
        ({"context": {"Sha": "x"}}, "context"),
        ({"context": {"sha": 5}}, "context"),
        ({"excluded": "Because I say so"}, "excluded"),
    ],
)
def test_a_bad_record_is_refused_with_what_is_wrong(changes: dict[str, object], word: str) -> None:
    with pytest.raises(InvalidRecord, match=word):
        parse_line(json.dumps(record(**changes)))


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"[]",
        b"{",
        b"\xff\xfe",
        b'{"v":1,"v":1}',
        b'{"v":1,"metrics":{"a":NaN}}',
        b'{"v":1,"metrics":{"a":-Infinity}}',
        b"[" * 100_000,
    ],
)
def test_what_is_no_record_is_refused(line: bytes) -> None:
    with pytest.raises(InvalidRecord):
        parse_line(line)

"""Decoding many records at once tells them from damaged lines as the check of arrivals does."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import product
from typing import Any

import pytest

from expci.core.model.trial import Amendment, Trial, derived_trial_id
from expci.core.model.trial_reader import parse_line
from expci.errors import InvalidRecord
from expci.store.ledger import records
from support.ledger_samples import TRIAL

AMENDMENT = Amendment(
    derived_trial_id("2"), TRIAL.id, "speed", "2026-11-22T11:00:00.000Z", {"score": 4.0}
)
ODD: list[Any] = [
    *(None, True, 0, 1, 1.0, -1, 2**31, 10**400, 1e-5, "", "x", "control", "é", "a b", "\x7f"),
    *("x\x00", "\n", '"', "\ud800", "x" * 301, "2026-11-22T10:00:00Z", "2026-02-30T10:00:00.000Z"),
    *("2026-11-22T24:00:00.000Z", "2026-11-22 10:00:00.000Z", "2026-11-22T12:00:00.000+02:00"),
    *(
        "20261122T100000.000000Z0",
        "٢026-11-22T10:00:00.123Z",
        "ok",
        "lost",
        "lab",
        {},
        [],
        {"a": 1},
    ),
    {"A b": "x"},
    *({"": 1.0}, {"a": True}, {"a": None}, {"a": "b"}, {"a": ""}, {"A b": 1}, {"a": 10**400}),
    *(
        {f"m{n}": 1.0 for n in range(101)},
        {"a": "x" * 301},
        {"a": "\t"},
        derived_trial_id("1")[:-1] + "u",
    ),
]
KEYS = [*json.loads(TRIAL.line()), *json.loads(AMENDMENT.line()), "late", "other"]


def checked(line: bytes, kind: type[Any]) -> Trial | Amendment | None:
    """What the check of an arrival makes of a line."""
    try:
        record = parse_line(line)
    except InvalidRecord:
        return None
    return record if isinstance(record, kind) else None


def odd_lines(record: Trial | Amendment) -> Iterator[bytes]:
    """The record's line with each key gone, and with each odd value in its place."""
    for key in KEYS:
        data = json.loads(record.line())
        data.pop(key, None)
        yield json.dumps(data).encode()
        for value, is_ascii in product(ODD, (True, False)):
            line = json.dumps(data | {key: value}, ensure_ascii=is_ascii)
            yield line.encode(errors="surrogatepass")


def damaged_lines(record: Trial | Amendment) -> Iterator[bytes]:
    line = record.line().encode()
    yield from (line + more for more in (b"\xff", b"\r", b"}", b"\n", b'{"v":1}', b" ", b"\r\r"))
    yield from (line.replace(b"1.5", number) for number in (b"NaN", b"1e999", b"-0", b"1E2", b"01"))
    yield from (line[:-1], b"", b"null", b"[]", line.replace(b"live", b"li\xffve"))


@pytest.mark.slow
@pytest.mark.parametrize("record", [TRIAL, AMENDMENT], ids=["trial", "amendment"])
def test_a_record_is_one_by_either_way_and_the_same(record: Trial | Amendment) -> None:
    whole = record.line().encode()
    for line in (*odd_lines(record), *damaged_lines(record), whole):
        data = b"\n".join([whole, line, whole, b""])
        lines = data.splitlines()
        assert [own for part in records.portions(data) for own in part] == lines
        trials = [row and records.as_trial(row) for row in records.read_trials(lines)]
        assert trials == [checked(own, Trial) for own in lines], line
        assert records.read_amendments(lines) == [checked(own, Amendment) for own in lines], line


def test_lines_in_the_form_that_expci_writes_are_only_decoded() -> None:
    lines = [TRIAL.line().encode()] * 3
    assert all(isinstance(row, records.TrialLine) for row in records.read_trials(lines))


def test_a_large_segment_is_read_in_portions(monkeypatch: pytest.MonkeyPatch) -> None:
    line = TRIAL.line().encode()
    monkeypatch.setattr(records, "PORTION", 3 * len(line))
    parts = list(records.portions((line + b"\n") * 10))
    assert [len(part) for part in parts] == [3, 3, 3, 1]
    assert {own for part in parts for own in part} == {line}

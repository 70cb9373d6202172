"""A segment's columns are those of its records, read one by one, to the last bit."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from expci.core.dataset.joining import ColumnsPart, joined_columns
from expci.core.dataset.recorded import columns_part
from expci.core.model.trial import Trial, derived_trial_id
from expci.core.model.trial_reader import parse_line
from expci.errors import InvalidRecord
from expci.store.ledger import segment_columns as module
from expci.store.ledger.packed_columns import dump_columns, load_columns
from expci.store.ledger.segment_columns import segment_columns
from support.columns import plain
from support.ledger_samples import TRIAL
from support.properties import examples

ODD: list[Any] = [
    *(None, True, 0, 1.5, -1, 2**31, 10**400, "", "é", "a b", "x\x00", '"', "x" * 301, "lost"),
    *("2026-11-22T10:00:00Z", "2026-02-30T10:00:00.000Z", "0000-11-22T10:00:00.000Z"),
    *("2026-11-22T24:00:00.000Z", "2026-11-22T23:59:60.000Z", "2026-11-22T10:00:00.1234"),
    *("Z2026-11-22T10:00:00.123", {}, {"A b": "x"}, {"a": None}, {"a": 1}, {"a": "x"}),
    *({"run_id": None}, {"run_id": "8"}, {"size": None}, {"size": "big"}, {"os": 2}, {"a": True}),
    *({f"m{n}": 1.0 for n in range(101)}, derived_trial_id("1")[:-1] + "u"),
]

_KEYS = [key for key in json.loads(TRIAL.line()) if key not in ("mode", "seq", "attempt")]


def one_by_one(data: bytes) -> ColumnsPart:
    """The columns of the records as the check of arrivals reads each line."""

    def checked(line: bytes) -> Trial | None:
        try:
            record = parse_line(line)
        except InvalidRecord:
            return None
        return record if isinstance(record, Trial) else None

    return columns_part([checked(line) for line in data.splitlines()])


def odd_lines() -> Iterator[bytes]:
    """A line with each key gone, and with each odd value in its place; and damaged ones."""
    line = TRIAL.line().encode()
    for key, value in product((*_KEYS, "late"), ODD):
        yield json.dumps(json.loads(line) | {key: value}, ensure_ascii=False).encode()
    for key in json.loads(line):
        yield json.dumps({k: v for k, v in json.loads(line).items() if k != key}).encode()
    yield from (line + more for more in (b"\xff", b"\r", b"}", b"\n", b'{"v":1}', b" ", b"\r\r"))
    yield from (line.replace(b"1.5", number) for number in (b"NaN", b"1e999", b"-0", b"1E2", b"01"))
    yield from (line[:-1], b"", b"null", b"[]", line.replace(b"live", b"li\xffve"))


@pytest.mark.slow
def test_an_odd_line_among_others_is_a_record_by_either_way_or_by_none() -> None:
    whole = TRIAL.line().encode() + b"\n"
    for line in odd_lines():
        data = whole + line + b"\n" + whole * 20  # where no line is looked at beforehand
        columns, expected = segment_columns(data), one_by_one(data)
        assert columns.lines == expected.lines, line
        assert plain(columns.columns) == plain(expected.columns), line


@pytest.mark.parametrize("data", [b"", b"\n", TRIAL.line().encode(), b"\n\n" + b"x\n" * 20])
def test_what_ends_early_or_is_no_record_has_its_place(data: bytes) -> None:
    columns, expected = segment_columns(data), one_by_one(data)
    assert (columns.lines, columns.damaged) == (expected.lines, expected.damaged)
    assert plain(columns.columns) == plain(expected.columns)


def test_lines_as_expci_writes_them_are_decoded_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "columns_part", None)
    trials = [replace(TRIAL, id=derived_trial_id(str(n)), unit=f"run-{n}") for n in range(100)]
    rare = replace(TRIAL, arm="other", block="b", metrics={"duration_s": 2.0}, excluded="rerun")
    data = "".join(trial.line() + "\n" for trial in [trials[0], rare, *trials[1:]]).encode()
    assert len(segment_columns(data).columns) == 101


words = st.sampled_from(["a", "b", "é", "run-1"])
trials = st.builds(
    replace,
    st.just(TRIAL),
    id=st.integers(0, 30).map(lambda n: derived_trial_id(str(n))),
    arm=st.sampled_from(["control", "treatment"]),
    unit=words,
    block=st.none() | words,
    status=st.sampled_from(["ok", "failed", "lost"]),
    excluded=st.none() | st.just("rerun"),
    order=st.integers(1, 2),
    attempt=st.integers(1, 3),
    started=st.sampled_from([TRIAL.started, "2026-11-22T12:00:00+02:00"]),
    metrics=st.dictionaries(
        st.sampled_from(["duration_s", "success", "a.b-c"]),
        st.floats(allow_nan=False, allow_infinity=False),
    ),
    covariates=st.dictionaries(words.filter(str.isalpha), st.floats(0, 9) | words, max_size=2)
    | st.just({}),
    context=st.dictionaries(st.sampled_from(["run_id", "cpu", "context_x", "actor"]), words),
)


@examples(60)
@given(st.lists(st.lists(st.none() | trials, max_size=30), min_size=1, max_size=4))
def test_cached_or_not_in_parts_or_whole_columns_are_alike(
    parts: list[list[Trial | None]],
) -> None:
    data = [b"".join(t.line().encode() + b"\n" if t else b"{}\n" for t in part) for part in parts]
    columns = [segment_columns(part) for part in data]
    again = joined_columns([load_columns(dump_columns(part)) for part in columns])
    assert plain(again) == plain(joined_columns(columns))
    expected = one_by_one(b"".join(data)).columns
    assert {k: sorted_names(v) for k, v in plain(again).items()} == {
        k: sorted_names(v) for k, v in plain(expected).items()
    }


def sorted_names(column: Any) -> Any:
    return dict(sorted(column.items())) if isinstance(column, dict) else column

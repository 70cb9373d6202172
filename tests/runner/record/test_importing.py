"""Reading files of trials: what a line's identity is, and every form that a file may have."""

from __future__ import annotations

import codecs
import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from expci.core.model.trial import Trial
from expci.errors import ExpciError
from expci.runner.record.importing import Target, read_lines, stream_lines, without_partner

TARGET = Target("speed", "a" * 64, ("control", "treatment"), "2026-11-22T10:00:00.000Z")
ROWS = [
    {"arm": ("control", "treatment")[number % 2], "metrics": {"score": number % 3 + 0.5}}
    for number in range(12)
]


Row = Mapping[str, object]


def jsonl(rows: Sequence[Row], newline: str = "\n") -> bytes:
    return "".join(json.dumps(row) + newline for row in rows).encode()


def ids(data: bytes) -> list[str]:
    return [trial.id for trial in read_lines(data, TARGET)]


def counted(*files: bytes) -> list[Trial]:
    """What stands in the ledger after imports of these files: one record for an id."""
    return list({trial.id: trial for data in files for trial in read_lines(data, TARGET)}.values())


@given(st.lists(st.sampled_from(ROWS), min_size=1), st.lists(st.sampled_from(ROWS)))
def test_a_log_that_has_grown_adds_its_new_lines_only(before: list[Row], after: list[Row]) -> None:
    grown = before + after
    assert len(counted(jsonl(before), jsonl(grown))) == len(grown)
    # The old lines are the same records to the last byte.
    first, second = read_lines(jsonl(before), TARGET), read_lines(jsonl(grown), TARGET)
    assert [t.line() for t in first] == [t.line() for t in second[: len(first)]]


@pytest.mark.parametrize(
    "again",
    [
        jsonl(ROWS, "\r\n"),
        b"\n\n" + jsonl(ROWS),
        codecs.BOM_UTF8 + jsonl(ROWS),
        codecs.BOM_UTF16_LE + jsonl(ROWS).decode().encode("utf-16-le"),
        codecs.BOM_UTF16_BE + jsonl(ROWS).decode().encode("utf-16-be"),
        jsonl(ROWS).replace(b'": ', b'":'),
        jsonl([dict(reversed(row.items())) for row in ROWS]),
        jsonl(list(reversed(ROWS))),
        jsonl(ROWS[4:]),
        json.dumps(ROWS).encode(),
        json.dumps(ROWS, indent=2).encode(),
    ],
)
def test_the_same_lines_saved_in_another_way_are_the_same_trials(again: bytes) -> None:
    assert set(ids(again)) <= set(ids(jsonl(ROWS)))


@pytest.mark.parametrize(
    "written",
    [
        {"status": "ok"},
        {"seq": 0, "order": 1, "attempt": 1, "covariates": {}},
        {"block": None, "started": None, "status": None},
    ],
)
@pytest.mark.parametrize("success", [{}, {"success": 1}])
def test_a_log_that_writes_the_defaults_out_holds_the_same_trials(
    written: dict[str, object], success: dict[str, float]
) -> None:
    paired = replace(TARGET, paired=True)
    rows: list[Row] = [
        {"arm": "control", "unit": f"u{n}", "metrics": {"score": n + 0.5}} for n in range(3)
    ]
    again: list[Row] = [
        {"arm": "control", "unit": f"u{n}", "metrics": {"score": n + 0.5, **success}, **written}
        for n in range(3)
    ]
    first, second = read_lines(jsonl(rows), paired), read_lines(jsonl(again), paired)
    assert [trial.line() for trial in first] == [trial.line() for trial in second]


def test_a_moment_and_zero_are_the_same_in_another_spelling() -> None:
    spellings = ["2026-11-02T10:00:00Z", "2026-11-02T12:00:00+02:00", "2026-11-02T10:00:00.000000Z"]
    rows: list[Row] = [{**ROWS[0], "started": text} for text in spellings]
    assert len({ids(jsonl([row]))[0] for row in rows}) == 1
    later = {**ROWS[0], "started": "2026-11-02T10:00:00.5Z"}
    assert ids(jsonl([later])) != ids(jsonl(rows[:1]))
    zeros: list[Row] = [{"arm": "control", "metrics": {"score": zero}} for zero in (0, 0.0, -0.0)]
    assert len({ids(jsonl([row]))[0] for row in zeros}) == 1


def test_what_is_no_default_makes_another_trial() -> None:
    failed: list[Row] = [
        {**ROWS[0], "status": "failed"},
        {**ROWS[0], "metrics": {"score": 0.5, "success": 0}},
    ]
    others: list[Row] = [{**ROWS[0], "seq": 1}, {**ROWS[0], "unit": "u"}, *failed]
    assert not set(ids(jsonl(others))) & set(ids(jsonl(ROWS)))
    assert {trial.status for trial in read_lines(jsonl(failed), TARGET)} == {"failed"}


def test_more_bad_lines_than_are_listed_are_counted_by_arm() -> None:
    bad = [{"arm": arm} for arm in ["control"] * 30 + ["treatment"] * 5 + ["other"]]
    with pytest.raises(ExpciError) as raised:
        read_lines(jsonl(bad) + b'{"arm": "control", "metrics"\n', TARGET)
    last = str(raised.value).splitlines()[-1]
    assert last == "  and 17 more; all 37 by arm: control 30, no arm of the plan 2, treatment 5"


def test_equal_lines_of_one_file_are_trials_of_their_own() -> None:
    assert len(set(ids(jsonl([ROWS[0]] * 5)))) == 5
    assert len({trial.unit for trial in read_lines(jsonl([ROWS[0]] * 5), TARGET)}) == 5


def test_another_plan_s_lines_are_others() -> None:
    other = Target("speed", "b" * 64, TARGET.arms, TARGET.started)
    assert not set(ids(jsonl(ROWS))) & {t.id for t in read_lines(jsonl(ROWS), other)}


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_csv(delimiter: str) -> None:
    rows = [
        "arm,unit,score,status,covariate.size",
        "control,a,1.5,,3",
        "treatment,a,,failed,big",
    ]
    data = "\r\n".join(rows).replace(",", delimiter).encode()
    first, second = read_lines(codecs.BOM_UTF8 + data, TARGET)
    assert (first.arm, first.unit, first.metrics["score"]) == ("control", "a", 1.5)
    assert (first.covariates, second.covariates) == ({"size": 3.0}, {"size": "big"})
    assert (second.status, second.metrics) == ("failed", {"success": 0.0})


@pytest.mark.parametrize(
    "data",
    [
        b'"arm" , "unit", score\ncontrol, "a" ,1.50\n',
        b"arm,unit,score\rcontrol,a,1.5\r",
        b"\n\narm\tunit\tscore\n\ncontrol\ta\t15e-1",
    ],
)
def test_a_table_saved_in_another_way_holds_the_same_trial(data: bytes) -> None:
    assert [t.id for t in read_lines(data, TARGET)] == [
        t.id for t in read_lines(b"arm,unit,score\ncontrol,a,1.5\n", TARGET)
    ]


def test_a_line_that_names_a_key_twice_is_named_as_such() -> None:
    with pytest.raises(ExpciError, match=r"line 1: .*twice"):
        read_lines(b'{"arm":"control","arm":"treatment","metrics":{"score":1}}\n', TARGET)


def test_bad_cells_are_named_by_line_and_column() -> None:
    data = b"arm,score\ncontrol,fast\ntreatment,2,3\ncontrol,1\n"
    with pytest.raises(ExpciError) as caught:
        read_lines(data, TARGET)
    assert "line 2: column 'score': 'fast' is not a number" in str(caught.value)
    assert "line 3: 3 cells under a header of 2" in str(caught.value)


def test_a_decimal_comma_is_answered_with_the_point() -> None:
    rows = "".join(f"control;{n},5\n" for n in range(21))
    with pytest.raises(ExpciError) as caught:
        read_lines(f"arm;score\n{rows}".encode(), TARGET)
    assert "line 2: column 'score': '0,5' is not a number; write 0.5" in str(caught.value)
    assert "all 21 by arm: control 21" in str(caught.value)


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"", "the file is empty"),
        (b"\xff\xfe\x00", "not UTF-16-LE text"),
        (b"\x80\x81 nonsense", "not UTF-8 text"),
        (b"goos: linux\nBenchmarkA-8  100  12 ns/op\n", "no line of the file is a trial"),
        (b"command,mean\n./a,1.5\n", "no line of the file is a trial"),
        (b"[1, 2]", "one JSON document"),
        (b'{\n "a": 1\n}', "one JSON document"),
        (b'{"results": [{"command": "a", "times": [1.5]}]}', "hyperfine"),
        (b"[" * 100_000, "not JSON"),
        (b"arm,duration_s\n", "there is no line below the header"),
        (b"arm,score,score\ncontrol,1,2\n", "two columns are called 'score'"),
        (b"arm,score\ncontrol," + b"9" * 200_000, "not CSV"),
    ],
)
def test_what_is_no_file_of_trials_is_answered_once_with_the_form(data: bytes, what: str) -> None:
    with pytest.raises(ExpciError) as caught:
        read_lines(data, TARGET)
    message = str(caught.value)
    assert what in message
    assert '{"arm":"control","metrics":{"duration_s":12.3}}' in message
    assert len(message.splitlines()) <= 2


class Watched(io.BytesIO):
    """A file that knows how far it was read."""

    taken = 0

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size)
        self.taken += len(data)
        return data

    def read1(self, size: int | None = -1, /) -> bytes:
        data = super().read1(size)
        self.taken += len(data)
        return data


MANY = 8_000  # rows: several times what is read at once


@cache
def many() -> list[Row]:
    return [{**ROWS[number % 12], "unit": f"u{number}"} for number in range(MANY)]


def array() -> bytes:
    return json.dumps(many()).encode()


def large_csv() -> bytes:
    return ("arm,score,unit\n" + "".join(f"control,{n},u{n}\n" for n in range(3 * MANY))).encode()


@pytest.mark.parametrize(
    "make",
    [
        lambda: jsonl(many()),
        array,
        lambda: json.dumps(many(), indent=1).encode("utf-16"),
        large_csv,
    ],
    ids=["jsonl", "json", "utf-16", "csv"],
)
def test_a_large_file_is_read_a_part_at_a_time(make: Callable[[], bytes]) -> None:
    data = make()
    source = Watched(data)
    trials = stream_lines(source, TARGET)
    first = [next(trials) for _ in range(100)]
    assert source.taken < len(data) / 3
    assert len({t.id for t in first} | {t.id for t in trials}) in (MANY, 3 * MANY)
    assert source.taken < 1.5 * len(data)


@pytest.mark.parametrize(
    ("make", "what"),
    [
        (lambda: jsonl(many()) + b"{}\n" + jsonl(many()), f"line {MANY + 1}: no arm"),
        (lambda: jsonl(many()) + b"\xff\n" + jsonl(many()), "byte {end}"),
        (lambda: array()[:-5], f"after item {MANY - 1}"),
        (lambda: array() + b" 1", "more text follows the array"),
        (lambda: b'[{"arm": "control"} {"arm": "control"}]', "expected , or ]"),
        (lambda: b'arm,score\n"control\x00,1\n', "line 2: 1 cells under a header of 2"),
        (lambda: b"arm,score\n" + b"c" * 200_000 + b",1\n", "not CSV"),
    ],
)
def test_a_fault_in_the_middle_refuses_all_and_has_its_place(
    make: Callable[[], bytes], what: str
) -> None:
    with pytest.raises(ExpciError, match="nothing was imported") as caught:
        read_lines(make(), TARGET)
    assert what.format(end=len(jsonl(many()))) in str(caught.value)


def test_a_trial_of_another_plan_is_imported_by_its_content() -> None:
    [trial] = read_lines(jsonl([ROWS[0]]), TARGET)
    other = Target("speed", "b" * 64, TARGET.arms, TARGET.started)
    [again] = read_lines(trial.line().encode(), other)
    assert (again.plan, again.arm, again.metrics) == ("b" * 64, trial.arm, trial.metrics)
    assert again.id != trial.id


def line(arm: str, **keys: object) -> Row:
    return {"arm": arm, "metrics": {"score": 1.5}, **keys}


@pytest.mark.parametrize(
    ("rows", "alone"),
    [
        ([line("control"), line("treatment")], "2 of 2 lines"),
        ([line("control", unit="a"), line("treatment", unit="b")], "2 of 2 lines"),
        (
            [line("control", unit="a"), line("treatment", unit="a"), line("control", unit="b")],
            "1 of 3 lines",
        ),
        ([line("control", unit="a"), line("treatment", unit="a")], ""),
        ([line("treatment", block="x", unit="a"), line("control", block="x", unit="b")], ""),
    ],
)
def test_lines_without_a_partner_in_a_paired_plan_are_counted(rows: list[Row], alone: str) -> None:
    paired = Target("speed", "a" * 64, ("control", "treatment"), "", paired=True)
    warning = without_partner(read_lines(jsonl(rows), paired))
    assert warning.startswith(alone)
    assert bool(warning) == bool(alone)
    assert ("same `unit`" in warning) == bool(alone)

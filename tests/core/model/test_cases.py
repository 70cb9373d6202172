"""Sources of cases, ids and lines."""

from __future__ import annotations

import hashlib
import json

import pytest

from expci.core.model import limits
from expci.core.model.cases import (
    BadCases,
    Case,
    CaseSource,
    case_changes,
    case_of,
    lines_by_id,
    matches,
    read_source,
    require_ids,
    unit_of,
)
from expci.core.model.content import File, plan_id
from expci.core.model.trial_reader import parse_trial
from support.ledger_samples import trial


def test_a_source_is_a_pattern_a_file_of_lines_or_a_number_of_merges() -> None:
    assert read_source("evals/*") == CaseSource(path="evals/*")
    assert read_source("evals/cases.jsonl").is_lines
    assert read_source({"merged": 50}) == CaseSource(merged=50)
    assert read_source("a b/ü*.md").directory == "a b"
    assert matches(read_source("evals/*.md"), "login.md")
    assert not matches(read_source("evals/*.md"), "login.txt")
    assert not matches(read_source("evals/*"), ".hidden")


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("evals", "names one path"),
        ("*/cases/*", "before its last part"),
        ("evals/*.jsonl", "several .jsonl files"),
        ({"merged": 0}, "replays 0 merges"),
        ({"merged": limits.MERGED_CASES + 1}, "merges"),
        ({"merged": True}, "merged: N"),
        ({"merge": 3}, "merged: N"),
        (7, "must be a path"),
    ],
)
def test_another_value_is_refused_with_a_word(value: object, words: str) -> None:
    with pytest.raises(BadCases, match=words.replace("*", r"\*")):
        read_source(value)


def test_lines_have_ids_each_once() -> None:
    data = b'{"id": "login", "task": "x"}\n\n{"id": 7}\r\n'
    assert lines_by_id(data, "c.jsonl") == {
        "login": b'{"id": "login", "task": "x"}',
        "7": b'{"id": 7}',
    }
    for broken, words in (
        (b'{"id": "a"}\n{"id": "a"}\n', "c.jsonl:2: the id 'a' stands twice"),
        (b'{"name": "a"}\n', "c.jsonl:1 has no `id`"),
        (b'{"id": true}\n', "c.jsonl:1 has no `id`"),
        (b"[1]\n", "c.jsonl:1 has no `id`"),
        (b"{\n", "c.jsonl:1 is not a line of JSON"),
        (b"[" * 100_000, "c.jsonl:1 is not a line of JSON"),
    ):
        with pytest.raises(BadCases, match=words):
            lines_by_id(broken, "c.jsonl")


def test_every_id_that_is_taken_fits_into_a_record() -> None:
    longest = "ü" * limits.CASE_ID_CHARACTERS
    require_ids(["log in", "日本", longest])
    record = json.loads(trial(unit=unit_of(longest)).line())
    assert case_of(parse_trial(record).unit) == longest
    for id in ("", "a\nb", "a\0", longest + "x", "\udc80"):
        with pytest.raises(BadCases, match="is not a valid case name"):
            require_ids([id])


def test_another_case_another_plan() -> None:
    files = {"experiment.yml": File("100644", b"version: 1\n")}
    one, other = Case("a", "0" * 64), Case("a", "1" * 64)
    ids = {plan_id(files), plan_id(files, [one]), plan_id(files, [other])}
    assert len(ids) == 3
    assert plan_id(files, [one, Case("b", "")]) == plan_id(files, [Case("b", ""), one])
    # By docs/data-model.md; without cases it is what it was before there were cases.
    row = ["experiment.yml", "100644", hashlib.sha256(b"version: 1\n").hexdigest()]
    for cases, rows in (([], [row]), ([one], [row, ["a", "case", "0" * 64]])):
        text = json.dumps(rows, separators=(",", ":")).encode()
        assert plan_id(files, cases) == hashlib.sha256(text).hexdigest()


def test_what_changed_between_two_plans() -> None:
    old = [Case("a", "1"), Case("b", "1"), Case("c", "1")]
    new = [Case("b", "1"), Case("c", "2"), Case("d", "1")]
    assert case_changes(old, new) == (["d"], ["a"], ["c"])

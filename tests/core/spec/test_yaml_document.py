"""Reading YAML text: what comes out, and what is refused with its line."""

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from expci.core.spec.yaml_document import Problem, decode_spec, read_document
from support.properties import examples


def lines_and_messages(text: str) -> list[tuple[int | None, str]]:
    return [(problem.line, problem.message) for problem in read_document(text, "f.yml").problems]


def test_every_key_and_item_has_its_line() -> None:
    text = "version: 1\n\nmetrics:\n  - name: a\n    role: primary\n  - {name: b,\n     role: c}\n"
    document = read_document(text, "f.yml")
    assert document.data == {
        "version": 1,
        "metrics": [{"name": "a", "role": "primary"}, {"name": "b", "role": "c"}],
    }
    assert document.line(("metrics", 1, "role")) == 7
    assert document.line(("metrics", 1, "unknown", 3)) == 6
    assert document.line(("nowhere",)) == 1


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("a: 1\nb: 2\na: 3\n", 3, "stands twice (first on line 1)"),
        ("a:\n  x: 1\n  x: 1\n", 3, "stands twice (first on line 2)"),
        ("a: &x [1]\nb: *x\n", 1, "anchor &x"),
        ("a: 1\nb: *x\n", 2, "alias *x"),
        ("a: 1\nb: !!python/object/apply:os.system [id]\n", 2, "tag"),
        ("a: 1\nb: !thing 3\n", 2, "tag !thing"),
        ("a: 1\n<<: {b: 2}\n", 2, "the key << is not read as text"),
        ("1: x\n", 1, "the key 1 is not read as text"),
        ("on: x\n", 1, "the key on is not read as text"),
        ("? [a]\n: b\n", 1, "a key that is not text"),
        ("a: no\n", 1, "no is a boolean in YAML"),
        ("a: On\n", 1, "On is a boolean in YAML"),
        ("a:\n- 2026-01-01\n", 2, "2026-01-01 is a date in YAML"),
        ("a: 2026-01-01T10:00:00Z\n", 1, "is a date in YAML"),
        ("a: 1:30\n", 1, "number in a form that other tools read differently"),
        ("a: 0755\n", 1, "number in a form that other tools read differently"),
        ("a: 1_000\n", 1, "number in a form that other tools read differently"),
        ("a: .nan\n", 1, "not a number that can be used"),
        ("a: -.INF\n", 1, "not a number that can be used"),
        ("a: 1\n\tb: 2\n", 2, "tab"),
        ("a:\n\tb: 2\n", 2, "tab"),
        ("a: b: c\n", 1, "second colon"),
        ("a: [1, 2\nb: 3\n", 2, "not YAML"),
        ('a: 1\nb: "open\n', 2, "not closed"),
        ("a: 1\n  b: 2\n", 2, "not YAML"),
        ("a: 1\n---\nb: 2\n", 2, "second document"),
        ("- a\n", 1, "not a mapping"),
        ("", 1, "is empty"),
        ("# nothing\n", 1, "is empty"),
        ("a: 1\nb: \x1b[31m\n", 2, "U+001B"),
        ("a: 1\nb: x\x85c: 2\n", 2, "line break"),
        ("a: 1\nb: x\u2028run: 2\n", 2, "line break"),
        ("a: 1\rb: 2\n", 1, "line break"),
        ('a: "\\ud800"\n', 1, "half a character"),
        ("a: " + "[" * 500 + "]" * 500, 1, "nested too deeply"),
        ("a: [" + "1," * 30_000 + "1]", 1, "too long"),
    ],
)
def test_what_is_refused_names_its_line(text: str, line: int, words: str) -> None:
    found = lines_and_messages(text)
    assert any(number == line and words in message for number, message in found), found


def test_all_problems_come_at_once() -> None:
    text = "a: no\nb: 2026-01-01\na: 1\nc: &x 1\nd: .inf\n"
    assert [line for line, _ in lines_and_messages(text)] == [1, 2, 3, 4, 5]


def test_an_alias_bomb_is_refused_without_growing() -> None:
    pairs = zip("abcdefgh", "bcdefghi", strict=True)
    layers = "".join(f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]\n" for a, b in pairs)
    document = read_document("a: &a [lol]\n" + layers, "f.yml")
    assert len(document.problems) > 9
    assert len(repr(document.data)) < 2_000


def test_a_file_over_one_megabyte_is_refused_unread() -> None:
    assert "larger than 1 MB" in lines_and_messages("a: " + "x" * 1_000_001)[0][1]
    refused = decode_spec(b"x" * 1_000_001, "f.yml")
    assert isinstance(refused, Problem)
    assert "larger than 1 MB" in refused.message


def test_bytes_that_are_no_utf8_name_the_line() -> None:
    refused = decode_spec("a: 1\nb: é\n".encode("latin-1"), "f.yml")
    assert isinstance(refused, Problem)
    assert (refused.line, refused.message) == (2, "is not UTF-8 text")
    assert isinstance(decode_spec("a: 1".encode("utf-16"), "f.yml"), Problem)


@pytest.mark.parametrize("text", ["\ufeffa: é\r\nb: |\r\n  x\r\n  y\r\n", "a: é\nb: |\n  x\n  y"])
def test_bom_crlf_and_a_missing_last_newline_change_nothing(text: str) -> None:
    document = read_document(text, "f.yml")
    assert document.data == {"a": "é", "b": "x\ny\n"}
    assert document.problems == ()


def test_a_problem_prints_no_control_character() -> None:
    problem = Problem("f\n.yml", 3, "a.\x1b[31m", "holds \u202e and \ud800", "remove it\x07")
    assert str(problem).isprintable()
    assert str(problem).startswith("f\\n.yml:3: a.\\x1b[31m: ")


@examples(300)
@given(st.text(alphabet=" \n-:[]{}#&*!|>'\"%@`,?abc01.\t\r\ufeff\x85~<=\\", max_size=40))
def test_no_text_makes_it_raise_and_accepted_text_is_what_yaml_says(text: str) -> None:
    document = read_document(text, "f.yml")
    if not document.problems:
        assert document.data == yaml.safe_load(text.removeprefix("\ufeff") + "\n")

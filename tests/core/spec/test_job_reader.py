"""The reader of the trial path agrees with YAML, or refuses."""

import contextlib
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from expci.core.model.experiment import Arm
from expci.core.spec.job_reader import KEYS, parse_duration, read_plain
from expci.core.spec.strict_yaml import NotPlain, plain_values
from expci.core.spec.yaml_document import normal_text, read_document
from support.properties import examples

ARMS = "arms:\n  control: {}\n  treatment: {files: t/}\n"

DEEP_BLOCK = "run: a\narms:\n" + "".join(" " * n + "a:\n" for n in range(1, 500))

FULL = """\
version: 1
name: "run: not this"   # run: nor this
hypothesis: |
  run: this is text
  arms: {evil: {env: {A: b}}}
slot: review
run: ./review.sh "a b" 'c'  # not part of it
setup: >-
  npm ci
  --no-audit

  echo done
warmup: 2
timeout: 1h30m
share: [node_modules, ".venv"]
arms:
  control:
  treatment:
    description: 'it''s parallel'
    files: treatment/
    delete:
    - old/file.md
    - "a # b"
    env:
      MODE: parallel
      URL: http://host:80/a?b#c
      EMPTY: ""
      ESCAPED: "tab\\t quote\\" \\u00e9"
  third: {patch: third.patch, promote: ship/,
    env: {X: "1", Y: a b}}
metrics:
- {name: duration_s, role: primary}
"""


def test_a_full_file() -> None:
    plain = read_plain(FULL)
    assert plain.run == "./review.sh \"a b\" 'c'"
    assert plain.setup == "npm ci --no-audit\necho done"
    assert (plain.slot, plain.warmup, plain.timeout_s) == ("review", 2, 5400.0)
    assert plain.share == ("node_modules", ".venv")
    assert plain.arms["control"] == Arm("control")
    assert plain.arms["treatment"] == Arm(
        "treatment",
        description="it's parallel",
        files="treatment/",
        delete=("old/file.md", "a # b"),
        env={
            "MODE": "parallel",
            "URL": "http://host:80/a?b#c",
            "EMPTY": "",
            "ESCAPED": 'tab\t quote" é',
        },
    )
    assert plain.arms["third"].env == {"X": "1", "Y": "a b"}
    assert plain.arms["third"].promote == "ship/"


@pytest.mark.parametrize(
    "change",
    [
        lambda t: t.replace("\n", "\r\n"),
        lambda t: "\ufeff" + t,
        lambda t: t.rstrip("\n"),
        lambda t: "---\n" + t,
    ],
)
def test_line_ends_and_bom_change_nothing(change: Any) -> None:
    assert read_plain(change(FULL)) == read_plain(FULL)


@pytest.mark.parametrize(
    ("text", "run"),
    [
        ("run: a: b", None),
        ("run: a:b", "a:b"),
        ("run: 'a: b'", "a: b"),
        ("run: a #b", "a"),
        ("run: a#b", "a#b"),
        ('run: "a #b"', "a #b"),
        ("run: |\n  a\n   b\n\n  c\n\n", "a\n b\n\nc\n"),
        ("run: |-\n  a # kept\n", "a # kept"),
        ("run: |+\n  a\n\n\n", "a\n\n\n"),
        ("run: >\n  a\n  b\n\n  c\n   d\n  e\n", "a b\nc\n d\ne\n"),
        ("run: >-\n  a\n\n\n  b", "a\n\nb"),
        ("run: |\n  make\n\tx\n", None),
        ("run: |2\n  a\n", None),
        ("run: a\n  b\n", None),
        ("run:\n  ./a.sh\n", "./a.sh"),
        ('run: "a\n  b"\n', None),
        ("run: &x a\n", None),
        ("run: *x\n", None),
        ("run: !!str a\n", None),
        ("run: !!python/object/apply:os.system [id]\n", None),
        ("run: yes\n", None),
        ("run: 2026-01-01\n", None),
        ("run: 0755\n", None),
        ("run: 1e3\n", None),
        ("run: .5E10\n", None),
        ("run: 1e3s\n", "1e3s"),
        ("run: 1:30\n", None),
        ("run: \ta\n", None),
        ("run: @a\n", None),
        ("run: a\nrun: b\n", None),
        ('"run": a\n', None),
        ("run : a\n", None),
        ("? run\n: a\n", None),
        ("<<: {run: a}\n", None),
        ("run: a\n---\nrun: b\n", None),
        ("{run: a}\n", None),
        (" run: a\n", None),
        ("run: a\x85setup: b\n", None),
        ("run: a\u2028setup: b\n", None),
        ("run: a\rsetup: b\n", None),
        ("run: a\x00b\n", None),
        ('run: "\\x41\\ud800"\n', None),
        ("run: [a]\n", None),
        ("run: 5\n", None),
        ("warmup: -1\nrun: a\n", None),
        ("timeout: 30\nrun: a\n", None),
        ("run: é ✓\n", "é ✓"),
    ],
)
def test_commands_as_yaml_reads_them_or_refused(text: str, run: str | None) -> None:
    whole = ARMS + text
    if run is None:
        with pytest.raises(NotPlain):
            read_plain(whole)
    else:
        assert read_plain(whole).run == run
        assert yaml.safe_load(normal_text(whole))["run"] == run


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("run: a\narms:\n  control: {}\n  t: {env: {A: no}}\n", 4),
        ("run: a\narms:\n  control: {}\n  t:\n    env: *x\n", 5),
        ("run: a\narms:\n  control: {}\n  t:\n    files: a\n      b\n", 6),
        ("run: a\narms:\n  control: {}\n  control: {}\n", 4),
        ("run: a\narms:\n  control: {}\n  t: {env: {A: 1}}\n", 2),
        ("run: a\narms:\n  control: {}\n  t: {cmd: b}\n", 2),
        ("run: a\narms: {control: {}, t: {\n  files: t/\n", 3),
        pytest.param("run: a\narms: " + "{a: " * 100_000, 2, id="deep-mapping"),
        pytest.param("run: a\narms: " + "[" * 100_000, 2, id="deep-list"),
        pytest.param(DEEP_BLOCK, 15, id="deep-block"),  # the thirteenth level
    ],
)
def test_a_refusal_names_the_line(text: str, line: int) -> None:
    with pytest.raises(NotPlain) as refused:
        read_plain(text)
    assert refused.value.line == line
    assert f":{line}: " in str(refused.value)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("30m", 1800), ("2h", 7200), ("1h30m", 5400), ("1d", 86400), ("1.5s", 1.5)],
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "30", "m", "-1s", "1m1h", "1 h", "1e3s", "infs"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="duration"):
        parse_duration(text)


FRAGMENTS = st.one_of(
    st.sampled_from(
        ["run", "arms", "- ", "\n", "\n  ", "\n    ", "\n\n", " #c", "'", '"', "[", "]"]
    ),
    st.sampled_from(
        ["{", "}", ",", ":", ": ", "|\n  ", ">\n  ", ">-\n  ", "|+\n  ", "b c", "1", "0.5"]
    ),
    st.sampled_from(
        ["~", "no", "#", "?", "-", "--f", "\\n", "\\", "\t", " ", "  ", "a:b", "é", "*a"]
    ),
    st.sampled_from(
        ["&a ", "!t ", "\r\n", "share: ", "true", "http://x?y", "a: ", "'a': ", '"b": ']
    ),
    st.sampled_from(["2026-01-01", "1_0", "<<: ", "\n- ", "{a: ", "\n  a: "]),
)
OPENINGS = st.one_of(
    st.sampled_from(["run: ", "arms:", "arms:\n  ", "arms:\n  a:\n    ", "share:", "arms: {"]),
    st.sampled_from(["share: [", "share:\n- ", "run: >", "run: |\n  ", "run: >-\n   ", "run: |"]),
    st.sampled_from(['setup: "', "run: '", "arms: {a: {"]),
)
ENDINGS = st.sampled_from(["", "\n", "\n\n", "}", "]\n", '"', "'", "}}\n", "\n  \n"])


@pytest.mark.slow
@examples(3000)
@given(
    st.builds(
        lambda a, b, c: a + "".join(b) + c, OPENINGS, st.lists(FRAGMENTS, max_size=9), ENDINGS
    )
)
@example("run: |+\n  a\n  \n\nshare: [b]\n")
@example("run: >\n\n  a\n    b\n\n  c\n")
@example("run: >\n  a\n  \n")
@example('arms: {"a":b}')
@example("arms: {a:b}")
@example("share: [a,#b\n]")
@example("share:\n- - a\n")
def test_the_plain_reader_agrees_with_yaml_or_refuses(text: str) -> None:
    try:
        values, lines = plain_values(text, KEYS)
    except NotPlain:
        return
    document = read_document(text, "f.yml")
    if lines.keys() - set(KEYS) and not document.complete:
        return  # the fault is in a key that the plain reader skips
    assert document.complete, (text, values)
    assert repr({key: document.data[key] for key in values}) == repr(values)


WORDS = st.text(
    st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Zl", "Zp")), max_size=20
)
NAMES = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,8}", fullmatch=True)
SPECS = st.fixed_dictionaries(
    {
        "arms": st.dictionaries(
            NAMES,
            st.fixed_dictionaries(
                {"files": WORDS, "env": st.dictionaries(NAMES, WORDS, max_size=3)},
                optional={"delete": st.lists(WORDS, max_size=3)},
            ),
            min_size=1,
            max_size=3,
        )
    },
    optional={
        "run": WORDS,
        "setup": st.lists(WORDS, max_size=3).map("\n".join),
        "share": st.lists(WORDS),
    },
)


@pytest.mark.slow
@examples(300)
@given(SPECS, st.sampled_from([None, True, False]), st.booleans())
def test_what_yaml_writes_is_read_back_or_refused(data: Any, flow: Any, wide: bool) -> None:
    text = yaml.safe_dump(
        data, default_flow_style=flow, allow_unicode=wide, width=10_000, sort_keys=False
    )
    try:
        values, _ = plain_values(text, KEYS)
    except NotPlain:
        return
    assert values == data


@pytest.mark.parametrize("flow", [None, True, False])
def test_usual_yaml_is_read(flow: Any) -> None:
    """The property above would hold of a reader that refuses everything."""
    arm = {"env": {"A": "b: c", "D": "#e", "F": "it's"}, "delete": ["x y", "-z"]}
    data = {"arms": {"control": {}, "t": arm}, "run": "./a 'b' \"c\"", "warmup": 2}
    text = yaml.safe_dump(data, default_flow_style=flow, width=10_000)
    text = text if flow is not True else text.strip()[1:-1].replace(", run:", "\nrun:")
    assert plain_values(text.replace(", warmup:", "\nwarmup:"), KEYS)[0] == data


def test_it_needs_nothing_but_the_standard_library() -> None:
    wanted = "{'yaml', 'pydantic', 'numpy'} & sys.modules.keys()"
    modules = "sys, expci.core.spec.job_reader, expci.core.spec.variant_paths"
    code = f"import {modules}; print(sorted({wanted}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def heavy(size: int) -> dict[str, str]:
    """Texts of some `size` values or lines, by what is in them."""
    return {
        "flow mapping": "env: {" + ", ".join(f"K{n}: v" for n in range(size)) + "}",
        "flow sequence": "env: [" + ", ".join("v" for _ in range(size)) + "]",
        "quoted values": "env: [" + ", ".join('"v"' for _ in range(size)) + "]",
        "single quotes": "env: ['" + "''" * size + "']",
        "spaces in brackets": "env: [" + " " * size + "v]",
        "comments in brackets": "env: [\n" + "      # c\n" * size + "      v]",
        "folded and empty": "env: >\n      a\n" + "\n" * size + "      b",
        "folded lines": "env: >\n" + "      a\n" * size + "      b",
        "block mapping": "env:\n" + "".join(f"      K{n}: v\n" for n in range(size)),
    }


class Counted(str):
    """A text that counts the characters that are copied from it, or looked through."""

    touched = 0

    def __getitem__(self, key: Any) -> str:
        return self._note(super().__getitem__(key))

    def removeprefix(self, prefix: str, /) -> str:
        return self._note(super().removeprefix(prefix))

    def replace(self, *arguments: Any) -> str:
        return self._note(super().replace(*arguments))

    def split(self, *arguments: Any, **options: Any) -> list[str]:
        return [self._note(part) for part in super().split(*arguments, **options)]

    def strip(self, chars: str | None = None, /) -> str:
        return self._note(super().strip(chars))

    def lstrip(self, chars: str | None = None, /) -> str:
        return self._note(super().lstrip(chars))

    def rstrip(self, chars: str | None = None, /) -> str:
        return self._note(super().rstrip(chars))

    def _note(self, text: str) -> str:
        Counted.touched += len(text)
        return Counted(text)


def work(read: Callable[[str], object], text: str) -> tuple[int, int]:
    """How many functions were called, and how many characters touched, to read a text."""
    calls, before = 0, Counted.touched

    def note(_frame: object, event: str, _argument: object) -> None:
        nonlocal calls
        calls += event.endswith("call")

    sys.setprofile(note)
    try:
        with contextlib.suppress(NotPlain):
            read(Counted(text))
    finally:
        sys.setprofile(None)
    return calls, Counted.touched - before


@pytest.mark.parametrize(
    "read", [partial(plain_values, keys=KEYS), partial(read_document, file="f")]
)
@pytest.mark.parametrize("shape", heavy(1))
def test_the_work_of_reading_is_in_proportion_to_the_size(shape: str, read: Any) -> None:
    """A reader that copies the rest of a line for each value touches ten times as much."""
    small, large = (
        work(read, f"run: a\narms:\n  control: {{}}\n  treatment:\n    {heavy(size)[shape]}\n")
        for size in (100, 1000)
    )
    assert large[0] < 12 * small[0]
    assert large[1] < 12 * small[1] + 1000

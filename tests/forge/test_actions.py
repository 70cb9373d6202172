"""What a runner of GitHub Actions reads from us, and that nothing else can speak for us."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from expci.forge.actions import MOST, SUMMARY_LIMIT, annotated, command, summarize
from expci.forge.ports import Annotation


def parsed(line: str) -> tuple[str, dict[str, str], str]:
    """As the runner reads it (actions/runner, `ActionCommand.TryParseV2`): unescaped last."""
    assert line.startswith("::")
    head, _, data = line[2:].partition("::")
    word, _, rest = head.partition(" ")
    pairs = (pair.partition("=") for pair in rest.split(",") if pair)
    properties = {key: unescaped(value, PROPERTY) for key, _, value in pairs}
    return word, properties, unescaped(data, DATA)


DATA = {"%0D": "\r", "%0A": "\n", "%25": "%"}
PROPERTY = {"%0D": "\r", "%0A": "\n", "%3A": ":", "%2C": ",", "%25": "%"}


def unescaped(text: str, codes: dict[str, str]) -> str:
    for code, char in codes.items():
        text = text.replace(code, char)
    return text


def test_a_command_as_the_documentation_writes_it() -> None:
    """https://docs.github.com/actions/reference/workflows-and-actions/workflow-commands"""
    shown = command("error", "Missing semicolon", file="app.js", line=1, title="YOUR-TITLE")
    assert shown == "::error file=app.js,line=1,title=YOUR-TITLE::Missing semicolon"
    assert command("warning", "no place") == "::warning::no place"


@given(st.text(), st.text(min_size=1), st.text())
def test_text_comes_back_and_never_makes_a_second_line(message: str, file: str, title: str) -> None:
    line = command("error", message, file=file, line=3, title=title)
    assert "\n" not in line
    assert "\r" not in line
    word, properties, data = parsed(line)
    assert (word, data, properties["file"]) == ("error", message, file)
    assert properties.get("title", "") == title


def test_more_than_a_step_may_show_are_counted() -> None:
    found = [Annotation("a.yml", number, "wrong") for number in range(1, 31)]
    found += [Annotation("a.yml", 1, "think", level="notice")]
    lines = list(annotated(found))
    errors = [line for line in lines if line.startswith("::error")]
    assert len(errors) == MOST
    assert errors[-1] == "::error::and 21 more; the log of this step has them all"
    assert lines[-1] == "::notice file=a.yml,line=1::think"


def test_a_summary_is_cut_below_the_size_that_would_lose_it_all(tmp_path: Path) -> None:
    path = tmp_path / "summary"
    summarize(path, "# One\n")
    summarize(path, "héllo\n" * 200_000)
    text = path.read_text()
    assert path.stat().st_size < SUMMARY_LIMIT
    assert text.startswith("# One\nhéllo\n")
    assert "Shortened" in text
    before = path.stat().st_size
    summarize(path, "x" * 2000)
    assert path.stat().st_size - before < 200

"""Foreign text in the log of a job, read as GitHub's runner reads it."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from expci.runner.ci import messages

# actions/runner 2.336, src/Runner.Common/ActionCommand.cs: TryParseV2 wants `::` at the start of
# the trimmed line, TryParse finds `##[` anywhere.
V2 = re.compile(r"\s*::([^:\s]+)(?: [^:]*)?::")
V1 = re.compile(r"##\[([^\]\s]+)[^\]]*\]")


def commands(output: str) -> list[str]:
    """The commands that the runner carries out; a stop-commands token ends until it comes again."""
    names, token = [], None
    for line in output.splitlines():
        match = V2.match(line) or V1.search(line)
        if match is None or token not in (None, match[1]):
            continue
        if match[1] == token:
            token = None
        elif match[1] == "stop-commands":
            token = line.split("::")[-1]
        else:
            names.append(match[1])
    return names


HOSTILE = [
    "::set-env name=A::b",
    "  ::add-path::/tmp",
    "x ##[set-env name=PATH]/tmp/evil",
    "fine\n::error::x\r\n##[add-mask]e",
    "::stop-commands::mine",
    "#" * 5 + "[warning]x",
    "::notice::a\x0b::error::b\u2028::warning::c",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_foreign_text_is_text(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert commands(text) or "stop-commands" in text
    assert commands(messages.plain(text)) == []
    messages.say(text)
    assert commands(capsys.readouterr().out) == []
    messages.annotate("warning", text)
    assert commands(capsys.readouterr().out) == ["warning"]


@given(st.text(alphabet="#:[] a\nset-env\r\x0b\u2028"))
def test_no_text_is_a_command(text: str) -> None:
    assert commands(messages.plain(text)) == []


@pytest.mark.parametrize("text", HOSTILE)
def test_what_a_command_prints_is_not_carried_out(
    text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with messages.commands_stopped():
        print(text, end="")  # without a line's end, as a command may leave it
        messages.annotate("error", "ours")
        print(text, end="")
    messages.annotate("notice", "ours too")
    assert commands(capsys.readouterr().out) == ["error", "notice"]


def test_the_token_is_another_each_time(capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(3):
        with messages.commands_stopped():
            messages.annotate("notice", "x")
    tokens = re.findall("::stop-commands::(.*)", capsys.readouterr().out)
    assert len(set(tokens)) == len(tokens) == 6
    assert all(len(token) > 30 for token in tokens)

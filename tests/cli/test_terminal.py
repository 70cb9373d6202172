"""What a person sees on a terminal: colours unless NO_COLOR; and plain text in a pipe."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import struct
import termios

import pytest
from click.testing import CliRunner

from expci.cli import MODULES, cli, help, terminal
from expci.cli.options import print_json
from expci.core.model.limits import HOME
from support.command import expci_command, expci_on
from support.repositories import Repository
from support.specimen import SPEC


def on_terminal(
    repository: Repository, *words: str, columns: int = 80, code: int = 0, **variables: str
) -> str:
    """The output of a command on a terminal of its own."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    environment = {**os.environ, "TERM": "xterm-256color", **variables}
    environment.pop("COLUMNS", None)
    process = expci_on((theirs, theirs, theirs), repository.path, *words, env=environment)
    os.close(theirs)
    text = b""
    while part := _read(ours):
        text += part
    assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == code
    os.close(ours)
    return text.decode()


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # the other end is closed
        return b""


def test_parquet_is_not_for_the_screen(repository: Repository) -> None:
    text = on_terminal(repository, "export", "speed", "--format", "parquet", code=2)
    assert "name a file with --output" in text


def test_headings_stand_out_on_a_terminal_and_nowhere_else(repository: Repository) -> None:
    assert "\x1b[1mACTIVE\x1b[0m" in on_terminal(repository, "status", "--all")
    plain = on_terminal(repository, "status", "--all", NO_COLOR="1")
    assert not [code for code in ("\x1b[3", "\x1b[9") if code in plain]
    done = expci_command(repository.path, "status")
    assert done.returncode == 0
    assert "\x1b" not in done.stdout


def test_every_verb_is_in_a_group_and_has_an_example() -> None:
    verbs = [verb for names in MODULES.values() for verb in names]
    assert sorted(verb for names in help.GROUPS.values() for verb in names) == sorted(verbs)
    assert sorted(help.EXAMPLES) == sorted(verbs)


@pytest.mark.parametrize("verb", sorted(help.EXAMPLES))
def test_an_example_has_only_options_that_exist(verb: str) -> None:
    text = CliRunner().invoke(cli, [verb, "--help"]).output
    words = help.EXAMPLES[verb].replace('eval "$(', "").split()
    assert words[:2] == ["expci", verb]
    for option in (word for word in words if word.startswith("--")):
        assert option in text
    assert f"  {help.EXAMPLES[verb].splitlines()[0][:40]}" in text


def test_no_summary_is_cut() -> None:
    text = CliRunner().invoke(cli, ["--help"]).output
    assert "..." not in text.partition("Set up:")[2]
    assert f"https://github.com/{HOME}/tree/main/docs" == help.DOCS
    assert help.DOCS in text


def screen(text: str, columns: int) -> list[str]:
    """The lines of a terminal after `text`. A full line holds the cursor until the next letter."""
    rows, row, column = [[" "] * columns], 0, 0
    for character in re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", text):
        if character == "\r":
            column = 0
        elif character == "\n" or column == columns:
            row, column = row + 1, 0 if character != "\n" else column
            rows += [[" "] * columns] if row == len(rows) else []
        if character not in "\r\n":
            rows[row][column] = character
            column += 1
    return ["".join(cells).rstrip() for cells in rows]


@pytest.mark.parametrize("columns", [80, 120, 200])
def test_the_steps_of_trials_share_no_line_with_the_command(
    repository: Repository, columns: int
) -> None:
    repository.write("experiments/speed/experiment.yml", SPEC)
    repository.write("experiments/speed/treatment/work.sh", "printf open-ended\n", executable=True)
    repository.write("work.sh", "echo whole; printf open-ended\n", executable=True)
    repository.commit("Propose speed")
    text = on_terminal(
        repository, "trial", "speed", "--pilot", "--pairs", "2", columns=columns, NO_COLOR="1"
    )
    assert "\x1b[3" not in text
    lines = [line for line in screen(text, columns) if line]
    steps = [line for line in lines if re.match(r"\d/4 ", line)]
    wanted = [f"{n}/4 \\w+: {end}" for n in (1, 2, 3, 4) for end in ("runs …", r"ok in \S+ s.*")]
    for line, pattern in zip(steps, wanted, strict=True):
        assert re.fullmatch(pattern, line)
    assert lines.count("open-ended") == 4  # alone on its line
    assert lines.count("whole") == 2


@pytest.mark.parametrize("columns", [80, 120, 200])
def test_nothing_is_wider_than_the_terminal(repository: Repository, columns: int) -> None:
    repository.write("experiments/speed/experiment.yml", SPEC)
    repository.write("experiments/speed/treatment/work.sh", "true\n", executable=True)
    repository.commit("Propose speed")
    commands = ["validate --explain", "plan speed", "doctor", "start speed", "auto", "status"]
    commands += ["status speed", "analyze speed", "analyze speed --full", "--help", "create --help"]
    for command in commands:
        text = on_terminal(repository, *command.split(), columns=columns, NO_COLOR="1")
        text = re.sub(r"\x1b\[[0-9;]*m", "", text).replace(str(repository.path), "…")
        long = [line for line in text.splitlines() if len(line.rstrip("\r")) > columns]
        assert not long, command


@pytest.mark.parametrize(
    ("typed", "meant"), [("stat", "status"), ("analyse", "analyze"), ("promot", "promote")]
)
def test_a_mistyped_verb_is_answered_with_the_nearest(typed: str, meant: str) -> None:
    answer = CliRunner().invoke(cli, [typed])
    assert answer.exit_code == 2
    assert f"did you mean `expci {meant}`?" in answer.output


def test_what_strangers_wrote_is_no_command_to_the_runner(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """As in the log of a step that runs `expci doctor` or `expci status --json`."""
    evil = "x ##[set-env name=A]b\n::error::c\n  ::stop-commands::d\r::add-mask::e\n"
    terminal.show(evil)
    terminal.show_item("problem  ", evil)
    terminal.show_item("", evil)
    print_json({"name": evil})
    printed = capsys.readouterr().out
    assert "##[" not in printed
    lines = re.split(r"[\r\n]", printed)
    assert [line for line in lines if line.lstrip().startswith("::")] == []
    start = printed.rindex("{")
    assert json.loads(printed[start:]) == {"name": evil}

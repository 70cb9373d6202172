"""Shell completion, asked for as bash asks: the words so far, and which of them is incomplete."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from support.clones import run_git
from support.command import expci_command

SPEC = """\
version: 1
slot: {slot}
arms:
  control: {{}}
  {arm}: {{env: {{A: b}}}}
"""


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    run_git(tmp_path, "init", "-q")
    for name, slot, arm in (("faster", "review", "quick"), ("fewer", "build", "lean")):
        directory = tmp_path / "experiments" / name
        directory.mkdir(parents=True)
        (directory / "experiment.yml").write_text(SPEC.format(slot=slot, arm=arm))
    return tmp_path


def candidates(directory: Path, line: str) -> list[str]:
    return [answer.partition(",")[2] for answer in answer_to(directory, line, "bash").split()]


def answer_to(directory: Path, line: str, shell: str) -> str:
    words = line.split(" ")
    done = subprocess.run(
        [str(Path(sys.executable).with_name("expci"))],
        cwd=directory,
        env={
            **os.environ,
            "COMP_WORDS": line,
            "COMP_CWORD": str(len(words) - 1),
            "_EXPCI_COMPLETE": f"{shell}_complete",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout


def test_zsh_gets_whole_summaries(repository: Path) -> None:
    assert answer_to(repository, "expci st", "zsh").splitlines()[:3] == [
        "plain",
        "start",
        "Freeze the plan as committed at HEAD; trials count from here.",
    ]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("expci st", ["start", "stop", "status"]),
        ("expci start ", ["faster", "fewer"]),
        ("expci start fe", ["fewer"]),
        ("expci validate faster fe", ["fewer"]),
        ("expci trial faster --arm ", ["control", "quick"]),
        ("expci record --arm l", ["lean"]),
        ("expci assign --slot ", ["build", "review"]),
        ("expci completion ", ["bash", "zsh", "fish"]),
    ],
)
def test_what_can_follow(repository: Path, line: str, expected: list[str]) -> None:
    assert candidates(repository, line) == expected


def test_a_file_that_cannot_be_read_and_no_repository_give_no_candidates(
    repository: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    (repository / "experiments" / "faster" / "experiment.yml").write_text("arms: [")
    assert candidates(repository, "expci assign --slot ") == ["build"]
    outside = tmp_path_factory.mktemp("outside")
    assert candidates(outside, "expci start ") == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_of_each_shell_names_the_command(shell: str) -> None:
    done = expci_command(Path(), "completion", shell)
    assert done.returncode == 0
    assert "_EXPCI_COMPLETE" in done.stdout
    assert "expci" in done.stdout


def test_a_mistyped_verb_gets_a_suggestion() -> None:
    done = expci_command(Path(), "statsu")
    assert done.returncode == 2
    assert "did you mean `expci status`?" in done.stderr

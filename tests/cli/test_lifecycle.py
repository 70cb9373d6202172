"""What the verbs of an experiment's life answer: to a repetition, to a slip of the pen, to whom."""

from __future__ import annotations

import json

import pytest

from support.command import expci_command
from support.repositories import Repository, project
from support.specimen import FAST, SPEC


@pytest.fixture(scope="module")
def drafted(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    """One for all: the tests below follow one experiment from its draft to its end."""
    repository = project(tmp_path_factory.mktemp("life"), "work")
    repository.write("experiments/speed/experiment.yml", SPEC)
    repository.write("experiments/speed/treatment/work.sh", FAST, executable=True)
    repository.commit("Propose speed")
    return repository


def answer(repository: Repository, *arguments: str) -> tuple[int, str]:
    done = expci_command(repository.path, *arguments)
    return done.returncode, (done.stdout + done.stderr).strip()


def test_a_mistyped_id_is_answered_with_the_one_that_was_meant(drafted: Repository) -> None:
    record = ("record", "sped", "--arm", "control", "--metric", "duration_s=1")
    rollback = ("rollback", "sped", "--reason", "x")
    verbs = ("start", "pause", "resume", "stop", "status", "analyze", "promote", "export", "trial")
    for words in (*((verb, "sped") for verb in verbs), ("plan", "sped"), rollback, record):
        code, text = answer(drafted, *words)
        assert (code, text.endswith("did you mean 'speed'?")) == (1, True), (words, text)
    # A job goes on without an arm.
    code, text = answer(drafted, "assign", "sped", "--unit", "u1")
    assert (code, "did you mean 'speed'?" in text) == (0, True)


def test_a_name_like_no_other_is_answered_with_what_there_is(drafted: Repository) -> None:
    assert "`expci status --all` lists" in answer(drafted, "pause", "zzz")[1]
    assert answer(drafted, "pause", "speed") == (
        1,
        "error: speed has not started yet: `expci start speed` starts it",
    )


def test_a_verb_again_says_that_it_is_so_already(drafted: Repository) -> None:
    answer(drafted, "start", "speed")
    assert answer(drafted, "pause", "speed") == (0, "speed: running → paused")
    assert answer(drafted, "pause", "speed") == (0, "speed is paused already; nothing was changed")
    assert answer(drafted, "resume", "speed") == (0, "speed: paused → running")
    code, text = answer(drafted, "resume", "speed")
    assert (code, text) == (0, "speed is running already; nothing was changed")
    words = answer(drafted, "extend", "speed", "--days", "1", "--trials", "5")[1]
    assert words == "speed (running) is extended by 1 day and 5 trials per arm"
    code, text = answer(drafted, "stop", "speed", "--json")
    again = {"schema": "expci.transition/1", "experiment": "speed", "after": "stopped"}
    assert json.loads(text) == again | {"before": "running"}
    code, text = answer(drafted, "stop", "speed", "--json")
    assert (code, json.loads(text)) == (0, again | {"before": "stopped"})
    learned = answer(drafted, "stop", "speed", "--learned", "tea helps")[1]
    assert learned == "speed (stopped): what was learned is recorded"


def test_who_acts_on_a_laptop_is_whom_its_commits_name(drafted: Repository) -> None:
    # The suite's git is Ada's.
    _, text = answer(drafted, "status", "speed")
    assert "· Ada" in text, text
    assert "STOPPED by Ada." in text

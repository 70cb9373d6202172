"""An experiment whose trials can only come from a slot waits for the base branch, and says so."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from support.command import expci_command
from support.repositories import Repository
from support.specimen import FAST, SPEC

SLOTTED = SPEC.replace("run: ./work.sh\n", "slot: review\n")


def expci(directory: Path, *arguments: str) -> str:
    """What a person reads of one run of the command: both streams."""
    done = expci_command(directory, *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture
def slotted(repository: Repository) -> Repository:
    """Committed and not pushed."""
    repository.write("experiments/speed/experiment.yml", SLOTTED)
    repository.write("experiments/speed/treatment/work.sh", FAST, executable=True)
    repository.commit("Propose speed")
    return repository


def test_every_verb_says_that_it_waits(slotted: Repository) -> None:
    path = slotted.path
    started = expci(path, "start", "speed")
    assert "speed is started and waits for main" in started
    assert "jobs with the slot review take part once it is on main" in started
    assert json.loads(expci(path, "start", "speed", "--json"))["awaits_merge"] is True
    assert "speed is started already and waits for main" in expci(path, "start", "speed")
    assert "is not on the base branch yet" in expci(path, "assign", "speed", "--unit", "u1")
    in_slot = expci(path, "assign", "--slot", "review", "--unit", "u1")
    assert "speed is not on the base branch yet: jobs with the slot review" in in_slot
    assert "not on the base branch yet" not in expci(path, "assign", "--slot", "other")
    for command in (("status",), ("status", "speed"), ("analyze", "speed")):
        words = " ".join(expci(path, *command).split())
        assert "WAITING: it is not on the base branch yet." in words
        assert "merge it into the base branch, or push its commit there" in words
    assert "speed waits for main: jobs with the slot review" in expci(path, "doctor")


@pytest.mark.parametrize("verb", [("start", "speed"), ("auto",)])
def test_the_push_opens_it_to_jobs(slotted: Repository, verb: tuple[str, ...]) -> None:
    expci(slotted.path, "start", "speed")
    slotted.push("HEAD:main")
    expci(slotted.path, *verb)
    answer = json.loads(expci(slotted.path, "assign", "--slot", "review", "--unit", "u", "--json"))
    assert answer["waiting"] == []
    assert answer["assignments"][0]["arm"] in ("control", "treatment")
    assert "waits for main" not in expci(slotted.path, "doctor")


def test_what_the_lab_can_run_does_not_wait(slotted: Repository) -> None:
    both = SPEC.replace("run:", "slot: review\nrun:")
    slotted.write("experiments/speed/experiment.yml", both)
    slotted.commit("Both ways")
    started = expci(slotted.path, "start", "speed")
    assert "speed is running, lab" in started
    assert "jobs with the slot review take part once it is on main" in started
    assert "WAITING" not in expci(slotted.path, "status")

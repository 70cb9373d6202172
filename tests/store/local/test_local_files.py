"""Records in files of this machine: pilots, batches for a CI to hand on, recent trials."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from expci.errors import ExpciError
from expci.store.git.git import Git
from expci.store.inbox import send
from expci.store.local import recent_trials
from expci.store.local.batch_file import append_records
from expci.store.local.pilot import append_pilot, pilot_path
from support.ledger_samples import trial
from support.repositories import Repository


def test_a_pilot_stays_in_the_clone_and_grows(repository: Repository) -> None:
    git = Git(repository.path)
    append_pilot(git, "speed", "one")
    append_pilot(git, "speed", "zwei")
    assert pilot_path(git, "speed").read_text() == "one\nzwei\n"
    assert repository.git("status", "--porcelain") == ""


def test_a_batch_file_takes_each_record_once(tmp_path: Path) -> None:
    path = tmp_path / "out" / "trials.jsonl"
    lines = [trial(unit=f"u{n}").line() for n in range(3)]
    append_records(path, lines[:2])
    append_records(path, lines)
    assert path.read_text().splitlines() == lines


def test_a_batch_file_grows_no_larger_than_what_the_pass_takes(tmp_path: Path) -> None:
    path = tmp_path / "trials.jsonl"
    half = "x" * (send.BATCH_BYTES // 2 - 1)
    append_records(path, [half])
    with pytest.raises(ExpciError, match="is full"):
        append_records(path, ["y" * len(half), "z"])
    assert path.read_text() == half + "\n"


def test_the_experiment_of_a_recent_trial_is_remembered(repository: Repository) -> None:
    git = Git(repository.path)
    assert recent_trials.experiment_of(git, "unknown") is None
    old, new = trial(), trial()
    recent_trials.note(git, [old])
    path = git.private_dir / "recent.txt"
    with path.open("a") as file:
        file.write("x\n" * 1_000_001)  # more than is kept: the next one begins a new file
    recent_trials.note(git, [new])
    assert path.read_text() == f"{new.id} speed\n"
    assert recent_trials.experiment_of(git, new.id) == "speed"
    assert recent_trials.experiment_of(git, old.id) == "speed"
    assert recent_trials.experiment_of(git, old.id[:-1]) is None


@pytest.mark.parametrize("put", [os.mkdir, os.mkfifo])
def test_where_nothing_can_be_remembered_the_record_does_not_fail(
    repository: Repository, put: Callable[[Path], None]
) -> None:
    git = Git(repository.path)
    git.private_dir.mkdir(exist_ok=True)
    put(git.private_dir / "recent.txt")
    recent_trials.note(git, [trial()])
    assert recent_trials.experiment_of(git, trial().id) is None

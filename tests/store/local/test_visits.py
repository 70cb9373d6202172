"""How often a clone ran each case: kept beside the clone, and missed by nothing."""

from __future__ import annotations

import os

from expci.store.git.git import Git
from expci.store.local.visits import note_visits, visits
from support.repositories import Repository


def test_visits_add_up_by_plan_and_apart_for_pilots(repository: Repository) -> None:
    git = Git(repository.path)
    assert visits(git, "p", is_pilot=False) == {}
    note_visits(git, "p", ["a", "b", "a"], is_pilot=False)
    note_visits(git, "p", ["a"], is_pilot=False)
    note_visits(git, "p", ["pilot"], is_pilot=True)
    assert visits(git, "p", is_pilot=False) == {"a": 3, "b": 1}
    assert visits(git, "p", is_pilot=True) == {"pilot": 1}
    assert visits(git, "other", is_pilot=False) == {}
    assert repository.git("status", "--porcelain") == ""


def test_a_place_that_cannot_be_written_loses_nothing_else(repository: Repository) -> None:
    git = Git(repository.path)
    git.private_dir.mkdir(parents=True, exist_ok=True)
    (git.private_dir / "visits").write_text("a file where a directory is to be")
    note_visits(git, "p", ["a"], is_pilot=False)
    assert visits(git, "p", is_pilot=False) == {}
    assert (git.private_dir / "visits").is_file()


def test_a_pipe_in_the_file_s_place_holds_nothing_up(repository: Repository) -> None:
    git = Git(repository.path)
    note_visits(git, "p", ["a"], is_pilot=False)
    (git.private_dir / "visits" / "p.txt").unlink()
    os.mkfifo(git.private_dir / "visits" / "p.txt")
    note_visits(git, "p", ["a"], is_pilot=False)
    assert visits(git, "p", is_pilot=False) == {}

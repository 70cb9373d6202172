"""What a killed job left in its checkout goes with the next verb; a living one's stays."""

from __future__ import annotations

import fcntl
import json
from pathlib import Path

import pytest

from expci.runner import checkout
from expci.runner.live import live_trial
from support.clones import Clone, make_clone, run_git


@pytest.fixture
def clone(tmp_path: Path) -> Clone:
    clone = make_clone(tmp_path, "slot: review")
    clone.publish(mode="live", slot="review", design="randomized", unit="custom")
    return clone


def live(clone: Clone) -> Path:
    directory = clone.git.git_dir / "expci" / "live"
    directory.mkdir(parents=True, exist_ok=True)
    return directory


def metrics_files(clone: Clone) -> set[str]:
    return {path.name for path in live(clone).glob("*metrics-*")}


def assigned(clone: Clone, unit: str) -> None:
    done = clone.expci("assign", "faster", "--unit", unit)
    assert done.returncode == 0, done.stderr


def test_a_metrics_file_that_nobody_owns_goes(clone: Clone) -> None:
    (live(clone) / "metrics-dead").touch()
    assigned(clone, "u-1")
    assert "metrics-dead" not in metrics_files(clone)


def test_one_of_a_living_process_stays(clone: Clone) -> None:
    with (live(clone) / "metrics-alive").open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assigned(clone, "u-1")
        assert "metrics-alive" in metrics_files(clone)


def test_one_of_a_trial_that_is_not_recorded_yet_stays(clone: Clone) -> None:
    assigned(clone, "u-1")
    [kept] = metrics_files(clone)
    live_trial.clear_metrics_files(clone.git)
    assert metrics_files(clone) == {kept}


def test_a_job_that_takes_part_in_nothing_leaves_none(clone: Clone) -> None:
    done = clone.expci("assign", "--slot", "nowhere", "--unit", "u-1")
    assert done.returncode == 0, done.stderr
    assert metrics_files(clone) == set()


def leave_as_an_earlier_version(clone: Clone) -> None:
    """A job of an earlier version that was killed with the treatment in place: its own journal,
    skip-worktree bits and lines in info/exclude."""
    home = clone.git.git_dir / "expci" / "set-aside"
    (home / "live-faster.files").mkdir(parents=True)
    (clone.root / "tool.sh").rename(home / "live-faster.files" / "0")
    clone.write({"tool.sh": "echo treatment\n"})
    run_git(clone.root, "update-index", "--skip-worktree", "tool.sh")
    journal = {"originals": {"tool.sh": "0"}, "made": [], "hidden": ["tool.sh"], "excluded": ""}
    (home / "live-faster.json").write_text(json.dumps(journal))


def bits(clone: Clone) -> list[str]:
    rows = run_git(clone.root, "ls-files", "-t").splitlines()
    return [row[2:] for row in rows if row.startswith("S ")]


def test_bits_of_an_earlier_version_go_with_the_next_assign(clone: Clone) -> None:
    leave_as_an_earlier_version(clone)
    assert bits(clone) == ["tool.sh"]
    assigned(clone, "u-1")
    assert bits(clone) == []
    assert (clone.root / "tool.sh").read_text() == "echo control\n"
    assert checkout.names(clone.git) == []


def test_they_never_put_an_old_file_over_a_newer_commit(clone: Clone) -> None:
    leave_as_an_earlier_version(clone)
    run_git(clone.root, "update-index", "--no-skip-worktree", "tool.sh")
    clone.write({"tool.sh": "echo newer\n"})
    clone.commit("newer")
    run_git(clone.root, "update-index", "--skip-worktree", "tool.sh")
    clone.expci("assign", "faster", "--unit", "u-1")
    assert bits(clone) == []
    assert (clone.root / "tool.sh").read_text() == "echo newer\n"


def test_bits_that_are_the_users_own_stay(clone: Clone) -> None:
    leave_as_an_earlier_version(clone)
    run_git(clone.root, "update-index", "--skip-worktree", "other.txt")
    assigned(clone, "u-1")
    assert bits(clone) == ["other.txt"]

"""No verb ends in a traceback: full disks, read-only clones, output that nobody can take."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from support.repositories import Repository, git
from support.specimen import SPEC


def expci(
    repository: Repository, *arguments: str, stdout: int | None = None, **env: str
) -> tuple[int, str, str]:
    done = subprocess.run(
        [sys.executable, "-m", "expci", *arguments],
        cwd=repository.path,
        env={**os.environ, **env},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE if stdout is None else stdout,
        stderr=subprocess.PIPE,
        check=False,
    )
    stderr = done.stderr.decode(errors="replace")
    assert "Traceback" not in stderr
    assert "Exception ignored" not in stderr
    return done.returncode, (done.stdout or b"").decode(errors="replace"), stderr


@pytest.fixture
def started(repository: Repository) -> Repository:
    repository.write("experiments/speed/experiment.yml", SPEC)
    repository.write("experiments/speed/treatment/work.sh", "sleep 0\n", executable=True)
    repository.commit("Propose speed")
    repository.push("HEAD:main")
    assert expci(repository, "start", "speed")[0] == 0
    return repository


@pytest.mark.parametrize("verb", [("status",), ("status", "--json"), ("export", "speed")])
def test_output_that_nobody_can_take(started: Repository, verb: tuple[str, ...]) -> None:
    with Path("/dev/full").open("wb") as full:
        code, _, stderr = expci(started, *verb, stdout=full.fileno())
    assert code == 1
    assert "No space left on device" in stderr
    assert len(stderr.splitlines()) == 1


def test_caches_that_cannot_be_written_undo_nothing(started: Repository) -> None:
    cache = started.path / ".git/expci/published.json"
    cache.unlink()
    cache.mkdir()
    code, stdout, _ = expci(started, "pause", "speed")
    assert (code, stdout.strip()) == (0, "speed: running → paused")
    (started.path / ".git/expci/recent.txt").mkdir()
    assert expci(started, "resume", "speed")[0] == 0
    record = ("record", "speed", "--arm", "control", "--metric", "duration_s=3")
    assert expci(started, *record)[0] == 0


def test_a_record_that_cannot_be_kept_is_said_in_one_line(started: Repository) -> None:
    (started.path / ".git/expci/spool").write_text("in the way")
    record = ("record", "speed", "--arm", "control", "--metric", "duration_s=3")
    code, _, stderr = expci(started, *record)
    assert code == 1
    [line] = stderr.splitlines()
    assert line.startswith("error: ")
    assert "spool" in line
    log = started.path / ".git/expci/expci-errors.log"
    assert str(log) in line
    assert "Traceback" in log.read_text()
    assert log.stat().st_mode & 0o077 == 0


def test_a_summary_that_cannot_be_written_fails_no_pass(started: Repository) -> None:
    code, stdout, stderr = expci(started, "auto", GITHUB_STEP_SUMMARY="/nonexistent/summary")
    assert (code, "speed: running" in stdout) == (0, True)
    assert "warning: no job summary" in stderr


def test_a_name_that_is_no_text_is_printed(started: Repository) -> None:
    name = b"refs/heads/caf\xe9"
    with (started.origin / "packed-refs").open("ab") as packed:
        packed.write(git(started.origin, "rev-parse", "main").encode() + b" " + name + b"\n")
    for verb in ("auto", "status", "doctor", "fsck"):
        assert expci(started, verb)[0] == 0


def test_an_event_file_without_end_is_not_read(started: Repository) -> None:
    code, _, _ = expci(
        started, "assign", "speed", "--unit", "u1", GITHUB_EVENT_PATH="/dev/zero", CI="true"
    )
    assert code == 0

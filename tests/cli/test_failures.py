"""No verb ends in a traceback: full disks, read-only clones, output that nobody can take."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from support.command import expci_command, started_command
from support.processes import is_alive, wait_for
from support.repositories import Repository, git
from support.specimen import SPEC


def expci(repository: Repository, *arguments: str, **env: str) -> tuple[int, str, str]:
    done = expci_command(repository.path, *arguments, env={**os.environ, **env})
    assert "Traceback" not in done.stderr
    return done.returncode, done.stdout, done.stderr


@pytest.fixture
def started(repository: Repository) -> Repository:
    repository.write("experiments/speed/experiment.yml", SPEC)
    repository.write("experiments/speed/treatment/work.sh", "sleep 0\n", executable=True)
    repository.commit("Propose speed")
    repository.push("HEAD:main")
    assert expci(repository, "start", "speed")[0] == 0
    return repository


@pytest.mark.parametrize("verb", [("status", "--json"), ("export", "speed"), ("pause", "speed")])
def test_output_that_nobody_can_take(started: Repository, verb: tuple[str, ...]) -> None:
    """By a start of its own: what cannot be written comes out as Python ends."""
    command = [sys.executable, "-m", "expci", *verb]
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            command, cwd=started.path, stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert done.returncode == 1
    assert "No space left on device" in done.stderr
    # What was done may not be done twice.
    assert "before you run it again" in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("module", "streams"),
    [
        ("expci", "<&- >&- 2>&-"),
        ("expci", ">&-"),
        ("expci", "2>/dev/full"),
        ("expci.runner", ">&- 2>&-"),
    ],
)
def test_streams_that_nobody_reads_fail_no_trial(
    started: Repository, module: str, streams: str
) -> None:
    """By a start of its own: a stream that is closed is none of Python's."""
    verb = f"exec {sys.executable} -m {module} trial speed {streams}"
    done = subprocess.run(
        ["sh", "-c", verb], cwd=started.path, capture_output=True, text=True, check=False
    )
    assert (done.returncode, "Error" in done.stderr) == (0, False), done.stderr
    assert len(git(started.origin, "for-each-ref", "refs/expci/inbox").splitlines()) == 1


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


def test_a_job_goes_on_in_a_clone_that_cannot_be_written(started: Repository) -> None:
    (started.path / ".git/expci/live").write_text("in the way")
    code, stdout, stderr = expci(started, "assign", "speed", "--unit", "u1")
    assert (code, stdout.strip()) == (0, "")
    assert "warning: the job goes on untouched" in stderr


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


@pytest.mark.parametrize("name", [b"refs/heads/caf\xe9", b"refs/expci/inbox/speed/\xff"])
def test_a_name_that_is_no_text_is_printed(started: Repository, name: bytes) -> None:
    with (started.origin / "packed-refs").open("ab") as packed:
        packed.write(git(started.origin, "rev-parse", "main").encode() + b" " + name + b"\n")
    for verb in ("auto", "status", "doctor", "fsck"):
        assert expci(started, verb)[0] == 0


NO_TEXT = os.fsdecode(b"caf\xe9\xff")


def test_arguments_and_variables_that_are_no_text_end_up_in_records(started: Repository) -> None:
    """The kill switch above all: it is on record who used it, whatever they are called."""
    for verb in (
        ("pause", "speed", "--why", NO_TEXT),
        ("resume", "speed"),
        ("extend", "speed", "--days", "1"),
        ("stop", "speed", "--learned", NO_TEXT),
    ):
        code, _, stderr = expci(started, *verb, GITHUB_ACTOR=NO_TEXT)
        assert (code, stderr) == (0, ""), verb
    path = "experiments/speed/events.jsonl"
    written = git(started.origin, "show", f"refs/expci/ledger:{path}")
    events = [json.loads(line) for line in written.splitlines()]
    assert {event["by"] for event in events[1:]} == {r"caf\udce9\udcff"}
    assert next(e for e in events if e["event"] == "paused")["why"] == r"caf\udce9\udcff"
    for reader in (["status", "speed"], ["site", NO_TEXT], ["fsck"], ["export", "speed"]):
        assert expci(started, *reader)[0] == 0, reader


def test_an_experiment_is_created_from_texts_that_are_none(repository: Repository) -> None:
    options = ("--primary-metric", "duration_s", "--minimum-effect", "10%", "--run", "./work.sh")
    verb = ("create", "x", "--hypothesis", NO_TEXT, *options, "--file", "work.sh")
    assert expci(repository, *verb)[0] == 0
    assert expci(repository, "validate", "x")[1].count("is the same as in the repository") == 1


def test_a_trial_beside_a_work_tree_whose_path_is_no_text(
    started: Repository, tmp_path: Path
) -> None:
    path = os.fsencode(tmp_path) + b"/caf\xe9\xff"
    subprocess.run([b"git", b"worktree", b"add", b"-q", path], cwd=started.path, check=True)
    code, stdout, stderr = expci(started, "trial", "speed")
    assert (code, "2 trials recorded" in stdout) == (0, True), stderr


def test_a_unit_that_is_no_text_is_assigned_and_recorded(started: Repository) -> None:
    assert expci(started, "assign", "speed", "--unit", NO_TEXT, "--apply")[0] == 0
    code, stdout, stderr = expci(started, "record", "speed", "--metric", "duration_s=1")
    assert (code, "1 sent" in stdout) == (0, True), stderr
    assert r"caf\udce9\udcff" in expci(started, "export", "speed")[1]


def test_a_damaged_configuration_is_said_in_gits_own_words(
    repository: Repository, tmp_path: Path
) -> None:
    file = tmp_path / "damaged"
    file.write_bytes(b"[alias]\n\tx\xe9 = status\n")
    code, _, stderr = expci(repository, "status", GIT_CONFIG_GLOBAL=str(file))
    assert (code, "bad config line 2" in stderr) == (1, True), stderr


def test_an_event_file_without_end_is_not_read(started: Repository) -> None:
    code, _, _ = expci(
        started, "assign", "speed", "--unit", "u1", GITHUB_EVENT_PATH="/dev/zero", CI="true"
    )
    assert code == 0


@pytest.mark.parametrize("lines", [0, 1])
def test_a_reader_that_leaves_early_fails_no_trial(started: Repository, lines: int) -> None:
    """`expci trial … | head`: the trials go on, are recorded, and the exit is the command's."""
    command = [sys.executable, "-m", "expci", "trial", "speed", "--pairs", "2", "--", "echo", "x"]
    with subprocess.Popen(
        command, cwd=started.path, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        for _ in range(lines):
            assert process.stdout.readline() == b"x\n"
        process.stdout.close()
        assert process.stderr is not None
        said = process.stderr.read().decode()
    assert process.returncode == 0, said
    assert said.count(": ok in ") == 4, said
    assert "Traceback" not in said
    assert "Exception ignored" not in said
    assert len(git(started.origin, "for-each-ref", "refs/expci/inbox").splitlines()) == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_what_a_verb_has_started_ends_with_it(
    started: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    """A job that is cancelled while the server says nothing."""
    ssh = tmp_path / "ssh"
    ssh.write_text(f"#!/bin/sh\necho $$ > {tmp_path}/new; mv {tmp_path}/new {tmp_path}/pid\n")
    with ssh.open("a") as file:
        file.write("exec sleep 3000\n")
    ssh.chmod(0o755)
    monkeypatch.setenv("GIT_SSH_COMMAND", str(ssh))
    monkeypatch.setenv("EXPCI_CONNECT_SECONDS", "3000")
    git(started.path, "remote", "set-url", "origin", "git@example.org:o/r.git")
    verb = started_command(started.path, "auto", "--forge", "local")
    wait_for((tmp_path / "pid").exists)
    pid = int((tmp_path / "pid").read_text())
    os.kill(verb.pid, number)
    done = verb.wait()
    assert (done.returncode, done.stderr.strip()) == (128 + number, f"stopped by {number.name}")
    wait_for(lambda: not is_alive(pid))


def test_a_record_says_what_of_it_counts_by_arm(started: Repository) -> None:
    rows = [
        '{"arm":"treatment","block":"b1","metrics":{"duration_s":1.0},"status":"failed"}',
        '{"arm":"control","block":"b1","metrics":{"duration_s":1.2}}',
        '{"arm":"treatment","block":"b2","metrics":{"duration_s":1.1}}',
        '{"arm":"control","block":"b2","metrics":{"duration_s":1.3}}',
    ]
    started.write("trials.jsonl", "\n".join(rows) + "\n")
    code, out, _ = expci(started, "record", "speed", "--from", "trials.jsonl")
    assert (code, out) == (0, "4 recorded, 4 sent\n  control: 2\n  treatment: 2, 1 failed\n")
    code, out, _ = expci(started, "record", "speed", "--from", "trials.jsonl", "--json")
    arms = json.loads(out)["arms"]
    assert arms["treatment"] == {"trials": 2, "excluded": {}, "statuses": {"failed": 1}}

"""A server that goes silent holds nobody: real sockets, real ssh commands, real hooks."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from expci.errors import Unreachable
from expci.store.git import remote as remote_module
from expci.store.git.git import Git
from expci.store.git.remote import Remote, Update
from expci.store.git.time_limit import TimedOut, TimeLimits, run_limited
from support.processes import HANG_S, is_alive, wait_for


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXPCI_CONNECT_SECONDS", "3")
    monkeypatch.setenv("EXPCI_SILENCE_SECONDS", "3")
    monkeypatch.setenv("EXPCI_REMOTE_SECONDS", "8")


@pytest.fixture
def silent_server() -> Iterator[socket.socket]:
    """A server that accepts connections and says nothing."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(16)
        yield server


def remote_at(repository: Any, address: str) -> Remote:
    repository.git("remote", "set-url", "origin", address)
    return Remote.of(Git(repository.path))


def test_a_server_that_accepts_and_says_nothing(
    repository: Any, silent_server: socket.socket
) -> None:
    remote = remote_at(repository, f"http://127.0.0.1:{silent_server.getsockname()[1]}/x.git")
    for _ in range(3):
        with pytest.raises(Unreachable, match=r"did not answer within 3 seconds"):
            remote.fetch("refs/expci/x")
    with pytest.raises(Unreachable):
        remote.push([Update("refs/expci/x", repository.git("rev-parse", "HEAD"))])
    silent_server.settimeout(0)
    silent_server.accept()[0].close()
    with pytest.raises(BlockingIOError):  # asked once: the limit is not paid again
        silent_server.accept()


def test_an_ssh_that_never_connects(
    repository: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ssh = tmp_path / "ssh"
    ssh.write_text(f"#!/bin/sh\necho $$ > {tmp_path}/pid\nexec sleep 3000\n")
    ssh.chmod(0o755)
    monkeypatch.setenv("GIT_SSH_COMMAND", str(ssh))
    with pytest.raises(Unreachable, match="did not answer"):
        remote_at(repository, "git@example.org:o/r.git").default_branch()
    # What git started ends with it.
    pid = int((tmp_path / "pid").read_text())
    wait_for(lambda: not is_alive(pid))


@pytest.mark.slow
def test_a_hook_that_sleeps(repository: Any) -> None:
    hook = repository.origin / "hooks" / "pre-receive"
    hook.write_text("#!/bin/sh\nsleep 3000\n")
    hook.chmod(0o755)
    remote = Remote.of(Git(repository.path))
    with pytest.raises(Unreachable, match="seconds"):
        remote.push([Update("refs/expci/x", repository.git("rev-parse", "HEAD"))])


def test_one_that_never_comes_to_an_end(tmp_path: Path) -> None:
    talker = [sys.executable, "-c", "import time\nwhile 1: print('.', flush=1); time.sleep(.1)"]
    with pytest.raises(TimedOut, match="was not done after 1 seconds"):
        run_limited(talker, TimeLimits(5, 5, 1), cwd=tmp_path, env=os.environ)


def test_output_is_whole_and_a_child_that_stays_holds_nothing(tmp_path: Path) -> None:
    code = "import subprocess as s; child = s.Popen(['sleep', '3000']); print('x' * 300_000)"
    code += "; open('pid', 'w').write(str(child.pid))"
    limits = TimeLimits(HANG_S, HANG_S, HANG_S)  # whoever waits for the child passes them
    done = run_limited([sys.executable, "-c", code], limits, cwd=tmp_path, env=os.environ)
    assert (done.returncode, len(done.stdout)) == (0, 300_001)
    os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)


def test_of_words_without_end_the_end_is_kept(tmp_path: Path) -> None:
    code = "import sys; sys.stderr.write('x' * 3_000_000 + 'refused'); print('!' * 1_000_000)"
    limits = TimeLimits(HANG_S, HANG_S, HANG_S)
    done = run_limited([sys.executable, "-c", code], limits, cwd=tmp_path, env=os.environ)
    assert len(done.stdout) == 1_000_001  # an answer is whole
    assert len(done.stderr) < 1_000_000
    assert done.stderr.endswith(b"refused")


def test_what_it_writes_as_it_ends_is_not_lost(tmp_path: Path) -> None:
    """It writes and ends while this process, which has waited in vain, is kept from looking on."""
    done, interval = threading.Event(), sys.getswitchinterval()

    def spin() -> None:
        while not done.is_set():
            pass

    sys.setswitchinterval(0.15)  # seconds for which another thread keeps this one waiting
    busy = threading.Thread(target=spin)
    busy.start()
    try:
        for pause in (0.22, 0.25, 0.28):
            limits, command = TimeLimits(HANG_S, HANG_S, HANG_S), f"sleep {pause}; echo x"
            ended = run_limited(["sh", "-c", command], limits, cwd=tmp_path, env=os.environ)
            assert ended.stdout == b"x\n"
    finally:
        done.set()
        busy.join()
        sys.setswitchinterval(interval)


def test_limits_are_settings_and_nonsense_is_not_taken() -> None:
    limits = TimeLimits.of({"EXPCI_CONNECT_SECONDS": "2", "EXPCI_SILENCE_SECONDS": "soon"})
    assert limits == TimeLimits(connect=2.0)
    assert TimeLimits.of({"EXPCI_REMOTE_SECONDS": "nan"}) == TimeLimits()
    assert TimeLimits.of({"EXPCI_REMOTE_SECONDS": "-1"}) == TimeLimits()


@pytest.fixture(autouse=True)
def forget() -> Iterator[None]:
    yield
    remote_module._silent.clear()

"""A reader that goes away is not the measured command's failure."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from expci.runner.measure import output
from support.clones import Clone, make_clone

NOISY = "i=0; while [ $i -lt 20000 ]; do echo line $i; echo error $i >&2; i=$((i+1)); done"


@pytest.fixture
def clone(tmp_path: Path) -> Clone:
    made = make_clone(tmp_path, f"run: '{NOISY}'")
    made.publish()
    return made


def shell(clone: Clone, script: str) -> subprocess.CompletedProcess[bytes]:
    command, env = ["sh", "-c", script], clone.environment
    return subprocess.run(command, cwd=clone.root, env=env, capture_output=True, check=False)


@pytest.mark.parametrize("pipe", ["| head -n 1", "2>&1 | head -n 1", "2>&1 >/dev/null | true"])
@pytest.mark.parametrize("module", ["expci.runner", "expci"])
def test_a_closed_pipe(clone: Clone, pipe: str, module: str) -> None:
    script = f'"{sys.executable}" -m {module} trial faster {pipe}'
    done = subprocess.run(
        ["sh", "-c", script],
        cwd=clone.root,
        env=clone.environment,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0
    assert b"Traceback" not in done.stderr
    assert sorted((t.arm, t.status) for t in clone.arrived()) == [
        ("control", "ok"),
        ("treatment", "ok"),
    ]


def test_all_output_arrives_in_its_order(clone: Clone) -> None:
    script = f'"{sys.executable}" -m expci.runner trial faster --arm control 2>&1 | cat'
    done = subprocess.run(
        ["sh", "-c", script],
        cwd=clone.root,
        env=clone.environment,
        capture_output=True,
        check=False,
    )
    lines = [line for line in done.stdout.decode().splitlines() if line[:5] in ("line ", "error")]
    assert lines == [f"{kind} {n}" for n in range(20000) for kind in ("line", "error")]


def test_a_command_that_closes_its_own_pipe_fails_as_ever(clone: Clone) -> None:
    done = clone.expci("trial", "faster", "--arm", "control", "--", "sh", "-c", "kill -PIPE $$")
    assert done.returncode == 141
    assert [trial.status for trial in clone.arrived()] == ["failed"]


def test_what_a_process_left_behind_prints_later_goes_nowhere(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In a step of CI it could give the runner commands, once they are not stopped any more."""
    monkeypatch.setattr(output, "_LEFT_S", 0.01)
    reading, target = os.pipe()
    with output.Forwarded(target, target) as streams:
        left_behind = os.dup(streams.output)
        os.write(left_behind, b"meanwhile\n")
        assert os.read(reading, 100) == b"meanwhile\n"
    os.write(left_behind, b"::error::later\n")
    os.close(left_behind)
    for thread in streams._threads:
        thread.join()
    os.close(target)
    assert os.read(reading, 100) == b""
    os.close(reading)

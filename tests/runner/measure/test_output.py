"""A reader that goes away is not the measured command's failure."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

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

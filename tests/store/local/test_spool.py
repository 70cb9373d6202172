"""What waits on this machine survives whatever happens to its writer."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from expci.core.model.trial import Trial, derived_trial_id
from expci.store.git import refs
from expci.store.git.git import Git
from expci.store.git.remote import Remote
from expci.store.local import spool


@pytest.fixture
def remote(repository: Any) -> Remote:
    return Remote.of(Git(repository.path))


def line(number: int) -> str:
    trial = Trial(
        id=derived_trial_id(str(number)),
        experiment="e",
        plan="a" * 64,
        mode="lab",
        arm="control",
        unit=f"u-{number}",
        started="2026-11-22T10:00:00.000Z",
    )
    return trial.line()


def inbox_refs(remote: Remote) -> list[str]:
    return sorted(remote.fetch(f"{refs.INBOX}/*"))


def test_what_is_kept_goes_at_the_next_flush(remote: Remote) -> None:
    [batch] = spool.keep_batches(remote.git, "e", [line(1), line(2)])
    assert spool.keep_batches(remote.git, "e", [line(1), line(2)]) == [batch]
    assert spool.flush(remote) == spool.Flushed(sent=2)
    assert inbox_refs(remote) == [refs.inbox("e", batch.name)]
    assert spool.flush(remote) == spool.Flushed()


def test_one_batch_that_is_refused_does_not_hold_up_the_others(
    remote: Remote,
    repository: Any,
) -> None:
    batches = [spool.keep_batches(remote.git, "e", [line(number)])[0] for number in range(3)]
    hook = repository.origin / "hooks" / "update"
    hook.write_text(f'#!/bin/sh\ncase "$1" in *{batches[1].name}) exit 1;; esac\n')
    hook.chmod(0o755)
    flushed = spool.flush(remote)
    assert (flushed.sent, flushed.waiting, len(flushed.problems)) == (2, 1, 1)
    assert len(inbox_refs(remote)) == 2
    assert [batch.name for batch in spool.waiting(remote.git)] == [batches[1].name]


def test_a_run_that_goes_on_is_not_taken_over(remote: Remote) -> None:
    with spool.recording(remote.git, "e") as run:
        run.add(line(1))
        assert spool.flush(remote) == spool.Flushed()
    assert spool.flush(remote).sent == 1


def test_records_of_a_killed_run_are_taken_over_and_a_torn_line_reported(
    remote: Remote,
    repository: Any,
) -> None:
    script = (
        "import os, sys; from pathlib import Path; from expci.store.local import spool\n"
        "from expci.store.git.git import Git\n"
        f"run = spool.Recording(Git(Path({str(repository.path)!r})), 'e')\n"
        "for line in sys.stdin.read().splitlines(): run.add(line)\n"
        'os.write(run._handle, b\'{"v":1,"id"\')\n'
        f"os.kill(os.getpid(), {int(signal.SIGKILL)})\n"
    )
    text = "\n".join(line(number) for number in range(3))
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    command = [sys.executable, "-S", "-c", script]
    done = subprocess.run(command, input=text, text=True, env=environment, capture_output=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert inbox_refs(remote) == []
    flushed = spool.flush(remote)
    assert flushed.sent == 3
    assert "1 lines are incomplete" in flushed.problems[0]
    assert list(spool.directory(remote.git).glob("*/*.part")) == []

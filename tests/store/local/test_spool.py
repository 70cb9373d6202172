"""What waits on this machine survives whatever happens to its writer."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from expci.core.model.experiment import DEFAULTS_FILE
from expci.core.model.trial import Trial, derived_trial_id
from expci.store.git import refs
from expci.store.git.git import Git
from expci.store.git.remote import Remote
from expci.store.inbox import send
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


def test_where_only_artifacts_count_nothing_is_pushed(remote: Remote, repository: Any) -> None:
    assert spool.takes_pushes(remote.git)
    repository.write(DEFAULTS_FILE, "transport: artifact\n")
    repository.commit()
    git = Git(repository.path)
    assert not spool.takes_pushes(git)
    spool.keep_batches(git, "e", [line(1), line(2)])
    flushed = spool.flush(Remote.of(git))
    assert (flushed.sent, flushed.waiting) == (0, 2)
    assert flushed.warnings == (spool.NOT_PUSHED,)
    assert inbox_refs(remote) == []
    repository.write(DEFAULTS_FILE, "transport: [\n")
    repository.commit()
    assert spool.takes_pushes(Git(repository.path)), "`validate` names what is wrong"


def test_a_remote_that_is_away_leaves_everything_waiting(remote: Remote, repository: Any) -> None:
    spool.keep_batches(remote.git, "e", [line(1), line(2)])
    spool.keep_batches(remote.git, "e", [line(3)])
    away = repository.origin.rename(repository.origin.with_name("away"))
    flushed = spool.flush(Remote.of(Git(repository.path)))
    assert (flushed.sent, flushed.waiting, len(flushed.problems)) == (0, 3, 1)
    assert flushed.warnings[-1].startswith("3 records wait on this machine (")
    assert sum(flushed.by_arm.values()) == 3
    assert spool.waits(1, {}).startswith("1 record waits on this machine; they")
    assert "(b 2, control 1)" in spool.waits(3, {"control": 1, "b": 2})
    away.rename(repository.origin)
    assert spool.flush(Remote.of(Git(repository.path))).sent == 3


def test_a_remote_that_refuses_everything_is_asked_three_times(
    remote: Remote, repository: Any
) -> None:
    for number in range(5):
        spool.keep_batches(remote.git, "e", [line(number)])
    hook = repository.origin / "hooks" / "update"
    asked = repository.origin / "asked"
    hook.write_text(f'#!/bin/sh\necho "$1" >> {asked}\nexit 1\n')
    hook.chmod(0o755)
    flushed = spool.flush(remote)
    assert (flushed.sent, flushed.waiting, len(flushed.problems)) == (0, 5, 1)
    alone = {name for name in asked.read_text().splitlines() if name}
    assert len(alone) <= 5
    assert len(spool.waiting(remote.git)) == 5


def test_a_batch_that_was_changed_is_set_aside(remote: Remote) -> None:
    whole, edited, nonsense = (
        spool.keep_batches(remote.git, "e", [line(number)])[0] for number in range(3)
    )
    edited.path.write_text(line(9) + "\n")
    data = b'{"v":1}\n'
    nonsense.path.rename(nonsense.path.with_name(f"{send.batch_name(data)}.jsonl"))
    nonsense.path.with_name(f"{send.batch_name(data)}.jsonl").write_bytes(data)
    flushed = spool.flush(remote)
    assert (flushed.sent, flushed.waiting, len(flushed.problems)) == (1, 0, 2)
    assert all("they are kept in" in problem for problem in flushed.problems)
    aside = remote.git.private_dir / "spool-corrupt"
    assert {path.name for path in aside.iterdir()} == {
        f"e-{edited.path.name}",
        f"e-{send.batch_name(data)}.jsonl",
    }
    assert inbox_refs(remote) == [refs.inbox("e", whole.name)]


def test_a_batch_that_cannot_be_read_holds_up_nothing(remote: Remote) -> None:
    spool.keep_batches(remote.git, "e", [line(1)])
    blocked = spool.directory(remote.git) / "e" / f"{'f' * 64}.jsonl"
    blocked.mkdir()
    flushed = spool.flush(remote)
    assert flushed.sent == 1
    assert "cannot be read" in flushed.problems[0]


def test_what_waits_can_be_set_aside_for_later(remote: Remote) -> None:
    assert spool.set_aside_all(remote.git) is None
    spool.keep_batches(remote.git, "e", [line(1)])
    aside = spool.set_aside_all(remote.git)
    assert aside is not None
    assert len(list(aside.glob("e/*.jsonl"))) == 1
    assert spool.waiting(remote.git) == []
    assert spool.flush(remote) == spool.Flushed()


def test_records_of_a_directory_that_is_no_experiments_are_left(remote: Remote) -> None:
    odd = spool.directory(remote.git) / "Not An Id"
    odd.mkdir(parents=True)
    (odd / f"{'a' * 64}.jsonl").write_text(line(1) + "\n")
    assert spool.waiting(remote.git) == []


def test_a_recording_may_go_on_after_its_batches(remote: Remote) -> None:
    with spool.recording(remote.git, "e") as run:
        assert run.close() == []
        run.add(line(1))
        [first] = run.close()
        run.add(line(2))
    assert {batch.name for batch in spool.waiting(remote.git)} > {first.name}
    assert spool.flush(remote).sent == 2

"""Killed, failed and unanswered at calls of git: the next pass ends alike and leaves no litter.

The gate walks a sample of the calls; `make faults` walks every one (about an hour).
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from expci.core.lifecycle.transitions import State
from expci.flows.auto.auto import auto
from expci.flows.verbs.fsck import fsck
from stories.conftest import Prepared
from support.repositories import Repository, git
from support.stage import Stage

EVERY = os.environ.get("EXPCI_FAULTS") == "every"
# A git that counts its calls; at one of them it kills its caller, fails, or loses the answer.
FAULTY = """#!/bin/sh
call=$(($(cat {count}) + 1))
echo $call > {count}
[ $call = {at} ] || exec {git} "$@"
case {fault} in
  kill) kill -9 $(cat {victim}); sleep 1 ;;
  fail) echo 'fatal: Input/output error' >&2; exit 128 ;;
  unanswered)
    # Its caller waits for an answer before it asks on.
    case " $* " in *' cat-file --batch-command '*) exec < /dev/null ;; esac
    {git} "$@" > /dev/null 2>&1; echo 'fatal: the remote end hung up' >&2; exit 128 ;;
esac
"""
FAULTS = ("kill", "fail", "unanswered")


class Fault:
    """A directory with the faulty git, and what it counts."""

    def __init__(self, directory: Path, at: int, fault: str) -> None:
        self.directory, self.count = directory / "bin", directory / "count"
        self.directory.mkdir()
        self.count.write_text("0")
        self.temporary = directory / "tmp"
        self.temporary.mkdir()
        self.victim = directory / "victim"
        script = self.directory / "git"
        values = {"count": self.count, "at": at, "fault": fault, "victim": self.victim}
        script.write_text(FAULTY.format(git=shutil.which("git"), **values))
        script.chmod(0o755)

    def run(self, work: Callable[[], object]) -> int:
        """`work` in a process of its own with this git; how many calls it made."""
        child = os.fork()
        if child == 0:
            try:
                self.victim.write_text(str(os.getpid()))
                os.environ["PATH"] = f"{self.directory}{os.pathsep}{os.environ['PATH']}"
                os.environ["TMPDIR"] = tempfile.tempdir = str(self.temporary)
                work()
            finally:
                os._exit(0)  # whatever it raised: the next pass has to go on from here
        os.waitpid(child, 0)
        return int(self.count.read_text())


def litter(stage: Stage) -> list[str]:
    """What only a process that works on it may have."""
    private = stage.repository.path / ".git" / "expci"
    refs = git(stage.repository.path, "for-each-ref", "--format=%(refname)", "refs/expci-fetched")
    left = [ref for ref in refs.splitlines() if "/now-" in ref]
    left += [str(path) for path in (private / "scratch").glob("*")][1:]  # one is this process's
    left += [str(path) for path in private.rglob("metrics-*")]
    left += [str(path) for path in (stage.repository.path / ".git").glob("*.lock")]
    return left


def undisturbed(stage: Stage) -> tuple[object, ...]:
    """All that must come out the same, whatever happened on the way."""
    snapshot = stage.context.store.snapshot()
    life, origin = snapshot.ledger.life("speed"), stage.repository.origin
    heads = git(origin, "for-each-ref", "--format=%(refname)", "refs/heads").splitlines()
    return (
        life.state,
        [event.word for event in life.events],
        sorted(trial.id for trial in snapshot.ledger.trials("speed")),
        dict(snapshot.inbox),
        heads,
        len(snapshot.ledger.files("pulls")),
        git(origin, "rev-list", "--count", "--first-parent", "main"),
        stage.repository.git("status", "--porcelain"),
        fsck(stage.context).problems,
    )


def calls(total: int) -> Iterator[tuple[int, str]]:
    """Which calls are disturbed, and how: all of them, or a few that are spread over the pass."""
    if EVERY:
        yield from ((at, fault) for at in range(1, total + 1) for fault in FAULTS)
        return
    yield from ((total // 3, "kill"), (2 * total // 3, "unanswered"))


@pytest.mark.slow
@pytest.mark.parametrize("story", ["promotion", "revert"])
def test_a_fault_at_a_call_of_git(story: str, prepared: Prepared, tmp_path: Path) -> None:
    first, end = prepared.winning, State.PROMOTING
    if story == "revert":
        first, end = prepared.watching.copy(tmp_path / "harmful"), State.ROLLED_BACK
        first.pairs(14, 1.6)

    def disturbed(name: str, at: int, fault: str) -> tuple[Stage, int]:
        directory = tmp_path / name
        directory.mkdir()
        stage = first.copy(directory)
        return stage, Fault(directory, at, fault).run(lambda: auto(stage.context))

    expected, total = disturbed("undisturbed", 0, "none")
    expected.auto()
    assert expected.life().state is end
    for at, fault in calls(total):
        stage, _ = disturbed(f"{fault}-{at}", at, fault)
        auto(stage.context)  # may still have something to say of what happened
        stage.auto()
        assert undisturbed(stage) == undisturbed(expected), (fault, at)
        assert litter(stage) == [], (fault, at)
        shutil.rmtree(tmp_path / f"{fault}-{at}")


def test_a_git_that_does_nothing_wrong_is_only_counted(
    repository: Repository, tmp_path: Path
) -> None:
    """The faulty git itself: each call counted, the fault at the one that was named."""
    (tmp_path / "a").mkdir()
    counted = Fault(tmp_path / "a", 0, "none")
    assert counted.run(lambda: [repository.git("status") for _ in range(3)]) == 3
    (tmp_path / "b").mkdir()
    broken = Fault(tmp_path / "b", 2, "fail")
    assert broken.run(lambda: [repository.git("status") for _ in range(3)]) == 2
    (tmp_path / "c").mkdir()
    killed = Fault(tmp_path / "c", 1, "kill")
    assert killed.run(lambda: [repository.git("status") for _ in range(3)]) == 1

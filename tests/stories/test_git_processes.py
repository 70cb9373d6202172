"""How many git processes a verb starts: a user waits for each, and a forge answers some.

Counted by git itself (GIT_TRACE2_EVENT, api-trace2(7)): a process whose session has no
parent is one that expci started.
"""

from __future__ import annotations

import json
import subprocess
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from expci.core.lifecycle.transitions import State
from expci.flows.verbs.lifecycle import pause
from expci.flows.verbs.promote import promote
from expci.flows.verbs.rollback import rollback
from support.clones import Clone
from support.specimen import FAST, SPEC
from support.stage import Stage

Count = Callable[[Callable[[], object]], Counter[str]]


@pytest.fixture
def started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Count:
    """Run something; the commands of git that it started, each with its number."""

    def count(work: Callable[[], object]) -> Counter[str]:
        log = tmp_path / "trace"
        log.write_text("")
        with monkeypatch.context() as patch:
            patch.setenv("GIT_TRACE2_EVENT", str(log))
            work()
        events = [json.loads(line) for line in log.read_text().splitlines()]
        own = [event for event in events if "/" not in event["sid"]]
        return Counter(event["name"] for event in own if event["event"] == "cmd_name")

    return count


def test_the_counter_counts(started: Count, running: Stage) -> None:
    path = running.repository.path
    commands = (["git", "status"], ["git", "status"], ["git", "log", "-1"])

    def work() -> None:
        for command in commands:
            subprocess.run(command, cwd=path, check=True, capture_output=True)

    assert started(work) == {"status": 2, "log": 1}


def test_a_pass_that_finds_nothing_new(started: Count, running: Stage) -> None:
    running.auto()
    commands = started(running.auto)
    assert commands["ls-remote"] == 1
    assert commands["push"] == 0
    assert commands["cat-file"] == 1
    assert commands.total() <= 13


def test_an_experiment_more_costs_a_pass_two_processes(started: Count, running: Stage) -> None:
    running.auto()
    one = started(running.auto)
    for number in range(3):
        running.begin(f"more-{number}", SPEC, f"{FAST}# {number}\n")
    running.auto()
    four = started(running.auto)
    assert four["ls-remote"] == one["ls-remote"]
    assert four["fetch"] == one["fetch"]
    assert four.total() - one.total() <= 3 * 2


def test_a_pass_with_one_new_batch(started: Count, running: Stage) -> None:
    running.auto()
    running.pairs(5, 1.0)
    commands = started(running.auto)
    # What arrived, the event, the reports with what the forge says; the inbox is emptied.
    assert commands["push"] == 4
    assert commands["ls-remote"] == 1
    assert commands.total() <= 24


def test_a_pass_that_promotes(started: Count, winning: Stage) -> None:
    commands = started(winning.auto)
    # Besides: the decision, the branch, the backup, the pull request with its event. And a
    # first pass says in the published document that it looks after what runs.
    assert commands["push"] == 8
    assert commands.total() <= 38


def test_a_pass_that_takes_a_promotion_back(started: Count, watching: Stage) -> None:
    watching.pairs(14, 2.5)
    commands = started(watching.auto)
    assert watching.life().state is State.ROLLED_BACK
    # What the plan makes of the base is merged once, and the revert.
    assert (commands["merge-tree"], commands["diff-tree"]) == (2, 2)
    assert commands.total() <= 38


def test_a_promotion_and_its_rollback_by_hand(started: Count, promoting: Stage) -> None:
    commands = started(lambda: promote(promoting.context, "speed", merge=True))
    # At first, before the merge and after it: others merge, too.
    assert (commands["ls-remote"], promoting.life().state) == (3, State.WATCHING)
    assert commands.total() <= 40
    by_hand = partial(rollback, promoting.context, "speed", reason="slow", force=True)
    commands = started(by_hand)
    assert (commands["ls-remote"], promoting.life().state) == (1, State.ROLLED_BACK)
    assert commands.total() <= 34


def test_a_pause(started: Count, running: Stage) -> None:
    commands = started(lambda: pause(running.context, "speed", "wait"))
    assert (commands["ls-remote"], commands["push"]) == (1, 2)
    assert commands.total() <= 13


def test_a_start(started: Count, running: Stage) -> None:
    running.propose("again", SPEC, f"{FAST}# again\n")
    commands = started(lambda: running.start("again"))
    assert (commands["push"], commands["ls-remote"]) == (2, 1)
    assert commands.total() <= 22


@pytest.mark.parametrize(
    ("arguments", "most"),
    [
        (("trial", "speed", "--", "true"), 11),
        (("record", "speed", "--arm", "control", "--metric", "duration_s=3"), 6),
    ],
)
def test_what_a_job_runs(
    started: Count, running: Stage, arguments: tuple[str, ...], most: int, tmp_path: Path
) -> None:
    clone = Clone(running.repository.path, running.repository.origin, "speed")

    def work() -> None:
        trace = str(tmp_path / "trace")
        done = clone.expci(*arguments, env={"GIT_TRACE2_EVENT": trace})
        assert done.returncode == 0, done.stderr

    commands = started(work)
    assert (commands["fetch"], commands["push"], commands["cat-file"]) == (1, 1, 1)
    assert commands.total() <= most


def test_an_assignment(started: Count, running: Stage, tmp_path: Path) -> None:
    clone = Clone(running.repository.path, running.repository.origin, "speed")
    trace = {"GIT_TRACE2_EVENT": str(tmp_path / "trace")}
    commands = started(lambda: clone.expci("assign", "speed", "--unit", "one", env=trace))
    assert commands == {"rev-parse": 1, "remote": 1, "fetch": 1, "cat-file": 1}

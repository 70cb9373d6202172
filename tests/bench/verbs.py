"""Single verbs against the bare work: starting, a trial, a record, an assignment, a large tree."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

from bench import scenes
from bench.costs import Command, Cost, cost_of, git_processes, median, medians
from bench.rows import Result
from bench.scenes import EXPCI

BARE_IMPORT = [sys.executable, "-c", "import numpy, scipy.special"]
RUNNER = [sys.executable, "-S", "-m", "expci.runner"]
FETCH = "git fetch -q --no-tags --no-write-fetch-head origin +refs/expci/published:refs/b/p"
PUSH = """
blob=$(echo "{\\"n\\":$$}" | git hash-object -w --stdin)
tree=$(printf '100644 blob %s\\ttrials.jsonl\\n' $blob | git mktree)
commit=$(git commit-tree $tree -m Trials </dev/null)
git push -q --force-with-lease=refs/expci/raw/$commit: origin $commit:refs/expci/raw/$commit
"""
TREES = """
git worktree add -q --detach $PWD-a HEAD && git worktree add -q --detach $PWD-b HEAD
(cd $PWD-a && true); (cd $PWD-b && true)
git worktree remove --force $PWD-a && git worktree remove --force $PWD-b
"""


def shell(*scripts: str) -> Command:
    return ["sh", "-ec", "\n".join(scripts)]


def ratio(key: str, ours: Cost, theirs: Cost) -> Result:
    seconds = f"{ours.cpu_s:.2f} s against {theirs.cpu_s:.3f} s of processor time"
    wall = f"{ours.wall_s / theirs.wall_s:.1f} × by the clock"
    return Result(key, ours.cpu_s / theirs.cpu_s, f"{seconds}; {wall}")


def start() -> Iterator[Result]:
    """What every run waits for."""
    bare, *ours = medians(
        [[sys.executable, "-c", "pass"], [*EXPCI, "--help"], [*EXPCI, "--version"]], 7
    )
    for key, cost in zip(("help", "version"), ours, strict=True):
        yield ratio(key, cost, bare)
    with scenes.running() as stage:
        scenes.push_trials(stage, "speed", 20)
        stage.auto()
        analyze = [*EXPCI, "analyze", "speed", "-C", str(stage.repository.path)]
        bare, whole = medians([BARE_IMPORT, analyze], 7)
        yield ratio("analyze_cold", whole, bare)


def trial() -> Iterator[Result]:
    """A trial, a record and an assignment, each sent to a bare repository on the same disk."""
    with scenes.running() as stage:
        place = stage.repository.path
        command = [*EXPCI, "trial", "speed", "--pairs", "1", "--", "true"]
        bare, ours = medians([shell(FETCH, TREES, PUSH), command], 5, place)
        yield ratio("trial", ours, bare)
        yield Result("trial_git", git_processes(command, place), "as git's own trace counts them")
        os.environ["PYTHONPATH"] = str(scenes.ROOT)
        record = [*RUNNER, "record", "speed", "--arm", "control", "--metric", "duration_s=1"]
        bare, ours = medians([shell(FETCH, PUSH), record], 7, place)
        yield ratio("record", ours, bare)
        assign = [*RUNNER, "assign", "speed", "--unit", "u1"]
        bare, ours = medians([shell(FETCH), assign], 7, place)
        yield ratio("assign", ours, bare)
        del os.environ["PYTHONPATH"]


def lab_tree(files: int = 20_000) -> Iterator[Result]:
    """A pair of the lab in a large repository."""
    with scenes.repository() as clone:
        for number in range(files):
            clone.write(f"src/{number % 200}/{number}.txt", f"{number}\n" * 20)
        clone.commit("A large tree")
        clone.push("HEAD:main")
        from support.stage import Stage

        stage = Stage(clone)
        stage.begin(spec=scenes.SPEC)
        place: Path = clone.path
        command = [*EXPCI, "trial", "speed", "--pairs", "1", "--", "true"]
        pairs = [(cost_of(shell(TREES), place), cost_of(command, place)) for _ in range(3)]
        bare, ours = (median(costs) for costs in zip(*pairs, strict=True))
        yield ratio("lab_tree", ours, bare)

"""Passes: how the cost follows what is new, with the number of experiments and of trials."""

from __future__ import annotations

import math
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace

from bench import scale, scenes
from bench.costs import Cost, cost_of, median
from bench.rows import Result
from bench.scenes import EXPCI
from bench.verbs import FETCH, PUSH, RUNNER, ratio, shell
from support.repositories import git
from support.stage import Stage

AUTO = [*EXPCI, "auto"]
NEWS = "git ls-remote -q origin 'refs/*' >/dev/null; git fetch -q origin +refs/expci/*:refs/b/*"
INBOX = "git fetch -q origin '+refs/expci/inbox/*:refs/b/inbox/*'"


def passed(stage: Stage) -> Cost:
    """The cost of one pass, as the next process of the same clone."""
    return cost_of(AUTO, stage.repository.path)


def ten_new() -> Iterator[Result]:
    """Ten new trials beside a thousand and beside a hundred thousand."""
    costs = []
    for count in (1_000, 100_000):
        with scenes.repository() as clone:
            scale.with_trials(clone, count)
            stage = later(Stage(clone))
            passed(stage)
            costs.append(median([_with_ten(stage, "speed", count + 10 * n) for n in range(3)]))
    few, many = costs
    detail = f"{many.cpu_s:.2f} s against {few.cpu_s:.2f} s of processor time"
    yield Result("ten_new", many.cpu_s / few.cpu_s, detail)


def later(stage: Stage) -> Stage:
    """The stage at the real time, as the processes see it."""
    from datetime import UTC, datetime

    return replace(stage, now=datetime.now(UTC))


def _with_ten(stage: Stage, name: str, first: int) -> Cost:
    scenes.push_trials(stage, name, 10, first)
    return passed(stage)


def first_pass(experiments: int = 10, trials: int = 1_000) -> Iterator[Result]:
    """Everything new at once."""
    with scenes.repository() as clone:
        stage = later(Stage(clone))
        scenes.merged(stage, experiments)
        stage.auto()
        for number in range(experiments):
            scenes.push_trials(stage, f"e{number:04}", trials)
        bare = cost_of(shell(NEWS, INBOX, PUSH, BATCHES), clone.path)
        ours = passed(stage)
        yield ratio("first_pass", ours, bare)


# The records of all fetched batches, into columns, and each metric's moments by arm.
BATCHES = f"""
oids=$(git for-each-ref --format='%(objectname):trials.jsonl' refs/b/inbox | git cat-file \\
  --batch-check='%(objectname)')
cat > .git/bare.py <<'END'
{scale.BARE}
END
{sys.executable} .git/bare.py $oids > /dev/null
"""


def idle() -> Iterator[Result]:
    """Nothing new, with few and many experiments; and as many starts in one pass before it."""
    starts = []
    for count in (1, 10, 30, 100):
        with scenes.repository() as clone:
            stage = later(Stage(clone))
            scenes.merged(stage, count)
            begun = passed(stage)
            starts.append((count, begun))
            passed(stage)
            bare = median([cost_of(shell(NEWS), clone.path) for _ in range(3)])
            ours = median([passed(stage) for _ in range(3)])
            if count != 10:
                yield ratio(f"idle_{count}", ours, bare)
            if count == 100:
                yield ratio("idle_whole", median([_whole(stage) for _ in range(3)]), bare)
            if count == 30:
                yield from _ten_in_ten(stage)
    base = starts[0][1].cpu_s
    (_, ten), (_, thirty) = starts[1], starts[2]
    growth = math.log((thirty.cpu_s - base) / (ten.cpu_s - base)) / math.log(29 / 9)
    seconds = ", ".join(f"{count}: {cost.cpu_s:.1f} s" for count, cost in starts)
    yield Result("starts_growth", growth, f"processor time of the pass that starts {seconds}")


def _whole(stage: Stage) -> Cost:
    """The cost of a pass that finds nothing of the one before it."""
    (stage.repository.path / ".git/expci/resting-pass").unlink(missing_ok=True)
    return passed(stage)


def _ten_in_ten(stage: Stage) -> Iterator[Result]:
    for number in range(10):
        scenes.push_trials(stage, f"e{number:04}", 10)
    many = passed(stage)
    with scenes.repository() as clone:
        alone = later(Stage(clone))
        scenes.merged(alone, 10)
        alone.auto()
        passed(alone)
        for number in range(10):
            scenes.push_trials(alone, f"e{number:04}", 10)
        few = passed(alone)
    yield ratio("ten_in_ten", many, few)


def writers(count: int = 64) -> Iterator[Result]:
    """Records at once from one clone, against as many raw pushes; each arrives once."""
    with scenes.running() as stage:
        place = stage.repository.path
        record = " ".join([*RUNNER, "record", "speed", "--arm", "control", "--metric duration_s=1"])
        with tempfile.NamedTemporaryFile("w", suffix=".sh") as raw:
            raw.write(FETCH + PUSH)
            raw.flush()
            bare = cost_of(
                shell(f"for n in $(seq {count}); do sh -e {raw.name} & done; wait"), place
            )
        ours = cost_of(
            shell(
                f"export PYTHONPATH={scenes.ROOT}",
                f"for n in $(seq {count}); do {record} & done; wait",
                f"{record} --flush",
            ),
            place,
        )
        listed = git(place, "ls-remote", "origin", "refs/expci/inbox/*").splitlines()
        subprocess.run(AUTO, cwd=place, check=True, capture_output=True)
        trials = stage.context.store.snapshot(inbox=False).ledger.trials("speed")
        ids = {trial.id for trial in trials}
        assert len(ids) == len(trials) == count + 1, f"{len(ids)} of {count} arrived"
        arrived = f"{len(listed)} batches, 0 lost, 0 double"
        detail = f"{ours.cpu_s:.1f} s against {bare.cpu_s:.1f} s; {arrived}"
        yield Result("writers", ours.cpu_s / bare.cpu_s, detail)


def bytes_per_trial(passes: int = 20, trials: int = 50) -> Iterator[Result]:
    """The whole history of a ledger, packed by git, against the trials at its tip alone."""
    with scenes.repository() as clone:
        stage = later(Stage(clone))
        stage.begin(spec=scenes.SPEC)
        for number in range(passes):
            scenes.push_trials(stage, "speed", trials, number * trials)
            passed(stage)
        origin, ref = clone.origin, "refs/expci/ledger"
        gc = ["-c", "pack.threads=1", "gc", "-q", "--prune=now", "--aggressive"]
        git(origin, *gc)  # several threads pack alike histories differently
        size = ["rev-list", "--objects", "--disk-usage"]
        history = int(git(origin, *size, ref))
        tree = git(origin, "rev-parse", f"{ref}:experiments/speed/trials")
        with tempfile.TemporaryDirectory() as place:
            git(origin, "init", "-q", "--bare", place)
            commit = git(origin, "commit-tree", tree, "-m", "Data")
            git(origin, "push", "-q", place, f"{commit}:refs/heads/data")
            from pathlib import Path

            git(Path(place), *gc)
            data = int(git(Path(place), *size, "refs/heads/data"))
        every = passes * trials
        detail = f"{history / every:.0f} bytes a trial, of which {data / every:.0f} are data"
        yield Result("bytes_per_trial", history / data, detail)

"""Ledgers of many trials, and what reading them costs: `expci analyze` against the bare work.

The bare work on the same bytes is `git cat-file --batch`, msgspec into typed records, and numpy's
n, mean and variance of each metric in each arm. Costs are processor time and peak memory of whole
processes, so that other work on the machine does not count.
"""

from __future__ import annotations

import sys
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np

from expci.core.model.trial import Trial, derived_trial_id, timestamp
from expci.store.ledger import paths, segments
from expci.store.ledger.transaction import LedgerChange
from support.repositories import Repository, git
from support.stage import Stage

SPEC = """\
version: 1
name: Scale
hypothesis: The new script cuts the work's duration by 0.1% within 90 days.
run: ./work.sh
slot: tests
arms:
  control: {}
  treatment:
    files: treatment/
metrics:
  - {name: duration_s, role: primary, direction: decrease, minimum_effect: 0.1%}
  - {name: cost_usd, role: guardrail, direction: decrease}
assignment: {unit: job, design: randomized}
plan: {sample_size: 10000000, inference: anytime, max_days: 90}
"""
BARE = """\
import subprocess, sys
import msgspec, numpy as np
class Record(msgspec.Struct, gc=False):
    arm: str
    plan: str
    status: str
    metrics: dict[str, float]
decoder = msgspec.json.Decoder(Record)
oids = sys.argv[1:]
git = subprocess.Popen(["git", "cat-file", "--batch"], stdin=-1, stdout=-1)
arms, values = [], {name: [] for name in ("duration_s", "cost_usd", "success")}
for oid in oids:
    git.stdin.write(oid.encode() + b"\\n")
    git.stdin.flush()
    size = int(git.stdout.readline().split()[2])
    rows = decoder.decode_lines(git.stdout.read(size + 1)[:size])
    arms.append(np.array([row.arm == "control" for row in rows]))
    for name, parts in values.items():
        parts.append(np.array([row.metrics[name] for row in rows]))
arm = np.concatenate(arms)
for parts in values.values():
    column = np.concatenate(parts)
    for own in (column[arm], column[~arm]):
        print(own.size, own.mean(), own.var(ddof=1))
"""
PER_SEGMENT = 20_000


def bare(path: Path) -> list[str]:
    """The bare work on the trials that lie in the ledger of a clone, run there."""
    tree = git(path, "ls-tree", "refs/expci-fetched/expci/ledger:" + paths.trials("speed"))
    return [sys.executable, "-c", BARE, *(line.split()[2] for line in tree.splitlines())]


def with_trials(repository: Repository, count: int) -> None:
    """Start an experiment and put `count` trials of three metrics into its ledger."""
    stage = Stage(repository)
    stage.begin(spec=SPEC)
    store = stage.context.store
    plan = store.snapshot(inbox=False).ledger.life("speed").plan or ""
    rng = np.random.default_rng(count)
    for first in range(0, count, PER_SEGMENT):
        numbers = range(first, min(first + PER_SEGMENT, count))
        lines = (record_line(stage.now, "speed", plan, number, rng) for number in numbers)
        data = b"".join(line.encode() + b"\n" for line in lines)
        path = f"{paths.trials('speed')}/{segments.name_for(first + 1, data)}"
        change = LedgerChange.of("Trials", {path: data})
        store.transact(stage.now, lambda _, change=change: change)  # type: ignore[misc]


def record_line(
    start: datetime, name: str, plan: str, number: int, rng: np.random.Generator
) -> str:
    """A trial of a job in CI, with three metrics and a context of the usual size."""
    arm = "treatment" if rng.random() < 0.5 else "control"
    run = 7_000_000_000 + number
    trial = Trial(
        id=derived_trial_id(name, str(number)),
        experiment=name,
        plan=plan,
        mode="live",
        arm=arm,
        unit=f"job-{run}-test-1",
        started=timestamp(start + timedelta(milliseconds=50 * number)),
        metrics={
            "duration_s": float(np.exp(rng.normal(3, 0.3))),
            "cost_usd": float(rng.normal(2, 0.4)),
            "success": 1.0,
        },
        context={
            "run_id": str(run),
            "job": "test",
            "workflow": "tests",
            "repository": "octocat/tools",
            "os": "Linux",
            "cpu": "AMD EPYC 7763 64-Core Processor",
            "actor": "octocat",
            "event": "push",
        },
    )
    return trial.line()

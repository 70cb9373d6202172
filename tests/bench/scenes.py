"""Repositories that the bench works in: a clone with a running experiment, or with many."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir

import numpy as np

from bench.scale import record_line
from expci.store.inbox import send
from support.repositories import Repository, git, project
from support.stage import Stage

EXPCI = [sys.executable, "-m", "expci"]
ROOT = Path(__file__).resolve().parents[2]
SPEC = """\
version: 1
name: Speed
hypothesis: The new script cuts the work's duration by 15% within 14 days.
run: ./work.sh
arms:
  control: {}
  treatment:
    files: treatment/
metrics:
  - {name: duration_s, role: primary, direction: decrease, minimum_effect: 15%}
  - {name: cost_usd, role: guardrail, direction: decrease}
plan:
  sample_size: 100000
  inference: anytime
"""


@contextmanager
def repository() -> Iterator[Repository]:
    """A clone of a bare repository, in a directory that is its home, too.

    Temporary work trees lie on the same file system: both sides write to the same.
    """
    with TemporaryDirectory(dir=os.environ.get("EXPCI_BENCH_DIR", gettempdir())) as place:
        home = Path(place) / "home"
        home.mkdir()
        (home / ".gitconfig").write_text(
            "[user]\nname = Ada\nemail = ada@example.org\n[init]\ndefaultBranch = main\n"
        )
        os.environ |= {"HOME": str(home), "TMPDIR": str(home)}
        yield project(Path(place))


@contextmanager
def running() -> Iterator[Stage]:
    """An experiment `speed` that has just started."""
    with repository() as clone:
        stage = Stage(clone)
        stage.begin(spec=SPEC)
        yield stage


def merged(stage: Stage, count: int) -> None:
    """So many experiments on the default branch, which the next pass starts."""
    for number in range(count):
        name = f"e{number:04}"
        stage.repository.write(f"experiments/{name}/experiment.yml", SPEC)
        path = f"experiments/{name}/treatment/work.sh"
        stage.repository.write(path, f"sleep 0.00{number}\n", executable=True)
    stage.repository.commit("Experiments")
    stage.repository.push("HEAD:main")


def push_trials(stage: Stage, name: str, count: int, first: int = 0) -> None:
    """Batches with trials of one experiment, as jobs push them."""
    plan = stage.life(name).plan or ""
    rng = np.random.default_rng(count + first)
    lines = [
        record_line(stage.now, name, plan, number, rng) for number in range(first, first + count)
    ]
    for batch in send.split(lines):
        send.send(stage.context.store.remote, name, send.encode(batch))


def ledger_of(clone: Repository) -> str:
    return git(clone.origin, "rev-parse", "refs/expci/ledger")

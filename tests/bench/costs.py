"""Costs of whole processes, in turn, so that a busy machine is busy for all of them."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

Command = Sequence[str]
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # modules are compiled once, as for users


@dataclass(frozen=True)
class Cost:
    """Of a process and its children: processor and wall seconds, megabytes at the most."""

    cpu_s: float
    peak_mb: float
    wall_s: float = 0.0


# A process begins with the memory of the one that forks it, so a small one does.
_MEASURE = """\
import json, os, sys, time
place, *command = sys.argv[1:]
began = time.monotonic()
child = os.fork()
if not child:
    os.chdir(place)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    os.execvp(command[0], command)
_, status, used = os.wait4(child, 0)
wall = time.monotonic() - began
cost = [used.ru_utime + used.ru_stime, used.ru_maxrss / 1024, wall]
print(json.dumps([os.waitstatus_to_exitcode(status), *cost]))
"""


def cost_of(command: Command, place: Path | None = None) -> Cost:
    """Run a command to its end; `RuntimeError` where it fails."""
    small = [sys.executable, "-S", "-E", "-c", _MEASURE, str(place or Path.cwd()), *command]
    done = subprocess.run(small, capture_output=True, text=True, check=False)
    code, *numbers = json.loads(done.stdout.splitlines()[-1])
    if code:
        raise RuntimeError(f"{' '.join(command[:6])} ended with {code}: {done.stderr[-500:]}")
    return Cost(*numbers)


def medians(commands: Sequence[Command], rounds: int, place: Path | None = None) -> list[Cost]:
    """The median of the processor time of each, in turn; the first round is not counted."""
    costs: list[list[Cost]] = [[] for _ in commands]
    for number in range(rounds + 1):
        for column, command in zip(costs, commands, strict=True):
            cost = cost_of(command, place)
            if number:
                column.append(cost)
    return [median(column) for column in costs]


def median(costs: Sequence[Cost]) -> Cost:
    return Cost(
        statistics.median(cost.cpu_s for cost in costs),
        statistics.median(cost.peak_mb for cost in costs),
        statistics.median(cost.wall_s for cost in costs),
    )


def git_processes(command: Command, place: Path) -> int:
    """How many processes of git it starts, as git's own trace counts them."""
    with tempfile.TemporaryDirectory() as directory:
        log = Path(directory) / "trace"
        environment = {**os.environ, "GIT_TRACE2_EVENT": str(log)}
        subprocess.run(command, check=True, cwd=place, capture_output=True, env=environment)
        lines = log.read_text().splitlines()
    events = map(json.loads, lines)
    return sum(event["event"] == "version" and "/" not in event["sid"] for event in events)

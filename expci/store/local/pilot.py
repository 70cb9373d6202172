"""Pilot trials: kept on this machine, sent nowhere. They feed the design of the plan."""

from __future__ import annotations

import os
from pathlib import Path

from expci.store.git.git import Git


def path(git: Git, experiment: str) -> Path:
    return git.private_dir / "pilot" / f"{experiment}.jsonl"


def add(git: Git, experiment: str, line: str) -> None:
    """Append one record, durably."""
    target = path(git, experiment)
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("ab") as file:
        file.write(line.encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())

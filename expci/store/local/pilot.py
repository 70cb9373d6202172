"""Pilot trials: kept on this machine, sent nowhere. They feed the design of the plan."""

from __future__ import annotations

from pathlib import Path

from expci.store.git import durable
from expci.store.git.git import Git


def pilot_path(git: Git, experiment: str) -> Path:
    return git.private_dir / "pilot" / f"{experiment}.jsonl"


def append_pilot(git: Git, experiment: str, line: str) -> None:
    """Append one record, durably."""
    durable.append(pilot_path(git, experiment), line.encode() + b"\n")

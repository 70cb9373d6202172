"""Words for the log and the page of a GitHub Actions run.

https://docs.github.com/actions/reference/workflow-commands-for-github-actions
"""

from __future__ import annotations

from typing import Literal

Level = Literal["notice", "warning", "error"]


def say(text: str) -> None:
    """One line in the log, that the runner takes for nothing else."""
    print(f"expci: {' '.join(text.splitlines())}", flush=True)


def annotate(level: Level, text: str) -> None:
    """A line that also stands on the run's page."""
    print(f"::{level} title=expci::{_escaped(text)}", flush=True)


def _escaped(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")

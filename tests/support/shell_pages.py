"""Pages whose shell blocks run: `expci` on PATH, and a script's way through a clone."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from support.repositories import Repository

DOCS = Path(__file__).parents[2] / "docs"


def blocks(text: str, *languages: str) -> list[str]:
    """The fenced blocks in any of `languages`, in order, without their indentation."""
    words = "|".join(languages)
    found = re.findall(rf"^( *)```(?:{words})\n(.*?)^ *```", text, re.MULTILINE | re.DOTALL)
    return [re.sub(rf"^{indent}", "", body, flags=re.MULTILINE) for indent, body in found]


def run_script(
    repository: Repository, tools: Path, script: str
) -> subprocess.CompletedProcess[str]:
    """The script, run by sh in the clone; it ends at the first command that fails."""
    tools.mkdir(exist_ok=True)
    expci = tools / "expci"
    expci.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m expci "$@"\n')
    expci.chmod(0o755)
    return subprocess.run(
        ["sh", "-eu"],
        input=script,
        cwd=repository.path,
        env={**os.environ, "PATH": f"{tools}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )

"""The action `site`: the page of a repository, written where the next step finds it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from support.repositories import Repository

ACTIONS = Path(__file__).parents[2] / ".github" / "actions"


def test_the_step_says_where_the_page_is(repository: Repository, tmp_path: Path) -> None:
    answers = tmp_path / "output"
    given = {
        "GITHUB_OUTPUT": str(answers),
        "GITHUB_WORKSPACE": str(repository.path),
        "INPUT_PYTHON": sys.executable,
        "RUNNER_TEMP": str(tmp_path),
    }
    done = subprocess.run(
        ["sh", str(ACTIONS / "start.sh"), "site"],
        cwd=repository.path,
        env={**os.environ, **given},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    name, value, _ = answers.read_text().splitlines()
    assert (name.partition("<<")[0], value) == ("directory", f"{tmp_path}/expci-page")
    assert "No experiment runs" in (tmp_path / "expci-page" / "index.html").read_text()

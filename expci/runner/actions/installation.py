"""`auto` and `validate` need more than the standard library: a Python that has it all.

A virtual environment of the locked dependencies, created in the job; expci itself runs from
the action's own checkout.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from expci.errors import ExpciError
from expci.runner.actions.inputs import Inputs
from expci.runner.ci import messages
from expci.store.git import credentials
from expci.store.git.git import Git

HOME = Path(__file__).parents[3]
LOCK = HOME / "requirements.lock"
SQL_LOCK = HOME / "requirements-sql.lock"  # the same with the extra `sql`


def run(
    verb: Sequence[str],
    root: Path,
    inputs: Inputs,
    environment: Mapping[str, str],
    more: Mapping[str, str],
) -> int:
    """The verb in the checkout at `root`; its exit code. Only it sees the token."""
    # What start.py set for git, which `environment` does not know.
    settings = {key: value for key, value in os.environ.items() if key.startswith("GIT_CONFIG_")}
    variables = {**environment, **settings, **more}
    try:
        python = inputs.python or _new_environment(environment, sql=bool(inputs.sources))
        variables |= inputs.source_variables()
        variables |= _own(root, inputs, environment)
    except ExpciError as error:
        messages.annotate("error", str(error))
        return error.exit_code
    if not inputs.python:
        variables["PYTHONPATH"] = str(HOME)
    # -P: what the checkout calls `json.py` or `expci/` is not what we import.
    return subprocess.run(
        [python, "-P", "-m", "expci", *verb], cwd=root, env=variables, check=False
    ).returncode


def _own(root: Path, inputs: Inputs, environment: Mapping[str, str]) -> dict[str, str]:
    """The token, for the API and for git where the checkout has no credentials."""
    git = Git.at(root)
    if not inputs.token or "origin" not in git.remotes():
        return {"GITHUB_TOKEN": inputs.token} if inputs.token else {}
    server = environment.get("GITHUB_SERVER_URL", "")
    own = credentials.token_environment(git, "origin", inputs.token, server)
    return {"GITHUB_TOKEN": inputs.token, **own}


def _new_environment(environment: Mapping[str, str], *, sql: bool) -> str:
    """A new virtual environment with the dependencies; its interpreter."""
    place = environment.get("RUNNER_TEMP") or None
    directory = Path(tempfile.mkdtemp(prefix="expci-python-", dir=place))
    python = str(directory / "bin" / "python")
    lock, bare = (SQL_LOCK, f"{HOME}[sql]") if sql else (LOCK, str(HOME))
    locked = ("--require-hashes", "--requirement", str(lock)) if lock.exists() else (bare,)
    # -I: neither the checkout's `venv.py` nor its `pip.py`.
    _call(environment, sys.executable, "-I", "-m", "venv", str(directory))
    pip = (python, "-I", "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
    # --no-compile: the verb compiles the few modules that it imports.
    _call(environment, *pip, "--no-input", "--no-compile", *locked)
    return python


def _call(environment: Mapping[str, str], *command: str) -> None:
    done = subprocess.run(
        command, env=dict(environment), capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise ExpciError(
            f"expci's dependencies could not be installed: {(done.stderr or done.stdout).strip()}"
        )

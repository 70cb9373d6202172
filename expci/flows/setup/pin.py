"""Which commit of expci the workflows call: given, or the one that is running now."""

from __future__ import annotations

import json
import re
from importlib import metadata
from pathlib import Path
from urllib.parse import unquote, urlsplit

import expci
from expci.core.model.limits import HOME
from expci.errors import ExpciError, UsageError
from expci.flows.setup.built import built
from expci.store.git.git import Git

_SHA = re.compile(r"[0-9a-f]{40}")


UNKNOWN = (
    f"they call {HOME} at one exact commit, and this installation does not say which commit it "
    f"is. Name one: expci init --pin $(git ls-remote https://github.com/{HOME} HEAD | cut -f1)\n"
    "or do without them: expci init --no-workflows"
)


def find_pin(given: str | None) -> str:
    """The full commit id to pin to; `ExpciError` says how to give one."""
    if given is not None:
        if not _SHA.fullmatch(given):
            raise UsageError(
                f"--pin {given}: a full commit id is needed, 40 hexadecimal digits; a branch or "
                "a tag can be moved to other code"
            )
        return given
    commit = running()
    if commit is None:
        raise ExpciError(f"what the workflows should be cannot be told: {UNKNOWN}")
    return commit


def running() -> str | None:
    """The commit of the expci that is running, where its checkout, installer or wheel tells."""
    return _head(Path(expci.__file__).parents[1]) or _installed() or built().commit


def _installed() -> str | None:
    # https://packaging.python.org/en/latest/specifications/direct-url/
    try:
        text = metadata.distribution("expci").read_text("direct_url.json")
        origin = json.loads(text or "{}")
        if "vcs_info" in origin:
            commit = str(origin["vcs_info"]["commit_id"])
            return commit if _SHA.fullmatch(commit) else None
        url = urlsplit(str(origin.get("url", "")))
        return _head(Path(unquote(url.path))) if url.scheme == "file" else None
    except (metadata.PackageNotFoundError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _head(directory: Path) -> str | None:
    """HEAD of a checkout of expci whose top is `directory`."""
    # Installed below somebody else's repository, git would answer with theirs.
    if not (directory / ".git").exists() or not (directory / "expci" / "__init__.py").is_file():
        return None
    try:
        return Git.at(directory).resolve("HEAD")
    except ExpciError:
        return None

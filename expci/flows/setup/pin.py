"""Which commit of expci the workflows call: given, or the one that is running now."""

from __future__ import annotations

import json
import re
import tempfile
from importlib import metadata
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import expci
from expci.core.model.limits import HOME
from expci.errors import ExpciError, UsageError
from expci.flows.setup.built import built
from expci.store.git.git import Git
from expci.store.git.refusal import visible_text
from expci.store.git.time_limit import TimedOut

_SHA = re.compile(r"[0-9a-f]{40}")
# What the workflows fetch and run.
_USED = ("expci", ".github/actions", "action.yml", "pyproject.toml", "requirements.lock")
_MISSING = re.compile(r"not our ref|bad object|no such ref|couldn't find remote ref", re.IGNORECASE)

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
        raise ExpciError(f"cannot tell what the workflows should be: {UNKNOWN}")
    _require_clean(commit)
    return commit


def why_unasked(commit: str, address: str) -> str:
    """Why the repository at `address` could not be asked for the commit; "" where it has it.

    `ExpciError` where it has not: a workflow that names it could not start.
    """
    with tempfile.TemporaryDirectory(prefix="expci-pin-") as directory:
        git = Git(Path(directory))
        git.run("init", "--quiet", "--bare")
        try:
            # One object: neither files nor history.
            options = (
                "--quiet",
                "--depth=1",
                "--filter=tree:0",
                "--no-tags",
                "--no-write-fetch-head",
            )
            done = git.attempt_remote("fetch", *options, address, commit, env={})
        except TimedOut as error:
            return str(error)
    words = visible_text(done.stderr)
    if done.returncode != 0 and _MISSING.search(words):
        raise ExpciError(
            f"{address} has no commit {commit}: no workflow that names it could start. Push it "
            "there first, or name one that is there: "
            f"expci init --pin $(git ls-remote {address} HEAD | cut -f1)"
        )
    return "" if done.returncode == 0 else words


def _require_clean(commit: str) -> None:
    """`ExpciError` where the checkout that runs is not its commit: the workflows would differ."""
    checkout = next((place for place in _checkouts() if _head(place)), None)
    if checkout is None:
        return
    status = Git.at(checkout).run("status", "--porcelain", "-z", "--no-renames", "--", *_USED)
    changed = [row[3:] for row in status.decode(errors="backslashreplace").split("\0") if row]
    if changed:
        more = f" and {len(changed) - 3} more" if len(changed) > 3 else ""
        raise ExpciError(
            f"the expci that runs, in {checkout}, is not its commit {commit[:12]}: "
            f"{', '.join(changed[:3])}{more} changed. The workflows would run something else. "
            "Commit and push that, or name a commit with --pin"
        )


def running() -> str | None:
    """The commit of the expci that is running, where its checkout, installer or wheel tells."""
    heads = filter(None, map(_head, _checkouts()))
    return next(heads, None) or _installed() or built().commit


def _checkouts() -> tuple[Path, ...]:
    """Where a checkout of expci may be that runs: around this file, or what pip installed."""
    url = urlsplit(str(_direct_url().get("url", "")))
    around = Path(expci.__file__).parents[1]
    return (around, Path(unquote(url.path))) if url.scheme == "file" else (around,)


def _installed() -> str | None:
    """The commit of a repository that pip installed from."""
    commit = str((_direct_url().get("vcs_info") or {}).get("commit_id"))
    return commit if _SHA.fullmatch(commit) else None


def _direct_url() -> dict[str, Any]:
    # https://packaging.python.org/en/latest/specifications/direct-url/
    try:
        text = metadata.distribution("expci").read_text("direct_url.json")
        document = json.loads(text or "{}")
    except (metadata.PackageNotFoundError, ValueError):
        return {}
    return document if isinstance(document, dict) else {}


def _head(directory: Path) -> str | None:
    """HEAD of a checkout of expci whose top is `directory`."""
    # Installed below somebody else's repository, git would answer with theirs.
    if not (directory / ".git").exists() or not (directory / "expci" / "__init__.py").is_file():
        return None
    try:
        return Git.at(directory).resolve("HEAD")
    except ExpciError:
        return None

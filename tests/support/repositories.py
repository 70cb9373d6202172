"""Real git repositories for the tests: a clone with its bare origin."""

from __future__ import annotations

import atexit
import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path


@dataclass(frozen=True)
class Repository:
    """A clone with its bare origin."""

    path: Path
    origin: Path

    def git(self, *arguments: str) -> str:
        return git(self.path, *arguments)

    def write(self, path: str, text: str, *, executable: bool = False) -> Path:
        target = self.path / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
        if executable:
            target.chmod(0o755)
        return target

    def commit(self, message: str = "change") -> str:
        self.git("add", "-A")
        self.git("commit", "-q", "-m", message)
        return self.git("rev-parse", "HEAD")

    def push(self, *refspecs: str) -> None:
        self.git("push", "-q", "origin", *(refspecs or ("HEAD",)))

    def copy(self, directory: Path, name: str | None = None) -> Repository:
        """Both again, below `directory`."""
        name = name or self.path.name
        made = Repository(directory / name, directory / f"{name}.git")
        copy_clone(self.path, self.origin, made.path, made.origin)
        return made

    def origin_file(self, path: str, branch: str = "main") -> str:
        return git(self.origin, "show", f"{branch}:{path}")


def copy_clone(path: Path, origin: Path, to: Path, to_origin: Path) -> None:
    """A clone and its origin again, the one still the remote of the other."""
    shutil.copytree(path, to, symlinks=True)
    shutil.copytree(origin, to_origin, symlinks=True)
    config = to / ".git" / "config"
    text = config.read_text()
    assert f"url = {origin}\n" in text
    config.write_text(text.replace(f"url = {origin}\n", f"url = {to_origin}\n"))


def project(directory: Path, name: str = "work") -> Repository:
    """A small project with one commit on main, pushed; a copy of what took ten processes."""
    return _template(os.environ.get("GIT_DEFAULT_HASH", "sha1")).copy(directory, name)


@cache
def _template(objects: str) -> Repository:
    """With these object names, which git takes from the environment; ends with the process."""
    directory = Path(
        tempfile.mkdtemp(prefix=f"expci-{objects}-", dir=os.environ.get("PYTEST_DEBUG_TEMPROOT"))
    )
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    return _made(directory, "work")


def _made(directory: Path, name: str) -> Repository:
    origin = directory / f"{name}.git"
    git(directory, "init", "-q", "--bare", str(origin))
    git(directory, "clone", "-q", str(origin), name)
    made = Repository(directory / name, origin)
    made.write("README.md", "A project.\n")
    made.write("work.sh", "sleep 0.01\n", executable=True)
    made.commit("Start")
    made.push("HEAD:main")
    return made


def git(directory: Path, *arguments: str) -> str:
    result = subprocess.run(
        ["git", *arguments], cwd=directory, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, f"git {' '.join(arguments)}: {result.stderr}"
    return result.stdout.strip()

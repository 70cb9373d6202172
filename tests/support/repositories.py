"""Real git repositories for the tests: a clone with its bare origin."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
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

    def copy(self, directory: Path) -> Repository:
        """Both again, below `directory`."""
        made = Repository(directory / self.path.name, directory / self.origin.name)
        shutil.copytree(self.path, made.path, symlinks=True)
        shutil.copytree(self.origin, made.origin, symlinks=True)
        made.git("remote", "set-url", "origin", str(made.origin))
        return made

    def origin_file(self, path: str, branch: str = "main") -> str:
        return git(self.origin, "show", f"{branch}:{path}")


def project(directory: Path, name: str = "work") -> Repository:
    """A small project with one commit on main, pushed."""
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

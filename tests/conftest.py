"""Real git repositories to work in."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest


@pytest.fixture(autouse=True, scope="session")
def quiet_git(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The tests see no configuration, token or CI of whoever runs them."""
    home = tmp_path_factory.mktemp("home")
    (home / ".gitconfig").write_text(
        "[user]\nname = Ada\nemail = ada@example.org\n[init]\ndefaultBranch = main\n"
        '[protocol "file"]\nallow = always\n'
    )
    kept = dict(os.environ)
    for key in list(os.environ):
        if key.startswith(("GIT_", "GITHUB_", "EXPCI_", "CI", "RUNNER_")):
            del os.environ[key]
    os.environ["HOME"] = str(home)
    os.environ["GIT_CONFIG_NOSYSTEM"] = "1"
    yield
    os.environ.clear()
    os.environ.update(kept)


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

    def origin_file(self, path: str, branch: str = "main") -> str:
        return git(self.origin, "show", f"{branch}:{path}")


def git(directory: Path, *arguments: str) -> str:
    result = subprocess.run(
        ["git", *arguments], cwd=directory, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, f"git {' '.join(arguments)}: {result.stderr}"
    return result.stdout.strip()


@pytest.fixture
def make_repository(tmp_path: Path) -> Callable[[str], Repository]:
    def make(name: str = "work") -> Repository:
        origin = tmp_path / f"{name}.git"
        git(tmp_path, "init", "-q", "--bare", str(origin))
        git(tmp_path, "clone", "-q", str(origin), name)
        repository = Repository(tmp_path / name, origin)
        repository.write("README.md", "A project.\n")
        repository.write("work.sh", "sleep 0.01\n", executable=True)
        repository.commit("Start")
        repository.push("HEAD:main")
        return repository

    return make


@pytest.fixture
def repository(make_repository: Callable[..., Repository]) -> Repository:
    return make_repository()

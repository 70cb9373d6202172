"""Real repositories with an experiment that was started, for the trial path's tests."""

from __future__ import annotations

import atexit
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from expci.core.model.content import plan_id, variant_files
from expci.core.model.trial import Trial
from expci.core.model.trial_reader import parse_line
from expci.core.spec.job_reader import read_plain
from expci.store import published
from expci.store.cases import read_cases
from expci.store.git import refs
from expci.store.git.git import Git
from expci.store.published import Exposure, Published
from expci.store.variant import varied_content
from support.command import job_command
from support.processes import PATIENT
from support.repositories import copy_clone

REPOSITORY = Path(__file__).parents[2]
SPEC = """\
version: 1
name: Faster tool
hypothesis: The new tool takes 15% less time.
{keys}
arms:
  control: {{}}
  treatment:
    files: treatment/
    env: {{MODE: fast}}
metrics:
  - {{name: duration_s, role: primary, direction: decrease, minimum_effect: 15%}}
"""


def run_git(
    directory: Path,
    *arguments: str,
    stdin: bytes | None = None,
    env: Mapping[str, str] | None = None,
) -> str:
    """git as a user runs it, with `env` beside the environment."""
    result = subprocess.run(
        ["git", *arguments],
        cwd=directory,
        input=stdin,
        env={**os.environ, **(env or {})},
        capture_output=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr.decode()
    return result.stdout.decode(errors="surrogateescape")


def clean_environment(**more: str) -> dict[str, str]:
    """No CI around the tests, no user configuration, standard library and checkout only."""
    kept = {k: v for k, v in os.environ.items() if k in ("PATH", "LANG")}
    kept |= {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    return kept | {"PYTHONPATH": str(REPOSITORY), "HOME": os.devnull} | PATIENT | more


@dataclass
class Clone:
    """A user's clone of `origin` in which `experiment` has been started."""

    root: Path
    origin: Path
    experiment: str = "faster"
    environment: dict[str, str] = field(default_factory=clean_environment)

    @property
    def git(self) -> Git:
        return Git.at(self.root)

    @property
    def private(self) -> Path:
        return self.git.private_dir

    def copy(self, directory: Path, name: str = "clone") -> Clone:
        """The same again, below `directory`, with an index that knows its files."""
        origin, root, scratch = (directory / part for part in ("origin.git", name, "tmp"))
        copy_clone(self.root, self.origin, root, origin)
        run_git(root, "update-index", "-q", "--refresh")
        scratch.mkdir()
        return Clone(root, origin, self.experiment, clean_environment(TMPDIR=str(scratch)))

    def write(self, files: dict[str, str], *, executable: bool = False) -> None:
        for path, text in files.items():
            target = self.root / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text)
            target.chmod(0o755 if executable else 0o644)

    def commit(self, message: str = "work") -> str:
        run_git(self.root, "add", "-A")
        run_git(self.root, "commit", "-q", "--no-verify", "-m", message)
        run_git(self.root, "push", "-q", "--no-verify", "origin", "HEAD:refs/heads/main")
        return run_git(self.root, "rev-parse", "HEAD").strip()

    def expci(
        self, *arguments: str, env: Mapping[str, str] | None = None, input: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        """The verb as a CI step runs it, with nothing installed."""
        environment = {**self.environment, **(env or {})}
        return job_command(self.root, *arguments, env=environment, stdin=input)

    def popen(self, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-S", "-m", "expci.runner", *arguments],
            cwd=self.root,
            env={**self.environment, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def publish(self, **changes: object) -> Exposure:
        """What `start` would publish for the experiment at HEAD."""
        git = self.git
        head = git.require("HEAD")
        files = git.read_files(head, f"experiments/{self.experiment}")
        spec = read_plain(files["experiment.yml"].data.decode())
        arms = tuple(spec.arms.values())
        cases = read_cases(git, head, spec.cases).cases if spec.cases else ()
        base = varied_content(git, files, arms, head)["control"]
        values: dict[str, object] = {
            "plan": plan_id(variant_files(arms, files), cases),
            "state": "running",
            "mode": "lab",
            "slot": None,
            "design": "paired",
            "unit": "run",
            "weights": {arm.name: 1.0 for arm in arms},
            "traffic": 1.0,
            "salt": "salt",
            "base": head,
            "paths": base,
            "started": "2026-11-22T10:00:00.000Z",
        }
        exposure = Exposure(**{**values, **changes})  # type: ignore[arg-type]
        self.publish_all({self.experiment: exposure})
        return exposure

    def publish_all(self, experiments: dict[str, Exposure], passed: str = "") -> None:
        git = self.git
        commit = git.require(published.write_published(git, Published("", experiments, passed)))
        run_git(self.root, "push", "-q", "--no-verify", "origin", f"+{commit}:{refs.PUBLISHED}")

    def arrived(self) -> list[Trial]:
        """Every trial in the inbox of origin."""
        git = Git(self.origin)
        trials = []
        for commit in git.refs(refs.INBOX).values():
            for file in git.read_files(commit).values():
                trials += [parse_line(line) for line in file.data.splitlines()]
        assert all(isinstance(trial, Trial) for trial in trials)
        return trials  # type: ignore[return-value]

    def state(self) -> dict[str, object]:
        """Everything of the user's that expci must leave byte for byte as it was."""
        ignored = ("/objects/", "/expci/", "/refs/expci")
        found: dict[str, object] = dict(_content(self.root, exclude=".git"))
        for path, data in _content(self.git.common_dir).items():
            if not any(part in f"/{path}" for part in ignored):
                found[f".git/{path}"] = data
        found["worktrees"] = run_git(self.root, "worktree", "list", "--porcelain")
        found["stash"] = run_git(self.root, "stash", "list")
        found["status"] = run_git(
            self.root, "--no-optional-locks", "status", "--porcelain=v1", "--ignored"
        )
        return found


def assert_untouched(before: dict[str, object], clone: Clone, *, index: bool = True) -> None:
    """The clone is as it was; `index=False` compares what the index says, not its bytes."""
    after = clone.state()
    keys = before.keys() | after.keys()
    different = {key for key in keys if before.get(key) != after.get(key)}
    assert not (different - (set() if index else {".git/index"})), sorted(different)
    assert not list(Path(clone.environment["TMPDIR"]).glob("expci-*"))


def _content(root: Path, exclude: str = "") -> dict[str, tuple[int, bytes]]:
    found = {}
    for path in sorted(root.rglob("*")):
        name = path.relative_to(root).as_posix()
        if path.is_dir() and not path.is_symlink():
            continue
        if not exclude or name.split("/")[0] != exclude:
            data = os.fsencode(path.readlink()) if path.is_symlink() else path.read_bytes()
            found[name] = (path.lstat().st_mode, data)
    return found


def make_clone(directory: Path, keys: str = "run: sh tool.sh") -> Clone:
    """A clone with a tool to vary, an experiment on it, committed and pushed.

    A copy, where one was made with these keys before: making it takes ten processes.
    """
    known = _template(keys)
    origin, root = directory / "origin.git", directory / "clone"
    copy_clone(known.root, known.origin, root, origin)
    (directory / "tmp").mkdir()
    return Clone(root, origin, environment=clean_environment(TMPDIR=str(directory / "tmp")))


@cache
def _template(keys: str) -> Clone:
    """Ends with the process."""
    directory = Path(
        tempfile.mkdtemp(prefix="expci-template-", dir=os.environ.get("PYTEST_DEBUG_TEMPROOT"))
    )
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    origin, root = directory / "origin.git", directory / "clone"
    run_git(directory, "init", "-q", "--bare", "-b", "main", str(origin))
    run_git(directory, "init", "-q", "-b", "main", str(root))
    run_git(root, "config", "user.name", "A User")
    run_git(root, "config", "user.email", "user@example.com")
    run_git(root, "remote", "add", "origin", str(origin))
    clone = Clone(root, origin)
    clone.write(
        {
            "tool.sh": "echo control\n",
            "other.txt": "other\n",
            "experiments/faster/experiment.yml": SPEC.format(keys=keys),
            "experiments/faster/treatment/tool.sh": "echo treatment\n",
        }
    )
    clone.commit("start")
    return clone

"""`expci demo`: the whole story in a temporary repository, with the commands one would type.

Real work, really timed: the same tree of files is packed in three ways. One variant wins and
is promoted; a second one does harm and is rolled back. Both effects are several times the
noise of a busy machine; where the first pairs do not decide all the same, more are run.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from expci.errors import ExpciError, UsageError

Say = Callable[[str], None]
DATA_BYTES = 800_000
ROUNDS = 4

PACK = '''\
"""Pack data/ into one compressed archive, and report its size."""

import io
import os
import pathlib
import tarfile
import zlib

LEVEL = 9

archive = io.BytesIO()
with tarfile.open(fileobj=archive, mode="w") as tar:
    for path in sorted(pathlib.Path("data").rglob("*.py")):
        tar.add(path)
packed = zlib.compress(archive.getvalue(), LEVEL)
if "EXPCI_METRICS" in os.environ:
    pathlib.Path(os.environ["EXPCI_METRICS"]).write_text(f"size_kb={len(packed) / 1000}\\n")
'''

SPEC = """\
version: 1
name: {name}
hypothesis: {hypothesis}
run: python3 scripts/pack.py
warmup: 1
timeout: 1m
arms:
  control: {{}}
  treatment:
    description: {description}
    files: treatment/
metrics:
  - {{name: duration_s, role: primary, direction: decrease, minimum_effect: 15%}}
  - {{name: size_kb, role: guardrail, direction: decrease, max_regression: 10%}}
plan:
  min_trials: 10
  sample_size: 40
"""


@dataclass(frozen=True)
class Variant:
    """One experiment of the demo: what it changes in `scripts/pack.py`."""

    id: str
    name: str
    hypothesis: str
    description: str
    old: str
    new: str


FASTER = Variant(
    "faster-pack",
    "A lower compression level",
    "Level 4 instead of 9 cuts packing time by 15% within 14 days at nearly the same size.",
    "zlib level 4",
    "LEVEL = 9",
    "LEVEL = 4",
)
SMALLER = Variant(
    "smaller-pack",
    "Another compressor",
    "Compressing with xz cuts the packed size and packing time by 15% within 14 days.",
    "xz instead of zlib",
    "packed = zlib.compress(archive.getvalue(), LEVEL)",
    "packed = __import__('lzma').compress(archive.getvalue(), preset=3)",
)


@dataclass(frozen=True)
class Stage:
    """The repository that the demo plays in. `say` takes the lines of the story."""

    home: Path
    say: Say

    @property
    def work(self) -> Path:
        return self.home / "work"

    def git(self, *arguments: str) -> str:
        """Show and run a git command in the working copy."""
        self.say(f"$ git {' '.join(arguments)}")
        return self.quiet(["git", *arguments]).rstrip()

    def quiet(self, command: Sequence[str]) -> str:
        result = subprocess.run(
            command,
            cwd=self.work,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if result.returncode != 0:
            raise ExpciError(f"the demo could not run {' '.join(command)}: {result.stderr}")
        return result.stdout

    def expci(self, *arguments: str) -> None:
        """Show and run an expci command, its output as a user sees it."""
        self.say(f"$ expci {' '.join(arguments)}")
        command = [sys.executable, "-m", "expci", *arguments]
        code = subprocess.run(command, cwd=self.work, env=self.environment, check=False).returncode
        if code != 0:
            raise ExpciError(f"the demo stopped: expci {' '.join(arguments)} exited with {code}")
        self.say("")

    def state(self, id: str) -> str:
        """The state of an experiment, as `expci status` gives it."""
        status = self.quiet([sys.executable, "-m", "expci", "status", id, "--json"])
        return str(json.loads(status)["state"])

    @property
    def environment(self) -> dict[str, str]:
        """The user's, without CI or another repository, with a name for commits."""
        kept = {
            key: value
            for key, value in os.environ.items()
            if not key.startswith(("GIT_", "GITHUB_", "EXPCI_"))
        }
        who = {"NAME": "Demo", "EMAIL": "demo@example.org"}
        for key, value in who.items():
            kept |= {f"GIT_AUTHOR_{key}": value, f"GIT_COMMITTER_{key}": value}
        return kept


def demo(say: Say, directory: Path | None = None) -> Path:
    """Play the story; the directory that it was played in, which stays."""
    home = Path(tempfile.mkdtemp(prefix="expci-demo-")) if directory is None else directory
    if home.exists() and any(home.iterdir()):
        raise UsageError(f"{home} is not empty: name a directory of its own for the demo")
    stage = Stage(home, say)
    say(f"A repository with an origin, in {home}\n")
    _repository(stage)
    say("1. Propose: a branch that adds an experiment and its variant\n")
    _propose(stage, FASTER)
    say("2. Run: pairs of both arms, in worktrees; the checkout is not touched\n")
    stage.expci("trial", FASTER.id, "--pairs", "12")
    say("3. Decide: the scheduled pass collects, analyses and acts\n")
    stage.expci("auto")
    _until_decided(stage, FASTER)
    stage.expci("analyze", FASTER.id)
    say("4. Promote: merge the pull request that the pass opened\n")
    stage.expci("promote", FASTER.id, "--merge")
    stage.git("fetch", "--quiet", "origin")
    say(stage.git("diff", "--unified=0", "origin/main^", "origin/main", "--", "scripts/pack.py"))
    say("\n5. A second variant, which does harm\n")
    stage.git("switch", "--quiet", "--detach", "origin/main")
    _propose(stage, SMALLER)
    stage.expci("trial", SMALLER.id, "--pairs", "10")
    stage.expci("auto")
    _until_decided(stage, SMALLER)
    stage.expci("status", "--all")
    _where_next(stage)
    return home


def _repository(stage: Stage) -> None:
    origin = stage.home / "origin.git"
    stage.work.mkdir(parents=True)
    stage.quiet(["git", "init", "--quiet", "--bare", "--initial-branch=main", str(origin)])
    stage.quiet(["git", "init", "--quiet", "--initial-branch=main", "."])
    stage.quiet(["git", "remote", "add", "origin", str(origin)])
    _real_files(stage.work / "data")
    scripts = stage.work / "scripts"
    scripts.mkdir()
    (scripts / "pack.py").write_text(PACK)
    _commit(stage, "A script that packs data/")
    stage.quiet(["git", "push", "--quiet", "--set-upstream", "origin", "main"])


def _real_files(target: Path) -> None:
    """Source files of the Python that runs this: a real tree of most of a megabyte."""
    target.mkdir()
    size = 0
    for source in sorted(Path(sysconfig.get_paths()["stdlib"]).glob("*.py")):
        if size > DATA_BYTES:
            break
        shutil.copyfile(source, target / source.name)
        size += source.stat().st_size


def _propose(stage: Stage, variant: Variant) -> None:
    stage.git("switch", "--quiet", "--create", f"try/{variant.id}")
    directory = stage.work / "experiments" / variant.id
    changed = directory / "treatment" / "scripts" / "pack.py"
    changed.parent.mkdir(parents=True)
    before = (stage.work / "scripts" / "pack.py").read_text()
    changed.write_text(before.replace(variant.old, variant.new))
    (directory / "experiment.yml").write_text(
        SPEC.format(
            name=variant.name, hypothesis=variant.hypothesis, description=variant.description
        )
    )
    stage.say(f"  wrote experiments/{variant.id}/experiment.yml")
    stage.say(f"  wrote experiments/{variant.id}/treatment/scripts/pack.py: {variant.new}")
    stage.expci("validate", variant.id)
    _commit(stage, f"Experiment: {variant.name}")
    stage.git("push", "--quiet", "--set-upstream", "origin", f"try/{variant.id}")
    stage.expci("start", variant.id)


def _until_decided(stage: Stage, variant: Variant) -> None:
    """Run more pairs while the experiment collects, a few times at most."""
    for _ in range(ROUNDS):
        if stage.state(variant.id) != "running":
            return
        stage.say("The machine is noisy and these pairs do not decide: run more\n")
        stage.expci("trial", variant.id, "--pairs", "10")
        stage.expci("auto")


def _commit(stage: Stage, message: str) -> None:
    stage.quiet(["git", "add", "--all"])
    stage.quiet(["git", "commit", "--quiet", "--message", message])


def _where_next(stage: Stage) -> None:
    work = stage.work
    stage.say("Where to look")
    stage.say(f"  {work}")
    stage.say(f"  expci -C {work} status {FASTER.id}          one experiment, with its events")
    stage.say(f"  git -C {work} log --oneline origin/main     what reached the base branch")
    stage.say(
        f"  git -C {work} log -p refs/expci-fetched/expci/ledger    every record and decision"
    )
    stage.say("\nWhat to type next, in a repository of your own")
    stage.say("  expci init")
    stage.say(
        "  expci create --hypothesis 'X cuts Y by 15% within 14 days' "
        "--primary-metric duration_s --run ./script.sh --file script.sh"
    )

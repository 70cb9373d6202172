"""The pages on other CIs and the GitLab templates: their lines, run as they stand, in an
environment with nothing but the CI's own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from expci import app
from expci.core.model.trial import Trial, load_line
from expci.core.model.trial_reader import parse_trial
from expci.flows.verbs.start import start
from expci.settings import Settings
from expci.store.git import refs
from expci.store.git.git import Git
from support.repositories import Repository

ROOT = Path(__file__).parents[2]
SPEC = """\
version: 1
name: Faster build
hypothesis: The new script cuts the build's duration by 15% within 14 days.
{how}
arms:
  control: {{}}
  treatment: {{files: treatment/}}
metrics:
  - {{name: duration_s, role: primary, direction: decrease, minimum_effect: 15%}}
plan: {{sample_size: 40}}
"""
JENKINS_RESULT = "${currentBuild.currentResult}"


def block(page: str, language: str) -> str:
    """The first block in that language on a page."""
    text = (ROOT / f"docs/{page}.md").read_text()
    blocks: list[str] = re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    return blocks[0]


def template(name: str, **inputs: str) -> dict[str, Any]:
    """A template's jobs, with its inputs put in as GitLab does."""
    spec, body = (ROOT / f"templates/{name}.yml").read_text().split("\n---\n")
    known = yaml.safe_load(spec)["spec"]["inputs"]
    assert inputs.keys() <= known.keys()
    for key, rule in known.items():
        value = inputs.get(key, rule.get("default"))
        assert value is not None, f"{key} is required"
        assert re.fullmatch(rule.get("regex", ".*"), value), key
        body = body.replace(f"$[[ inputs.{key} ]]", value)
    assert "$[[" not in body
    return dict(yaml.safe_load(body))


GITLAB = yaml.safe_load(block("gitlab", "yaml"))
COMMIT = "0123456789" * 4


@dataclass(frozen=True)
class Job:
    """A clone in which an experiment on `build.sh` runs, and a way to run a line there."""

    repository: Repository
    path: str

    def sh(self, *lines: str, **variables: str) -> subprocess.CompletedProcess[str]:
        env = {"PATH": self.path, "HOME": os.environ["HOME"], **variables}
        script = "\n".join(lines)
        return subprocess.run(
            ["sh", "-eu", "-c", script],
            cwd=self.repository.path,
            env=env,
            capture_output=True,
            text=True,
            check=False,
        )

    def trials(self) -> list[Trial]:
        store = Git(self.repository.origin)
        files = [f for c in store.refs(refs.INBOX).values() for f in store.read_files(c).values()]
        return [parse_trial(load_line(line)) for f in files for line in f.data.splitlines()]


def job(repository: Repository, tmp_path: Path, how: str) -> Job:
    tools = tmp_path / "bin"
    tools.mkdir()
    (tools / "expci").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m expci "$@"\n')
    (tools / "expci").chmod(0o755)
    home = "experiments/faster-build"
    repository.write("build.sh", "#!/bin/sh\nexit ${FAILS:-0}\n", executable=True)
    repository.write(f"{home}/experiment.yml", SPEC.format(how=how))
    repository.write(f"{home}/treatment/build.sh", "#!/bin/sh\nexit ${FAILS:-0} # new\n")
    (repository.path / home / "treatment/build.sh").chmod(0o755)
    repository.commit("Propose")
    repository.push("HEAD:main")
    start(app.open_context(repository.path, Settings(actor="ada")), "faster-build")
    return Job(repository, f"{tools}:/usr/local/bin:/usr/bin:/bin")


@pytest.mark.parametrize(("said", "status"), [("success", "ok"), ("canceled", "cancelled")])
def test_gitlab(repository: Repository, tmp_path: Path, said: str, status: str) -> None:
    here = job(repository, tmp_path, "slot: build")
    build = GITLAB["build"]
    done = here.sh(*build["script"], CI_PIPELINE_IID="41", FAILS="0" if said == "success" else "1")
    assert (done.returncode == 0) == (said == "success"), done.stderr
    after = here.sh(*build["after_script"], CI_JOB_STATUS=said)  # a shell of its own
    assert after.returncode == 0, after.stderr
    [trial] = here.trials()
    assert (trial.unit, trial.status, trial.mode, trial.excluded) == (
        "run-41",
        status,
        "live",
        None,
    )
    assert repository.git("status", "--porcelain") == ""
    [line] = GITLAB["expci-pass"]["script"]
    passed = here.sh(line)
    assert passed.returncode == 0, passed.stderr
    assert "running" in passed.stdout
    assert here.trials() == []  # it is in the ledger now


def test_the_gitlab_templates_do_the_same(repository: Repository, tmp_path: Path) -> None:
    here = job(repository, tmp_path, "slot: build")
    slot = template("slot", slot="build", version=COMMIT)[".expci-build"]
    lines = [*slot["before_script"], "./build.sh"]
    assert here.sh(*lines, CI_PIPELINE_IID="41").returncode == 0
    assert here.sh(*slot["after_script"], CI_JOB_STATUS="success").returncode == 0
    [trial] = here.trials()
    assert (trial.unit, trial.status) == ("run-41", "ok")
    job_of_the_pass = template("pass", version=COMMIT)["expci-pass"]
    lines = [*job_of_the_pass["before_script"], *job_of_the_pass["script"]]
    passed = here.sh(*lines)
    assert passed.returncode == 0, passed.stderr
    assert here.trials() == []


def test_the_gitlab_templates_have_the_form_that_gitlab_reads(tmp_path: Path) -> None:
    jobs = template("slot", slot="build", version=COMMIT) | template("pass", version=COMMIT)
    jobs["build"] = {"extends": ".expci-build", "script": ["./build.sh"]}
    file = tmp_path / ".gitlab-ci.yml"
    file.write_text(yaml.safe_dump(jobs))
    check = str(Path(sys.executable).parent / "check-jsonschema")
    command = [check, "--builtin-schema", "vendor.gitlab-ci", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_page_names_the_inputs_of_the_templates() -> None:
    text = (ROOT / "docs/gitlab.md").read_text()
    blocks = re.findall(r"^```yaml\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    for include in yaml.safe_load(blocks[1])["include"]:
        given = {
            key: COMMIT if value == "COMMIT" else value for key, value in include["inputs"].items()
        }
        assert template(Path(include["remote"]).stem, **given)


def test_both_arms_take_turns_over_consecutive_numbers(
    repository: Repository, tmp_path: Path
) -> None:
    here = job(repository, tmp_path, "slot: build")
    [assign, *_] = GITLAB["build"]["script"]
    [record] = GITLAB["build"]["after_script"]
    for number in range(4):
        lines = (assign, record)
        done = here.sh(*lines, CI_PIPELINE_IID=str(number), CI_JOB_STATUS="success")
        assert done.returncode == 0, done.stderr
    assert sorted(trial.arm for trial in here.trials()) == ["control"] * 2 + ["treatment"] * 2


@pytest.mark.parametrize(
    ("result", "status"),
    [("UNSTABLE", "failed"), ("ABORTED", "cancelled")],
)
def test_jenkins(repository: Repository, tmp_path: Path, result: str, status: str) -> None:
    here = job(repository, tmp_path, "slot: build")
    lines = re.findall(r"""^ *sh (['"])(.*)\1$""", block("jenkins", "groovy"), re.MULTILINE)
    assign, work, record = (text for _, text in lines)
    assert JENKINS_RESULT in record
    assert here.sh(assign, BUILD_NUMBER="7").returncode == 0
    here.sh(work)
    done = here.sh(record.replace(JENKINS_RESULT, result))
    assert done.returncode == 0, done.stderr
    [trial] = here.trials()
    assert (trial.unit, trial.status) == ("run-7", status)


def test_the_lab_needs_one_line(repository: Repository, tmp_path: Path) -> None:
    here = job(repository, tmp_path, "run: ./build.sh")
    done = here.sh(block("ci", "sh"))
    assert done.returncode == 0, done.stderr
    assert sorted(trial.arm for trial in here.trials()) == ["control"] * 2 + ["treatment"] * 2

"""A lab with a key under act: a stand-in secret of the environment, started by a writer."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from expci import app
from expci.flows.setup.init import initialize
from expci.flows.setup.workflows import callers, secrets_of
from expci.flows.verbs.start import start
from expci.settings import Settings
from expci.store.git.git import Git
from support.act_stage import PIN, ActRun, ActStage, unzipped
from support.linters import lint
from support.live_experiment import LAB

KEY = "stand-in-for-a-key-7f3a"
WORK = f'run: test "$API_KEY" = {KEY} && echo "key $API_KEY" && sh scan.sh run && sh work.sh'
# Which processes have the key in the environment that they show to others, and how many were read.
SCAN = """\
n=0
for process in /proc/[0-9]*; do
  environment=$(tr '\\0' '\\n' < "$process/environ" 2>/dev/null) || continue
  [ -n "$environment" ] && n=$((n + 1))
  case "$environment" in
    *for-a-key-7f3a*) echo "$1-key-in $(tr '\\0' ' ' < "$process/cmdline")" ;;
  esac
done
echo "$1-read-some-environments $([ "$n" -gt 3 ] && echo yes)"
"""
SPEC = {
    "experiments/faster/experiment.yml": LAB.replace(LAB.splitlines()[3], WORK)
    + "setup: env | sed 's|^|setup-saw-|'; sh scan.sh setup\n",
    "scan.sh": SCAN,
    "experiments/faster/treatment/work.sh": "sleep 0\n",
}


def test_what_init_writes_for_a_lab_with_a_key(tmp_path: Path) -> None:
    Git.at(Path(__file__).parent)  # a git is there
    initialize(tmp_path, PIN, lab_secrets=("API_KEY", "OTHER"))
    text = (tmp_path / ".github/workflows/expci-lab.yml").read_text()
    assert "pull_request" not in text
    assert "    environment: expci-lab " in text
    assert lint(tmp_path) == ""
    # Kept by later runs of init, which need not name them again; taken back by naming none.
    assert secrets_of(tmp_path) == ("API_KEY", "OTHER")
    assert not [caller for caller in callers(tmp_path, PIN) if caller.is_outdated]
    initialize(tmp_path, PIN, lab_secrets=())
    assert secrets_of(tmp_path) == ()
    assert "pull_request" in (tmp_path / ".github/workflows/expci-lab.yml").read_text()


@pytest.fixture
def ready(stage: ActStage) -> ActStage:
    initialize(stage.repository.path, PIN, lab_secrets=("API_KEY",))
    stage.publish("Set up experiments")
    return stage


def begin(stage: ActStage) -> None:
    stage.repository.git("switch", "-q", "try")
    start(app.open_context(stage.repository.path, Settings(actor="ada")), "faster")
    stage.repository.git("switch", "-q", "main")


def dispatched(stage: ActStage) -> ActRun:
    """The run that the pass starts on the branch, in the environment that has the key."""
    tip = stage.hub.bare.tip("refs/heads/try") or ""
    return stage.run(
        "workflow_dispatch",
        "expci-lab.yml",
        permissions={"contents": "read"},
        payload={"ref": "refs/heads/try", "inputs": {"experiment": "faster", "pairs": "1"}},
        environment={"GITHUB_REF": "refs/heads/try", "GITHUB_SHA": tip},
        secrets={"API_KEY": KEY},
    )


def test_the_key_reaches_the_command_of_what_a_writer_started_and_nothing_else(
    ready: ActStage,
) -> None:
    ready.open_pull("try", SPEC)
    begin(ready)
    run = dispatched(ready)
    assert run.ok, run.text
    trials = ready.uploaded()
    assert {(trial.arm, trial.status) for trial in trials} == {
        ("control", "ok"),
        ("treatment", "ok"),
    }
    assert "| key ***" in run.text
    assert KEY not in run.text
    assert "setup-saw-EXPCI_ARM=control" in run.text
    assert "setup-saw-API_KEY" not in run.text
    assert "setup-saw-INPUT_" not in run.text
    assert "***" not in "".join(line for line in run.text.splitlines() if "setup-saw-" in line)
    assert KEY not in json.dumps([trial.line() for trial in trials])
    assert run.text.count("setup-read-some-environments yes") == 2
    assert "setup-key-in" not in run.text
    # While the command runs, its own shells have the key, and no process of expci's.
    holders = re.findall(r"run-key-in (.*)", run.text)
    assert holders
    assert all("scan.sh run" in holder or "test " in holder for holder in holders), holders
    for artifact in stage_artifacts(ready):
        assert KEY.encode() not in artifact

    # A push after the start: nothing runs, whatever it changes.
    ready.repository.git("switch", "-q", "try")
    ready.repository.write("other.txt", "later\n")
    ready.publish("Later", "try")
    ready.repository.git("switch", "-q", "main")
    late = dispatched(ready)
    assert late.ok, late.text
    assert "nothing runs before a writer starts it again" in late.text
    assert "key ***" not in late.text
    assert len(ready.uploaded()) == len(trials)

    # Started again, at what is there now.
    begin(ready)
    again = dispatched(ready)
    assert again.ok, again.text
    assert len(ready.uploaded()) == 2 * len(trials)


def stage_artifacts(stage: ActStage) -> list[bytes]:
    """Every artifact, unpacked."""
    return [b"\n".join(unzipped(artifact.data)) for artifact in stage.hub.artifacts]

"""From an empty repository: what `expci init` writes runs, from proposal to recorded pairs."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from expci import app
from expci.flows.context import Context
from expci.flows.setup.init import initialize
from expci.flows.verbs.start import start
from expci.settings import Settings
from support.act_stage import PIN, READ, ActRun, ActStage
from support.live_experiment import LAB, go_live

GUIDE = (Path(__file__).parents[2] / "docs/github.md").read_text()
SPEC = {
    "experiments/faster/experiment.yml": LAB,
    "experiments/faster/treatment/work.sh": "sleep 0\n",
}
PASS = {
    "actions": "write",
    "checks": "write",
    "contents": "write",
    "issues": "write",
    "pull_requests": "write",
}

WITH_CASES = {
    path: text.replace("arms:", "cases: evals/*\narms:", 1) if path.endswith(".yml") else text
    for path, text in SPEC.items()
}


@pytest.fixture
def ready(stage: ActStage) -> ActStage:
    """After `init`, merged to the default branch."""
    root = stage.repository.path
    initialize(root, PIN)
    for name in ("expci-validate", "expci-pass"):
        # act has no network to make a Python with; everything else is as it was written.
        path = root / f".github/workflows/{name}.yml"
        action = r"^( +)(uses: expci/expci/.github/actions/(?:pass|validate)@\S+\n)( +with:\n)?"
        given = rf"\1\2\1with:\n\1  python: {sys.executable}\n"
        text = re.sub(action, given, path.read_text(), flags=re.MULTILINE)
        path.write_text(text)
    stage.publish("Set up experiments")
    return stage


def context(stage: ActStage) -> Context:
    return app.open_context(stage.repository.path, Settings(actor="ada"))


def begin(stage: ActStage) -> None:
    """What a person with write access does on the proposal's branch."""
    stage.repository.git("switch", "-q", "try")
    start(context(stage), "faster")
    stage.repository.git("switch", "-q", "main")


def lab(stage: ActStage, number: int) -> ActRun:
    return stage.run("pull_request", "expci-lab.yml", number=number, permissions=READ)


def test_a_proposal_is_validated_run_in_pairs_and_its_artifact_collected(ready: ActStage) -> None:
    pull = ready.open_pull("try", SPEC)
    valid = ready.run(
        "pull_request",
        "expci-validate.yml",
        number=pull.number,
        permissions={"contents": "read"},
        payload={"action": "opened"},
    )
    assert valid.ok, valid.text
    assert "faster: valid" in valid.text
    assert len(valid.run.jobs) == 1  # what docs/github.md counts in its table of minutes
    nothing = lab(ready, pull.number)
    assert nothing.ok, nothing.text
    assert "to run here: none" in nothing.text
    assert len(nothing.run.jobs) == 1
    begin(ready)
    run = lab(ready, pull.number)
    assert run.ok, run.text
    assert len(run.run.jobs) == 2
    assert sorted(trial.arm for trial in ready.uploaded()) == ["control"] * 2 + ["treatment"] * 2
    assert {trial.mode for trial in ready.uploaded()} == {"lab"}
    done = ready.run(
        "schedule", "expci-pass.yml", permissions=PASS, environment={"EXPCI_PAUSE": "0"}
    )
    assert done.ok, done.text
    assert "faster: running" in done.text
    assert set(done.run.jobs) == {"pass", "start lab runs"}
    assert any("faster" in comment.body for comment in ready.hub.comments(pull.number))
    ledger = context(ready).store.snapshot().ledger
    assert {trial.id for trial in ledger.trials("faster")} == {t.id for t in ready.uploaded()}
    assert ready.hub.dispatches == [("expci-lab.yml", "try", {"experiment": "faster"})]


def test_parts_of_the_cases_run_in_jobs_of_their_own(ready: ActStage) -> None:
    cases = {f"evals/case-{number}": f"task {number}\n" for number in range(6)}
    for path, text in cases.items():
        ready.repository.write(path, text)
    ready.publish("Cases")
    pull = ready.open_pull("try", WITH_CASES)
    assert pull.pull is not None
    begin(ready)
    run = ready.run(
        "workflow_dispatch",
        "expci-lab.yml",
        permissions=READ,
        payload={
            "inputs": {"experiment": "faster", "pairs": "3", "parts": '["1/2", "2/2"]'},
            "ref": "refs/heads/try",
        },
        environment={"GITHUB_REF": "refs/heads/try", "GITHUB_SHA": pull.pull.head_sha},
    )
    assert run.ok, run.text
    assert len(run.run.jobs) == 3  # one that finds, two that run
    units = [trial.unit for trial in ready.uploaded()]
    assert sorted(units) == sorted(2 * [f"case-case-{number}" for number in range(6)])
    assert {trial.context["leg"] for trial in ready.uploaded()} == {"faster,1/2", "faster,2/2"}


def test_what_is_filtered_starts_no_machine(ready: ActStage) -> None:
    pull = ready.open_pull("try", SPEC)
    for kind in ("labeled", "unlabeled", "closed"):
        run = ready.run(
            "pull_request", "expci-validate.yml", number=pull.number, payload={"action": kind}
        )
        assert run.ok, run.text
        assert "Run Main" not in run.text
    on_request = {"number": pull.number, "pull_request": {"url": "u"}}
    for body, who, issue in (
        ("/expci start", "CONTRIBUTOR", on_request),
        ("thanks! /expci start", "OWNER", on_request),
        ("/expci start", "OWNER", {"number": 7}),
    ):
        comment = {"issue": issue, "comment": {"body": body, "author_association": who}}
        run = ready.run("issue_comment", "expci-pass.yml", payload=comment)
        assert run.ok, run.text
        assert "Run Main" not in run.text


def test_a_writers_comment_starts_a_pass_and_a_lab_runs_end_starts_no_other(
    ready: ActStage,
) -> None:
    comment = {"body": "/expci start", "author_association": "MEMBER"}
    issue = {"number": 1, "pull_request": {"url": "u"}}
    run = ready.run(
        "issue_comment",
        "expci-pass.yml",
        payload={"issue": issue, "comment": comment},
        permissions=PASS,
    )
    assert run.ok, run.text
    assert "Success - Main Run the pass" in run.text
    assert "Start lab runs" not in run.text, "nothing runs in the lab"
    after = ready.run(
        "workflow_run",
        "expci-pass.yml",
        payload={"workflow_run": {"name": "expci-lab"}},
        permissions=PASS,
    )
    assert after.ok, after.text
    assert "Success - Main Run the pass" in after.text
    assert "start lab runs" not in after.text


def test_the_two_steps_of_the_docs_record_a_trial(stage: ActStage) -> None:
    go_live(stage)
    [text] = re.findall(r"^```yaml\n(name: build\n.*?)^```", GUIDE, re.MULTILINE | re.DOTALL)
    text = text.replace("@SHA", "@PIN").replace("slot: build", "slot: review")
    stage.write_workflow("ci.yml", text.replace("./build.sh", "sh work.sh"))
    run = stage.run(permissions={"contents": "read"})
    assert run.ok, run.text
    [trial] = stage.uploaded()
    assert (trial.status, trial.mode, trial.excluded) == ("ok", "live", None)
    assert stage.pushed() == []


def hourly(stage: ActStage, number: str = "25") -> ActRun:
    values = {"EXPCI_PAUSE": "0", "GITHUB_RUN_NUMBER": number}
    return stage.run("schedule", "expci-pass.yml", permissions=PASS, environment=values)


def test_an_idle_hour_ends_after_one_listing(ready: ActStage) -> None:
    """Nothing installed, nothing checked out, no second job: what docs/github.md promises."""
    first = hourly(ready)
    assert first.ok, first.text
    assert "Success - Main Run the pass" in first.text
    mark = len(ready.hub.log)
    idle = hourly(ready)
    assert idle.ok, idle.text
    taken = {step for job in idle.run.jobs.values() for step, _ in job}
    assert len(idle.run.jobs) == 1
    assert taken == {"Is there anything to do?", "Look at the refs"}
    assert "start lab runs" not in idle.text
    assert ready.hub.log[mark:] == [], "the API is asked nothing"
    # Whatever happens ends the idleness: a push to the default branch, a start, a trial.
    ready.repository.write("README.md", "more\n")
    ready.publish("More")
    again = hourly(ready)
    assert "Success - Main Run the pass" in again.text
    go_live(ready)
    for _ in range(2):
        live = hourly(ready)
        assert "Success - Main Run the pass" in live.text, "while something lives, each hour looks"
    assert "Start lab runs" not in live.text, "nothing runs in the lab"


def test_an_invalid_proposal_is_refused_at_its_line(ready: ActStage) -> None:
    files = {"experiments/faster/experiment.yml": LAB.replace("version: 1", "version: 7")}
    pull = ready.open_pull("try", SPEC | files)
    run = ready.run(
        "pull_request",
        "expci-validate.yml",
        number=pull.number,
        permissions={"contents": "read"},
        payload={"action": "synchronize"},
    )
    assert not run.ok
    assert "file=experiments/faster/experiment.yml,line=1" in run.text


def test_a_fork_runs_its_own_pairs_with_a_token_that_reads(ready: ActStage) -> None:
    pull = ready.open_pull("try", SPEC, fork="eve/copy")
    begin(ready)
    run = ready.run(
        "pull_request",
        "expci-lab.yml",
        number=pull.number,
        permissions={"contents": "read"},
        fork="eve/copy",
    )
    assert run.ok, run.text
    assert len(ready.uploaded()) == 4
    assert {a.run.head_repository for a in ready.hub.artifacts if a.run} == {"eve/copy"}

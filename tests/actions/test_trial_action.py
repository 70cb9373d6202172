"""The one-step `trial` action: its two halves, a command of its own, and its signals."""

from __future__ import annotations

import re

import pytest

from expci.core.model.trial import parse_timestamp
from support.act_stage import READ, WRITE, ActStage
from support.live_experiment import checkout, go_live, one_step, units, work, workflow

USES = "      - uses: ./review\n"
REVIEW = """\
name: review
description: The work is an action of the repository.
runs:
  using: composite
  steps:
    - shell: bash
      run: sleep 0.2; sh work.sh; echo tokens=15 >> "$EXPCI_METRICS"
"""


def test_the_rest_of_the_job_is_measured(stage: ActStage) -> None:
    go_live(stage)
    stage.repository.write("review/action.yml", REVIEW)
    [treated] = units(stage, "treatment", 1)
    told = work("echo 'told ${{ steps.expci.outputs.arm }} ${{ steps.expci.outputs.trials }}'; env")
    begin = checkout() + one_step(unit=treated)
    jobs = workflow(
        uses=begin + USES + told,
        fails=begin + work("exit 3"),
        restores=begin + work("git show HEAD:work.sh > work.sh"),
    )
    stage.write_workflow("ci.yml", jobs)
    run = stage.run(permissions=WRITE)
    assert not run.ok
    by_job = {trial.context["job"]: trial for trial in stage.pushed()}
    uses, fails, restores = by_job["uses"], by_job["fails"], by_job["restores"]
    assert (uses.arm, uses.status, uses.metrics["tokens"]) == ("treatment", "ok", 15)
    assert uses.metrics["duration_s"] >= 0.2
    assert "| faster treatment" in run.text
    assert f'told treatment ["{uses.id}"]' in run.text
    assert (fails.status, fails.metrics["success"]) == ("failed", 0)
    assert (restores.status, restores.excluded) == ("error", "not_exposed")
    for secret in stage.hub.tokens:
        assert secret not in run.text
    assert "***" not in run.text


def test_a_cancelled_job_is_recorded(stage: ActStage) -> None:
    go_live(stage)
    wait = "echo BEGUN; sleep 3000"
    jobs = workflow(
        rest=checkout() + one_step() + work(wait), command=checkout() + one_step(run=wait)
    )
    stage.write_workflow("ci.yml", jobs)
    run = stage.run(permissions=WRITE, cancel_when=lambda text: text.count("| BEGUN") == 2)
    assert "the stage ended act" not in run.text
    trials = stage.pushed()
    assert {trial.context["job"] for trial in trials} == {"rest", "command"}
    assert [(trial.status, trial.metrics) for trial in trials] == [("cancelled", {})] * 2


COMMAND = """
sh work.sh
env | sort | sed 's/^/saw-/'
echo tokens=15 >> "$EXPCI_METRICS"
sleep 0.2
exit ${CODE:-0}
"""


def test_a_command_is_measured_by_itself(stage: ActStage) -> None:
    go_live(stage)
    [treated] = units(stage, "treatment", 1)
    slow = work("date +AFTER=%s.%N; sleep 2")
    failing = COMMAND.replace("${CODE:-0}", "7")
    jobs = workflow(
        works=checkout() + one_step(unit=treated, run=COMMAND.strip()) + slow,
        fails=checkout() + one_step(run=failing.strip(), unit=treated),
        outside=one_step(run="echo untouched; exit 5"),
    )
    stage.write_workflow("ci.yml", jobs)
    run = stage.run(permissions=WRITE)
    assert not run.ok
    by_job = {trial.context["job"]: trial for trial in stage.pushed()}
    assert set(by_job) == {"works", "fails"}
    works = by_job["works"]
    assert (works.status, works.arm, works.metrics["tokens"]) == ("ok", "treatment", 15)
    assert works.metrics["duration_s"] >= 0.2
    [after] = re.findall(r"AFTER=(\d+\.\d+)", run.text)
    ended = parse_timestamp(works.started).timestamp() + works.metrics["duration_s"]
    assert ended <= float(after), "only the command"
    assert works.metrics["cpu_s"] > 0
    assert by_job["fails"].status == "failed"
    assert "exit status 7" in run.text or "exitcode '7'" in run.text
    assert "| untouched" in run.text
    assert "exit status 5" in run.text or "exitcode '5'" in run.text
    # The command sees its arm, and nothing that was only meant for expci.
    assert "saw-EXPCI_ARM=treatment" in run.text
    assert "saw-MODE=faster" in run.text
    for name in ("INPUT_", "STATE_", "GITHUB_TOKEN", "ACTIONS_RUNTIME_TOKEN", "GIT_CONFIG_COUNT"):
        assert f"saw-{name}" not in run.text
    assert "***" not in run.text


@pytest.mark.parametrize("strict", ["", "true"])
def test_a_push_that_is_refused_fails_the_job_only_if_strict(stage: ActStage, strict: str) -> None:
    go_live(stage)
    steps = checkout() + one_step(strict=strict) + work("echo worked")
    stage.write_workflow("ci.yml", workflow(test=steps))
    run = stage.run(permissions=READ)
    assert run.ok is not bool(strict), run.text
    assert "| worked" in run.text
    level = "error" if strict else "warning"
    assert any("`permissions: contents: write`" in text for text in run.annotations(level))

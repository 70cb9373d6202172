"""`assign` and `record` in real jobs: what a team's two lines give it."""

from __future__ import annotations

import json
import re

import pytest

from support.act_stage import READ, WRITE, ActRun, ActStage
from support.live_experiment import (
    arms_by_job,
    assign,
    checkout,
    go_live,
    record,
    units,
    work,
    workflow,
)

LOUD = """
sh work.sh
echo "ran ${{ matrix.unit }}: $EXPCI_ARM, ${{ steps.expci.outputs.arms }}"
env
git --no-pager config --list
touch mine && git add -A && git diff --cached --name-only | sed 's/^/commits-/'
echo "tokens=15" >> "$EXPCI_METRICS"
echo '{"score": 0.5}' > scores.json
"""


def matrix(stage: ActStage, steps: str) -> str:
    """Four legs, two of each arm."""
    legs = json.dumps([*units(stage, "control", 2), *units(stage, "treatment", 2)])
    strategy = f"    strategy: {{matrix: {{unit: {legs}}}}}\n    steps:"
    return workflow(test=steps).replace("    steps:", strategy)


def test_four_legs_of_a_matrix_by_artifact(stage: ActStage) -> None:
    go_live(stage)
    steps = checkout() + assign(unit="${{ matrix.unit }}") + work(LOUD)
    stage.write_workflow("ci.yml", matrix(stage, steps + record(metrics="scores.json")))
    run = stage.run(permissions=READ)
    assert run.ok, run.text
    trials = stage.uploaded()
    assert stage.pushed() == []
    assert sorted(trial.arm for trial in trials) == ["control"] * 2 + ["treatment"] * 2
    assert len({trial.context["leg"] for trial in trials}) == 4
    for trial in trials:
        assert (trial.mode, trial.status, trial.excluded) == ("live", "ok", None)
        assert trial.unit == trial.context["leg"]
        assert f"ran {trial.unit}: {trial.arm}, " in run.text
        assert (trial.metrics["tokens"], trial.metrics["score"]) == (15, 0.5)
        assert trial.metrics["duration_s"] > 0
        assert trial.context["run_id"] == str(run.run.id)
        assert trial.context["repository"] == stage.hub.name
    assert run.text.count("| faster treatment") == 2, "each leg runs the file of its arm"
    assert set(re.findall(r"\| commits-(\S+)", run.text)) == {"mine"}
    # Each upload is of its own, and says whose it is.
    names = [artifact.name for artifact in stage.hub.artifacts]
    assert len(set(names)) == 4
    assert all(name.startswith(f"expci-review-{run.run.id}-test-") for name in names)
    assert all(artifact.run is run.run for artifact in stage.hub.artifacts)
    assert_secret_kept(stage, run)


def test_four_legs_of_a_matrix_by_push(stage: ActStage) -> None:
    go_live(stage, unit="job")
    steps = checkout() + assign() + work(LOUD) + record(transport="push")
    stage.write_workflow("ci.yml", matrix(stage, steps))
    run = stage.run(permissions=WRITE)
    assert run.ok, run.text
    legs = {trial.context["leg"] for trial in stage.pushed()}
    assert {trial.unit for trial in stage.pushed()} == {f"job-{run.run.id}-test-{x}" for x in legs}
    assert len(legs) == 4
    assert stage.hub.artifacts == []
    assert_secret_kept(stage, run)


def assert_secret_kept(stage: ActStage, run: ActRun) -> None:
    """The job's log has its whole environment and git configuration in it."""
    assert "EXPCI_METRICS=" in run.text
    assert "remote.origin.url=" in run.text
    for secret in stage.hub.tokens:
        assert secret not in run.text
    for word in ("AUTHORIZATION", "INPUT_TOKEN", "***"):  # act masks what is the token
        assert word not in run.text


REVIEW = """\
name: review
description: The work is an action of the repository.
runs:
  using: composite
  steps:
    - shell: bash
      run: sleep 0.2; sh work.sh; echo "reviewed with $EXPCI_ARM"
"""
USES = "      - uses: ./review\n"
FAILING = "      - {id: work, continue-on-error: true, run: exit 1}\n"


def test_how_a_job_ends_is_recorded(stage: ActStage) -> None:
    go_live(stage, unit="job")
    stage.repository.write("review/action.yml", REVIEW)
    begin = checkout() + assign()
    jobs = workflow(
        fails=begin + work("exit 3") + record(),
        restores=begin + work("rm -f work.sh && echo rewritten > work.sh") + record(),
        uses=begin + USES + record(),
        one_step=begin + FAILING + record(status="${{ steps.work.outcome }}"),
    )
    stage.write_workflow("ci.yml", jobs)
    run = stage.run()
    assert not run.ok
    by_job = {trial.context["job"]: trial for trial in stage.uploaded()}
    assert by_job["fails"].status == "failed"
    assert by_job["fails"].metrics["success"] == 0
    assert by_job["uses"].status == "ok"
    assert by_job["uses"].metrics["duration_s"] >= 0.2
    assert f"reviewed with {by_job['uses'].arm}" in run.text
    assert by_job["one-step"].status == "failed"
    restored = by_job["restores"]
    assert (restored.status, restored.excluded) == ("error", "not_exposed")
    assert restored.metrics == {}
    assert restored.arm == arms_by_job(run)["restores"]
    assert any("did not keep the arm's content" in text for text in run.annotations("warning"))


def test_a_cancelled_job_is_recorded(stage: ActStage) -> None:
    go_live(stage)
    steps = checkout() + assign() + work("echo BEGUN; sleep 3000") + record()
    stage.write_workflow("ci.yml", workflow(test=steps))
    run = stage.run(cancel_when=lambda text: "| BEGUN" in text)
    assert "the stage ended act" not in run.text
    [trial] = stage.uploaded()
    assert (trial.status, trial.metrics) == ("cancelled", {})


def test_a_pull_request_that_edits_the_varied_file_runs_untouched(stage: ActStage) -> None:
    go_live(stage, unit="pr")
    steps = checkout() + assign() + work("sh work.sh") + record()
    stage.write_workflow("ci.yml", workflow("pull_request", test=steps))
    edits = stage.open_pull("edit", {"work.sh": "echo edited here\n"}, fork="eve/copy")
    other = stage.open_pull("other", {"other.txt": "something else\n"})
    run = stage.run("pull_request", number=edits.number, fork="eve/copy", permissions=READ)
    assert run.ok, run.text
    assert "| edited here" in run.text
    [trial] = stage.uploaded()
    assert (trial.excluded, trial.unit) == ("file_changed", f"pr-{edits.number}")
    assert trial.status == "ok"
    assert stage.hub.artifacts[0].run is run.run
    assert run.run.head_repository == "eve/copy"
    stage.run("pull_request", number=other.number)
    [_, second] = stage.uploaded()
    assert (second.excluded, second.unit) == (None, f"pr-{other.number}")


TOLD = """
echo "told [$EXPCI_ARM] [$EXPCI_ARM_FASTER] [$EXPCI_ARM_KINDER]"
echo "arm [${{ steps.expci.outputs.arm }}]"
echo 'arms ${{ steps.expci.outputs.arms }}'
"""
COUNTED = """
echo 'recorded ${{ steps.record.outputs.recorded }} ${{ steps.record.outputs.trials }}'
"""


def test_experiments_share_a_slot_and_a_re_run_is_told_apart(stage: ActStage) -> None:
    stage.repository.write("greet.sh", "echo hello\n")
    stage.publish("Greet")
    go_live(stage, "faster")
    go_live(stage, "kinder", "greet.sh")
    steps = checkout() + assign() + work(TOLD) + record() + work(COUNTED)
    stage.write_workflow("ci.yml", workflow(test=steps))
    run = stage.run()
    trials = {trial.experiment: trial for trial in stage.uploaded()}
    arms = {name: trial.arm for name, trial in trials.items()}
    assert set(arms) == {"faster", "kinder"}
    assert f"told [] [{arms['faster']}] [{arms['kinder']}]" in run.text
    assert "arm []" in run.text
    assert json.loads(run.text.split("| arms ")[1].splitlines()[0]) == arms
    counted = run.text.split("| recorded 2 ")[1].splitlines()[0]
    assert set(json.loads(counted)) == {trial.id for trial in trials.values()}
    assert len(stage.hub.artifacts) == 1

    stage.run(same_as=run, attempt=2)
    again = {t.experiment: t for t in stage.uploaded() if t.attempt == 2}
    assert {name: trial.arm for name, trial in again.items()} == arms
    assert all(again[name].unit == trials[name].unit for name in arms)


@pytest.mark.parametrize("strict", [False, True])
def test_what_fails_in_expci_is_loud_and_fails_the_job_only_if_strict(
    stage: ActStage, strict: bool
) -> None:
    go_live(stage)
    more = {"strict": "true" if strict else ""}
    begin, end = assign(**more), record(**more)
    gone = work('git remote set-url origin "$GITHUB_SERVER_URL/no/where.git"')
    nothing = {"slot": "", "experiment": "", **more}
    jobs = workflow(
        no_checkout=begin + work("echo work of no-checkout") + end,
        never_assigned=checkout() + work("echo work of never-assigned") + end,
        unreachable=checkout() + gone + begin + work("echo work of unreachable") + end,
        misspelt=checkout() + assign(**nothing) + work("echo work of misspelt"),
    )
    stage.write_workflow("ci.yml", jobs)
    run = stage.run()
    assert run.ok is not strict, run.text
    assert stage.uploaded() == []
    said = "\n".join(run.annotations("error" if strict else "warning"))
    for words in (
        "is not inside a git repository",
        "no step before this one assigned an arm",
        "could not be read",
        "give the action one of `slot:` and `experiment:`",
    ):
        assert words in said, run.text
    for job in ("no-checkout", "never-assigned", "unreachable", "misspelt"):
        assert (f"| work of {job}" in run.text) is (not strict or job == "never-assigned")


def test_records_that_cannot_go_are_said_or_go_another_way(stage: ActStage) -> None:
    go_live(stage)
    begin = checkout() + assign()
    stage.write_workflow("ci.yml", workflow(test=begin + record()))
    run = stage.run(environment={"STAGE_UPLOADS_FAIL": "1"})
    assert run.ok, run.text
    assert any("could not be uploaded" in text for text in run.annotations("warning"))

    stage.write_workflow("ci.yml", workflow(test=begin + record(transport="push")))
    run = stage.run(permissions=READ)
    assert run.ok, run.text
    assert stage.pushed() == []
    assert len(stage.uploaded()) == 1
    assert any("`permissions: contents: write`" in text for text in run.annotations("warning"))

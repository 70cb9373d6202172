"""The `lab` action: pairs of a running experiment, in a job without any right to write."""

from __future__ import annotations

from support.act_stage import READ, ActStage
from support.live_experiment import LAB, begin, checkout, lab, work, workflow

TOLD = "echo 'recorded ${{ steps.lab.outputs.recorded }}'; git worktree list | wc -l"


def test_a_lab_job_runs_pairs(stage: ActStage) -> None:
    begin(stage, "faster", LAB)
    steps = checkout() + lab(experiment="faster", pairs="2") + work(TOLD)
    jobs = workflow(
        test=steps,
        unknown=checkout() + lab(experiment="slower") + work("echo no harm"),
        strict=checkout() + lab(experiment="faster", pairs="none", strict="true"),
    )
    stage.write_workflow("ci.yml", jobs)
    run = stage.run(permissions=READ)
    trials = stage.uploaded()
    assert len(trials) == 4
    assert {(trial.mode, trial.status) for trial in trials} == {("lab", "ok")}
    blocks = {trial.block for trial in trials}
    assert len(blocks) == 2
    for block in blocks:
        pair = [trial for trial in trials if trial.block == block]
        assert {trial.arm for trial in pair} == {"control", "treatment"}
    assert run.text.count("| faster treatment") == 2
    assert "| recorded 4" in run.text
    assert len(stage.hub.artifacts) == 1
    # The measured command sees its arm, and no token.
    assert "| saw-EXPCI_ARM=treatment" in run.text
    for word in ("saw-INPUT_", "saw-GITHUB_TOKEN", "saw-GIT_CONFIG_COUNT", "***"):
        assert word not in run.text
    assert "no trial was run" in run.text
    assert "| no harm" in run.text
    assert any("pairs is a number" in text for text in run.annotations("error"))
    assert not run.ok

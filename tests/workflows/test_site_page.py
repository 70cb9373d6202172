"""The workflow `expci-site.yml` of `init --site`: from the ledger to what is published."""

from __future__ import annotations

import tarfile

from expci.flows.setup.init import initialize
from support.act_stage import PIN, READ, ActStage
from support.live_experiment import go_live


def test_the_page_of_the_ledger_is_handed_to_the_job_that_publishes(stage: ActStage) -> None:
    go_live(stage)
    result = initialize(stage.repository.path, PIN, home="expci/expci", site=True)
    assert ".github/workflows/expci-site.yml" in result.written
    stage.publish("Set up")
    run = stage.run("workflow_dispatch", "expci-site.yml", permissions=READ)
    assert run.ok, run.text
    outcomes = {step: outcome for steps in run.run.jobs.values() for step, outcome in steps}
    assert outcomes["Publish"] == "success"
    [archive] = stage.home.glob("artifacts-*/github-pages.tar")
    with tarfile.open(archive) as page:
        names = {name.removeprefix("./") for name in page.getnames()}
    assert {"index.html", "faster.html", "portfolio.json", "feed.xml", "badge.svg"} <= names

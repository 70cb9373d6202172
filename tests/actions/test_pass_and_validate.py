"""`pass` and `validate` in jobs whose checkout keeps no credentials."""

from __future__ import annotations

import json
import sys

from expci.core.model.trial import Trial, load_line
from expci.core.model.trial_reader import parse_trial
from support.act_stage import READ, ActStage
from support.hub_bench import ALL
from support.live_experiment import ACTIONS, assign, checkout, go_live, record, work, workflow

ON = "{schedule: [{cron: '17 * * * *'}]}"
FULL = checkout(**{"fetch-depth": "0"})


def step(name: str) -> str:
    return f"      - uses: {ACTIONS}/{name}@PIN\n        with: {{python: '{sys.executable}'}}\n"


def recorded(stage: ActStage) -> dict[str, Trial]:
    """The ledger's trials by id."""
    names = stage.hub.bare.git("ls-tree", "-r", "--name-only", "refs/expci/ledger").split()
    segments = [name for name in names if name.startswith("experiments/faster/trials/")]
    lines = [stage.hub.bare.git("show", f"refs/expci/ledger:{s}").splitlines() for s in segments]
    return {t.id: t for part in lines for line in part if (t := parse_trial(load_line(line)))}


def test_the_pass_takes_what_jobs_pushed_and_uploaded(stage: ActStage) -> None:
    go_live(stage, unit="job")
    begin = checkout() + assign() + work("sh work.sh")
    both = workflow(
        "[push, pull_request]", pushes=begin + record(transport="push"), uploads=begin + record()
    )
    stage.write_workflow("ci.yml", both)
    assert stage.run(permissions={"contents": "write"}).ok
    [pushed], [uploaded] = stage.pushed(), stage.uploaded()
    pull = stage.open_pull("theirs", {"other.txt": "x\n"}, fork="eve/copy")
    # A fork's token can only read, so both of its jobs upload.
    assert stage.run("pull_request", number=pull.number, fork="eve/copy", permissions=READ).ok
    theirs = {trial.id for trial in stage.uploaded()} - {uploaded.id}
    assert len(theirs) == 2

    stage.write_workflow("pass.yml", workflow(ON, test=FULL + step("pass")))
    run = stage.run("schedule", "pass.yml", permissions=ALL)
    assert run.ok, run.text
    held = recorded(stage)
    assert held.keys() >= {pushed.id, uploaded.id}
    assert held[pushed.id].excluded is held[uploaded.id].excluded is None
    assert theirs.isdisjoint(held), "of a fork's records the ledger keeps the number"
    counters = json.loads(stage.hub.bare.git("show", "refs/expci/ledger:uncounted.json"))
    assert counters["forks"] == {"eve/copy": {"artifacts": 2, "records": 2, "refused": 0}}
    assert len(held) == 2
    assert stage.pushed() == []
    for secret in stage.hub.tokens:
        assert secret not in run.text


def test_validate_fails_where_an_experiment_is_wrong(stage: ActStage) -> None:
    go_live(stage)
    jobs = workflow("pull_request", test=FULL + step("validate"))
    stage.write_workflow("ci.yml", jobs)
    # A file of the request's that Python would import, were it asked to look there.
    hostile = {"yaml.py": "print('hijacked')\n", "expci/__init__.py": "print('hijacked')\n"}
    good = stage.open_pull("good", hostile)
    bad = stage.open_pull("bad", {"experiments/faster/experiment.yml": "version: 1\nname: x\n"})
    run = stage.run("pull_request", number=good.number)
    assert run.ok, run.text
    assert "hijacked" not in run.text
    run = stage.run("pull_request", number=bad.number)
    assert not run.ok
    assert "hypothesis" in run.text

"""Starting the lab workflow on the branches of running experiments, over real HTTP."""

from __future__ import annotations

from typing import Any

import pytest

from expci.errors import ExpciError
from expci.forge.lab_runs import LabRun, github, lab_runs_to_start, main, start_lab_runs
from expci.runner.ci.messages import say
from expci.store.published import Exposure, Published
from support.hub_bench import BOT, HubBench, bench, template

__all__ = ["bench", "template"]


def exposure(**changes: Any) -> Exposure:
    values: dict[str, Any] = {"plan": "0" * 64, "state": "running", "mode": "lab", "slot": None}
    values |= {"design": "paired", "unit": "run", "weights": {"control": 1.0}, "traffic": 1.0}
    return Exposure(**{**values, "salt": "s", "base": "0" * 40, **changes})


def test_each_running_lab_experiment_gets_a_run_where_it_stands() -> None:
    document = Published(
        "",
        {
            "merged": exposure(),
            "proposed": exposure(branch="try/it"),
            "live": exposure(mode="live", slot="build"),
            "paused": exposure(state="paused"),
            "watched": exposure(state="watching"),
        },
    )
    assert lab_runs_to_start(document, "main") == [
        LabRun("merged", ("main",)),
        LabRun("proposed", ("try/it", "main")),
        LabRun("watched", ("main",)),
    ]


def test_one_pass_starts_only_so_many() -> None:
    many = {f"e{number}": exposure() for number in range(100)}
    turns = [lab_runs_to_start(Published("", many), "main", turn) for turn in range(5)]
    assert {len(runs) for runs in turns} == {20}
    assert len({run.experiment for runs in turns for run in runs}) == 100, "each has its turn"


def environment(bench: HubBench, actions: str = "write") -> dict[str, str]:
    token = bench.hub.token(BOT, {"actions": actions})
    return {
        "GITHUB_API_URL": bench.hub.api_url,
        "GITHUB_REPOSITORY": bench.hub.name,
        "GITHUB_TOKEN": token.secret,
    }


def test_the_branch_is_tried_first_and_a_refusal_holds_up_nobody(bench: HubBench) -> None:
    repository = bench.repository
    repository.git("switch", "-q", "-c", "old", "main")
    repository.push("HEAD:old")  # from before there was the workflow
    repository.git("switch", "-q", "-C", "try/it", "main")
    repository.write(".github/workflows/expci-lab.yml", "on: workflow_dispatch\n")
    repository.commit("the workflow")
    repository.push("HEAD:try/it", "HEAD:main")
    said: list[str] = []
    runs = [
        LabRun("gone", ("try/gone", "main")),
        LabRun("lost", ("old",)),
        LabRun("there", ("try/it", "main")),
    ]
    values = environment(bench)
    start_lab_runs(runs, github(values), said.append)
    assert bench.hub.dispatches == [
        ("expci-lab.yml", "main", {"experiment": "gone"}),
        ("expci-lab.yml", "try/it", {"experiment": "there"}),
    ]
    assert said == [
        "gone: expci-lab.yml could not be started on try/gone (HTTP 422)",
        "gone: started expci-lab.yml on main",
        "lost: expci-lab.yml could not be started on old (HTTP 404)",
        "there: started expci-lab.yml on try/it",
    ]


def test_without_the_right_it_says_so(bench: HubBench) -> None:
    said: list[str] = []
    start_lab_runs([LabRun("one", ("main",))], github(environment(bench, "read")), said.append)
    assert said == ["one: expci-lab.yml could not be started on main (HTTP 403)"]


def test_a_server_that_does_not_answer_or_no_token_is_said(bench: HubBench) -> None:
    silent = environment(bench) | {"GITHUB_API_URL": "http://127.0.0.1:1"}
    with pytest.raises(ExpciError, match="does not answer"):
        github(silent)("main", "e")
    with pytest.raises(ExpciError, match="GITHUB_TOKEN"):
        github({"GITHUB_REPOSITORY": "o/r"})


def test_workflows_that_a_revert_asks_for_are_started_on_the_default_branch(
    bench: HubBench, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without a checkout: what `GITHUB_TOKEN` pushed starts no workflow by itself."""
    repository = bench.repository
    repository.git("switch", "-q", "-C", "main", "origin/main")
    repository.write(".github/workflows/deploy.yml", "on: workflow_dispatch\n")
    repository.commit("deploys")
    repository.push("HEAD:main")
    names = r'["deploy.yml", "##[set-env].yml", "::error::x", "a\n::error::y", "b\r::error::z"]'
    more = {
        "GITHUB_SERVER_URL": bench.hub.server,
        "EXPCI_DEFAULT_BRANCH": "main",
        "EXPCI_WORKFLOWS": names,
        "GITHUB_TOKEN": bench.hub.token(BOT, {"actions": "write", "contents": "read"}).secret,
    }
    assert main(environment(bench) | more, say) == 0
    assert bench.hub.dispatches == [("deploy.yml", "main", {})]
    told = capsys.readouterr().out
    assert "deploy.yml: started" in told
    assert "##[" not in told
    assert not [line for line in told.replace("\r", "\n").split("\n") if line.startswith("::")]
    assert "no lab experiment is running" in told

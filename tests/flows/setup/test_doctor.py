"""What doctor says of the forge, on the small GitHub."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from expci.errors import ExpciError
from expci.flows.context import Context
from expci.flows.setup.doctor import doctor
from expci.flows.setup.finding import Finding
from expci.forge.ports import Forge
from support.github_server import Token
from support.hub_bench import ALL, BOT, HubBench
from support.hub_bench import bench as bench
from support.hub_bench import template as template
from support.hub_stage import HubStage


def look(stage: HubStage, token: Token | None = None) -> dict[str, Finding]:
    context = replace(stage.context, make_forge=lambda: stage.bench.forge(token))
    return {finding.what: finding for finding in doctor(lambda: context, stage.repository.path)}


def of(found: dict[str, Finding], part: str) -> Finding:
    [finding] = [finding for what, finding in found.items() if part in what]
    return finding


def test_a_workflow_s_own_token(bench: HubBench) -> None:
    stage = HubStage.of(bench)
    found = look(stage)
    assert of(found, f"the token is {BOT}'s").level == "ok"
    assert of(found, "neither tested nor deployed").level == "warning"
    assert of(found, "pull requests can be read").level == "ok"
    assert of(found, "artifacts can be read").level == "ok"
    assert of(found, "takes direct pushes").level == "ok"
    assert of(found, "no workflow of expci's").fix == "expci init"
    assert of(found, "no pass has run").level == "problem"
    assert all(finding.fix for finding in found.values() if finding.level != "ok")


def test_a_missing_permission_is_named(bench: HubBench) -> None:
    bare = {name: level for name, level in ALL.items() if name != "actions"}
    found = look(HubStage.of(bench), bench.hub.token(BOT, bare))
    refused = [f for f in found.values() if f.level == "problem" and "actions: read" in f.what]
    assert refused, list(found)


def test_a_wrong_token_and_a_reader_s_token(bench: HubBench) -> None:
    stage = HubStage.of(bench)
    wrong = look(stage, Token("ghs_nobody", "nobody"))
    assert any(f.level == "problem" and "make a new one" in f.fix for f in wrong.values())
    bench.hub.people["eve"] = "read"
    assert of(look(stage, bench.hub.token_of("eve")), "eve may not push").level == "problem"


def test_a_missing_token_names_the_line_to_add(bench: HubBench) -> None:
    def refuse() -> Forge:
        raise ExpciError("GITHUB_REPOSITORY is set but there is no token. Add to the step: …")

    context: Context = replace(HubStage.of(bench).context, make_forge=refuse)
    found = doctor(lambda: context, bench.repository.path)
    assert any(f.level == "problem" and "Add to the step" in f.what for f in found)


def test_a_protected_base_branch(bench: HubBench) -> None:
    bench.hub.protect("main")
    found = of(look(HubStage.of(bench)), "takes no direct pushes")
    assert found.level == "warning"
    assert "pull_request" in found.what


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ("required_signatures", "signed commits"),
        ("merge_queue", "merge queue"),
        ("commit_author_email_pattern", "authors' addresses"),
        ("workflows", "workflows of the organization"),
        ("file_path_restriction", "file_path_restriction"),
    ],
)
def test_every_rule_that_holds_a_promotion_is_named(bench: HubBench, rule: str, words: str) -> None:
    bench.hub.rules["main"] = [rule, "non_fast_forward"]
    findings = look(HubStage.of(bench))
    found = of(findings, "what promotes or reverts waits")
    assert words in found.what
    assert "non_fast_forward" not in found.what
    assert not any("takes direct pushes" in what for what in findings)


@pytest.mark.parametrize("rule", ["merge_queue", "workflows", "code_scanning"])
def test_a_rule_that_only_a_pull_request_meets_takes_no_pushes(bench: HubBench, rule: str) -> None:
    bench.hub.rules["main"] = [rule]
    assert rule in of(look(HubStage.of(bench)), "takes no direct pushes").what


def test_the_ledger_is_to_be_protected_before_anybody_may_bypass_a_rule(bench: HubBench) -> None:
    bench.hub.protect("main")
    stage = HubStage.of(bench)
    findings = look(stage)
    bypass, ledger = of(findings, "takes no direct pushes"), of(findings, "the ledger refs/expci")
    assert (bypass.level, ledger.level) == ("warning", "warning")
    assert "protect the ledger first" in bypass.fix
    assert "ledger: refs/heads/expci-ledger" in ledger.fix
    stage.repository.write("experiments/expci.yml", "ledger: refs/heads/expci-ledger\n")
    stage.repository.commit("A branch for the ledger")
    assert of(look(stage), "no ruleset keeps the ledger's branch").level == "warning"
    bench.hub.rules["expci-ledger"] = ["update", "deletion"]
    assert of(look(stage), "a ruleset keeps the ledger's branch").level == "ok"


@pytest.mark.parametrize(
    ("conclusion", "level"), [("success", "ok"), ("failure", "problem"), (None, "ok")]
)
def test_the_last_pass(bench: HubBench, conclusion: str | None, level: str) -> None:
    stage = HubStage.of(bench)
    path = ".github/workflows/expci-pass.yml"
    bench.hub.add_run("schedule", path=path, conclusion=conclusion)
    stage.now += timedelta(hours=3)
    found = of(look(stage), "the last pass")
    assert (found.level, "3 hours ago" in found.what) == (level, True)


def test_running_without_a_trial(bench: HubBench) -> None:
    stage = HubStage.of(bench)
    stage.begin()
    stage.now += timedelta(days=3)
    found = of(look(stage), "running for 3 days, 0 trials")
    assert "is the trial step in a workflow that runs?" in found.fix

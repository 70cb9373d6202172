"""`docs/examples/`: what people read on GitHub, from two stories that are lived through here.

`make golden` writes the files again. Hashes, ports and random ids are the only things that
differ from one run to the next; the examples show fixed ones.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from random import Random

import pytest

from expci.core.lifecycle.transitions import State
from support.github_server.world import Issue
from support.hub_bench import HubBench
from support.hub_bench import bench as bench
from support.hub_bench import template as template
from support.hub_stage import HubStage
from support.specimen import SPEC

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
REWRITE = os.environ.get("EXPCI_GOLDEN") == "1"
START = datetime.fromisoformat("2026-11-23T09:00:00+00:00")
HASH = "7d3f0b9a5c1e"
PLANNED = SPEC.replace("minimum_effect: 15%}", "minimum_effect: 15%, baseline: {mean: 12, sd: 2}}")


@pytest.fixture
def stage(bench: HubBench) -> HubStage:
    made = HubStage.of(bench)
    made.now, made.random = START, Random(5)
    return made


def plain(stage: HubStage, text: str) -> str:
    hub = stage.bench.hub
    text = text.replace(hub.name, "octo/tools").replace(hub.server, "https://github.com")
    text = re.sub(r"(?<=expci:answer:)\d+|(?<=\(comment )\d+", "2001", text)
    return re.sub(r"\b[0-9a-f]{12,64}\b", HASH, text)


def example(stage: HubStage, name: str, text: str) -> None:
    path = EXAMPLES / f"{name}.md"
    shown = plain(stage, text.rstrip()) + "\n"
    if REWRITE:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(shown)
    assert path.read_text() == shown, f"{path.name} is not what is written now: make golden"


@dataclass
class Passes:
    """Runs passes and counts what each asks of GitHub."""

    stage: HubStage
    rows: list[str] = field(default_factory=list)

    def run(self, what: str) -> None:
        mark = len(self.stage.bench.hub.log)
        self.stage.auto()
        calls = self.stage.calls_since(mark)
        writes = sum(call.method != "GET" and call.path != "/graphql" for call in calls)
        state = self.stage.life().state.replace("_", " ")
        self.rows.append(f"| {what} | {state} | {len(calls)} | {writes} |")

    def table(self) -> str:
        head = (
            "| what the pass met | state after it | calls | of these writes |\n|---|---|---:|---:|"
        )
        return "\n".join((head, *self.rows))


def held(issue: Issue, kind: str) -> str:
    """The newest comment of a kind."""
    return [c.body for c in issue.comments if f"<!-- expci:{kind}:" in c.body][-1]


def proposed(stage: HubStage, passes: Passes) -> Issue:
    issue = stage.bench.hub.issues[stage.request(spec=PLANNED)]
    passes.run("a pull request that proposes an experiment")
    example(stage, "1-design", held(issue, "design"))
    stage.says(issue.number, "ada", "/expci start")
    passes.run("the comment `/expci start`")
    example(stage, "2-answer-to-start", held(issue, "answer"))
    assert stage.life().state is State.RUNNING
    stage.now += timedelta(hours=1)
    stage.pairs(3, 0.8)
    passes.run("3 pairs")
    example(stage, "3-report-while-collecting", held(issue, "report"))
    stage.now += timedelta(minutes=5)
    passes.run("nothing new")
    stage.now += timedelta(hours=1)
    stage.pairs(14, 0.8)
    passes.run("14 more pairs: a win")
    assert stage.life().state is State.PROMOTING
    return issue


def merged(stage: HubStage, passes: Passes) -> None:
    stage.now += timedelta(hours=1)
    stage.context.forge.pull_requests.merge(stage.pull("expci/promote/speed"), "Promote")
    passes.run("the promote pull request was merged")
    assert stage.life().state is State.WATCHING


def test_from_proposed_to_promoted(stage: HubStage) -> None:
    passes = Passes(stage)
    issue = proposed(stage, passes)
    promote = stage.bench.hub.issues[2]
    example(stage, "4-report-with-a-win", held(issue, "report"))
    example(stage, "4-short-comment", held(issue, "state"))
    example(stage, "5-promote-pull-request", f"# {promote.title}\n\n{promote.body}")
    merged(stage, passes)
    stage.now += timedelta(days=2)
    stage.pairs(10, 0.85)
    passes.run("10 pairs while watching")
    example(stage, "6-report-while-watching", held(issue, "report"))
    stage.now += timedelta(days=6)
    passes.run("the watch is over")
    assert stage.life().state is State.PROMOTED
    example(stage, "7-report-when-promoted", held(issue, "report"))
    stage.now += timedelta(hours=1)
    passes.run("nothing new")
    example(stage, "calls-proposed-to-promoted", passes.table())


def test_from_proposed_to_reverted(stage: HubStage) -> None:
    passes = Passes(stage)
    issue = proposed(stage, passes)
    merged(stage, passes)
    stage.now += timedelta(hours=3)
    stage.pairs(16, 1.6)
    passes.run("16 pairs that show harm")
    assert stage.life().state is State.ROLLED_BACK
    example(stage, "8-report-when-reverted", held(issue, "report"))
    stage.repository.git("fetch", "-q")
    commit = stage.repository.git("log", "-1", "--format=%B", "origin/main")
    example(stage, "8-revert-commit", f"```text\n{commit.strip()}\n```")
    stage.now += timedelta(hours=1)
    passes.run("nothing new")
    example(stage, "calls-proposed-to-reverted", passes.table())


def test_an_alert(stage: HubStage) -> None:
    stage.request()
    stage.start()
    stage.now += timedelta(days=2)
    stage.auto()
    [alert] = [i for i in stage.bench.hub.issues.values() if "expci:alert" in i.labels]
    example(stage, "9-alert-issue", f"# {alert.title}\n\n{alert.body}")

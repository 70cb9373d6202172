"""A laptop and CI speak of the same forge, and a number of one is never looked up on another."""

from __future__ import annotations

import stat
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from random import Random

import pytest

from expci import app, settings
from expci.core.lifecycle.transitions import State
from expci.errors import ExpciError
from expci.flows.auto.auto import auto
from expci.flows.auto.notify import workflows_to_start
from expci.flows.context import Context
from expci.flows.experiment.gather import promotion_of
from expci.flows.verbs.promote import promote
from expci.flows.verbs.rollback import rollback
from expci.flows.verbs.status import portfolio_rows
from expci.forge.ports import PullRequestState
from support.hub_bench import BOT, HubBench, bench, template
from support.hub_stage import HubStage

__all__ = ["bench", "template"]


@pytest.fixture
def stage(bench: HubBench) -> HubStage:
    """Its clone names GitHub as its origin; git itself goes to the directory behind it."""
    made = HubStage.of(bench)
    made.random = Random(5)
    git, hub = made.repository.git, bench.hub
    git("config", f"url.{made.repository.origin}.insteadOf", hub.git_url)
    git("remote", "set-url", "origin", hub.git_url)
    return made


def laptop(stage: HubStage, forge: str | None = None, **environment: str) -> Context:
    """As a person's shell opens it: no variable of CI is set."""
    server = {
        "GITHUB_SERVER_URL": stage.bench.hub.server,
        "GITHUB_ACTOR": "ada",
        "EXPCI_PAUSE": "0",
    }
    read = settings.read({**server, **environment})
    return app.open_context(stage.repository.path, read, forge=forge, clock=lambda: stage.now)


def with_token(stage: HubStage) -> Context:
    return laptop(stage, GH_TOKEN=stage.bench.token.secret)


def to_promoting(stage: HubStage) -> int:
    number = stage.request()
    stage.start()
    stage.pairs(17, 0.8)
    auto(stage.context)
    assert stage.life().state is State.PROMOTING
    return number


def test_promote_merge_from_a_laptop_merges_on_github(stage: HubStage) -> None:
    to_promoting(stage)
    done = promote(with_token(stage), "speed", merge=True)
    assert done.state == State.WATCHING
    assert stage.pull("expci/promote/speed").state is PullRequestState.MERGED
    assert stage.repository.origin_file("work.sh") == "sleep 0.005"
    assert stage.auto().problems == []


def test_the_laptop_s_events_name_the_forge_of_ci(stage: HubStage) -> None:
    stage.request()
    stage.start()
    stage.pairs(17, 0.8)
    done = auto(with_token(stage))
    assert done.problems == []
    opened = stage.life().promote_opened
    assert opened is not None
    assert opened.forge == stage.context.forge_name == stage.bench.name
    assert opened.pull == stage.pull("expci/promote/speed").number


def test_tokens_in_their_order() -> None:
    read = settings.read
    every = {"EXPCI_TOKEN": "a", "GH_TOKEN": "b", "GITHUB_TOKEN": "c"}
    assert read(every).token == "a"
    assert read({key: every[key] for key in ("GITHUB_TOKEN", "GH_TOKEN")}).token == "b"
    assert read({"GITHUB_TOKEN": "c"}).token == "c"
    assert read({}).token is None


def test_the_token_of_gh_serves_where_no_variable_is_set(
    stage: HubStage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    to_promoting(stage)
    gh = tmp_path / "bin" / "gh"
    gh.parent.mkdir()
    host = stage.bench.hub.server.partition("://")[2]
    gh.write_text(
        f'#!/bin/sh\n[ "$*" = "auth token --hostname {host}" ] && echo {stage.bench.token.secret}\n'
    )
    gh.chmod(gh.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{gh.parent}:/usr/bin:/bin")
    assert laptop(stage).forge.pull_requests.of_branch("expci/promote/speed") is not None


ACTS: list[Callable[[Context], object]] = [
    auto,
    lambda context: promote(context, "speed", merge=True),
    lambda context: rollback(context, "speed", reason="by hand", force=True),
]


@pytest.mark.parametrize("act", ACTS, ids=["auto", "promote", "rollback"])
def test_without_a_token_verbs_that_act_refuse_and_name_the_ways_out(
    stage: HubStage, act: Callable[[Context], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    to_promoting(stage)
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    before = stage.context.store.snapshot().ledger.commit
    with pytest.raises(ExpciError) as caught:
        act(laptop(stage))
    for way in ("gh auth login", "GH_TOKEN", "GITHUB_TOKEN", "--forge local"):
        assert way in str(caught.value)
    assert stage.context.store.snapshot().ledger.commit == before


def test_without_a_token_verbs_that_read_work(stage: HubStage) -> None:
    to_promoting(stage)
    [row] = portfolio_rows(laptop(stage))
    assert row.life.state is State.PROMOTING


@pytest.mark.parametrize("fate", ["merged", "closed"])
def test_a_number_of_the_local_forge_is_not_looked_up_on_github(stage: HubStage, fate: str) -> None:
    """The first pull request there is somebody's; the first of the local forge promotes."""
    repository = stage.repository
    repository.git("switch", "-q", "-C", "docs-fix", "origin/main")
    repository.write("NOTES.md", "a docs fix\n")
    repository.commit("Docs fix")
    repository.push("docs-fix")
    somebodys = stage.bench.hub.open_pull("ada", "docs-fix", title="Docs fix")
    pulls = stage.context.forge.pull_requests
    if fate == "merged":
        pulls.merge(stage.pull("docs-fix"), "Docs fix")
    else:
        pulls.close(stage.pull("docs-fix"), "not wanted")
    repository.git("fetch", "-q")
    repository.git("switch", "-q", "--detach", "origin/main")
    words = [comment.body for comment in somebodys.comments]
    stage.begin()
    stage.pairs(17, 0.8)
    auto(laptop(stage, "local"))
    opened = stage.life().promote_opened
    assert opened is not None
    assert (opened.forge, opened.pull) == ("local", somebodys.number)
    stage.now += timedelta(hours=1)
    done = auto(stage.context)
    assert done.problems == []
    assert stage.life().state is State.PROMOTING
    assert stage.pull("expci/promote/speed").is_open, "it is opened where the pass works"
    assert [comment.body for comment in somebodys.comments] == words
    stage.context.forge.pull_requests.merge(stage.pull("expci/promote/speed"), "Promote")
    auto(stage.context)
    promoted = stage.life().promoted
    assert promoted is not None
    assert repository.git("show", "--format=", "--name-only", promoted.merge, "-m").split() == [
        "work.sh"
    ]


def test_a_number_in_the_ledger_is_the_promotion_only_with_its_branch(stage: HubStage) -> None:
    """Somebody writes another number into the ledger; the branch itself is gone from GitHub."""
    to_promoting(stage)
    context = stage.context
    life = stage.life()
    assert life.promote_opened is not None
    number = stage.request("other", author="ada")
    forged = replace(life.promote_opened, pull=number, forge=context.forge_name)
    stage.bench.hub.issues = {number: stage.bench.hub.issues[number]}
    assert promotion_of(stage.context, replace(life, promote_opened=forged), "speed") is None


@pytest.mark.parametrize(
    "variables",
    [
        {"GITEA_ACTIONS": "true"},
        {"FORGEJO_ACTIONS": "true"},
        {"GITHUB_API_URL": "https://codeberg.org/api/v1"},
        # As https://docs.gitea.com/usage/actions/actions-variables lists them; the server's
        # address ends with a slash (go-gitea/gitea, services/actions/context.go).
        {
            "CI": "true",
            "GITEA_ACTIONS": "true",
            "GITHUB_ACTIONS": "true",
            "GITHUB_SERVER_URL": "https://gitea.com/",
            "GITHUB_API_URL": "https://gitea.com/api/v1",
        },
        # As https://forgejo.org/docs/latest/user/actions/reference/ lists them.
        {
            "CI": "true",
            "FORGEJO_ACTIONS": "true",
            "GITHUB_ACTIONS": "true",
            "GITHUB_SERVER_URL": "https://code.forgejo.org",
            "GITHUB_API_URL": "https://code.forgejo.org/api/v1",
        },
    ],
)
def test_gitea_and_forgejo_are_not_taken_for_github(
    stage: HubStage, variables: dict[str, str]
) -> None:
    """They set GITHUB_REPOSITORY and its like; their API is another."""
    stage.request()
    there = {"GITHUB_REPOSITORY": stage.bench.hub.name, "GITHUB_TOKEN": "t", **variables}
    mark = len(stage.bench.hub.log)
    with pytest.raises(ExpciError, match=r"this is Gitea or Forgejo.*--forge local"):
        auto(laptop(stage, **there))
    assert auto(laptop(stage, forge="local", **there)).problems == []
    assert stage.bench.hub.log[mark:] == [], "nothing was asked of GitHub's API"


@pytest.mark.parametrize("named", [(), ("deploy.yml",)])
def test_a_revert_by_a_workflow_s_own_token_says_that_nothing_tested_it(
    stage: HubStage, named: tuple[str, ...]
) -> None:
    """GitHub starts no workflow for what GITHUB_TOKEN pushes."""
    to_promoting(stage)
    context = replace(stage.context, after_revert=named)
    context.forge.pull_requests.merge(stage.pull("expci/promote/speed"), "Promote")
    auto(context)
    assert stage.life().state is State.WATCHING
    stage.now += timedelta(hours=1)
    stage.pairs(25, 1.9)
    done = auto(replace(stage.context, after_revert=named))
    reverted = stage.life().reverted
    assert reverted is not None
    assert reverted.commit
    words = "so these are started: deploy.yml" if named else "test and deploy it by hand"
    assert f"pushed by {BOT}" in reverted.why
    assert words in reverted.why
    assert workflows_to_start(replace(stage.context, after_revert=named), done) == named
    stage.repository.write(".github/workflows/expci-site.yml", "on: workflow_dispatch\n")
    stage.repository.commit("A page")
    assert workflows_to_start(stage.context, done) == ("expci-site.yml",), "with each pass"

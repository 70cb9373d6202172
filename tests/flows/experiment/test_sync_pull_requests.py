"""What people read on GitHub: reports, short comments, checks, labels, alerts, requests."""

from __future__ import annotations

import http.server
import json
import os
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from expci.core.lifecycle.transitions import State
from expci.flows.auto.auto import auto
from expci.flows.verbs import lifecycle
from expci.forge.webhook import Webhook
from expci.store.git import refs
from expci.store.ledger import paths
from expci.store.ledger.transaction import LedgerChange
from support.command import expci_command
from support.github_server.world import Issue
from support.hub_bench import ALL, BOT, HubBench
from support.hub_bench import bench as bench
from support.hub_bench import template as template
from support.hub_stage import HubStage
from support.repositories import git
from support.specimen import FAST, SPEC


@pytest.fixture
def stage(bench: HubBench) -> HubStage:
    return HubStage.of(bench)


def begun(stage: HubStage, name: str = "speed", spec: str = SPEC) -> Issue:
    """Started from a branch with an open pull request; the pull request."""
    number = stage.request(name, spec)
    stage.start(name)
    stage.auto()
    return stage.bench.hub.issues[number]


def short(issue: Issue) -> list[str]:
    """The states that the short comments tell of, oldest first."""
    told = [c.body for c in issue.comments if "<!-- expci:state:" in c.body]
    return [body.partition(" · now ")[2].splitlines()[0] for body in told]


def report(issue: Issue) -> str:
    [body] = [c.body for c in issue.comments if "<!-- expci:report:" in c.body]
    return body


def check(stage: HubStage, name: str = "expci / speed") -> tuple[str, str]:
    """(conclusion, commit) of the newest check run of that name."""
    found = [c for c in stage.bench.hub.checks if c.name == name]
    return found[-1].conclusion or "", found[-1].commit


def test_one_report_and_a_short_comment_for_each_change_of_state(stage: HubStage) -> None:
    issue = begun(stage)
    assert report(issue).startswith("### 🔇 No data")
    assert "Merging this pull request into `main` changes nothing that runs now." in report(issue)
    assert check(stage)[0] == "neutral"
    stage.pairs(14, 0.5)
    stage.auto()
    assert report(issue).startswith("### 🚀 Promote: ")
    assert "**Your move**: merge #2 to put `treatment` into `main`" in report(issue)
    assert check(stage)[0] == "success"
    stage.context.forge.pull_requests.merge(stage.pull("expci/promote/speed"), "Promote")
    stage.auto()
    assert (issue.state, issue.labels) == ("closed", ["expci:watching"])
    stage.now += timedelta(days=8)
    stage.auto()
    assert issue.labels == ["expci:promoted"]
    assert short(issue) == ["running", "promoting", "watching", "promoted"]
    assert [c.body for c in issue.comments if c.author != BOT] == []


def test_a_pass_without_news_asks_only_for_the_listings(stage: HubStage) -> None:
    begun(stage)
    stage.pairs(3, 0.9)
    stage.auto()
    ledger = stage.context.store.snapshot().ledger.commit
    mark = len(stage.bench.hub.log)
    stage.now += timedelta(hours=5)
    stage.auto()
    assert {e.method for e in stage.calls_since(mark)} == {"GET"}
    assert not [
        e for e in stage.calls_since(mark) if "/pulls/" in e.path or "/issues/" in e.path[:-9]
    ]
    assert stage.context.store.snapshot().ledger.commit == ledger


def test_a_push_that_changes_nothing_of_it_moves_the_check(stage: HubStage) -> None:
    begun(stage)
    before = check(stage)
    stage.repository.git("switch", "-q", "try/speed")
    stage.repository.write("notes.md", "More.\n")
    commit = stage.repository.commit("Notes")
    stage.repository.push("try/speed")
    stage.auto()
    assert stage.life().state is State.RUNNING
    assert (before[0], commit) == check(stage)


def test_a_label_taken_off_comes_back_and_a_deleted_report_with_the_next_news(
    stage: HubStage,
) -> None:
    issue = begun(stage)
    issue.labels.clear()
    issue.comments.clear()
    stage.auto()
    assert (issue.labels, issue.comments) == (["expci:running"], [])
    stage.pairs(3, 0.9)
    stage.auto()
    assert "3 of at most 60 pairs" in report(issue)


def test_a_closed_request_pauses_and_a_reopened_one_resumes(stage: HubStage) -> None:
    issue = begun(stage)
    issue.state = "closed"
    stage.auto()
    assert stage.life().state is State.PAUSED
    issue.state = "open"
    stage.auto()
    assert stage.life().state is State.RUNNING
    assert short(issue) == ["running", "paused", "running"]


def test_two_experiments_in_one_request(stage: HubStage) -> None:
    stage.propose("speed")
    stage.repository.write("experiments/other/experiment.yml", SPEC)
    stage.repository.write("experiments/other/treatment/work.sh", FAST, executable=True)
    stage.repository.commit("Another")
    stage.repository.push("try/speed")
    issue = stage.bench.hub.issues[stage.bench.hub.open_pull("ada", "try/speed").number]
    for name in ("speed", "other"):
        stage.start(name)
    stage.auto()
    lifecycle.stop(stage.context, "other", "enough", None)
    stage.auto()
    assert (issue.state, sorted(issue.labels)) == ("open", ["expci:running", "expci:stopped"])
    lifecycle.stop(stage.context, "speed", "enough", None)
    stage.auto()
    assert (issue.state, issue.labels) == ("closed", ["expci:stopped"])
    mark = len(stage.bench.hub.log)
    stage.auto()
    assert {e.method for e in stage.calls_since(mark)} == {"GET"}


def test_an_ended_experiment_closes_what_is_opened_again(stage: HubStage) -> None:
    issue = begun(stage)
    lifecycle.stop(stage.context, "speed", "enough", None)
    stage.auto()
    assert issue.state == "closed"
    issue.state = "open"
    stage.auto()
    assert issue.state == "closed"


def test_requests_forbidden_to_the_token(stage: HubStage) -> None:
    issue = begun(stage)
    stage.bench.token = stage.bench.hub.token(BOT, ALL, opens_pulls=False)
    stage.pairs(14, 0.5)
    stage.auto()
    life = stage.life()
    assert life.state is State.PROMOTING
    assert life.promote_opened is not None
    page = f"{stage.bench.hub.page}/compare/main...expci/promote/speed"
    assert life.promote_opened.compare.startswith(page)
    assert f"<{page}" in report(issue)
    assert f"<{page}" in issue.comments[-1].body
    by_hand = stage.bench.hub.open_pull("ada", "expci/promote/speed", title="By hand")
    stage.auto()
    assert stage.bench.hub.issues[by_hand.number].labels == ["expci:promote"]
    stage.context.forge.pull_requests.merge(stage.pull("expci/promote/speed"), "Promote")
    stage.auto()
    assert stage.life().state is State.WATCHING


def test_a_revert_on_a_protected_branch_is_one_request(stage: HubStage) -> None:
    issue = begun(stage)
    stage.pairs(14, 0.5)
    stage.auto()
    stage.context.forge.pull_requests.merge(stage.pull("expci/promote/speed"), "Promote")
    stage.auto()
    stage.bench.hub.protect("main")
    stage.pairs(16, 2.5)
    stage.auto()
    life = stage.life()
    assert life.state is State.ROLLED_BACK
    assert life.reverted is not None
    assert life.reverted.pull is not None
    revert = stage.bench.hub.issues[life.reverted.pull]
    assert (revert.state, revert.labels) == ("open", ["expci:revert"])
    assert "merge this pull request to undo the promotion" in revert.body
    stage.auto()
    assert len(stage.bench.hub.issues) == 3
    assert short(issue)[-1] == "rolled back"
    assert f"#{life.reverted.pull}" in report(issue)


def test_an_alert_is_one_issue_updated_and_closed(stage: HubStage) -> None:
    begun(stage)
    stage.now += timedelta(days=2)
    stage.auto()
    [alert] = [i for i in stage.bench.hub.issues.values() if "expci:alert" in i.labels]
    assert "0 trials" in alert.body
    assert alert.title == "expci: speed needs a look: no trials"
    stage.auto()
    stage.pairs(3, 0.9)
    stage.auto()
    assert alert.state == "closed"
    assert len([i for i in stage.bench.hub.issues.values() if i.pull is None]) == 1


def test_an_alert_that_a_person_closed_stays_closed(stage: HubStage) -> None:
    begun(stage)
    stage.now += timedelta(days=2)
    stage.auto()
    [alert] = [i for i in stage.bench.hub.issues.values() if i.pull is None]
    alert.state = "closed"
    stage.now += timedelta(hours=1)
    stage.auto()
    assert alert.state == "closed"


def test_what_did_not_change_costs_no_call(stage: HubStage) -> None:
    """Many experiments, of which five changed, two by a win: under 40 calls, and two for the rules
    of the base branch, which each promotion names."""
    names = [f"exp-{number}" for number in range(6)]
    for name in names:
        stage.request(name)
        stage.start(name)
    stage.auto()
    assert calls_of_a_pass(stage) <= 4
    for name in names[:2]:
        stage.pairs(14, 0.5, name)
    for name in names[2:5]:
        stage.pairs(2, 0.9, name)
    assert calls_of_a_pass(stage) < 40 + 2
    assert calls_of_a_pass(stage) <= 4


def calls_of_a_pass(stage: HubStage) -> int:
    mark = len(stage.bench.hub.log)
    stage.auto()
    return len(stage.calls_since(mark))


class Chat(http.server.BaseHTTPRequestHandler):
    told: list[dict[str, str]]
    status = 200

    def do_POST(self) -> None:
        self.told.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
        self.send_response(self.status)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        return


@pytest.fixture
def chat() -> Iterator[tuple[str, type[Chat]]]:
    kind = type("OneChat", (Chat,), {"told": []})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), kind)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/secret-address", kind
    server.shutdown()
    server.server_close()


def test_news_go_to_the_webhook_once(stage: HubStage, chat: tuple[str, type[Chat]]) -> None:
    url, received = chat
    begun(stage)
    stage.pairs(14, 0.5)
    for _ in range(2):
        auto(replace(stage.context, webhook=Webhook(url).post))
    [message] = received.told
    assert message["text"].startswith("expci: speed: promote opened: treatment improves duration_s")


@pytest.mark.parametrize("status", [302, 403, 500])
def test_a_webhook_that_fails_is_a_problem_without_its_address(
    stage: HubStage, chat: tuple[str, type[Chat]], status: int
) -> None:
    url, received = chat
    received.status = status
    begun(stage)
    stage.pairs(14, 0.5)
    done = auto(replace(stage.context, webhook=Webhook(url).post))
    [(where, problem)] = done.problems
    assert (where, "EXPCI_WEBHOOK" in problem, "secret" in problem) == ("webhook", True, False)


def test_a_job_shows_what_the_pass_did(stage: HubStage, tmp_path: Path) -> None:
    begun(stage)
    bench, summary = stage.bench, tmp_path / "summary.md"
    inbox = refs.inbox("speed", "0" * 64)
    stage.repository.push(f"HEAD:{inbox}")
    environment = {
        **os.environ,
        "GITHUB_ACTIONS": "true",
        "GITHUB_API_URL": bench.hub.api_url,
        "GITHUB_REPOSITORY": bench.hub.name,
        "GITHUB_SERVER_URL": bench.hub.server,
        "GITHUB_STEP_SUMMARY": str(summary),
        "GITHUB_TOKEN": bench.hub.token(BOT, {**ALL, "actions": "none"}).secret,
    }
    done = expci_command(stage.repository.path, "auto", env=environment)
    assert done.returncode == 0  # a problem fails no job that depends on the pass
    [warning] = [line for line in done.stdout.splitlines() if line.startswith("::warning")]
    assert "actions: read" in warning
    text = summary.read_text()
    assert "# expci pass" in text
    assert "quarantined: refs/expci/inbox/speed" in text
    assert "## Problems" in text
    assert "## Active (1)" in text


def test_a_defect_that_one_experiment_brings_to_light_holds_up_no_other(stage: HubStage) -> None:
    begun(stage, "other")
    issue = begun(stage)
    stage.pairs(14, 0.5)
    ledger = stage.context.store.snapshot().ledger
    place = f"{paths.plan('other', ledger.life('other').plan or '')}/plan.json"
    document = json.loads(ledger.read(place) or b"")
    document["experiment"]["plan"]["alpha"] = "a little"  # read, and no number
    odd = LedgerChange.of("A plan that nobody froze", {place: json.dumps(document).encode()})
    stage.context.store.transact(stage.now, lambda _: odd)
    done = auto(stage.context)
    assert issue.labels == ["expci:promoting"]
    assert {name for name, _ in done.problems} == {"other"}
    assert "This is a defect of expci" in done.problems[0][1]


# --- merged in other ways --------------------------------------------------------------


def promoting(stage: HubStage, spec: str = SPEC) -> Issue:
    """With an open promote pull request; that request."""
    begun(stage, spec=spec)
    stage.pairs(14, 0.5)
    stage.auto()
    return stage.bench.hub.issues[stage.pull("expci/promote/speed").number]


def add_to_promotion(stage: HubStage) -> str:
    """A person pushes a commit of their own to the promote pull request's branch; its id."""
    stage.repository.git("fetch", "-q", "origin")
    stage.repository.git("switch", "-q", "-C", "more", "origin/expci/promote/speed")
    stage.repository.write("notes.md", "Also this.\n")
    commit = stage.repository.commit("A person's addition")
    stage.repository.push("more:expci/promote/speed")
    return commit


@pytest.mark.parametrize("method", ["merge", "squash", "rebase"])
def test_harm_is_undone_however_the_request_and_a_persons_addition_were_merged(
    stage: HubStage, method: str
) -> None:
    promoting(stage)
    before = git(stage.repository.origin, "rev-parse", "main")
    add_to_promotion(stage)
    stage.bench.hub.methods = (method,)
    stage.context.forge.pull_requests.merge(stage.pull("expci/promote/speed"), "Promote")
    git(stage.repository.origin, "branch", "-D", "expci/promote/speed")
    stage.auto()
    promoted = stage.life().promoted
    assert promoted is not None
    assert promoted.parent == before
    stage.now += timedelta(hours=1)
    stage.pairs(16, 2.5)
    stage.auto()
    assert stage.life().state is State.ROLLED_BACK
    assert stage.repository.origin_file("work.sh") == "sleep 0.01"


def test_a_request_that_was_merged_into_another_branch_promoted_nothing(stage: HubStage) -> None:
    issue = promoting(stage)
    stage.repository.git("push", "-q", "origin", "origin/main:refs/heads/release")
    assert issue.pull is not None
    issue.pull.base = "release"
    stage.context.forge.pull_requests.merge(stage.pull("expci/promote/speed"), "Promote")
    stage.auto()
    assert (issue.state, stage.life().state) == ("closed", State.PROMOTING)
    stage.repository.git("fetch", "-q", "origin")
    stage.repository.git("push", "-q", "origin", "origin/release:main")
    stage.auto()
    assert stage.life().state is State.WATCHING


def test_what_a_person_added_is_not_merged_by_itself(stage: HubStage) -> None:
    stage.bench.hub.reviews_needed = True
    issue = promoting(stage, SPEC + "decision: {promote: merge}\n")
    add_to_promotion(stage)
    stage.bench.hub.reviews_needed = False
    stage.auto()
    assert (issue.state, stage.life().state) == ("open", State.PROMOTING)

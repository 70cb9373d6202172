"""What a request that proposes experiments is told: check, annotations and one comment."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import pytest

from expci.flows.experiment.advance import Pass
from expci.flows.pull_requests.review import review_open
from expci.store.ledger import paths
from support.command import expci_command
from support.github_server.faults import Fault
from support.github_server.world import CheckRun, Exchange, Token
from support.hub_bench import ALL, BOT, HubBench, bench, template  # noqa: F401 (fixtures)
from support.hub_stage import HubStage
from support.repositories import Repository, git
from support.specimen import FAST, SPEC

QUIET = SPEC.replace("duration by 15%", "duration_s by 15%").replace(
    "metrics:\n",
    "metrics:\n  - {name: cpu_s, role: guardrail, direction: decrease, max_regression: 20%}\n",
)
BASELINE = SPEC.replace(
    "minimum_effect: 15%}", "minimum_effect: 15%, baseline: {mean: 12, sd: 1.8}}"
)
BROKEN = SPEC.replace("run: ./work.sh", "rnu: ./work.sh").replace("15%}", "lots}")


@pytest.fixture
def stage(bench: HubBench) -> HubStage:  # noqa: F811
    return HubStage.of(bench)


def pass_over(stage: HubStage) -> tuple[Pass, list[Exchange]]:
    mark, done = len(stage.bench.hub.log), Pass()
    review_open(stage.context, done)
    return done, stage.calls_since(mark)


def checks(stage: HubStage) -> list[CheckRun]:
    return stage.bench.hub.checks


def ledger_tip(stage: HubStage) -> str | None:
    return stage.context.store.snapshot().ledger.commit


def test_a_valid_proposal_gets_a_check_and_one_comment(stage: HubStage) -> None:
    number = stage.request(spec=QUIET)
    done, _ = pass_over(stage)
    assert done.problems == []
    [check] = checks(stage)
    assert (check.name, check.conclusion) == ("expci / plan", "neutral")
    assert check.commit == stage.repository.git("rev-parse", "HEAD")
    [body] = stage.bench.comments(number)
    assert body.startswith("### 📝 1 experiment proposed: valid, and not started\n")
    assert "-sleep 0.01\n+sleep 0.005" in body
    assert check.commit[:12] in body
    assert "`/expci start`" in body
    assert body.rstrip().endswith(f"<!-- expci:design:{number} -->")


def test_an_unchanged_request_costs_nothing(stage: HubStage) -> None:
    stage.request()
    pass_over(stage)
    tip = ledger_tip(stage)
    done, calls = pass_over(stage)
    assert [call.path.rpartition("/")[2] for call in calls] == ["pulls", "pulls"]
    assert ledger_tip(stage) == tip
    assert done.actions == []


def test_a_request_without_experiments_costs_no_call(stage: HubStage) -> None:
    stage.repository.git("switch", "-q", "-c", "other", "origin/main")
    stage.repository.write("README.md", "Other words.\n")
    stage.repository.commit()
    stage.repository.push("other")
    stage.bench.hub.open_pull("ada", "other")
    for _ in range(2):
        _, calls = pass_over(stage)
        assert [call.path.rpartition("/")[2] for call in calls] == ["pulls", "pulls"]


def test_problems_are_annotated_on_their_lines(stage: HubStage) -> None:
    number = stage.request(spec=BROKEN)
    pass_over(stage)
    [check] = checks(stage)
    assert check.conclusion == "failure"
    said = {item.get("title"): (item["start_line"], item["message"]) for item in check.annotations}
    file = stage.repository.path / "experiments/speed/experiment.yml"
    text = file.read_text().splitlines()
    line, message = said["rnu"]
    assert text[line - 1].startswith("rnu:")
    assert "`run`" in message
    line, message = said["metrics[0].minimum_effect"]
    assert "lots" in text[line - 1]
    assert {item["path"] for item in check.annotations} == {"experiments/speed/experiment.yml"}
    [body] = stage.bench.comments(number)
    assert body.startswith("### ❌ Not valid: 2 problems to correct")
    stage.repository.write("experiments/speed/experiment.yml", QUIET)
    stage.repository.commit()
    stage.repository.push()
    pass_over(stage)
    assert [item.conclusion for item in checks(stage)] == ["failure", "neutral"]
    [body] = stage.bench.comments(number)
    assert body.startswith("### 📝 1 experiment proposed: valid, and not started\n")


def test_a_second_push_edits_the_comment_and_checks_the_new_commit(stage: HubStage) -> None:
    number = stage.request(spec=BASELINE)
    pass_over(stage)
    [before] = stage.bench.comments(number)
    assert "no effect at all" in before  # simulated
    stage.repository.write("notes.md", "Only words.\n")
    head = stage.repository.commit()
    stage.repository.push()
    pass_over(stage)
    assert [check.commit for check in checks(stage)][1:] == [head]
    [after] = stage.bench.comments(number)
    assert head[:12] in after
    simulated = "How many trials, how long, and how often this plan would decide"
    assert after.split(simulated)[1] == before.split(simulated)[1]


def test_a_fork_is_told_that_it_cannot_start(stage: HubStage) -> None:
    stage.propose()
    head = stage.repository.git("rev-parse", "HEAD")
    git(stage.repository.origin, "update-ref", "-d", "refs/heads/try/speed")
    git(stage.repository.origin, "update-ref", "refs/forks/eve/copy/try/speed", head)
    number = stage.bench.hub.open_pull("eve", "try/speed", fork="eve/copy").number
    pass_over(stage)
    [check] = checks(stage)
    assert check.commit == head
    [body] = stage.bench.comments(number)
    assert "can propose but not start" in body
    assert "/expci start" not in body


def test_two_experiments_of_one_request_share_one_comment(stage: HubStage) -> None:
    stage.propose("speed")
    stage.repository.write("experiments/other/experiment.yml", BROKEN)
    stage.repository.write("experiments/other/treatment/work.sh", FAST)
    stage.repository.commit()
    stage.repository.push("try/speed")
    number = stage.bench.hub.open_pull("ada", "try/speed").number
    pass_over(stage)
    [body] = stage.bench.comments(number)
    assert "`speed`" in body
    assert "`other`" in body
    [check] = checks(stage)
    assert check.conclusion == "failure"
    assert check.output["title"].startswith("2 experiments, ")


def test_what_else_is_live_is_said_and_said_again_when_it_changes(stage: HubStage) -> None:
    live = SPEC.replace("run: ./work.sh", "slot: build\nrun: ./work.sh")
    number = stage.request("second", live)
    pass_over(stage)
    stage.begin("first", live, "sleep 0.007\n")
    stage.bench.hub.open_pull("ada", "try/first")
    pass_over(stage)
    [body] = stage.bench.comments(number)
    assert "first varies work.sh too, in the same slot build: wait for it to end" in body


def test_once_it_runs_the_comment_says_so(stage: HubStage) -> None:
    number = stage.request()
    pass_over(stage)
    stage.start()
    pass_over(stage)
    [body] = stage.bench.comments(number)
    assert body.startswith("### 🧪 Started: its report is in a comment of its own\n")
    done, calls = pass_over(stage)
    assert len(calls) == 2
    assert done.actions == []


def test_an_experiment_that_left_its_request_is_said_to_have_left(stage: HubStage) -> None:
    number = stage.request()
    pass_over(stage)
    stage.repository.git("rm", "-qr", "experiments/speed")
    stage.repository.write("README.md", "Other.\n")
    stage.repository.commit()
    stage.repository.push("try/speed")
    pass_over(stage)
    [body] = stage.bench.comments(number)
    assert body.startswith("### ⏹️ No experiment: this pull request changes none any more\n")


def test_hostile_trees_are_refused_and_hold_up_nobody(stage: HubStage) -> None:
    bomb = stage.repository
    bomb.git("switch", "-q", "-C", "try/bomb", "origin/main")
    bomb.write("experiments/bomb/experiment.yml", "a: &a [*a]\n" * 10)
    bomb.write("experiments/$(id)/experiment.yml", SPEC)
    bomb.write("experiments/big/experiment.yml", SPEC)
    bomb.write("experiments/big/treatment/work.sh", "x" * 51_000_000)
    (bomb.path / "experiments/link").mkdir()
    (bomb.path / "experiments/link/experiment.yml").symlink_to("/etc/passwd")
    (bomb.path / "experiments/link/treatment").symlink_to("/etc")
    bomb.commit()
    bomb.push("try/bomb")
    stage.bench.hub.open_pull("eve", "try/bomb")
    number = stage.request()
    done, _ = pass_over(stage)
    assert done.problems == []
    told = next(check for check in checks(stage) if check.conclusion == "failure")
    messages = " ".join(item["message"] for item in told.annotations)
    assert "51 MB" in messages
    assert "not an experiment id" in messages
    assert "root:" not in str(told.output) + messages
    assert stage.bench.comments(number)[0].startswith("### 📝 1 experiment proposed: valid")


def test_a_plan_of_many_comparisons_does_not_keep_the_pass_busy(stage: HubStage) -> None:
    guards = "".join(
        f"  - {{name: m{n}_s, role: guardrail, direction: decrease, max_regression: 20%, "
        "baseline: {mean: 12, sd: 1.8}}\n"
        for n in range(20)
    )
    number = stage.request(spec=BASELINE.replace("plan:\n", f"{guards}plan:\n"))
    before = time.process_time()
    done, _ = pass_over(stage)
    assert done.problems == []
    assert time.process_time() - before < 10  # simulated it takes half a minute
    [body] = stage.bench.comments(number)
    assert "22 comparisons" in body
    assert "expci plan speed" in body


def test_markup_in_a_variant_stays_text(stage: HubStage) -> None:
    nasty = "```\n</details> @ada <!-- expci:design:1 --> \u202e ````` x\n"
    number = stage.request(variant=nasty)
    pass_over(stage)
    [body] = stage.bench.comments(number)
    assert "``````diff" in body
    assert "\u202e" not in body


def test_a_failing_request_is_finished_by_the_next_pass(stage: HubStage) -> None:
    first, second = stage.request("one"), stage.request("two")
    stage.bench.hub.faults.add(Fault.failure("POST", "check-runs", status=422))
    done, _ = pass_over(stage)
    assert len(done.problems) == 1
    done, _ = pass_over(stage)
    assert done.problems == []
    for number in (first, second):
        assert len(stage.bench.comments(number)) == 1
    stage.bench.hub.faults.add(Fault.lost_answer("POST", "comments"))
    third = stage.request("three")
    pass_over(stage)
    pass_over(stage)
    assert len(stage.bench.comments(third)) == 1


def test_ten_a_pass_and_closed_ones_are_forgotten(stage: HubStage) -> None:
    numbers = [stage.request(f"n{number}") for number in range(11)]
    pass_over(stage)
    told = [number for number in numbers if stage.bench.comments(number)]
    assert len(told) == 10
    pass_over(stage)
    assert all(len(stage.bench.comments(number)) == 1 for number in numbers)
    for number in numbers:
        stage.bench.hub.issues[number].state = "closed"
    pass_over(stage)
    held = stage.context.store.snapshot().ledger.derived.read(paths.REVIEWED)
    assert held is not None
    assert b'"requests": {}' in held


def test_what_a_branch_is_behind_in_is_not_what_it_proposes(stage: HubStage) -> None:
    stage.propose("old")
    stage.repository.git("push", "-q", "origin", "HEAD:main")
    stage.repository.git("fetch", "-q", "origin")
    stage.repository.git("switch", "-q", "-c", "other", "origin/main")
    stage.repository.write("notes.md", "Words.\n")
    stage.repository.commit()
    stage.repository.push("other")
    number = stage.bench.hub.open_pull("ada", "other").number
    stage.repository.git("switch", "-q", "-c", "gone", "origin/main")
    stage.repository.git("rm", "-qr", "experiments/old")
    stage.repository.commit()
    stage.repository.push("HEAD:main")
    done, _ = pass_over(stage)
    assert (done.actions, done.problems) == ([], [])
    assert stage.bench.comments(number) == []


def test_a_shallow_clone_is_told_once_and_nobody_is_told_anything_wrong(stage: HubStage) -> None:
    numbers = [stage.request(name) for name in ("one", "two")]
    clone = stage.repository.path.parent / "shallow"
    url = f"file://{stage.repository.origin}"
    git(clone.parent, "clone", "-q", "--depth=1", "--branch=main", url, str(clone))
    shallow = HubStage(Repository(clone, stage.repository.origin), bench=stage.bench)
    done, _ = pass_over(shallow)
    [(_, problem)] = done.problems
    assert "fetch-depth: 0" in problem
    assert [stage.bench.comments(number) for number in numbers] == [[], []]


# --- in a job -------------------------------------------------------------------------


def in_a_job(stage: HubStage, token: Token, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`expci validate` as a step of GitHub Actions."""
    hub = stage.bench.hub
    step = {
        "GITHUB_ACTIONS": "true",
        "GITHUB_REPOSITORY": hub.name,
        "GITHUB_TOKEN": token.secret,
        "GITHUB_API_URL": hub.api_url,
        "GITHUB_SERVER_URL": hub.server,
        "GITHUB_STEP_SUMMARY": str(stage.repository.path.parent / "summary.md"),
    }
    return expci_command(stage.repository.path, "validate", *arguments, env=os.environ | step)


def test_validate_tells_the_request_and_the_next_pass_repeats_nothing(stage: HubStage) -> None:
    number = stage.request()
    done = in_a_job(stage, stage.bench.token, "--request", str(number))
    assert (done.returncode, done.stderr) == (0, "")
    [check] = checks(stage)
    assert check.conclusion == "neutral"
    [body] = stage.bench.comments(number)
    summary = (stage.repository.path.parent / "summary.md").read_text()
    assert summary.startswith("### 📝 1 experiment proposed: valid")
    pass_over(stage)
    assert len(checks(stage)) == 1
    assert stage.bench.comments(number) == [body]


def test_validate_without_the_right_to_write_leaves_it_to_the_pass(stage: HubStage) -> None:
    number = stage.request(spec=BROKEN)
    reader = stage.bench.hub.token(BOT, {"contents": "read", "pull_requests": "read"})
    done = in_a_job(stage, reader, "--request", str(number))
    assert done.returncode == 1
    assert "::error file=experiments/speed/experiment.yml,line=4,title=rnu::" in done.stdout
    assert "The next pass (`expci auto`) does it" in done.stderr
    assert reader.secret not in done.stdout + done.stderr
    assert stage.bench.comments(number) == []
    wrong = in_a_job(stage, reader, "--request", "999")
    assert "there is no pull request 999" in wrong.stderr


def test_annotations_do_not_spoil_json(stage: HubStage) -> None:
    stage.propose(spec=BROKEN)
    done = in_a_job(stage, stage.bench.token, "--json")
    assert done.stdout.startswith("{")
    assert "::error file=" in done.stderr
    assert not Path(stage.repository.path.parent / "summary.md").exists()

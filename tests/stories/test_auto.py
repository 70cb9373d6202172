"""The pass, on real git: what follows from what, once, whatever people do in between."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest

from expci.core.lifecycle.transitions import State
from expci.errors import ExpciError
from expci.flows.auto.auto import auto
from expci.flows.verbs import lifecycle, status
from expci.flows.verbs.analyze import analyze
from expci.flows.verbs.fsck import fsck
from expci.flows.verbs.promote import promote
from expci.flows.verbs.rollback import rollback
from expci.forge.ports import PullRequestState
from expci.report.documents import render
from expci.store.git import refs
from expci.store.ledger import paths
from support.repositories import Repository, git
from support.specimen import FAST, SPEC
from support.stage import Stage


@pytest.fixture
def stage(repository: Repository) -> Stage:
    return Stage(repository)


def tips(repository: Repository) -> dict[str, str]:
    """Every ref of the origin."""
    lines = git(repository.origin, "for-each-ref", "--format=%(refname) %(objectname)")
    return dict(line.split() for line in lines.splitlines())


def test_from_proposal_to_promoted(stage: Stage) -> None:
    stage.begin()
    stage.pairs(14, 0.5)
    stage.auto()
    assert stage.life().state is State.PROMOTING
    pull = stage.pull("expci/promote/speed")
    assert (pull.state, pull.base, pull.draft) == (PullRequestState.OPEN, "main", False)
    assert stage.repository.origin_file("work.sh") == "sleep 0.01"
    stage.context.forge.pull_requests.merge(pull, "Promote")
    stage.auto()
    assert stage.life().state is State.WATCHING
    assert stage.repository.origin_file("work.sh") == FAST.strip()
    stage.now += timedelta(days=7, minutes=1)
    stage.auto()
    assert stage.life().state is State.PROMOTED
    assert stage.context.store.snapshot().published.experiments == {}
    assert fsck(stage.context).problems == []


def test_a_second_pass_changes_nothing(promoting: Stage) -> None:
    before = tips(promoting.repository)
    promoting.now += timedelta(hours=1)
    done = promoting.auto()
    assert done.events == []
    assert done.actions == []
    assert tips(promoting.repository) == before


def test_the_promotion_keeps_what_others_changed_and_takes_the_experiment_away(
    stage: Stage,
) -> None:
    repository = stage.repository
    text = "\n".join(f"echo {n}" for n in range(20)) + "\n"
    repository.write("work.sh", text, executable=True)
    repository.commit("Longer")
    repository.push("HEAD:main")
    repository.git("fetch", "-q")
    repository.write("experiments/notes.md", "kept\n")
    stage.begin(variant=text.replace("echo 2\n", "echo two\n"))
    repository.git("switch", "-q", "main")
    repository.write("work.sh", text.replace("echo 18\n", "echo eighteen\n"), executable=True)
    repository.commit("Meanwhile")
    repository.push("main")
    stage.pairs(14, 0.5)
    stage.auto()
    promote(stage.context, "speed", merge=True)
    after = repository.origin_file("work.sh").splitlines()
    assert (after[2], after[18]) == ("echo two", "echo eighteen")
    listed = git(repository.origin, "ls-tree", "-r", "--name-only", "main")
    assert "experiments/speed" not in listed


def test_a_conflict_opens_a_draft_and_changes_nothing_on_the_base(stage: Stage) -> None:
    repository = stage.repository
    stage.begin()
    repository.git("switch", "-q", "main")
    repository.write("work.sh", "sleep 99\n", executable=True)
    tip = repository.commit("Meanwhile")
    repository.push("main")
    stage.pairs(14, 0.5)
    stage.auto()
    assert stage.pull("expci/promote/speed").draft
    assert tips(repository)["refs/heads/main"] == tip
    assert repository.origin_file("work.sh", "expci/promote/speed") == FAST.strip()
    with pytest.raises(ExpciError, match="draft"):
        promote(stage.context, "speed", merge=True)


@pytest.mark.parametrize("how", ["--no-ff", "--ff-only", "--squash"])
def test_a_merge_by_hand_is_noticed(promoting: Stage, how: str) -> None:
    repository = promoting.repository
    repository.git("fetch", "-q", "origin")
    repository.git("switch", "-q", "main")
    before = repository.git("rev-parse", "HEAD")
    repository.git(
        "merge", "-q", how, *(["-m", "x"] if how == "--no-ff" else []), "origin/expci/promote/speed"
    )
    if how == "--squash":
        repository.git("commit", "-q", "-m", "squashed")
    merge = repository.git("rev-parse", "HEAD")
    repository.write("other.txt", "later\n")
    repository.commit("Later")
    repository.push("main")
    promoting.auto()
    promoted = promoting.life().promoted
    assert promoted is not None
    assert (promoted.merge, promoted.parent) == (merge, before)


def test_a_closed_request_is_declined_and_stays_closed(promoting: Stage) -> None:
    git(promoting.repository.origin, "branch", "-D", "expci/promote/speed")
    promoting.auto()
    life = promoting.life()
    assert life.state is State.STOPPED
    assert life.ended is not None
    assert life.ended.reason_code == "declined"
    promoting.pairs(5, 0.5)
    promoting.auto()
    assert promoting.life().state is State.STOPPED
    assert "refs/heads/expci/promote/speed" not in tips(promoting.repository)


def test_harm_is_rolled_back_and_exposure_stops(running: Stage) -> None:
    running.pairs(12, 1.6)
    running.auto()
    assert running.life().state is State.ROLLED_BACK
    assert running.context.store.snapshot().published.experiments == {}
    assert running.pull("try/speed").state is PullRequestState.CLOSED
    assert running.repository.origin_file("work.sh") == "sleep 0.01"


def test_harm_after_the_promotion_is_reverted_on_the_base(watching: Stage, merge: str) -> None:
    repository = watching.repository
    repository.git("fetch", "-q")
    repository.git("switch", "-q", "-C", "main", "origin/main")
    repository.write("unrelated.txt", "kept\n")
    repository.commit("Unrelated")
    repository.push("main")
    watching.pairs(14, 1.6)
    watching.auto()
    life = watching.life()
    assert life.state is State.ROLLED_BACK
    assert life.reverted is not None
    assert tips(repository)["refs/heads/main"] == life.reverted.commit
    assert repository.origin_file("work.sh") == "sleep 0.01"
    assert repository.origin_file("unrelated.txt") == "kept"
    message = git(repository.origin, "log", "-1", "--format=%B", "main")
    assert f"Expci-Revert: speed {merge}" in message
    before = tips(repository)
    watching.auto()
    assert tips(repository) == before


def test_a_revert_that_conflicts_waits_as_a_draft(watching: Stage) -> None:
    repository = watching.repository
    repository.git("fetch", "-q")
    repository.git("switch", "-q", "-C", "main", "origin/main")
    repository.write("work.sh", "sleep 0.005 # tuned\n", executable=True)
    tip = repository.commit("Tuned since")
    repository.push("main")
    watching.pairs(14, 1.6)
    watching.auto()
    assert tips(repository)["refs/heads/main"] == tip
    pull = watching.pull("expci/revert/speed")
    assert (pull.state, pull.draft) == (PullRequestState.OPEN, True)
    assert repository.origin_file("work.sh", "expci/revert/speed") == "sleep 0.01"


def test_a_protected_base_gets_a_revert_request(watching: Stage) -> None:
    repository = watching.repository
    hook = repository.origin / "hooks" / "update"
    hook.write_text('#!/bin/sh\n[ "$1" != refs/heads/main ] || { echo protected >&2; exit 1; }\n')
    hook.chmod(0o755)
    before = tips(repository)["refs/heads/main"]
    watching.pairs(14, 1.6)
    watching.auto()
    assert tips(repository)["refs/heads/main"] == before
    pull = watching.pull("expci/revert/speed")
    assert (pull.state, pull.draft) == (PullRequestState.OPEN, False)
    assert watching.life().state is State.ROLLED_BACK


def test_a_person_who_reverts_is_respected(watching: Stage, merge: str) -> None:
    repository = watching.repository
    repository.git("fetch", "-q")
    repository.git("switch", "-q", "-C", "main", "origin/main")
    repository.git("revert", "--no-edit", "-m", "1", merge)
    repository.push("main")
    before = tips(repository)["refs/heads/main"]
    watching.auto()
    life = watching.life()
    assert life.state is State.ROLLED_BACK
    assert life.reverted is None
    assert tips(repository)["refs/heads/main"] == before


def test_it_expires_when_its_days_are_over(running: Stage) -> None:
    running.pairs(3, 1.0)
    running.now += timedelta(days=14, minutes=1)
    running.auto()
    assert running.life().state is State.EXPIRED


def test_more_days_keep_it_alive(running: Stage) -> None:
    running.pairs(3, 1.0)
    lifecycle.extend(running.context, "speed", days=5)
    running.now += timedelta(days=15)
    running.auto()
    assert running.life().state is State.RUNNING


def test_no_trial_for_a_day_is_said_loudly_once(running: Stage) -> None:
    running.now += timedelta(days=2)
    running.auto()
    running.auto()
    raised = [event for event in running.life().events if event.word == "alert_raised"]
    assert len(raised) == 1
    assert "0 trials" in raised[0].why
    running.pairs(1, 1.0)
    running.auto()
    assert not running.life().alerts


def test_evidence_that_fades_makes_the_request_a_draft(promoting: Stage) -> None:
    promoting.pairs(16, 1.45)
    promoting.auto()
    assert promoting.life().state is State.RUNNING
    assert promoting.pull("expci/promote/speed").draft


def test_what_a_person_added_to_the_request_stays_when_it_is_asked_for_again(
    promoting: Stage,
) -> None:
    branch = "expci/promote/speed"
    promoting.repository.git("fetch", "-q")
    promoting.repository.git("switch", "-q", "-c", "theirs", f"origin/{branch}")
    promoting.repository.write("NOTES.md", "Why this is faster.\n")
    added = promoting.repository.commit("Explain it")
    promoting.repository.push(f"HEAD:{branch}")
    lifecycle.pause(promoting.context, "speed", "a look first")
    promoting.auto()
    lifecycle.resume(promoting.context, "speed", "")
    promoting.pairs(2, 0.5)
    promoting.auto()
    assert promoting.life().state is State.PROMOTING
    pull = promoting.pull(branch)
    assert (pull.head_commit, pull.draft) == (added, False)


def test_trials_that_do_not_count_do_not_quiet_the_alarm(running: Stage) -> None:
    running.pairs(2, 1.0, excluded="untrusted")
    running.now += timedelta(days=2)
    running.auto()
    [alert] = running.life().alerts.values()
    assert (alert.alert, "of 4 trials not one counts" in alert.why) == ("no_trials", True)


def test_a_merge_is_made_where_the_plan_asks_for_it(stage: Stage) -> None:
    stage.begin(spec=SPEC + "decision: {promote: merge}\n")
    stage.pairs(14, 0.5)
    stage.auto()
    assert stage.life().state is State.WATCHING
    assert stage.repository.origin_file("work.sh") == FAST.strip()


def test_a_plan_that_never_promotes_ends_with_the_win(stage: Stage) -> None:
    stage.begin(spec=SPEC + "decision: {promote: never}\n")
    stage.pairs(14, 0.5)
    stage.auto()
    assert stage.life().state is State.STOPPED
    assert "refs/heads/expci/promote/speed" not in tips(stage.repository)


def test_an_experiment_merged_to_the_default_branch_starts_live(stage: Stage) -> None:
    stage.propose(spec=SPEC.replace("run: ./work.sh", "slot: build"))
    stage.repository.push("HEAD:main")
    stage.auto()
    exposure = stage.context.store.snapshot().published.experiments["speed"]
    assert (exposure.mode, exposure.slot, exposure.state) == ("live", "build", "running")


def test_changed_content_on_the_default_branch_starts_afresh(stage: Stage) -> None:
    spec = SPEC.replace("run: ./work.sh", "slot: build")
    stage.propose(spec=spec)
    stage.repository.push("HEAD:main")
    stage.auto()
    first = stage.life().plan
    stage.repository.write("experiments/speed/experiment.yml", spec.replace("15% w", "20% w"))
    stage.repository.commit("Reworded")
    stage.repository.push("HEAD:main")
    stage.auto()
    life = stage.life()
    assert (life.state, len(life.plans)) == (State.RUNNING, 2)
    assert life.plan != first


def test_an_experiment_that_is_removed_from_the_default_branch_is_paused(stage: Stage) -> None:
    stage.propose(spec=SPEC.replace("run: ./work.sh", "slot: build"))
    stage.repository.push("HEAD:main")
    stage.auto()
    stage.repository.git("rm", "-q", "-r", "experiments")
    stage.repository.commit("Removed")
    stage.repository.push("HEAD:main")
    stage.auto()
    life = stage.life()
    assert life.state is State.PAUSED
    assert life.paused is not None
    assert "removed" in life.paused.why


def test_what_was_started_from_an_unpushed_commit_goes_on(stage: Stage) -> None:
    repository = stage.repository
    repository.git("switch", "-q", "main")
    repository.write("experiments/speed/experiment.yml", SPEC)
    repository.write("experiments/speed/treatment/work.sh", FAST, executable=True)
    repository.commit("Pushed version")
    repository.push("main")
    repository.write("experiments/speed/treatment/work.sh", "sleep 0.001\n", executable=True)
    repository.commit("Local version")
    stage.start()
    plan = stage.life().plan
    stage.auto()
    assert (stage.life().state, stage.life().plan) == (State.RUNNING, plan)


def test_a_leftover_directory_of_an_ended_experiment_is_no_problem(stage: Stage) -> None:
    stage.propose(spec=SPEC + "decision: {promote: never}\n")
    repository = stage.repository
    repository.push("HEAD:main")
    stage.auto()
    stage.pairs(14, 0.5)
    stage.auto()
    assert stage.life().state is State.STOPPED
    repository.write("work.sh", FAST, executable=True)  # applied by hand, directory forgotten
    repository.commit("By hand")
    repository.push("HEAD:main")
    assert stage.auto().events == []


def test_an_invalid_experiment_on_the_default_branch_is_reported_and_holds_up_nobody(
    winning: Stage,
) -> None:
    repository = winning.repository
    repository.git("switch", "-q", "main")
    repository.write("experiments/broken/experiment.yml", "version: 1\nnonsense: 1\n")
    repository.commit("Broken")
    repository.push("main")
    done = auto(winning.context)
    assert [name for name, _ in done.problems] == ["broken"]
    assert "nonsense" in done.problems[0][1]
    assert winning.life().state is State.PROMOTING


def test_changed_content_pauses_until_it_is_started_again(running: Stage) -> None:
    running.pairs(5, 0.9)
    running.repository.write(
        "experiments/speed/treatment/work.sh", "sleep 0.001\n", executable=True
    )
    running.repository.commit("Other variant")
    running.repository.push("try/speed")
    running.auto()
    assert running.life().state is State.PAUSED
    running.start()
    life = running.life()
    assert (life.state, len(life.plans)) == (State.RUNNING, 2)
    running.auto()
    assert analyze(running.context, "speed").analysis.trials.arms["control"] == 0


def test_a_closed_proposal_pauses_and_a_reopened_one_resumes(running: Stage) -> None:
    git(running.repository.origin, "branch", "-D", "try/speed")
    running.auto()
    assert running.life().state is State.PAUSED
    running.repository.push("try/speed")
    running.auto()
    assert running.life().state is State.RUNNING


def test_rollback_by_hand_needs_evidence_or_force(watching: Stage) -> None:
    with pytest.raises(ExpciError, match="--force"):
        rollback(watching.context, "speed", reason="a hunch")
    assert watching.life().state is State.WATCHING
    done = rollback(watching.context, "speed", reason="a hunch", force=True, learned="sleep well")
    assert done.commit
    assert watching.repository.origin_file("work.sh") == "sleep 0.01"
    ended = watching.life()
    assert ended.learned == ("sleep well",)
    assert ended.ended is not None
    assert "forced by hand" in ended.ended.why


def test_promote_by_hand_needs_evidence_or_force(running: Stage) -> None:
    running.pairs(2, 1.0)
    with pytest.raises(ExpciError, match="--force"):
        promote(running.context, "speed")
    assert promote(running.context, "speed", force=True).state == "promoting"
    opened = running.life().promote_opened
    assert opened is not None
    assert "forced" in opened.why


def test_a_dry_run_says_and_does_nothing(winning: Stage) -> None:
    before = tips(winning.repository)
    done = auto(winning.context, dry_run=True)
    assert done.folded == {"speed": 28}
    assert [event.word for _, event in done.events] == ["decided"]
    assert tips(winning.repository) == before


def test_a_past_report_replays_to_the_same_bytes(running: Stage) -> None:
    running.pairs(4, 0.9)
    running.auto()
    commit = running.context.store.snapshot().ledger.commit
    held = running.context.store.snapshot().ledger.read(paths.analysis("speed"))
    running.now += timedelta(days=1)
    running.pairs(14, 0.5)
    running.auto()
    replayed = analyze(running.context, "speed", at=commit).render("json")
    assert json.loads(replayed) == json.loads(held or b"")


def test_the_last_report_of_what_ended_replays_too(running: Stage) -> None:
    running.pairs(4, 0.9)
    running.auto()
    lifecycle.stop(running.context, "speed", "enough", "too slow to tell")
    running.auto()
    held = running.context.store.snapshot().ledger.read(paths.analysis("speed"))
    running.now += timedelta(days=40)
    running.pairs(3, 0.5)  # late ones are kept and change nothing
    running.auto()
    ledger = running.context.store.snapshot().ledger
    assert ledger.read(paths.analysis("speed")) == held
    replayed = analyze(running.context, "speed", at=ledger.commit).render("json")
    assert json.loads(replayed) == json.loads(held or b"")


def test_a_pass_without_news_writes_nothing_also_after_the_end(running: Stage) -> None:
    running.pairs(4, 0.9)
    running.auto()
    lifecycle.stop(running.context, "speed", "enough", None)
    running.auto()
    running.now += timedelta(days=40)  # past every date that its last report names
    running.auto()
    before = tips(running.repository)
    running.auto()
    assert tips(running.repository) == before


def test_a_plan_that_ended_stays_in_the_portfolio_when_the_next_one_starts(running: Stage) -> None:
    running.pairs(4, 0.9)
    running.auto()
    first = running.life().plan or ""
    lifecycle.stop(running.context, "speed", "enough", "the cache was cold")
    running.repository.write("experiments/speed/treatment/work.sh", FAST + "# again\n")
    running.repository.commit("Again")
    running.repository.push("try/speed")
    running.start()
    shown = render.status_report(status.portfolio_rows(running.context), all=True)
    assert "ACTIVE (1)" in shown
    assert f"stopped 2026-11-22 by ada, plan {first[:12]}" in shown
    assert "learned the cache was cold" in shown
    assert "0% (0 of 1 decided)" in shown
    running.auto()
    readme = running.context.store.snapshot().ledger.derived.read(paths.README) or b""
    assert first[:12] in readme.decode()


def test_a_past_commit_without_a_report_is_looked_at_as_it_was(running: Stage) -> None:
    running.pairs(4, 0.9)
    running.auto()
    running.pairs(3, 0.9)
    running.auto()
    log = git(running.repository.origin, "log", "--format=%H %s", refs.LEDGER).splitlines()
    [fold] = [line.split()[0] for line in log if line.endswith("Fold 6 records")]
    assert analyze(running.context, "speed", at=fold).analysis.trials.arms["control"] == 7


def test_a_person_who_resumes_an_invalid_experiment_is_respected(running: Stage) -> None:
    running.pairs(4, 0.9)
    running.pairs(3, 0.9, status="error", excluded="not_exposed")
    running.auto()
    assert running.life().state is State.PAUSED
    lifecycle.resume(running.context, "speed", "the action no longer restores the file")
    running.auto()
    assert running.life().state is State.RUNNING
    assert "not_exposed" in running.life().alerts
    running.auto()
    words = [event.word for event in running.life().events]
    assert words.count("paused") == 1


def test_trials_imported_without_a_time_count_for_the_watch(watching: Stage) -> None:
    exposure = watching.context.store.snapshot().published.experiments["speed"]
    promoted = watching.life().promoted
    assert promoted is not None
    assert exposure.started == promoted.at


def test_the_checkout_of_the_user_is_never_touched(stage: Stage) -> None:
    repository = stage.repository
    stage.begin()
    repository.write("dirty.txt", "mine\n")
    repository.write("work.sh", "edited\n")
    repository.git("add", "dirty.txt")
    index = (repository.path / ".git" / "index").read_bytes()
    status = repository.git("status", "--porcelain")
    stage.pairs(14, 0.5)
    stage.auto()
    promote(stage.context, "speed", merge=True)
    assert (repository.path / ".git" / "index").read_bytes() == index
    assert repository.git("status", "--porcelain") == status
    assert Path(repository.path / "work.sh").read_text() == "edited\n"
    assert repository.git("branch", "--show-current") == "try/speed"


def test_without_a_remote_the_repository_is_its_own(stage: Stage) -> None:
    stage.propose()
    stage.repository.git("switch", "-q", "main")
    stage.repository.git("merge", "-q", "try/speed")
    stage.repository.git("remote", "remove", "origin")
    stage.start()
    stage.pairs(14, 0.5)
    stage.auto()
    promote(stage.context, "speed", merge=True)
    assert stage.life().state is State.WATCHING
    assert (stage.repository.path / "work.sh").read_text() == FAST
    assert stage.repository.git("status", "--porcelain") == ""


def test_backup_refs_name_the_commit_before_the_promotion(watching: Stage, merge: str) -> None:
    parent = watching.repository.git("rev-parse", f"{merge}^1")
    assert tips(watching.repository)[refs.backup("speed")] == parent


def test_two_live_experiments_in_one_slot_must_not_vary_the_same_file(stage: Stage) -> None:
    spec = SPEC.replace("run: ./work.sh", "run: ./work.sh\nslot: build")
    stage.begin("one", spec)
    stage.propose("two", spec)
    with pytest.raises(ExpciError, match=r"work\.sh.*as one does"):
        stage.start("two")

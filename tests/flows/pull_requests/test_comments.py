"""What people ask for in comments and by label: done once, answered once, never for strangers."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest

from expci.core.lifecycle.next_event import next_event
from expci.core.lifecycle.transitions import State
from expci.core.model.events import Decided
from expci.flows.experiment.act import enact
from expci.flows.experiment.advance import Pass
from expci.flows.experiment.base import base_of
from expci.flows.experiment.gather import gather
from expci.flows.pull_requests.comments import answer_comments
from expci.flows.verbs.fsck import fsck
from expci.store import published
from expci.store.inbox.read_batches import collect
from expci.store.ledger import paths
from expci.store.ledger.fold import fold_inbox
from expci.store.ledger.transaction import LedgerChange, Snapshot
from support.github_server.faults import Fault
from support.github_server.world import Comment, Exchange
from support.hub_bench import BOT, HubBench, bench, template  # noqa: F401 (fixtures)
from support.hub_stage import HubStage
from support.repositories import git
from support.specimen import FAST, SPEC


@pytest.fixture
def stage(bench: HubBench) -> HubStage:  # noqa: F811
    made = HubStage.of(bench)
    bench.hub.people |= {"bob": "write", "tess": "triage", "eve": "read"}
    return made


def pass_over(stage: HubStage) -> tuple[Pass, list[Exchange]]:
    stage.now += timedelta(seconds=5)
    mark, done = len(stage.bench.hub.log), Pass()
    answer_comments(stage.context, done)
    return done, stage.calls_since(mark)


def asks(stage: HubStage, number: int, author: str, body: str) -> tuple[Comment, list[str]]:
    """Somebody comments and the pass goes by: the comment, and what was answered to it."""
    said = stage.says(number, author, body)
    done, _ = pass_over(stage)
    assert done.problems == []
    return said, answers(stage, number, said)


def answers(stage: HubStage, number: int, said: Comment) -> list[str]:
    mark = f"<!-- expci:answer:{said.id} -->"
    return [body for body in stage.bench.comments(number) if mark in body]


def words(stage: HubStage, name: str = "speed") -> list[str]:
    return [event.word for event in stage.life(name).events]


def analysed(stage: HubStage, name: str = "speed") -> None:
    """A pass that folds and puts its verdict on record, and dies before it acts on it."""
    app = stage.context

    def think(snapshot: Snapshot) -> LedgerChange:
        folded = fold_inbox(snapshot.ledger, collect(app.git, snapshot.inbox), app.clock())
        return LedgerChange.of("Fold", folded.changes)

    snapshot, _ = app.store.transact(app.clock(), think, inbox=True)
    app.store.delete_inbox(snapshot.inbox)
    gathered = gather(app, snapshot, name, base_of(app), app.clock())
    verdict = next_event(gathered.situation)
    assert isinstance(verdict, Decided)
    assert enact(app, gathered, verdict)


# --- start ---------------------------------------------------------------------------


def test_somebody_with_write_access_starts_by_comment(stage: HubStage) -> None:
    number = stage.request()
    said, told = asks(stage, number, "bob", "/expci start\nthank you")
    assert "`speed` was started for bob, lab" in told[0]
    started = stage.life().started
    assert started is not None
    head = stage.repository.git("rev-parse", "HEAD")
    assert (started.by, started.pull, started.branch) == ("bob", number, "try/speed")
    assert started.head == head
    assert started.why == f"asked for in #{number} (comment {said.id})"
    assert said.reactions == [(BOT, "+1")]


def test_what_only_real_jobs_run_waits_for_the_merge_and_so_does_its_time(stage: HubStage) -> None:
    number = stage.request(spec=SPEC.replace("run: ./work.sh\n", "slot: review\n"))
    _, told = asks(stage, number, "bob", "/expci start")
    assert "waits for `main`: jobs with the slot `review` take part once it is merged" in told[0]
    assert "its 14 days run from then" in told[0]
    _, told = asks(stage, number, "bob", "/expci start")
    assert "started already with this content and waits for `main`" in told[0]
    stage.now += timedelta(days=20)
    app = stage.context
    looked = gather(app, app.store.snapshot(inbox=False), "speed", base_of(app), app.clock())
    assert looked.situation.analysis is not None
    assert looked.situation.analysis.decision.verdict == "continue"


def test_the_same_again_changes_nothing_and_other_content_starts_afresh(stage: HubStage) -> None:
    number = stage.request()
    asks(stage, number, "bob", "/expci start")
    _, told = asks(stage, number, "ada", "/expci start speed")
    assert "runs already with this content" in told[0]
    assert words(stage) == ["started"]
    stage.repository.write("experiments/speed/treatment/work.sh", "sleep 0.003\n", executable=True)
    stage.repository.commit()
    stage.repository.push()
    asks(stage, number, "ada", "/expci start speed")
    assert words(stage) == ["started", "paused", "started"]


def test_started_again_at_a_later_commit_of_its_branch_that_commit_is_pinned(
    stage: HubStage,
) -> None:
    number = stage.request()
    asks(stage, number, "bob", "/expci start")
    stage.repository.write("unrelated.txt", "later\n")
    later = stage.repository.commit()
    stage.repository.push()
    pass_over(stage)
    assert stage.life().head != later  # a push alone moves nothing
    _, told = asks(stage, number, "ada", "/expci start speed")
    assert f"pinned at `{later[:12]}`" in told[0]
    assert words(stage) == ["started", "resumed"]
    life = stage.life()
    assert (life.state, life.head, life.events[-1].by) == (State.RUNNING, later, "ada")
    fetched = published.fetch_published(stage.context.store.remote)
    assert fetched is not None
    exposure = fetched[0].experiments["speed"]
    assert (exposure.branch, exposure.head) == ("try/speed", later)
    _, told = asks(stage, number, "ada", "/expci start speed")
    assert "runs already with this content" in told[0]


@pytest.mark.parametrize("who", ["tess", "eve", "nobody"])
def test_without_write_access_nothing_starts(stage: HubStage, who: str) -> None:
    number = stage.request()
    said, told = asks(stage, number, who, "/expci start")
    assert f"{who} may not write" in told[0]
    assert said.reactions == [(BOT, "-1")]
    assert stage.life().state is State.DRAFT


def test_a_fork_proposes_and_does_not_start(stage: HubStage) -> None:
    stage.propose()
    head = stage.repository.git("rev-parse", "HEAD")
    git(stage.repository.origin, "update-ref", "-d", "refs/heads/try/speed")
    git(stage.repository.origin, "update-ref", "refs/forks/eve/copy/try/speed", head)
    number = stage.bench.hub.open_pull("eve", "try/speed", fork="eve/copy").number
    _, told = asks(stage, number, "ada", "/expci start")
    assert "a fork's pull request can propose an experiment, not start it" in told[0]
    stage.bench.hub.label(number, "ada", "expci:run")
    pass_over(stage)
    assert stage.bench.hub.issues[number].labels == []
    assert stage.life().state is State.DRAFT


@pytest.mark.parametrize("body", ["/expci start", "/expci status"])
def test_a_stranger_has_nothing_of_a_request_fetched(stage: HubStage, body: str) -> None:
    """It may be of any size, and commands are answered before harm is looked for."""
    origin = stage.repository.origin
    head = git(origin, "commit-tree", "main^{tree}", "-p", "main", "-m", "Large")
    git(origin, "update-ref", "refs/forks/eve/copy/large", head)
    number = stage.bench.hub.open_pull("eve", "large", fork="eve/copy").number
    _, told = asks(stage, number, "eve", body)
    assert len(told) == 1
    assert stage.context.git.resolve(head) is None
    asks(stage, number, "ada", body)
    assert stage.context.git.resolve(head) == head


def test_an_experiment_that_is_not_valid_is_refused_with_its_problems(stage: HubStage) -> None:
    number = stage.request(spec=SPEC.replace("run:", "rnu:"))
    said, told = asks(stage, number, "ada", "/expci start")
    assert "speed is not valid" in told[0]
    assert "rnu" in told[0]
    assert said.reactions == [(BOT, "-1")]


def test_a_label_starts_for_who_may_write(stage: HubStage) -> None:
    number = stage.request()
    stage.bench.hub.label(number, "bob", "expci:run")
    done, _ = pass_over(stage)
    assert done.problems == []
    started = stage.life().started
    assert started is not None
    assert (started.by, started.pull) == ("bob", number)
    assert stage.bench.hub.issues[number].labels == []
    assert stage.bench.comments(number) == []


def test_a_label_of_a_triager_is_refused_once_and_taken_off(stage: HubStage) -> None:
    number = stage.request()
    for _ in range(2):
        stage.bench.hub.label(number, "tess", "expci:run")
        pass_over(stage)
    [told] = stage.bench.comments(number)
    assert "tess may not write" in told
    assert stage.bench.hub.issues[number].labels == []
    assert stage.life().state is State.DRAFT


# --- the other commands --------------------------------------------------------------


def running(stage: HubStage) -> int:
    number = stage.request()
    stage.start()
    return number


def test_pause_resume_and_extend(stage: HubStage) -> None:
    number = running(stage)
    said, told = asks(stage, number, "bob", "/expci pause the runners are slow")
    assert "`speed` was paused for bob; it is paused now." in told[0]
    paused = stage.life().paused
    assert paused is not None
    assert paused.by == "bob"
    assert paused.why == f"asked for in #{number} (comment {said.id}): the runners are slow"
    assert stage.context.store.snapshot().published.experiments["speed"].state == "paused"
    events = stage.life().events
    _, told = asks(stage, number, "bob", "/expci pause")
    assert "`speed` is paused already; nothing was changed." in told[0]
    assert stage.life().events == events  # it is paused already: nothing new on record
    asks(stage, number, "bob", "/expci resume speed")
    asks(stage, number, "bob", "/expci extend 7 days slow week")
    life = stage.life()
    assert (life.state, life.extra_days) == (State.RUNNING, 7.0)
    assert life.events[-1].why.endswith(": slow week")
    said, told = asks(stage, number, "bob", "/expci extend a bit")
    assert "7 days" in told[0]
    assert said.reactions == [(BOT, "-1")]


def test_stop_keeps_what_was_learned(stage: HubStage) -> None:
    number = running(stage)
    said, told = asks(stage, number, "bob", "/expci stop the cache was never cold")
    assert "`speed` was stopped for bob; it is stopped now." in told[0]
    life = stage.life()
    assert life.state is State.STOPPED
    assert life.learned == ("the cache was never cold",)
    assert life.ended is not None
    assert life.ended.why.startswith(f"asked for in #{number} (comment {said.id})")
    assert "speed" not in stage.context.store.snapshot().published.experiments
    _, refused = asks(stage, number, "eve", "/expci stop")
    assert "eve may not write to this repository" in refused[0]


def test_status_is_for_anybody(stage: HubStage) -> None:
    number = running(stage)
    stage.pairs(6, 1.0)
    analysed(stage)
    said, told = asks(stage, number, "eve", "/expci status")
    assert "🧪 Collecting: 6 of 60 pairs" in told[0]
    assert said.reactions == [(BOT, "eyes")]
    assert len(told[0]) < 5000


def test_promote_needs_evidence_that_was_seen(stage: HubStage) -> None:
    number = running(stage)
    _, told = asks(stage, number, "ada", "/expci promote")
    assert "expci promote speed --force" in told[0]
    stage.pairs(14, 0.5)
    early = stage.says(number, "ada", "/expci promote")
    stage.now += timedelta(minutes=1)
    analysed(stage)
    pass_over(stage)
    [told_early] = answers(stage, number, early)
    assert "the verdict has changed since the report" in told_early
    assert "Promote: `treatment` cuts `duration_s`" in told_early
    assert early.reactions == [(BOT, "confused")]
    assert words(stage) == ["started", "decided"]
    stage.now += timedelta(minutes=1)
    said, told = asks(stage, number, "ada", "/expci promote it")
    opened = stage.life().promote_opened
    assert opened is not None
    assert (opened.by, opened.arm) == ("ada", "treatment")
    assert opened.why.startswith(f"asked for in #{number} (comment {said.id}): it; ")
    assert f"#{opened.pull}" in told[0]
    _, told = asks(stage, number, "ada", "/expci promote")
    assert "is being promoted already" in told[0]


def test_rollback_needs_evidence_or_the_word_force(stage: HubStage) -> None:
    number = running(stage)
    _, told = asks(stage, number, "bob", "/expci rollback it broke the build")
    assert "/expci rollback speed force REASON" in told[0]
    assert stage.life().state is State.RUNNING
    said, told = asks(stage, number, "bob", "/expci rollback force it broke the build")
    assert "was rolled back for bob" in told[0]
    ended = stage.life().ended
    assert ended is not None
    assert ended.by == "bob"
    assert ended.why == (
        f"asked for in #{number} (comment {said.id}): it broke the build "
        "(forced by hand, without evidence)"
    )


def test_rollback_undoes_a_promotion(stage: HubStage) -> None:
    stage.bench.hub.open_pull("ada", "none")
    number = stage.request()
    merge = stage.to_watching()
    asks(stage, number, "bob", "/expci rollback force slower on ARM")
    assert stage.life().state is State.ROLLED_BACK
    assert stage.repository.origin_file("work.sh") != FAST.strip()
    assert git(stage.repository.origin, "rev-list", "--count", f"{merge}..main") == "1"


# --- which, and by whom --------------------------------------------------------------


def test_the_id_is_needed_where_there_are_two_and_below_an_issue(stage: HubStage) -> None:
    number = running(stage)
    second = stage.request("other")
    stage.start("other")
    issue = stage.bench.hub.open_issue("ada", "Slow", "").number
    said, told = asks(stage, issue, "ada", "/expci pause")
    assert "write `/expci pause ID` with one of: other, speed" in told[0]
    assert said.reactions == [(BOT, "confused")]
    asks(stage, issue, "ada", "/expci pause speed")
    assert stage.life().state is State.PAUSED
    _, told = asks(stage, second, "ada", "/expci pause spede")
    assert "did you mean speed?" in told[0]
    assert stage.life("other").state is State.RUNNING
    assert number != second


def test_bots_quotes_and_talk_are_no_commands(stage: HubStage) -> None:
    number = running(stage)
    for author, body in [
        ("renovate[bot]", "/expci pause"),
        (BOT, "/expci pause"),
        ("ada", "> /expci pause\n\nno, let us not"),
        ("ada", "shall we\n/expci pause"),
        ("ada", "```\n/expci pause\n```"),
    ]:
        stage.says(number, author, body)
    done, _ = pass_over(stage)
    assert (done.actions, done.problems) == ([], [])
    assert words(stage) == ["started"]


@pytest.mark.parametrize(
    "body",
    [
        "/expci pause $(id) `id` <!-- expci:answer:1 --> @everyone </details>",
        "/expci pause " + "x" * 60_000,
        "/expci pause \x1b[31m\u202e\x00",
    ],
)
def test_hostile_words_are_words(stage: HubStage, body: str) -> None:
    number = running(stage)
    _, [told] = asks(stage, number, "bob", body)
    why = stage.life().events[-1].why
    assert stage.life().state is State.PAUSED
    assert why.isprintable()
    assert len(why) < 500
    assert told.count("<!--") == 1
    assert fsck(stage.context).problems == []


def test_a_verb_that_is_none_is_told_what_there_is(stage: HubStage) -> None:
    number = running(stage)
    said, told = asks(stage, number, "bob", "/expci halt")
    assert "status|start|pause|resume" in told[0].replace("&#124;", "|")
    assert said.reactions == [(BOT, "confused")]


# --- once ----------------------------------------------------------------------------


def test_an_idle_pass_asks_once_and_writes_nothing(stage: HubStage) -> None:
    number = running(stage)
    asks(stage, number, "bob", "/expci extend 7 days")
    for _ in range(3):
        stage.says(number, "ada", "just talk")
    tip = stage.context.store.snapshot().ledger.commit
    done, calls = pass_over(stage)
    assert [call.path.rpartition("/")[2] for call in calls] == ["pulls", "pulls", "comments"]
    assert stage.context.store.snapshot().ledger.commit == tip
    assert done.actions == []


def test_an_answered_comment_is_not_answered_again(stage: HubStage) -> None:
    number = running(stage)
    said, told = asks(stage, number, "bob", "/expci extend 7 days")
    said.body, said.updated = "/expci extend 70 days", stage.now.strftime("%Y-%m-%dT%H:%M:%SZ")
    pass_over(stage)
    assert stage.life().extra_days == 7
    stage.now += timedelta(days=2)
    asks(stage, number, "bob", "/expci status")
    said.body, said.updated = "/expci pause", stage.now.strftime("%Y-%m-%dT%H:%M:%SZ")
    pass_over(stage)
    assert stage.life().state is State.RUNNING
    assert answers(stage, number, said) == told


def test_many_are_answered_over_several_passes_each_once(stage: HubStage) -> None:
    number = running(stage)
    said = [stage.says(number, "bob", f"/expci extend {n} days") for n in range(1, 13)]
    stage.now += timedelta(hours=1)
    for _ in range(3):
        pass_over(stage)
        stage.now += timedelta(hours=1)
    assert stage.life().extra_days == sum(range(1, 13))
    assert [len(answers(stage, number, comment)) for comment in said] == [1] * 12


def test_a_stranger_who_asks_a_lot_keeps_nobody_waiting(stage: HubStage) -> None:
    number = running(stage)
    for verb in ["status", "pause", "nonsense"] * 7:
        stage.says(number, "eve", f"/expci {verb}")
    said = stage.says(number, "bob", "/expci extend 7 days")
    done, _ = pass_over(stage)
    assert len(done.actions) == 10
    assert stage.life().extra_days == 7
    assert len(answers(stage, number, said)) == 1


def test_chatter_is_not_read_for_ever(stage: HubStage) -> None:
    number = running(stage)
    for _ in range(60):
        stage.says(number, "ada", "talk")
    stage.now += timedelta(hours=1)
    pass_over(stage)
    held = stage.context.store.snapshot().ledger.read(paths.ANSWERED)
    assert held is not None
    assert json.loads(held)["ids"] == []
    _, calls = pass_over(stage)
    assert len(calls) == 3


def test_what_nobody_answers_waits_for_the_next_pass(stage: HubStage) -> None:
    number = running(stage)
    said = stage.says(number, "bob", "/expci extend 7 days")
    stage.bench.hub.faults.add(Fault.failure("GET", "collaborators", times=9))
    done, _ = pass_over(stage)
    stage.bench.hub.faults.waiting.clear()
    assert len(done.problems) == 1
    assert words(stage) == ["started"]
    for _ in range(2):
        pass_over(stage)
    assert words(stage) == ["started", "extended"]
    assert len(answers(stage, number, said)) == 1


def test_a_locked_request_is_obeyed_though_it_cannot_be_answered(stage: HubStage) -> None:
    number = running(stage)
    stage.says(number, "bob", "/expci pause")
    stage.bench.hub.issues[number].locked = True
    done, _ = pass_over(stage)
    assert len(done.problems) == 1
    assert stage.life().state is State.PAUSED
    done, _ = pass_over(stage)
    assert (done.problems, done.actions) == ([], [])


# --- killed anywhere -----------------------------------------------------------------


class Killed(BaseException):
    """Ends a pass wherever it is; nothing catches it."""


# The origin interrupts the pass that pushes, before the push is applied or after.
HOOK = """#!/bin/sh
cat > /dev/null
kill -USR1 %d
sleep 0.1
exit %d
"""


def interrupt(*_: object) -> None:
    raise Killed


@pytest.fixture
def killer() -> Iterator[Callable[[], None]]:
    """Kills what the main thread does; what it asked for is done all the same."""
    before = signal.signal(signal.SIGUSR1, interrupt)
    yield lambda: os.kill(os.getpid(), signal.SIGUSR1)
    signal.signal(signal.SIGUSR1, before)


def survives(stage: HubStage) -> bool:
    """The clock stands still: a promotion's commit is dated by it, and new each time else."""
    done = Pass()
    try:
        answer_comments(stage.context, done)
    except Killed:
        return False
    assert done.problems == []
    return True


def kill_everywhere(stage: HubStage, kill: Callable[[], None]) -> int:
    """Kill passes at every push, before and after, and once at each write on GitHub."""
    faults, hooks = stage.bench.hub.faults, stage.repository.origin / "hooks"
    for path in ("reactions$", "comments$", "pulls$", "labels$", "check-runs$"):
        faults.add(Fault.meanwhile("POST", path, kill))
    faults.add(Fault.meanwhile("DELETE", "labels", kill))
    for kills in range(40):
        hook = hooks / ("post-receive" if kills % 2 else "pre-receive")
        hook.write_text(HOOK % (os.getpid(), 0 if kills % 2 else 1))
        hook.chmod(0o755)
        survived = survives(stage)
        hook.unlink()
        if survived:
            faults.waiting.clear()
            return kills
    raise AssertionError("no pass ever came to its end")


def pausing(stage: HubStage) -> tuple[int, str]:
    return running(stage), "/expci pause"


def starting(stage: HubStage) -> tuple[int, str]:
    return stage.request(), "/expci start"


def extending(stage: HubStage) -> tuple[int, str]:
    return running(stage), "/expci extend 7 days"


def promoting(stage: HubStage) -> tuple[int, str]:
    number = running(stage)
    stage.pairs(14, 0.5)
    analysed(stage)
    stage.now += timedelta(minutes=1)
    return number, "/expci promote"


@pytest.mark.parametrize(
    ("prepare", "least", "wanted"),
    [
        (starting, 4, ["started"]),
        (pausing, 6, ["started", "paused"]),
        (extending, 4, ["started", "extended"]),
        (promoting, 10, ["started", "decided", "promote_opened"]),
    ],
)
def test_a_command_killed_anywhere_is_done_and_answered_once(
    stage: HubStage,
    prepare: Callable[[HubStage], tuple[int, str]],
    least: int,
    wanted: list[str],
    killer: Callable[[], None],
) -> None:
    number, body = prepare(stage)
    said = stage.says(number, "bob", body)
    assert kill_everywhere(stage, killer) >= least
    pass_over(stage)
    assert words(stage) == wanted
    assert len(answers(stage, number, said)) == 1
    assert len(said.reactions) == 1
    assert "refused" not in answers(stage, number, said)[0]
    requests = stage.bench.hub.issues.values()
    assert sum(i.pull is not None and i.pull.head == "expci/promote/speed" for i in requests) == (
        body == "/expci promote"
    )
    assert fsck(stage.context).problems == []


def test_a_label_killed_anywhere_starts_once(stage: HubStage, killer: Callable[[], None]) -> None:
    number = stage.request()
    stage.bench.hub.label(number, "bob", "expci:run")
    assert kill_everywhere(stage, killer) >= 3
    pass_over(stage)
    assert words(stage) == ["started"]
    assert stage.bench.hub.issues[number].labels == []
    assert stage.bench.comments(number) == []


def test_who_is_named_by_the_forge_not_by_the_comment(stage: HubStage) -> None:
    number = running(stage)
    asks(stage, number, "eve", "/expci pause --by ada")
    assert stage.life().state is State.RUNNING


def test_a_crowd_of_comments_is_read_in_parts_and_no_command_is_lost(stage: HubStage) -> None:
    number = stage.request()
    for n in range(120):
        stage.now += timedelta(minutes=1)
        stage.says(number, "eve", f"noise {n}")
    stage.says(number, "ada", "/expci start")
    stage.now += timedelta(minutes=1)
    parts = 0
    while stage.life().started is None:
        parts += 1
        done = Pass()
        answer_comments(stage.context, done, most_read=60)
        assert done.problems == []
        if stage.life().started is None:
            what = ("comments", "60 new ones were read; the next pass reads the rest")
            assert what in done.actions
            assert parts < 6
    assert parts > 1

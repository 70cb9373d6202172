"""`expci gc`: trials of what has ended go, results stay, and nothing is counted twice after it."""

from __future__ import annotations

import json
import os
import signal
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from expci.core.lifecycle.transitions import State
from expci.core.model.trial import Amendment, timestamp
from expci.errors import ExpciError, LedgerDamaged
from expci.flows.verbs.analyze import analyze
from expci.flows.verbs.export import export
from expci.flows.verbs.fsck import fsck
from expci.flows.verbs.gc import GcResult, gc, parse_day
from expci.flows.verbs.lifecycle import stop
from expci.flows.verbs.rollback import rollback
from expci.flows.verbs.site import site
from expci.runner.trial_ids import new_trial_id
from expci.store.inbox import send
from expci.store.ledger import paths
from expci.store.ledger.ledger import Ledger
from expci.store.ledger.transaction import LedgerChange, Snapshot
from stories.test_crash import arm, disarm
from support.command import expci_command
from support.repositories import git, project
from support.stage import Stage


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Stage:
    """`speed` was promoted and its watch is over, with a late metric; `other` runs."""
    stage = Stage(project(tmp_path_factory.mktemp("ended")))
    stage.to_watching()
    send_late(stage, ledger(stage).trials("speed")[0].id)
    stage.now += timedelta(days=8)
    stage.auto()
    assert stage.life().state is State.PROMOTED
    stage.begin("other", variant="sleep 0.02\n")
    stage.pairs(2, 0.9, "other")
    stage.auto()
    return stage


@pytest.fixture
def ended(whole: Stage, tmp_path: Path) -> Stage:
    return whole.copy(tmp_path)


def ledger(stage: Stage) -> Ledger:
    return stage.context.store.snapshot(inbox=False).ledger


def send_late(stage: Stage, trial: str) -> Amendment:
    late = Amendment(new_trial_id(stage.now), trial, "speed", timestamp(stage.now), {"stars": 4.0})
    send.send(stage.context.store.remote, "speed", send.encode([late.line()]))
    return late


def collected(stage: Stage, **options: bool) -> GcResult:
    stage.now += timedelta(days=1)
    return gc(stage.context, ended_before=stage.now, **options)


def report(stage: Stage, at: str | None = None) -> dict[str, object]:
    text = analyze(stage.context, "speed", at=at).render("json")
    document: dict[str, object] = json.loads(text)
    return document


def test_a_dry_run_lists_and_changes_nothing(ended: Stage) -> None:
    before = git(ended.repository.origin, "for-each-ref")
    planned = collected(ended, dry_run=True)
    [item] = planned.removed
    records = ledger(ended)
    trials, late = records.lines(paths.trials("speed")), records.lines(paths.amendments("speed"))
    assert (item.experiment, item.state) == ("speed", "promoted")
    assert (item.trials, item.amendments) == (len(trials), len(late)) == (28, 1)
    arrivals = records.read(paths.arrivals("speed")) or b""
    assert item.bytes == sum(len(line) + 1 for line in [*trials, *late]) + len(arrivals)
    assert git(ended.repository.origin, "for-each-ref") == before


def test_trials_go_and_everything_else_stays(ended: Stage, tmp_path: Path) -> None:
    before, analysed = ledger(ended), report(ended)
    raw = before.lines(paths.trials("speed"))
    done = collected(ended)
    after = ledger(ended)
    assert after.lines(paths.trials("speed")) == after.lines(paths.amendments("speed")) == []
    gone = before.entries.keys() - after.entries.keys()
    assert {path.split("/")[2] for path in gone} == {"trials", "amendments", "arrivals.jsonl"}
    plan = after.life("speed").plan or ""
    assert after.entries.keys() - before.entries.keys() == {
        paths.removed("speed"), paths.final("speed", plan)
    }  # fmt: skip
    for path in (paths.events("speed"), paths.report("speed"), paths.promotion("speed")):
        assert after.read(path) == before.read(path)
    assert after.lines(paths.trials("other")) == before.lines(paths.trials("other"))
    # the analysis is the stored one, and says so
    now = report(ended)
    stored = now.pop("stored")
    assert now == analysed
    assert isinstance(stored, dict)
    assert (stored["trials"], stored["by"], stored["ledger"]) == (28, "ada", before.commit)
    assert "stored analysis: 28 trials" in analyze(ended.context, "speed").render("text")
    # the way back, and what is missing without it
    assert list(export(ended.context, "speed").lines("jsonl")) == []
    assert "expci export speed --at" in export(ended.context, "speed").missing[0]
    back = list(export(ended.context, "speed", done.ledger).lines("jsonl"))
    assert [json.loads(line)["id"] for line in back] == [json.loads(line)["id"] for line in raw]
    # a replay of any commit is as exact as it was
    assert report(ended, before.commit) == analysed
    assert report(ended, after.commit) == analysed
    assert fsck(ended.context).problems == []
    assert site(ended.context, tmp_path / "site").problems == ()
    assert "28 trials" in (tmp_path / "site/speed.html").read_text()


def test_a_pass_after_it_changes_nothing_and_a_second_gc_finds_nothing(ended: Stage) -> None:
    collected(ended)
    ended.auto()
    before = ledger(ended).commit
    ended.auto()
    assert collected(ended).removed == ()
    assert ledger(ended).commit == before


@pytest.mark.parametrize(("hook", "left"), [("pre-receive", 28), ("post-receive", 0)])
def test_killed_at_its_push_it_removed_all_or_nothing(ended: Stage, hook: str, left: int) -> None:
    analysed, origin = report(ended), ended.repository.origin
    arm(origin, hook)
    child = os.fork()
    if child == 0:
        (origin / "victim").write_text(str(os.getpid()))
        collected(ended)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    disarm(origin)
    assert len(ledger(ended).lines(paths.trials("speed"))) == left
    assert fsck(ended.context).problems == []
    ended.auto()
    assert sum(item.trials for item in collected(ended).removed) == left
    assert ledger(ended).lines(paths.trials("speed")) == []
    now = report(ended)
    now.pop("stored")
    assert now == analysed
    assert fsck(ended.context).problems == []


def test_a_batch_that_comes_again_is_not_counted_anew(ended: Stage) -> None:
    trials, store = ledger(ended).trials("speed"), ended.context.store
    late = send_late(ended, trials[0].id)
    ended.auto()
    collected(ended)
    new = replace(trials[0], id=new_trial_id(ended.now), metrics={"duration_s": 1.0})
    lines = [trial.line() for trial in (*trials, new)]
    send.send(store.remote, "speed", send.encode([*lines, late.line()]))
    done = ended.auto()
    assert [what for name, what in done.actions if name == "speed"] == [
        "30 records not taken: `expci gc` removed the trials of their plan"
    ]
    assert not store.snapshot().inbox
    assert ledger(ended).trials("speed") == []
    assert fsck(ended.context).problems == []


def test_the_next_plan_of_the_experiment_counts_from_one(ended: Stage) -> None:
    collected(ended)
    ended.propose(variant="sleep 0.003\n")
    ended.start()
    sent = ended.pairs(3, 0.9)
    ended.now += timedelta(minutes=1)
    late = send_late(ended, sent[0].id)
    ended.auto()
    after = ledger(ended)
    assert len(after.trials("speed")) == 6
    assert after.trials("speed")[0].metrics["stars"] == late.metrics["stars"]
    assert fsck(ended.context).problems == []
    rows = (after.derived.read(paths.README) or b"").decode()
    assert rows.count("speed") >= 2  # the plan before keeps its row, by its stored analysis
    # ended again, it is removed again; both lines stay
    stop(ended.context, "speed", "enough", None)
    ended.auto()
    assert [item.trials for item in collected(ended).removed] == [6]
    assert [item.trials for item in ledger(ended).removals("speed")] == [28, 6]
    last = report(ended)
    stored = last["stored"]
    assert isinstance(stored, dict)
    assert (last["state"], stored["trials"]) == ("stopped", 6)
    assert last["plan"] == ended.life().plan
    assert fsck(ended.context).problems == []


def test_rolled_back_by_hand_after_it(ended: Stage) -> None:
    analysed = report(ended)
    collected(ended)
    removed = ledger(ended).commit
    rollback(ended.context, "speed", reason="a complaint", force=True)
    ended.auto()
    now = report(ended)
    assert now["stored"]
    assert (now["state"], now["metrics"]) == ("rolled_back", analysed["metrics"])
    since = f"{removed}..{ledger(ended).commit}"
    for commit in git(ended.repository.path, "rev-list", since).split():
        assert report(ended, commit)["metrics"] == analysed["metrics"]
    assert fsck(ended.context).problems == []


def test_what_lives_is_never_touched(ended: Stage) -> None:
    assert [item.experiment for item in collected(ended).removed] == ["speed"]
    assert len(ledger(ended).trials("other")) == 4


def test_by_the_repository_s_own_days(ended: Stage) -> None:
    assert gc(ended.context).ended_before == ""
    kept = replace(ended.context, retention_days=30.0)
    assert gc(kept).removed == ()
    ended.now += timedelta(days=30)
    assert [item.experiment for item in gc(replace(kept, clock=lambda: ended.now)).removed] == [
        "speed"
    ]


@pytest.mark.parametrize("dry_run", [True, False])
def test_nothing_goes_while_the_ledger_is_damaged(ended: Stage, dry_run: bool) -> None:
    directory = paths.trials("other")
    last = ledger(ended).files(directory)[-1]

    def think(_: Snapshot) -> LedgerChange:
        return LedgerChange.of("tampered", {f"{directory}/{last}": None})

    ended.context.store.transact(ended.now, think)
    with pytest.raises(LedgerDamaged, match="nothing was removed"):
        collected(ended, dry_run=dry_run)


def test_started_anew_between_the_look_and_the_write(ended: Stage) -> None:
    """The write is compared with what the ledger is then: another writer is always first."""
    calls: list[datetime] = []

    def clock() -> datetime:
        calls.append(ended.now)
        if len(calls) == 2:  # within the first look at what may go
            ended.propose(variant="sleep 0.003\n")
            ended.start()
        return ended.now

    app = replace(ended.context, clock=clock)
    assert gc(app, ended_before=ended.now + timedelta(days=1)).removed == ()
    assert len(calls) >= 2
    assert len(ledger(ended).trials("speed")) == 28


@pytest.mark.parametrize(
    "edit",
    [
        lambda files: dict.fromkeys(files, None),  # more than is named
        lambda files: dict.fromkeys(files, "0" * 40),  # another content than is named
    ],
)
def test_a_removal_that_its_note_does_not_name_is_noticed(ended: Stage, edit: object) -> None:
    path = paths.removed("speed")

    def think(snapshot: Snapshot) -> LedgerChange:
        gone = [p for p in snapshot.ledger.entries if p.startswith(paths.trials("speed"))]
        files = {p: snapshot.ledger.entries[p].oid for p in gone}
        named = {k: v for k, v in edit(files).items() if v}  # type: ignore[operator]
        line = {"v": 1, "at": "2026-12-01T00:00:00.000Z", "by": "eve", "ledger": "0" * 40}
        line |= {"plans": [], "trials": 0, "amendments": 0, "bytes": 0}
        line["files"] = {p.removeprefix("experiments/speed/"): o for p, o in named.items()}
        note = json.dumps(line).encode() + b"\n"
        return LedgerChange.of("tampered", {**dict.fromkeys(gone), path: note})

    ended.context.store.transact(ended.now, think)
    assert any("lost or changed records" in problem for problem in fsck(ended.context).problems)


def test_on_the_command_line(ended: Stage) -> None:
    path = ended.repository.path
    assert "Set `retention_days`" in expci_command(path, "gc").stdout
    assert expci_command(path, "gc", "--ended-before", "soon").returncode == 1
    listed = expci_command(path, "gc", "--ended-before", "2027-01-31", "--dry-run")
    assert "speed: 28 trials, " in listed.stdout
    assert "would be removed (promoted since 2026-11-30)" in listed.stdout
    done = json.loads(expci_command(path, "gc", "--ended-before", "2027-01-31", "--json").stdout)
    assert (done["schema"], done["trials"]) == ("expci.gc/1", 28)
    again = expci_command(path, "gc", "--ended-before", "2027-01-31").stdout
    assert again.startswith("nothing to remove")
    missing = expci_command(path, "export", "speed")
    assert "note: 28 trials" in missing.stderr
    assert f"--at {done['ledger'][:12]}" in missing.stderr
    kept = expci_command(path, "export", "speed", "--at", done["ledger"][:12])
    assert kept.stdout.count("\n") == 29


def test_days_are_read_or_refused() -> None:
    assert parse_day("2026-01-31") == datetime.fromisoformat("2026-01-31T00:00:00+00:00")
    with pytest.raises(ExpciError, match="write a day"):
        parse_day("31.1.2026")

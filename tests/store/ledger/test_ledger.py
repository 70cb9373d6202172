"""Nothing that arrives is lost, counted twice or believed without a look."""

from __future__ import annotations

import json
import re
import threading
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from expci.core.lifecycle.transitions import State
from expci.core.model.events import Paused, parse_event
from expci.core.model.trial import Amendment, timestamp
from expci.errors import IllegalEvent, LedgerDamaged, LostRace
from expci.store.git import refs
from expci.store.git.remote import Update
from expci.store.inbox import send as inbox
from expci.store.inbox.read_batches import Arrived, Inbox, collect
from expci.store.ledger import paths, segments
from expci.store.ledger.fold import Changes, Folded, fold_inbox
from expci.store.ledger.history import violations
from expci.store.ledger.transaction import LedgerChange, Snapshot, Store
from support.ledger_samples import AT, PLAN, send, start, store, trial
from support.repositories import Repository, git


def fold_all(store: Store) -> Snapshot:
    """What the pass does: fold, push, delete."""

    def think(snapshot: Snapshot) -> LedgerChange | None:
        result = fold_inbox(snapshot.ledger, collect(store.git, snapshot.inbox), AT)
        return LedgerChange.of("fold", result.changes) if result.changes else None

    snapshot, _ = store.transact(AT, think, inbox=True)
    store.delete_inbox(snapshot.inbox)
    return store.snapshot()


def quarantine(snapshot: Snapshot) -> list[dict[str, str]]:
    ledger = snapshot.ledger
    files = [f"{paths.QUARANTINE}/{name}" for name in ledger.files(paths.QUARANTINE)]
    return [json.loads(data) for data in ledger.read_many(files).values()]


@pytest.mark.slow
def test_sent_trials_are_in_the_ledger_and_gone_from_the_inbox(repository: Repository) -> None:
    target = store(repository.path)
    start(target)
    sent = [trial(arm, unit=f"u{n}") for n in range(5) for arm in ("control", "treatment")]
    for item in sent:
        send(target, item)
    snapshot = fold_all(target)
    assert {t.id for t in snapshot.ledger.trials("speed")} == {t.id for t in sent}
    assert snapshot.inbox == {}
    assert snapshot.published.ledger == snapshot.ledger.commit


def test_folding_twice_counts_once(repository: Repository) -> None:
    target = store(repository.path)
    start(target)
    one = trial()
    send(target, one)
    before = target.snapshot()
    fold_all(target)
    send(target, one)
    after = fold_all(target)
    assert [t.id for t in after.ledger.trials("speed")] == [one.id]
    assert before.inbox
    assert not after.inbox


def test_a_crash_between_push_and_deletion_counts_once(repository: Repository) -> None:
    target = store(repository.path)
    start(target)
    send(target, trial())

    def think(snapshot: Snapshot) -> LedgerChange | None:
        result = fold_inbox(snapshot.ledger, collect(target.git, snapshot.inbox), AT)
        return LedgerChange.of("fold", result.changes) if result.changes else None

    target.transact(AT, think, inbox=True)  # and the process dies here, before the deletion
    snapshot = fold_all(target)
    assert len(snapshot.ledger.trials("speed")) == 1
    assert not snapshot.inbox


def test_the_same_id_with_other_bytes_is_quarantined(repository: Repository) -> None:
    target = store(repository.path)
    start(target)
    one = trial()
    send(target, one)
    fold_all(target)
    send(target, replace(one, metrics={"duration_s": 0.001}))
    snapshot = fold_all(target)
    assert [t.metrics["duration_s"] for t in snapshot.ledger.trials("speed")] == [1.0]
    [refused] = quarantine(snapshot)
    assert "taken by another record" in refused["reason"]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("{not json", "JSON"),
        (trial(arm="ghost").line(), "no arm"),
        (trial(experiment="other").line(), "another experiment"),
        (trial(started="2027-11-22T10:00:00.000Z").line(), "future"),
    ],
)
def test_what_cannot_be_counted_is_kept_with_the_reason(
    repository: Repository, line: str, reason: str
) -> None:
    target = store(repository.path)
    start(target)
    good = trial()
    inbox.send(target.remote, "speed", inbox.encode([line, good.line()]))
    snapshot = fold_all(target)
    assert [t.id for t in snapshot.ledger.trials("speed")] == [good.id]
    [refused] = quarantine(snapshot)
    assert reason in refused["reason"]
    assert refused["excerpt"].startswith(line[:20])
    assert not snapshot.inbox


def hostile_refs(repository: Repository) -> dict[str, str]:
    """Inbox refs as a stranger could push them: name → object id."""
    path = repository.path
    blob = git(path, "hash-object", "-w", "README.md")
    big = path / "big"
    big.write_bytes(b"x" * 2_000_000)
    huge = git(path, "hash-object", "-w", "big")
    big.unlink()

    def commit(row: str, *parents: str) -> str:
        file = path / ".git" / "row"
        file.write_text(row + "\n")
        tree = git(path, "mktree", "--missing") if not row else _mktree(path, row)
        return git(path, "commit-tree", tree, "-m", "x", *parents)

    head = git(path, "rev-parse", "HEAD")
    return {
        "refs/expci/inbox/speed/blob": blob,
        "refs/expci/inbox/speed/history": head,
        "refs/expci/inbox/speed/huge": commit(f"100644 blob {huge}\ttrials.jsonl"),
        "refs/expci/inbox/speed/link": commit(f"120000 blob {blob}\ttrials.jsonl"),
        "refs/expci/inbox/speed/other": commit(f"100644 blob {blob}\tother.txt"),
        "refs/expci/inbox/speed/deep": commit(f"100644 blob {blob}\ttrials.jsonl", "-p", head),
        "refs/expci/inbox/$(id)/x": commit(f"100644 blob {blob}\ttrials.jsonl"),
        "refs/expci/inbox/speed/a/b": commit(f"100644 blob {blob}\ttrials.jsonl"),
    }


def _mktree(path: object, row: str) -> str:
    import subprocess

    return subprocess.run(
        ["git", "mktree"],
        cwd=str(path),
        input=row + "\n",
        text=True,
        capture_output=True,
        check=True,
    ).stdout.strip()


def test_hostile_refs_are_refused_and_removed_and_hold_up_nobody(repository: Repository) -> None:
    target = store(repository.path)
    start(target)
    good = trial()
    send(target, good)
    hostile = hostile_refs(repository)
    for ref, oid in hostile.items():
        git(repository.path, "push", "-q", "origin", f"{oid}:{ref}")
    snapshot = fold_all(target)
    assert [t.id for t in snapshot.ledger.trials("speed")] == [good.id]
    assert snapshot.inbox == {}
    assert len(quarantine(snapshot)) == len(hostile)


def test_a_ref_that_blocks_the_inbox_is_removed(repository: Repository) -> None:
    target = store(repository.path)
    start(target)
    git(repository.path, "push", "-q", "origin", "HEAD:refs/expci/inbox")
    snapshot = fold_all(target)
    assert not snapshot.inbox
    send(target, trial())
    assert len(fold_all(target).ledger.trials("speed")) == 1


def test_late_metrics_are_put_in(repository: Repository) -> None:
    target = store(repository.path)
    start(target)
    one = trial()
    late = Amendment("0" * 26, one.id, "speed", timestamp(AT), {"satisfaction": 0.8})
    inbox.send(target.remote, "speed", inbox.encode([late.line()]))
    fold_all(target)
    send(target, one)
    [found] = fold_all(target).ledger.trials("speed")
    assert found.metrics == {"duration_s": 1.0, "success": 1.0, "satisfaction": 0.8}


@pytest.mark.slow
def test_many_folds_keep_few_files_and_every_trial(repository: Repository) -> None:
    target = store(repository.path)
    start(target)
    sent = []
    for number in range(20):
        sent.append(trial(unit=f"u{number}"))
        send(target, sent[-1])
        snapshot = fold_all(target)
    assert [t.id for t in snapshot.ledger.trials("speed")] == [t.id for t in sent]
    assert len(snapshot.ledger.files(paths.trials("speed"))) <= 6


@pytest.mark.slow
def test_no_segment_grows_beyond_the_largest_size(
    repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = store(repository.path)
    start(target)
    sent = [trial(unit=f"u{n}") for n in range(24)]
    most = 3 * len(sent[0].line()) + 10  # three records, and not four
    monkeypatch.setattr(segments, "MOST_BYTES", most)
    for single in sent[:12]:
        send(target, single)
        snapshot = fold_all(target)
    send(target, *sent[12:])  # more than a segment holds at once
    snapshot = fold_all(target)
    files = snapshot.ledger.files(paths.trials("speed"))
    weights = [len(snapshot.ledger.read(f"{paths.trials('speed')}/{f}") or b"") for f in files]
    assert len(files) > 4
    assert max(weights) <= most
    assert {own.id for own in snapshot.ledger.trials("speed")} == {own.id for own in sent}
    assert list(violations(target.git, snapshot.ledger.commit or "")) == []


@pytest.mark.slow
def test_a_larger_segment_of_an_earlier_version_is_read_and_stays(
    repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = store(repository.path)
    start(target)
    sent = [trial(unit=f"u{n}") for n in range(12)]
    send(target, *sent[:6])
    [large] = fold_all(target).ledger.files(paths.trials("speed"))
    monkeypatch.setattr(segments, "MOST_BYTES", 3 * len(sent[0].line()) + 10)
    for single in sent[6:]:
        send(target, single)
        snapshot = fold_all(target)
    assert large in snapshot.ledger.files(paths.trials("speed"))
    assert {own.id for own in snapshot.ledger.trials("speed")} == {own.id for own in sent}


def test_an_illegal_event_is_refused_and_changes_nothing(repository: Repository) -> None:
    target = store(repository.path)
    before = start(target)
    paused = Paused(at=timestamp(AT), by="ada")

    def think(snapshot: Snapshot) -> LedgerChange:
        return LedgerChange.of("twice", snapshot.ledger.with_events("speed", [paused, paused]))

    with pytest.raises(IllegalEvent):
        target.transact(AT, think, inbox=True)
    after = target.snapshot()
    assert after.ledger.commit == before.ledger.commit
    assert after.ledger.life("speed").state is State.RUNNING


@pytest.mark.slow
def test_writers_at_once_all_succeed(repository: Repository) -> None:
    target = store(repository.path)
    start(target)

    def write(number: int) -> None:
        mine = store(repository.path)
        mine.transact(AT, lambda _: LedgerChange.of(f"{number}", {f"notes/{number}": b"x"}))

    threads = [threading.Thread(target=write, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(target.snapshot().ledger.files("notes")) == 6


def test_a_lost_ledger_is_refused_and_the_message_names_the_way_back(
    repository: Repository,
) -> None:
    """`tests/flows/verbs/test_restore.py` goes it."""
    target = store(repository.path)
    start(target)
    git(repository.origin, "update-ref", "-d", refs.LEDGER)
    with pytest.raises(LedgerDamaged, match=r"is missing .*`expci fsck --restore`"):
        target.snapshot()


@pytest.mark.parametrize("unknown", [{"plan": "cd" * 32}, {"experiment": "other"}])
def test_a_record_of_a_plan_that_is_not_here_waits_in_the_inbox(
    repository: Repository, unknown: dict[str, Any]
) -> None:
    """A ledger that is restored may know it again; a month later nobody waits any more."""
    target = store(repository.path)
    start(target)
    stray, good = trial(**unknown), trial()
    for record in (stray, good):
        inbox.send(target.remote, record.experiment, inbox.encode([record.line()]))
    snapshot = target.snapshot()
    arrived = collect(target.git, snapshot.inbox)
    folded = fold_inbox(snapshot.ledger, arrived, AT)
    assert (dict(folded.added), folded.refused) == ({"speed": 1}, ())
    [ref] = folded.waiting
    assert stray.experiment in ref
    assert folded.waiting_by_arm == {stray.experiment: {stray.arm: 1}}
    late = fold_inbox(snapshot.ledger, arrived, AT + timedelta(days=31))
    assert [item.code for item in late.refused] == ["not_started"]
    assert not late.waiting


def test_a_line_that_is_no_record_any_more_holds_up_nothing(repository: Repository) -> None:
    target = store(repository.path)
    start(target)
    records = [trial() for _ in range(3)]
    lines = [record.line() for record in records]
    data = "\n".join([lines[0], "null", lines[1], "[1]", "{", lines[2]]).encode() + b"\n"
    path = f"{paths.trials('speed')}/{segments.name_for(1, data)}"
    target.transact(AT, lambda _: LedgerChange.of("tampered", {path: data}))
    more = trial()
    inbox.send(target.remote, "speed", inbox.encode([more.line()]))
    ledger = fold_all(target).ledger
    assert [t.id for t in ledger.trials("speed")] == [r.id for r in [*records, more]]
    assert ledger.refused("speed") == {"damaged": {"": 3}}


def test_refused_records_are_counted_by_reason_and_arm(repository: Repository) -> None:
    target = store(repository.path)
    start(target)
    ahead = AT + timedelta(minutes=11)
    lines = [trial(arm="treatment", started=timestamp(ahead)).line() for _ in range(3)]
    lines += [trial(arm="ghost").line(), "{not json", trial(started=timestamp(AT)).line()]
    lines += ['{"arm":"control","metrics":"none"}', '{"arm":["control"]}', '[{"arm":"control"}]']
    inbox.send(target.remote, "speed", inbox.encode(lines))
    ledger = fold_all(target).ledger
    assert len(ledger.trials("speed")) == 1
    assert ledger.refused("speed") == {
        "clock": {"treatment": 3},
        "no_arm": {"ghost": 1},
        "malformed": {"": 3, "control": 1},
    }
    assert ledger.refused("other") == {}


def test_a_clock_that_is_behind_the_ledger_refuses_nothing_as_from_the_future(
    repository: Repository,
) -> None:
    target = store(repository.path)
    start(target)
    send(target, trial(arm="treatment", started=timestamp(AT)))
    snapshot = target.snapshot()

    def folded(at: datetime) -> Folded:
        return fold_inbox(snapshot.ledger, collect(target.git, snapshot.inbox), at)

    wrong = folded(AT - timedelta(hours=20))
    assert (wrong.refused, wrong.changes) == ((), {})
    assert wrong.waiting_by_arm == {"speed": {"treatment": 1}}
    assert folded(AT).added == {"speed": 1}
    ahead = folded(AT - timedelta(minutes=11))  # beyond what clocks differ by
    assert ahead.waiting == dict.fromkeys(snapshot.inbox, 1)


@pytest.mark.parametrize(("hours", "dated"), [(-20, 0), (-25, -25), (20, 20)])
def test_an_event_of_a_slow_clock_is_not_before_the_one_that_it_follows(
    repository: Repository, hours: int, dated: int
) -> None:
    target = store(repository.path)
    start(target)
    ledger = target.snapshot().ledger
    paused = Paused(at=timestamp(AT + timedelta(hours=hours)), by="ada", reason_code="manual")
    [data] = ledger.with_events("speed", [paused]).values()
    assert data is not None
    written = parse_event(data.splitlines()[-1])
    assert written.at == timestamp(AT + timedelta(hours=dated))


def test_what_older_versions_put_into_quarantine_is_counted_too(repository: Repository) -> None:
    target = store(repository.path)
    start(target)
    old = {"subject": f"{refs.inbox('speed', 'ab' * 32)} 01X", "reason": "r", "sha256": "0" * 64}
    files: Changes = {paths.quarantined("0" * 64): json.dumps(old).encode()}
    target.transact(AT, lambda _: LedgerChange.of("old", files))
    assert target.snapshot().ledger.refused("speed") == {"malformed": {"": 1}}


def test_a_ledger_behind_what_was_published_is_refused(repository: Repository) -> None:
    target = store(repository.path)
    old = start(target).ledger.commit
    target.transact(AT, lambda _: LedgerChange.of("more", {"notes/x": b"x"}))
    git(repository.origin, "update-ref", refs.LEDGER, str(old))
    with pytest.raises(LedgerDamaged, match="behind"):
        target.snapshot()


def test_stopping_exposure_does_not_wait_for_the_ledger(repository: Repository) -> None:
    target = store(repository.path)
    snapshot = start(target)
    assert snapshot.published.experiments.keys() == {"speed"}
    ledger = snapshot.ledger.commit
    target.withdraw(snapshot, ["speed"])
    after = target.snapshot()
    assert after.published.experiments == {}
    assert after.ledger.commit == ledger


def test_inbox_refs_are_create_only(repository: Repository) -> None:
    target = store(repository.path)
    ref = send(target, trial())
    head = target.git.require("HEAD")
    with pytest.raises(LostRace):
        target.remote.push([Update(ref, head, old="")])


def test_a_plan_in_the_ledger_holds_all_content(repository: Repository) -> None:
    target = store(repository.path)
    snapshot = start(target)
    root = paths.plan("speed", PLAN)
    assert snapshot.ledger.read(f"{root}/arms/treatment/work.sh") == b"sleep 0\n"
    assert snapshot.ledger.read(f"{root}/arms/control/work.sh") == b"sleep 0.01\n"


def test_an_id_is_found_again_in_lines_of_any_form(repository: Repository) -> None:
    """Whatever wrote the line of the ledger: a second record of that id is none more."""
    place = store(repository.path)
    start(place)
    first, second, third = trial(), trial(), trial()
    spaced = json.dumps(json.loads(second.line())).encode()
    moved = dict(reversed(json.loads(third.line()).items()))
    lines = [first.line().encode(), spaced, json.dumps(moved).encode(), b'{"v":1,"id":"broken']
    segment = b"\n".join([*lines, b""])
    directory = paths.trials("speed")
    path = f"{directory}/{segments.name_for(1, segment)}"
    place.transact(AT, lambda _: LedgerChange.of("By hand", {path: segment}))
    ledger = place.snapshot().ledger
    fresh = trial()
    arrived = tuple(Arrived(t, t.line().encode(), "r") for t in (first, second, third, fresh))
    folded = fold_inbox(ledger, Inbox(arrived, (), {}), AT)
    assert folded.added == {"speed": 1}
    assert [item.code for item in folded.refused] == ["id_taken"] * 2  # other bytes, same id
    assert ledger.count(directory) == 4 == len([*ledger.lines(directory)])
    named = [*ledger.lines_naming(directory, re.compile(second.id.encode()))]
    assert named == [spaced]

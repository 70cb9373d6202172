"""The ledger's note of when amendments came holds whatever senders write, and is checked."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from expci.core.model.trial import Amendment, Arrival, timestamp
from expci.store.inbox import send as inbox
from expci.store.ledger import arrivals, paths
from expci.store.ledger.transaction import Store
from store.ledger.test_ledger import fold_all
from support.ledger_samples import AT, send, start, store, trial
from support.repositories import Repository

WRITTEN = timestamp(AT)


def send_score(target: Store, number: int, trial_id: str) -> None:
    late = Amendment(f"{number:026d}", trial_id, "speed", WRITTEN, {"score": float(number)})
    inbox.send(target.remote, "speed", inbox.encode([late.line()]))


def test_each_fold_notes_after_how_many_trials_its_amendments_came(repository: Repository) -> None:
    target = store(repository.path)
    start(target)
    one, two, three = (trial(unit=f"u{n}") for n in range(3))
    send(target, one)
    fold_all(target)
    send(target, two)
    send_score(target, 1, one.id)
    fold_all(target)
    send(target, three)
    fold_all(target)
    send_score(target, 2, two.id)
    ledger = fold_all(target).ledger
    lines = (ledger.read(paths.arrivals("speed")) or b"").splitlines()
    assert [json.loads(line) for line in lines] == [
        {"v": 1, "first": 1, "last": 1, "trials": 2},
        {"v": 1, "first": 2, "last": 2, "trials": 3},
    ]
    assert [dict(t.late) for t in ledger.trials("speed")] == [
        {"score": Arrival(WRITTEN, 1, 2)},
        {"score": Arrival(WRITTEN, 2, 3)},
        {},
    ]
    assert ledger.columns("speed").position.tolist() == [1, 2, 3]


def test_a_damaged_trial_line_moves_no_arrival() -> None:
    """Of five lines the second is none any more: after four lines came three trials."""
    late = Amendment("1" * 26, "2" * 26, "speed", WRITTEN, {"score": 1.0})
    note = arrivals.arrivals_line(0, 1, 4)
    [noted] = arrivals.with_arrivals([(1, late)], [1, 3, 4, 5], note)
    assert noted.arrival == Arrival(WRITTEN, 1, 3)


@pytest.mark.parametrize(
    "line",
    [
        b"no JSON",
        b"[]",
        b'{"v":1,"first":2,"last":1,"trials":0}',
        b'{"v":1,"first":0,"last":1,"trials":0}',
        b'{"v":1,"first":1,"last":1,"trials":-1}',
        b'{"v":2,"first":1,"last":1,"trials":1}',
        b'{"v":1,"first":1,"last":1,"trials":1.5}',
        b'{"v":1,"first":1,"last":1,"trials":1,"more":1}',
    ],
)
def test_what_is_no_note_is_named_and_leaves_the_amendment_without_one(line: bytes) -> None:
    late = Amendment("1" * 26, "2" * 26, "speed", WRITTEN, {"score": 1.0})
    assert arrivals.why_no_note(line)
    assert arrivals.with_arrivals([(1, late)], [1], line) == [late]
    assert arrivals.with_arrivals([(1, late)], [1], line)[0].arrival is None


def test_old_lines_that_are_imported_later_stand_where_they_came(repository: Repository) -> None:
    """By the time that they state they would go first; within one fold that time decides."""
    target = store(repository.path)
    start(target)
    hours = {hour: timestamp(AT - timedelta(hours=hour)) for hour in range(1, 5)}
    imported = {h: trial(unit=f"u{h}", started=at, mode="lab") for h, at in hours.items()}
    send(target, imported[2])
    fold_all(target)
    for hour in (1, 3, 4):
        send(target, imported[hour])
    trials = fold_all(target).ledger.trials("speed")
    assert [t.unit for t in trials] == ["u2", "u4", "u3", "u1"]

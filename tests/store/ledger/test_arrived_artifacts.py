"""Whose an artifact's trials are is what the CI's records say, never what the trials say."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from expci.core.model.trial import Amendment, Trial, timestamp
from expci.store.inbox.read_batches import LINES_PER_BATCH
from expci.store.ledger.arrived_artifacts import (
    FORK_LINES,
    NAMED_LINES,
    ArtifactBatch,
    Origin,
    read_artifact,
    same_record,
)
from expci.store.ledger.ledger import Ledger
from expci.store.ledger.run_quotas import quotas_of
from expci.store.ledger.uncounted import UNTRUSTED
from support.ledger_samples import AT, start, store, trial
from support.repositories import Repository

OURS = Origin(
    run=42,
    repository="o/r",
    head_repository="o/r",
    event="push",
    head_commit="c" * 40,
    actor="ada",
    workflow=".github/workflows/ci.yml",
    number=7,
    conclusion="success",
    created=AT,
    own=True,
)
THEIRS = replace(OURS, head_repository="eve/copy", event="pull_request", actor="eve", own=False)


@pytest.fixture
def ledger(repository: Repository) -> Ledger:
    """With the experiment `speed`, by units of a run."""
    return start(store(repository.path)).ledger


def batch(*records: Any, origin: Origin | None = OURS, **changes: Any) -> ArtifactBatch:
    lines = [r if isinstance(r, bytes) else r.line().encode() for r in records]
    created = AT + timedelta(minutes=5)
    made = ArtifactBatch(9, "expci-x-42", created, 42, b"\n".join(lines), origin)
    return replace(made, **changes)


def taken(ledger: Ledger, artifact: ArtifactBatch) -> Trial:
    arrived, refused = read_artifact(ledger, artifact, quotas_of(ledger))
    assert refused == []
    [only] = arrived
    assert isinstance(only.record, Trial)
    assert only.line == only.record.line().encode()
    return only.record


def reason(ledger: Ledger, artifact: ArtifactBatch) -> str:
    arrived, refused = read_artifact(ledger, artifact, quotas_of(ledger))
    assert arrived == []
    [only] = refused
    return only.reason


def test_the_run_is_described_by_the_ci_alone(ledger: Ledger) -> None:
    claims = {"sha": "f" * 40, "actor": "root", "recorded_as": "x", "job": "test", "run_id": "42"}
    record = taken(ledger, batch(trial(context=claims)))
    assert record.excluded is None
    assert record.context == {
        "job": "test",
        "run_id": "42",
        "run_number": "7",
        "repository": "o/r",
        "event": "push",
        "sha": "c" * 40,
        "actor": "ada",
        "workflow_path": ".github/workflows/ci.yml",
        "conclusion": "success",
        "artifact": "9",
    }


def test_what_the_ci_says_is_cut_and_made_printable(ledger: Ledger) -> None:
    odd = replace(OURS, actor="a\x1b[31m\u202e" + "b" * 500, conclusion="")
    context = taken(ledger, batch(trial(), origin=odd)).context
    assert context["actor"] == "a[31m" + "b" * 295
    assert "conclusion" not in context


def test_a_strangers_trial_is_kept_apart_and_not_counted(ledger: Ledger) -> None:
    sent = trial(block="pair-1", order=1, context={"workflow": "their own word"})
    record = taken(ledger, batch(sent, origin=THEIRS))
    assert record.excluded == UNTRUSTED
    assert record.id != sent.id
    assert record.block == "fork-42-pair-1"
    assert record.context["recorded_as"] == sent.id
    assert record.context["head_repository"] == "eve/copy"
    assert record.context["workflow"] == ".github/workflows/ci.yml"
    again = taken(ledger, batch(sent, origin=THEIRS))
    assert again.id == record.id, "the same artifact counts once"
    other = taken(ledger, batch(sent, origin=replace(THEIRS, run=43), run=43))
    assert other.id != record.id
    unknown = taken(ledger, batch(replace(sent, experiment="unheard-of"), origin=THEIRS))
    assert unknown.excluded == UNTRUSTED


def test_a_late_metric_is_taken_from_ourselves_only(ledger: Ledger) -> None:
    late = Amendment(trial().id, trial().id, "speed", timestamp(AT), {"score": 1.0})
    arrived, refused = read_artifact(ledger, batch(late), quotas_of(ledger))
    assert ([a.record for a in arrived], refused) == ([late], [])
    assert "a late metric from a fork's run" in reason(ledger, batch(late, origin=THEIRS))


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"status": "lost", "metrics": {}}, "only the CI's records make it"),
        ({"context": {"run_id": "41"}}, "it says that it is of run 41, but it is of run 42"),
        ({"started": timestamp(AT - timedelta(hours=25))}, "not while run 42 ran"),
        ({"started": timestamp(AT + timedelta(hours=25))}, "not while run 42 ran"),
    ],
)
def test_a_trial_that_the_run_cannot_have_made_is_refused(
    ledger: Ledger, changes: dict[str, Any], why: str
) -> None:
    assert why in reason(ledger, batch(trial(**changes)))


@pytest.mark.parametrize(
    ("off", "expected"),
    [
        (timedelta(minutes=-9), timedelta(minutes=-9)),
        (timedelta(hours=-20), timedelta(0)),
        (timedelta(hours=20), timedelta(minutes=5)),
    ],
)
def test_a_clock_that_is_hours_wrong_is_set_by_the_run(
    ledger: Ledger, off: timedelta, expected: timedelta
) -> None:
    said = timestamp(AT + off)
    record = taken(ledger, batch(trial(started=said)))
    assert record.started == timestamp(AT + expected)
    corrected = {"clock": f"the machine said {said}"} if off != expected else {}
    assert {k: v for k, v in record.context.items() if k == "clock"} == corrected


def test_an_import_may_be_of_any_day_but_not_a_strangers(ledger: Ledger) -> None:
    old = trial(started=timestamp(AT - timedelta(days=90)), context={"assignment": "import"})
    assert taken(ledger, batch(old)).started == old.started
    assert "not while run 42 ran" in reason(ledger, batch(old, origin=THEIRS))


def test_an_artifact_that_could_not_be_read_is_refused_with_why(ledger: Ledger) -> None:
    assert reason(ledger, batch(refusal="unpacks to more")) == "unpacks to more"


@pytest.mark.parametrize(
    ("origin", "most", "whose"),
    [(OURS, LINES_PER_BATCH, "artifact;"), (THEIRS, FORK_LINES, "artifact of a fork;")],
)
def test_too_many_lines_are_refused_as_one(
    ledger: Ledger, origin: Origin, most: int, whose: str
) -> None:
    why = reason(ledger, batch(*[b"x"] * (most + 1), origin=origin))
    assert why == f"{most + 1} lines in one {whose} at most {most}"


def test_bad_lines_do_not_hold_up_good_ones_and_do_not_fill_the_ledger(ledger: Ledger) -> None:
    good = trial()
    arrived, refused = read_artifact(
        ledger, batch(*[b"{}"] * (NAMED_LINES + 5), good, b""), quotas_of(ledger)
    )
    assert [record.record.id for record in arrived if isinstance(record.record, Trial)] == [good.id]
    assert len(refused) == NAMED_LINES + 1
    assert refused[0].subject == "artifact expci-x-42 (9) of run 42:1"
    assert refused[-1].reason == "5 more lines of it are no records either"


def test_one_record_that_came_by_two_ways_is_one(ledger: Ledger) -> None:
    pushed = trial(context={"job": "test", "run_id": "42", "sha": "e" * 40})
    uploaded = taken(ledger, batch(pushed))
    lines = pushed.line().encode(), uploaded.line().encode()
    assert same_record(*lines)
    assert same_record(*reversed(lines))
    other = replace(uploaded, metrics={"duration_s": 2.0}).line().encode()
    assert not same_record(lines[0], other)
    assert not same_record(lines[0], replace(pushed, unit="v").line().encode())
    wrong = trial(started=timestamp(AT - timedelta(hours=20)), context={"run_id": "42"})
    corrected = taken(ledger, batch(wrong))
    assert same_record(wrong.line().encode(), corrected.line().encode())

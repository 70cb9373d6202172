"""Scores that come days after their runs, in another order, on real git."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta

from expci.core.model.trial import Amendment, Trial, parse_timestamp, timestamp
from expci.flows.verbs.analyze import analyze
from expci.flows.verbs.fsck import fsck
from expci.runner.trial_ids import new_trial_id
from expci.store.inbox import send
from expci.store.ledger import paths
from support.repositories import Repository
from support.specimen import SPEC
from support.stage import Stage

SCORED = SPEC.replace(
    "{name: duration_s, role: primary, direction: decrease, minimum_effect: 15%}",
    "{name: score, role: primary, direction: increase, minimum_effect: 0.5}",
).replace("plan:\n", "plan:\n  inference: anytime\n")


def score(stage: Stage, trial: Trial) -> Amendment:
    """A score whose sender's clock is wrong: as though it had been there with its run."""
    value = (0.7 if trial.arm == "treatment" else 0.0) + stage.random.gauss(5, 1)
    written = timestamp(parse_timestamp(trial.started) + timedelta(seconds=1))
    return Amendment(new_trial_id(stage.now), trial.id, "speed", written, {"score": value})


def deliver(stage: Stage, amendments: list[Amendment]) -> dict[str, object]:
    """Send the scores, let a pass take them, and return what the report says of the primary."""
    lines = [amendment.line() for amendment in amendments]
    send.send(stage.context.store.remote, "speed", send.encode(lines))
    stage.auto()
    document = json.loads(analyze(stage.context, "speed").render("json"))
    [compared] = document["metrics"][0]["comparisons"]
    verdict = document["decision"]["verdict"]
    return {"verdict": verdict, "p": compared["evidence"]["p_value"] or 1.0}


def test_a_promotion_is_not_taken_back_because_scores_come_late(repository: Repository) -> None:
    stage = Stage(repository)
    stage.begin(spec=SCORED)
    trials = stage.pairs(50, 1.0)
    stage.auto()
    stage.random.shuffle(trials)
    looks = []
    for part in range(0, 100, 10):
        stage.now += timedelta(days=1)
        looks.append(deliver(stage, [score(stage, t) for t in trials[part : part + 10]]))
    p_values = [look["p"] for look in looks]
    assert p_values == sorted(p_values, reverse=True)  # type: ignore[type-var]
    verdicts = [look["verdict"] for look in looks]
    first = verdicts.index("promote")
    assert set(verdicts[:first]) == {"continue"}
    assert set(verdicts[first:]) == {"promote"}
    assert 0 < first < 9
    assert fsck(stage.context).problems == []


def test_what_says_that_it_was_written_in_the_future_is_refused(repository: Repository) -> None:
    stage = Stage(repository)
    stage.begin(spec=SCORED)
    [trial, _] = stage.pairs(1, 1.0)
    stage.auto()
    tomorrow = timestamp(stage.now + timedelta(days=1))
    wrong = replace(score(stage, trial), at=tomorrow)
    send.send(stage.context.store.remote, "speed", send.encode([wrong.line()]))
    stage.auto()
    ledger = stage.context.store.snapshot().ledger
    assert ledger.refused("speed") == {"clock": {"": 1}}
    assert paths.arrivals("speed") not in ledger.entries

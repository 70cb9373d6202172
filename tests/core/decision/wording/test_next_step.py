"""What comes next after each verdict, word for word."""

from __future__ import annotations

from typing import Any

import pytest

from expci.core.decision.decide import decide
from expci.core.model.experiment import DecisionRules
from expci.core.model.results import Check
from support.analysis_samples import make_experiment
from support.decision_samples import (
    HARMFUL,
    NO_CHANCE,
    OVER,
    PRIMARY,
    UNDECIDED,
)
from support.look_numbers import Effect, LookSample

PLAIN, MANUAL = make_experiment(), make_experiment(decision=DecisionRules(rollback="manual"))


def promoting(promote: Any) -> LookSample:
    return LookSample(make_experiment(decision=DecisionRules(promote=promote)))


DROPPED = (
    "The pass drops first: nothing is exposed to it any more, its share goes to the others, "
    "and the experiment goes on with second, third."
)


def of_three(rollback: Any, first: Effect) -> LookSample:
    experiment = make_experiment(
        treatments=("first", "second", "third"), decision=DecisionRules(rollback=rollback)
    )
    others = {("duration_s", arm): UNDECIDED for arm in ("second", "third")}
    return LookSample(experiment, {("duration_s", "first"): first, **others})


@pytest.mark.parametrize(
    ("sample", "sentence"),
    [
        (promoting("pr"), "The pass opens a pull request that promotes treatment."),
        (promoting("merge"),
         "The pass opens a pull request that promotes treatment and merges it."),
        (promoting("never"),
         "The pass ends the experiment as a win; its plan says never to promote."),
        (LookSample(PLAIN, {PRIMARY: HARMFUL}),
         "The pass stops exposure first, then ends the experiment; control stays."),
        (LookSample(MANUAL, {PRIMARY: HARMFUL}),
         "The pass raises an alert; a person rolls back (`rollback: manual`)."),
        (LookSample(PLAIN, {PRIMARY: HARMFUL}, more={"watching": True}),
         "The pass reverts the promoted change."),
        (LookSample(checks=[Check("exposure", "failed")]),
         "The pass pauses the experiment and raises an alert."),
        (LookSample(effects={PRIMARY: NO_CHANCE}),
         "The pass ends the experiment; control stays."),
        (LookSample(effects={PRIMARY: UNDECIDED}, at=OVER),
         "The pass ends the experiment; control stays."),
        (LookSample(effects={PRIMARY: UNDECIDED}), "The next pass looks again as trials arrive."),
        (of_three("automatic", HARMFUL), DROPPED),
        (of_three("manual", HARMFUL),
         "The pass raises an alert; a person rolls back (`rollback: manual`)."),
        (of_three("manual", NO_CHANCE), DROPPED),
        (LookSample(more={"watching": True}),
         "The next pass looks again; it will watch for 7 days after the promotion."),
    ],
)  # fmt: skip
def test_what_comes_next(sample: LookSample, sentence: str) -> None:
    assert decide(sample.input()).next == sentence

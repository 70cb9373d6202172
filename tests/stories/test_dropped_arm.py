"""Three arms on real git: the harmful one leaves, the experiment goes on and promotes the other."""

from __future__ import annotations

import json
from datetime import timedelta

from expci.core.assignment import assign, pair_order
from expci.core.lifecycle.transitions import State
from expci.core.model.trial import Trial, timestamp
from expci.flows.verbs import status
from expci.flows.verbs.analyze import analyze
from expci.flows.verbs.fsck import fsck
from expci.runner.trial_ids import new_trial_id
from expci.store.inbox import send
from support.repositories import Repository
from support.specimen import SPEC
from support.stage import Stage

TWO = SPEC.replace(
    "  treatment:\n    files: treatment/\n",
    "  treatment:\n    files: treatment/\n  slow:\n    env: {SLOW: '1'}\n    promote: treatment/\n",
)


def triples(stage: Stage, count: int, **ratios: float) -> None:
    """Send `count` runs of every arm side by side, as the lab makes them."""
    plan, sent = stage.life().plan or "", []
    factors = {"control": 1.0, **ratios}
    for number in range(count):
        block = f"job-{stage.random.getrandbits(48)}"
        arms = list(factors)[number % len(factors) :] + list(factors)[: number % len(factors)]
        for order, arm in enumerate(arms, start=1):
            stage.now += timedelta(seconds=20)
            seconds = 12 * factors[arm] * stage.random.lognormvariate(0, 0.05)
            trial = Trial(
                id=new_trial_id(stage.now),
                experiment="speed",
                plan=plan,
                mode="lab",
                arm=arm,
                unit=block,
                block=block,
                order=order,
                started=timestamp(stage.now),
                metrics={"duration_s": seconds, "success": 1.0},
            )
            sent.append(trial)
    send.send(stage.context.store.remote, "speed", send.encode([t.line() for t in sent]))


def test_the_harmful_arm_leaves_and_the_other_is_promoted(repository: Repository) -> None:
    stage = Stage(repository)
    stage.begin(spec=TWO)
    triples(stage, 9, treatment=0.9, slow=2.0)
    done = stage.auto()
    assert [event.word for _, event in done.events] == ["decided", "arm_dropped", "decided"]
    life = stage.life()
    assert (life.state, set(life.dropped)) == (State.RUNNING, {"slow"})
    assert life.dropped["slow"].reason_code == "harm_primary"
    exposure = stage.context.store.snapshot().published.experiments["speed"]
    assert (set(exposure.weights), exposure.dropped) == ({"control", "treatment"}, {"slow": 1.0})
    assert {assign(exposure.rule, f"u{n}").arm for n in range(50)} == {"control", "treatment"}
    assert sorted(pair_order(exposure.rule, "lab", 0)) == ["control", "treatment"]
    assert stage.auto().events == []

    triples(stage, 16, treatment=0.8)
    done = stage.auto()
    assert stage.life().state is State.PROMOTING
    opened = stage.life().promote_opened
    assert opened is not None
    assert opened.arm == "treatment"
    document = json.loads(analyze(stage.context, "speed").render("json"))
    assert document["dropped"] == ["slow"]
    ratio = next(check for check in document["checks"] if check["name"] == "sample_ratio")
    assert ratio["status"] == "ok"
    assert "slow was dropped on 2026-11-22: it does harm." in status.one(stage.context, "speed")
    assert fsck(stage.context).problems == []

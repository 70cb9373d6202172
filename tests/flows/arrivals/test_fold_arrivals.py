"""What a person decides by hand rests on all that has arrived, as the pass does."""

from __future__ import annotations

import pytest

from expci.errors import ExpciError
from expci.flows.verbs.promote import promote
from expci.flows.verbs.rollback import rollback
from support.github_server.faults import Fault
from support.ground import Field, begun, ground
from support.hub_bench import bench, template

__all__ = ["begun", "bench", "ground", "template"]


def test_a_promotion_by_hand_rests_on_artifacts_too(ground: Field) -> None:
    ground.artifact(ground.run())
    with pytest.raises(ExpciError, match="the evidence does not support a promotion"):
        promote(ground.context, "speed")
    assert len(ground.trials()) == 1


def test_it_is_refused_while_an_artifact_cannot_be_read(ground: Field) -> None:
    broken = ground.artifact(ground.run())
    ground.bench.hub.faults.add(Fault.failure("GET", f"/artifacts/{broken.id}/zip", times=4))
    with pytest.raises(ExpciError, match="some arrived records could not be read: 1 artifact"):
        promote(ground.context, "speed")
    ground.bench.hub.faults.add(Fault.failure("GET", f"/artifacts/{broken.id}/zip", times=4))
    assert promote(ground.context, "speed", force=True).state == "promoting"


def test_a_forced_rollback_waits_for_no_download(ground: Field) -> None:
    ground.artifact(ground.run())
    assert rollback(ground.context, "speed", reason="a hunch", force=True).state == "rolled_back"
    assert ground.trials() == []

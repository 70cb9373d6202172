"""From the proposal to the promote pull request every write meets a fault, the kinds in turn.

So it goes on until a pass has no problem. Then all is as where nothing went wrong, and
nothing is there twice.
"""

from __future__ import annotations

from pathlib import Path

from expci.flows.auto.auto import auto
from expci.forge.github.retries import Limits
from support.github_server import Fault
from support.hub_bench import template as template
from support.repositories import Repository
from support.two_worlds import WritesOnly, propose, stages, world

KINDS = (
    Fault.refusal("", "", 409, "Conflict"),
    Fault.failure(status=502, times=4),  # a PATCH is tried four times
    Fault.refusal("", "", 404, "Not Found"),
    Fault.failure(status=502, applied=True),
    Fault.primary_limit(reset=3600),
    Fault.lost_answer(),
    Fault.refusal("", "", 422, "Validation Failed"),
    Fault.secondary_limit(after=0),
    Fault.reset(),
    Fault.refusal("", "", 403, "Resource not accessible by integration"),
)


def test_a_fault_of_each_kind_is_finished_by_later_passes_and_leaves_nothing_twice(
    template: Repository, tmp_path: Path
) -> None:
    disturbed, undisturbed = stages(template, tmp_path)
    hub = disturbed.bench.hub
    for stage in (disturbed, undisturbed):
        propose(stage)
    hub.faults.add(*(WritesOnly(**vars(fault)) for fault in [*KINDS] * 3))
    for _ in range(40):
        disturbed.bench.limits = Limits(left=1.5, unnamed=0.02, backoff=0.01)
        problems = auto(disturbed.context).problems
        if not problems:
            break
    assert problems == []
    assert len(hub.faults.waiting) < 2 * len(KINDS)  # each kind was met
    hub.faults.waiting.clear()
    for stage in (disturbed, undisturbed):
        stage.auto()
        stage.auto()
    assert world(disturbed) == world(undisturbed)
    assert hub.violations == []

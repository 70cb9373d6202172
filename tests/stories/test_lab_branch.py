"""The branch that a lab experiment was started on is published, so that CI runs it there."""

from expci.forge.lab_runs import LabRun, lab_runs_to_start
from expci.store import published
from support.repositories import Repository
from support.stage import Stage


def test_a_proposal_is_run_on_its_branch(repository: Repository) -> None:
    stage = Stage(repository)
    stage.begin("speed")
    found = published.fetch_published(stage.context.store.remote)
    assert found is not None
    assert lab_runs_to_start(found[0], "main") == [LabRun("speed", ("try/speed", "main"))]
    assert published.parse_published(found[0].dump()) == found[0]

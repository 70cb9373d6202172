"""The life of an experiment as GitHub runs it: the pass that `init` scheduled promotes a win,
watches it, and takes it back when it does harm."""

from __future__ import annotations

import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from actions.act_stage import PIN, ActRun, ActStage
from expci.flows.context import Context
from expci.flows.init import initialize
from flows.stage import Stage
from forge.github_server.world import Issue

RIGHTS = {
    "actions": "write",
    "checks": "write",
    "contents": "write",
    "issues": "write",
    "pull_requests": "write",
}


def now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)


class Team(Stage):
    """People and their trials; what the pass does, the workflow does."""

    stage: ActStage

    @classmethod
    def on(cls, stage: ActStage) -> Team:
        # Before the first pass, whose clock is the machine's: what it promotes comes after.
        team = cls(stage.repository, now=now() - timedelta(hours=1))
        team.stage = stage
        return team

    @property
    def context(self) -> Context:
        return replace(super().context, make_forge=self.stage.bench.forge)

    def set_up(self) -> None:
        initialize(self.repository.path, PIN)
        path = self.repository.path / ".github/workflows/expci-pass.yml"
        text = path.read_text()  # act has no network to make a Python with
        path.write_text(text.replace("    with:\n", f"    with:\n      python: {sys.executable}\n"))
        self.stage.publish("Set up experiments")

    def passes(self, event: str, **payload: object) -> ActRun:
        run = self.stage.run(
            event,
            "expci-pass.yml",
            payload=payload,
            permissions=RIGHTS,
            environment={"EXPCI_PAUSE": "0"},
        )
        assert run.ok, run.text
        return run

    def pull_of(self, branch: str) -> Issue:
        [found] = (i for i in self.stage.hub.issues.values() if i.pull and i.pull.head == branch)
        return found

    def main(self, path: str) -> str:
        return self.stage.hub.bare.git("show", f"main:{path}")


def test_a_win_is_promoted_watched_and_taken_back_when_it_does_harm(stage: ActStage) -> None:
    team = Team.on(stage)
    before = team.main("work.sh")
    team.set_up()
    team.propose("speed")
    number = stage.hub.open_pull("ada", "try/speed", title="Try speed").number
    team.start("speed")
    team.pairs(14, 0.5)
    team.passes("schedule")
    promote = team.pull_of("expci/promote/speed")
    assert promote.state == "open"
    said = "".join(comment.body for comment in stage.hub.comments(number))
    assert "after 14 pairs" in said

    merged = team.context.forge.merge_pull(team.pull("expci/promote/speed"), "Promote speed")
    assert merged is not None
    assert team.main("work.sh") != before
    # The merge reaches the pass as the end of a validation that had nothing to do.
    team.passes("workflow_run", workflow_run={"name": "expci-validate"})
    assert team.life().state == "watching"

    team.now = now()
    team.pairs(20, 3.0)
    team.passes("schedule")
    assert team.life().state == "rolled_back"
    assert team.main("work.sh") == before

"""A stage on the small GitHub: people propose, label and comment, the pass answers."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from expci import app
from expci.flows.context import Context
from expci.settings import Settings
from support.github_server.world import Comment, Exchange
from support.hub_bench import HubBench
from support.specimen import FAST, SPEC
from support.stage import Stage


@dataclass
class HubStage(Stage):
    """The clock starts at the real time, because the small GitHub's own is the real one."""

    bench: HubBench = None  # type: ignore[assignment]
    now: datetime = field(default_factory=lambda: datetime.now(UTC).replace(microsecond=0))

    @classmethod
    def of(cls, bench: HubBench) -> HubStage:
        return cls(bench.repository, bench=bench)

    @property
    def context(self) -> Context:
        """With a forge of its own, as each command and each pass has one."""
        made = app.open_context(self.repository.path, Settings(actor="ada"), clock=lambda: self.now)
        web = f"{self.bench.hub.server}/{self.bench.hub.name}"
        return replace(made, make_forge=self.bench.forge, forge_name=self.bench.name, web=web)

    def request(
        self, name: str = "speed", spec: str = SPEC, variant: str = FAST, author: str = "ada"
    ) -> int:
        """A branch with the experiment, pushed, and an open pull request from it; its number."""
        self.propose(name, spec, variant)
        return self.bench.hub.open_pull(author, f"try/{name}", title=f"Try {name}").number

    def says(self, number: int, author: str, body: str) -> Comment:
        """Somebody comments, at the time of the stage's clock."""
        made = self.bench.hub.comment(number, author, body)
        made.created = made.updated = self.now.strftime("%Y-%m-%dT%H:%M:%SZ")
        return made

    def calls_since(self, mark: int) -> list[Exchange]:
        """What was asked of GitHub since the log was `mark` long."""
        return self.bench.hub.log[mark:]

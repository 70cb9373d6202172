"""One experiment on real git, with a clock that the test moves and trials made to measure."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path

from expci import app
from expci.core.lifecycle.transitions import Life
from expci.core.model.trial import Trial, timestamp
from expci.flows.auto.auto import auto
from expci.flows.context import Context
from expci.flows.experiment.advance import Pass
from expci.flows.verbs.start import StartResult, start
from expci.forge.ports import PullRequest
from expci.runner.trial_ids import new_trial_id
from expci.settings import Settings
from expci.store.git import refs
from expci.store.git.git import Git
from expci.store.inbox import send
from expci.store.ledger.ledger import Ledger
from support.repositories import Repository
from support.specimen import FAST, SPEC


@dataclass
class Stage:
    """`ratio` of treatment's to control's durations makes a win (< 1) or harm (> 1)."""

    repository: Repository
    now: datetime = datetime(2026, 11, 22, 10, tzinfo=UTC)
    random: random.Random = field(default_factory=lambda: random.Random(5))

    @property
    def context(self) -> Context:
        return app.open_context(self.repository.path, Settings(actor="ada"), clock=lambda: self.now)

    def copy(self, directory: Path) -> Stage:
        """The same again, below `directory`."""
        again = random.Random()
        again.setstate(self.random.getstate())
        return replace(self, repository=self.repository.copy(directory), random=again)

    def propose(self, name: str = "speed", spec: str = SPEC, variant: str = FAST) -> None:
        """A branch with the experiment, pushed."""
        self.repository.git("switch", "-q", "-C", f"try/{name}", "origin/main")
        self.repository.write(f"experiments/{name}/experiment.yml", spec)
        self.repository.write(f"experiments/{name}/treatment/work.sh", variant, executable=True)
        self.repository.commit(f"Propose {name}")
        self.repository.push(f"+try/{name}")  # proposed before, at another second

    def start(self, name: str = "speed") -> StartResult:
        return start(self.context, name)

    def begin(self, name: str = "speed", spec: str = SPEC, variant: str = FAST) -> None:
        self.propose(name, spec, variant)
        self.start(name)

    def pairs(
        self,
        count: int,
        ratio: float,
        name: str = "speed",
        metrics: Mapping[str, float] | None = None,
        **changes: object,
    ) -> list[Trial]:
        """Send `count` pairs, about 12 s long, with 5 % noise."""
        plan = self.life(name).plan or ""
        sent: list[Trial] = []
        for number in range(count):
            block = f"job-{self.random.getrandbits(48)}"
            first = number % 2
            for arm, factor in (("control", 1.0), ("treatment", ratio)):
                self.now += timedelta(seconds=20)
                duration = 12 * factor * self.random.lognormvariate(0, 0.05)
                values: dict[str, object] = {
                    "id": new_trial_id(self.now),
                    "experiment": name,
                    "plan": plan,
                    "mode": "lab",
                    "arm": arm,
                    "unit": block,
                    "block": block,
                    "order": 1 + ((arm == "treatment") ^ first),
                    "started": timestamp(self.now),
                    "metrics": {"duration_s": duration, "success": 1.0, **(metrics or {})},
                }
                sent.append(Trial(**{**values, **changes}))  # type: ignore[arg-type]
        send.send(self.context.store.remote, name, send.encode([t.line() for t in sent]))
        return sent

    def auto(self) -> Pass:
        done = auto(self.context)
        assert done.problems == []
        return done

    def life(self, name: str = "speed") -> Life:
        """By the ledger as the server has it, or this clone where there is no server."""
        tip = self._tip
        if tip is None:
            return self.context.store.snapshot(inbox=False).ledger.life(name)
        return Ledger(self._server, tip).life(name)

    @property
    def _tip(self) -> str | None:
        return self._server.resolve(refs.LEDGER)

    @cached_property
    def _server(self) -> Git:
        return Git(self.repository.origin)

    def pull(self, branch: str) -> PullRequest:
        found = self.context.forge.pull_requests.of_branch(branch)
        assert found is not None
        return found

    def merge_promotion(self, name: str = "speed") -> None:
        """Merge the pull request that promotes, as a person does, and let a pass notice."""
        self.context.forge.pull_requests.merge(self.pull(f"expci/promote/{name}"), "Promote")
        self.auto()

    def merge(self, name: str = "speed") -> str:
        """The commit that promoted."""
        promoted = self.life(name).promoted
        assert promoted is not None
        return promoted.merge

    def to_watching(self, name: str = "speed") -> str:
        """From the proposal to a merged promotion; the merge commit."""
        self.begin(name)
        self.pairs(14, 0.5, name)
        self.auto()
        self.merge_promotion(name)
        return self.merge(name)

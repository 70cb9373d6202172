"""An experiment that is live in a slot on GitHub, what CI does in it, and the pass."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest

from expci import app
from expci.core.assignment import Counter, Rule, assign
from expci.core.dataset.recorded import trial_columns
from expci.core.model.trial import Amendment, Trial, timestamp
from expci.flows.arrivals.artifacts import Collection, collect_artifacts, records_to_fold
from expci.flows.auto.auto import auto
from expci.flows.context import Context
from expci.flows.experiment.stored_analysis import analyse_ledger
from expci.runner.trial_ids import new_trial_id
from expci.settings import Settings
from expci.store.git import refs
from expci.store.git.git import Git
from expci.store.inbox import send
from expci.store.inbox.read_batches import collect
from expci.store.ledger.fold import Folded, fold_inbox
from expci.store.ledger.ledger import Ledger
from expci.store.ledger.transaction import LedgerChange, Snapshot
from expci.store.published import Exposure, read_published
from support.github_server.world import Artifact, Run
from support.hub_bench import HubBench
from support.repositories import Repository
from support.specimen import FAST, SPEC

LIVE = SPEC.replace("run: ./work.sh\n", "slot: review\n")
START = datetime(2026, 11, 20, 10, tzinfo=UTC)
CI = ".github/workflows/ci.yml"
WORKFLOW = f"""\
on: push
jobs:
  test:
    runs-on: ubuntu-latest
    steps:
      - uses: expci/expci/.github/actions/assign@{"e" * 40}
        with: {{slot: review}}
      - run: ./work.sh
      - uses: expci/expci/.github/actions/record@{"e" * 40}
        with: {{slot: review}}
"""


def packed(*files: tuple[str, bytes]) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files:
            archive.writestr(name, data)
    return made.getvalue()


def as_file(*records: Trial | Amendment, name: str = "trials.jsonl") -> bytes:
    return packed((name, send.encode([record.line() for record in records])))


@dataclass
class Field:
    """An experiment that is live in a slot on GitHub, and what CI does in it.

    The test moves the clock. `count_forks` and lab experiments begin with a spec of their own.
    """

    bench: HubBench
    now: datetime = START

    @property
    def context(self) -> Context:
        path = self.bench.repository.path
        local = app.open_context(path, Settings(actor="ada"), clock=lambda: self.now)
        return replace(local, make_forge=self.bench.forge, forge_name=self.bench.name)

    def begin(self, spec: str = LIVE) -> None:
        repository = self.bench.repository
        repository.write("experiments/speed/experiment.yml", spec)
        repository.write("experiments/speed/treatment/work.sh", FAST, executable=True)
        repository.write(CI, WORKFLOW)
        repository.commit("Propose")
        repository.push("HEAD:main")
        auto(replace(self.context, make_forge=self.without_a_server))
        assert "speed" in self.snapshot().published.experiments
        self.now += timedelta(hours=1)

    def without_a_server(self) -> Any:
        path = self.bench.repository.path
        return app.open_context(path, Settings(actor="ada")).forge

    def snapshot(self) -> Snapshot:
        return self.context.store.snapshot()

    @property
    def ledger(self) -> Ledger:
        return self.snapshot().ledger

    @property
    def exposure(self) -> Exposure:
        """As the server publishes it."""
        commit = self._server.require(refs.PUBLISHED)
        return read_published(self._server, commit).experiments["speed"]

    @cached_property
    def _server(self) -> Git:
        return Git(self.bench.repository.origin)

    def trials(self) -> list[Trial]:
        return self.ledger.trials("speed")

    def refusals(self) -> list[str]:
        ledger = self.ledger
        found = ledger.read_many(f"quarantine/{name}" for name in ledger.files("quarantine"))
        return sorted(json.loads(data)["reason"] for data in found.values())

    # --- what CI does ------------------------------------------------------------------

    def run(self, event: str = "push", **fields: Any) -> Run:
        self.now += timedelta(minutes=10)
        at = self.now.strftime("%Y-%m-%dT%H:%M:%SZ")
        return self.bench.hub.add_run(event, **{"created": at, "changed": at, **fields})

    def trial(self, run: Run, **changes: Any) -> Trial:
        exposure = self.exposure
        rule = Rule(exposure.plan, exposure.salt, exposure.design, exposure.weights)
        drawn = assign(rule, f"run-{run.id}", Counter(run.number, "ci"))
        values: dict[str, Any] = {
            "id": new_trial_id(self.now),
            "experiment": "speed",
            "plan": exposure.plan,
            "mode": "live",
            "arm": drawn.arm,
            "unit": f"run-{run.id}",
            "started": timestamp(self.now),
            "metrics": {"duration_s": 12.0, "success": 1.0},
            "context": {
                "run_id": str(run.id),
                "workflow": "ci",
                "job": "test",
                "actor": "nobody",
                "assignment": drawn.reason,
            },
        }
        return Trial(**{**values, **changes})

    def artifact(self, run: Run, data: bytes | None = None, **fields: Any) -> Artifact:
        data = as_file(self.trial(run)) if data is None else data
        created = (self.now + timedelta(minutes=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
        name = f"expci-review-{run.id}-test-0-1-{len(self.bench.hub.artifacts)}"
        return self.bench.hub.add_artifact(
            fields.pop("name", name), data, run, **{"created": created, **fields}
        )

    # --- the pass ----------------------------------------------------------------------

    def gather(self) -> Collection:
        self.now += timedelta(hours=1)
        return collect_artifacts(self.context, self.snapshot())

    def take(self, harvest: Collection, meanwhile: Callable[[], object] = lambda: None) -> Folded:
        """Fold as the pass does: the network was asked before, once."""
        context, results = self.context, list[Folded]()

        def think(snapshot: Snapshot) -> LedgerChange | None:
            arrived = collect(context.git, snapshot.inbox)
            reaped = records_to_fold(snapshot.ledger, harvest, arrived)
            result = fold_inbox(snapshot.ledger, reaped.inbox, self.now)
            results.append(result)
            changes = {**result.changes, **reaped.changes}
            if not results[1:]:
                meanwhile()
            return LedgerChange.of("Fold", changes) if changes else None

        snapshot, _ = context.store.transact(self.now, think, inbox=True)
        context.store.delete_inbox(snapshot.inbox)
        return results[-1]

    def pass_(self) -> Collection:
        harvest = self.gather()
        self.take(harvest)
        return harvest


@pytest.fixture(scope="session")
def begun(template: Repository, tmp_path_factory: pytest.TempPathFactory) -> Field:
    """Copied for each test: starting an experiment takes a second."""
    made = Field(HubBench.of(template.copy(tmp_path_factory.mktemp("begun"))))
    made.begin()
    return made


@pytest.fixture
def ground(begun: Field, tmp_path: Path) -> Iterator[Field]:
    made = HubBench.of(begun.bench.repository.copy(tmp_path))
    yield Field(made, begun.now)
    assert made.hub.violations == [], made.hub.violations
    assert made.hub.faults.waiting == [], "a fault that nothing met"


def pushed(ground: Field, trial: Trial) -> None:
    send.send(ground.context.store.remote, "speed", send.encode([trial.line()]))


def counted(ground: Field) -> dict[str, Any]:
    ledger = ground.ledger
    plan, life = ledger.plan("speed"), ledger.life("speed")
    assert plan is not None
    analysis = analyse_ledger(ledger, plan, life, trial_columns(ground.trials()), ground.now)
    return {**analysis.trials.arms, "excluded": dict(analysis.trials.excluded)}

"""One story on two small GitHubs, disturbed and undisturbed, and what must be the same in both."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from random import Random

from expci.flows.verbs.fsck import fsck
from support.github_server import Fault
from support.github_server.world import Hub
from support.hub_bench import HubBench
from support.hub_stage import HubStage
from support.repositories import Repository, git

WRITES = "^(POST|PATCH|PUT|DELETE)$"


class WritesOnly(Fault):
    def hits(self, method: str, path: str) -> bool:
        return re.match(WRITES, method) is not None and path != "/graphql"


# --- what is the same in both worlds -------------------------------------------------------


def world(stage: HubStage) -> dict[str, object]:
    """Everything that people and jobs can see, without hashes, times and ids."""
    hub, snapshot = stage.bench.hub, stage.context.store.snapshot()
    newest = {check.name: check.conclusion for check in hub.checks}
    return {
        "requests": [
            (i.title, i.state, sorted(i.labels), _plain(hub, i.body)) for i in hub.issues.values()
        ],
        "comments": [
            sorted(_plain(hub, comment.body) for comment in issue.comments)
            for issue in hub.issues.values()
        ],
        "checks": newest,
        "branches": git(stage.repository.origin, "branch", "--format=%(refname)").splitlines(),
        "main": git(stage.repository.origin, "log", "--format=%s", "main").splitlines(),
        "work.sh": stage.repository.origin_file("work.sh"),
        "events": [event.word for event in stage.life().events],
        "published": sorted(snapshot.published.experiments),
        "inbox": len(snapshot.inbox),
        "trials": len(snapshot.ledger.trials("speed")),
        "sound": fsck(stage.context).problems,
    }


def _plain(hub: Hub, text: str) -> str:
    text = text.replace(hub.name, "REPOSITORY").replace(hub.server, "SERVER")
    return re.sub(r"\b[0-9a-f]{7,64}\b", "HASH", text)


# --- the story -----------------------------------------------------------------------------

START = datetime.fromisoformat("2026-11-22T10:00:00+00:00")


def stages(template: Repository, directory: Path) -> Iterator[HubStage]:
    for name in ("disturbed", "undisturbed"):
        made = HubBench.of(template.copy(directory / name))
        yield HubStage(made.repository, now=START, random=Random(5), bench=made)


def propose(stage: HubStage) -> None:
    stage.request()
    stage.start()
    stage.pairs(14, 0.5)


def merge(stage: HubStage) -> None:
    stage.context.forge.pull_requests.merge(stage.pull("expci/promote/speed"), "Promote")


def harm(stage: HubStage) -> None:
    stage.now += timedelta(hours=1)
    stage.pairs(16, 2.5)

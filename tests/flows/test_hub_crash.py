"""On GitHub too: killed at any outside call, the next passes end as an undisturbed one does.

A pass is a process of its own, killed by SIGKILL at its first call that writes: a push, or a
POST, PATCH, PUT or DELETE. It is killed before the call is carried out, then (the next pass)
after it was carried out and before the answer; so it goes on until a pass comes to its end. A
call that only reads leaves the world as the last write left it.
"""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from random import Random

from expci.core.lifecycle import State
from expci.flows.auto import auto
from expci.flows.fsck import fsck
from forge.github_server import Fault
from forge.github_server.world import Hub
from forge.hub_bench import HubBench
from forge.hub_bench import template as template
from hub_stage import HubStage
from repositories import Repository, git

WRITES = "^(POST|PATCH|PUT|DELETE)$"
HOOK = """#!/bin/sh
cat > /dev/null
kill -9 $(cat "$GIT_DIR/victim")
sleep 0.1
"""


@dataclass
class Killer:
    """Kills passes, one after another, and remembers where."""

    stage: HubStage
    rows: list[str] = field(default_factory=list)

    def until_one_ends(self) -> int:
        """How many passes were killed before one came to its end."""
        for kills in range(120):
            if not self._killed(applied=kills % 2 == 1):
                return kills
        raise AssertionError("no pass ever came to its end")

    def _killed(self, *, applied: bool) -> bool:
        hub, origin = self.stage.bench.hub, self.stage.repository.origin
        hook = origin / "hooks" / ("post-receive" if applied else "pre-receive")
        # Not while the server runs git: the child would hold the other end of git's pipe open.
        with hub.lock:
            child = os.fork()
        if child == 0:
            (origin / "victim").write_text(str(os.getpid()))
            hook.write_text(HOOK + ("" if applied else "exit 1\n"))
            hook.chmod(0o755)
            problems = auto(self.stage.context).problems
            (origin / "problems").write_text(repr(problems))
            os._exit(1 if problems else 0)
        fault = Fault("drop", applied=applied, act=lambda: os.kill(child, signal.SIGKILL))
        hub.faults.waiting[:] = [WritesOnly(**vars(fault))]
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        call = "" if hub.faults.waiting else f"{hub.log[-1].method} {_short(hub, hub.log[-1].path)}"
        hub.faults.waiting.clear()
        hook.unlink()
        assert code in (0, -signal.SIGKILL), (origin / "problems").read_text()
        if code:
            self.rows.append(f"{call or 'git push'} | {'after' if applied else 'before'}")
        return code != 0


class WritesOnly(Fault):
    def hits(self, method: str, path: str) -> bool:
        return re.match(WRITES, method) is not None and path != "/graphql"


def _short(hub: Hub, path: str) -> str:
    return re.sub(r"[0-9a-f]{40}|\d{4,}", "…", path.removeprefix(f"/repos/{hub.name}"))


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
        made.timeout = 20
        yield HubStage(made.repository, now=START, random=Random(5), bench=made)


def propose(stage: HubStage) -> None:
    stage.request()
    stage.start()
    stage.pairs(14, 0.5)


def merge(stage: HubStage) -> None:
    stage.context.forge.merge_pull(stage.pull("expci/promote/speed"), "Promote")


def harm(stage: HubStage) -> None:
    stage.now += timedelta(hours=1)
    stage.pairs(16, 2.5)


def protected_harm(stage: HubStage) -> None:
    stage.bench.hub.protect("main")
    harm(stage)


Act = Callable[[HubStage], None]


def test_killed_at_every_call_from_the_proposal_to_the_revert_commit(
    template: Repository, tmp_path: Path
) -> None:
    disturbed, undisturbed = stages(template, tmp_path)
    killer = Killer(disturbed)
    for act in (propose, merge, harm):
        disturb(killer, undisturbed, act)
    assert disturbed.life().state is State.ROLLED_BACK
    assert disturbed.bench.hub.violations == []
    print("\n".join(killer.rows))


def test_killed_at_every_call_while_a_revert_becomes_a_request(
    template: Repository, tmp_path: Path
) -> None:
    disturbed, undisturbed = stages(template, tmp_path)
    for stage in (disturbed, undisturbed):
        for act in (propose, merge):
            act(stage)
            stage.auto()
    disturb(Killer(disturbed), undisturbed, protected_harm)
    [revert] = [i for i in disturbed.bench.hub.issues.values() if "expci:revert" in i.labels]
    assert revert.state == "open"


def disturb(killer: Killer, undisturbed: HubStage, act: Act) -> None:
    """Both worlds go through `act`, one with passes that die; then they are the same."""
    act(killer.stage)
    act(undisturbed)
    killer.rows.append(f"{act.__name__} |")
    assert killer.until_one_ends() > 2 * 5
    undisturbed.auto()
    assert world(killer.stage) == world(undisturbed)

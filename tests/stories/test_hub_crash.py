"""On GitHub too: killed at any outside call, the next passes end as an undisturbed one does.

A pass is a process of its own, killed by SIGKILL at its first call that writes: a push, or a
POST, PATCH, PUT or DELETE. It is killed before the call is carried out, then (the next pass)
after it was carried out and before the answer; so it goes on until a pass comes to its end. A
call that only reads leaves the world as the last write left it. So does one that is killed before
it is carried out: these are killed under `make seeds` alone.
"""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from expci.core.lifecycle.transitions import State
from expci.flows.auto.auto import auto
from support.github_server import Fault
from support.github_server.world import Hub
from support.hub_bench import template as template
from support.hub_stage import HubStage
from support.properties import PROFILE
from support.repositories import Repository
from support.two_worlds import WritesOnly, harm, merge, propose, stages, world

KILLED_BEFORE = PROFILE == "nightly"  # and not only after
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
            if not self._killed(applied=not KILLED_BEFORE or kills % 2 == 1):
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


def _short(hub: Hub, path: str) -> str:
    return re.sub(r"[0-9a-f]{40}|\d{4,}", "…", path.removeprefix(f"/repos/{hub.name}"))


def protected_harm(stage: HubStage) -> None:
    stage.bench.hub.protect("main")
    harm(stage)


Act = Callable[[HubStage], None]


@pytest.mark.wide
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


@pytest.mark.wide
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
    assert killer.until_one_ends() > (2 * 5 if KILLED_BEFORE else 5)
    undisturbed.auto()
    assert world(killer.stage) == world(undisturbed)

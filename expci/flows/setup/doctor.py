"""`expci doctor`: what is wrong with the set-up, each with its fix."""

from __future__ import annotations

import secrets
import shlex
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

from expci.core.lifecycle.transitions import COLLECTING, awaits_merge, open_since
from expci.core.model.trial import parse_timestamp
from expci.errors import ExpciError, GitError
from expci.flows.context import Context
from expci.flows.setup.doctor_forge import on_forge
from expci.flows.setup.finding import Finding, ago, counted
from expci.flows.verbs import validate
from expci.runner import hiding
from expci.store.git import refs, refusal
from expci.store.git.git import Git
from expci.store.git.remote import Update
from expci.store.ledger.transaction import Snapshot
from expci.store.local import spool

NO_NETWORK = refusal.ADVICE["network"].replace("the command", "doctor")
SILENT_AFTER = timedelta(days=1)


def doctor(open_context: Callable[[], Context], directory: Path) -> list[Finding]:
    """Look at everything, in the order in which one would repair it."""
    try:
        git = Git.at(directory)
        app = open_context()
    except ExpciError as error:
        return [Finding("problem", str(error), "correct that first, then run doctor again")]
    version = ".".join(map(str, git.version))
    findings = [Finding("ok", f"git {version}, repository {git.root}")]
    findings += _hidden_files(app)
    remote = list(_remote(app))
    findings += remote
    findings += _experiments(app)
    if any(finding.fix == NO_NETWORK for finding in remote):
        return [*findings, *_spool(app)]  # whatever else is asked of it fails alike
    findings += on_forge(app)
    try:
        snapshot = app.store.snapshot()
    except ExpciError as error:
        return [*findings, Finding("problem", str(error), "see the message; nothing was changed")]
    findings += _ledger(snapshot)
    findings += _spool(app)
    findings += _arrivals(app, snapshot)
    return findings


def _hidden_files(app: Context) -> Iterator[Finding]:
    """Skip-worktree bits: earlier versions hid an arm's files by them, and a killed job left them.

    A sparse checkout has them on purpose.
    """
    if app.git.attempt("config", "--bool", "core.sparseCheckout").stdout.strip() == b"true":
        return
    if paths := hiding.bits(app.git):
        named = ", ".join(paths[:3]) + (", …" if len(paths) > 3 else "")
        yield Finding(
            "warning",
            f"git ignores changes of {named} here (skip-worktree): a killed trial of an earlier "
            "version may have left an arm's files",
            f"git update-index --no-skip-worktree {shlex.quote(paths[0])}, then git status",
        )


def _remote(app: Context) -> Iterator[Finding]:
    remote = app.store.remote
    if remote.is_self:
        yield Finding(
            "warning",
            "no remote named origin: trials stay in this repository",
            "git remote add origin URL, so that other machines' trials arrive",
        )
    ref = f"refs/expci/inbox/doctor/{secrets.token_hex(8)}"
    commit = app.git.commit_tree(app.git.write_tree(None, {}), [], "expci doctor")
    try:
        remote.push([Update(ref, commit, "")])
        remote.push([Update(ref, None, commit)])
        yield Finding("ok", f"{remote.name}: refs below {refs.INBOX} can be created and deleted")
    except GitError as error:
        code = refusal.classify(f"{error.stderr}\n{error}")
        fix = refusal.ADVICE[code].replace("the command", "doctor")
        yield Finding("problem", f"{remote.name}: trials cannot be pushed: {error}", fix)


def _experiments(app: Context) -> Iterator[Finding]:
    result = validate.validate(app.root, git=app.git)
    for problem in result.problems:
        yield Finding("problem", str(problem), "expci validate")
    if not result.checked:
        yield Finding("warning", "no experiments in the working directory", "expci create")
    elif not result.problems:
        count = counted(len(result.checked), "experiment")
        yield Finding("ok", f"{count} in the working directory, all valid")


def _ledger(snapshot: Snapshot) -> Iterator[Finding]:
    if snapshot.ledger.commit is None:
        yield Finding("warning", "no experiment has started yet", "expci start ID")
    else:
        commit = snapshot.ledger.commit[:12]
        what = counted(len(snapshot.ledger.experiments), "experiment")
        yield Finding("ok", f"the ledger holds {what} (commit {commit})")
    if len(snapshot.inbox) > 0:
        yield Finding(
            "warning",
            f"{counted(len(snapshot.inbox), 'batch', 'batches')} of trials waiting for the pass",
            "expci auto (and let a schedule run it)",
        )


def _spool(app: Context) -> Iterator[Finding]:
    waiting = len(spool.waiting(app.git))
    if waiting:
        yield Finding(
            "warning",
            f"{counted(waiting, 'batch', 'batches')} of trials waiting on this machine",
            "expci record --flush",
        )


def _arrivals(app: Context, snapshot: Snapshot) -> Iterator[Finding]:
    """Data must arrive: an experiment that runs without trials is the worst that can be."""
    now = app.clock()
    for name in snapshot.ledger.experiments:
        life = snapshot.ledger.life(name)
        if life.state not in COLLECTING or life.started is None:
            continue
        plan = snapshot.ledger.plan(name)
        if plan is not None and awaits_merge(plan.experiment, life):
            base = app.store.remote.default_branch()
            slot = plan.experiment.slot
            yield Finding(
                "warning",
                f"{name} waits for {base}: jobs with the slot {slot} take part once it is there",
                f"merge it into {base}, or push its commit there; then expci auto",
            )
            continue
        trials = [t for t in snapshot.ledger.trials(name) if t.plan == life.plan]
        waiting = any(ref.startswith(f"{refs.INBOX}/{name}/") for ref in snapshot.inbox)
        opened = open_since(plan.experiment, life) if plan else ""
        since = now - parse_timestamp(trials[-1].started if trials else opened or life.started.at)
        if trials and since < 3 * SILENT_AFTER:
            yield Finding(
                "ok", f"{name}: {counted(len(trials), 'trial')}, the last {ago(since)} ago"
            )
        elif trials:
            yield Finding(
                "warning", f"{name}: no trial for {ago(since)}", f"expci trial {name}, or its slot"
            )
        elif since > SILENT_AFTER and not waiting:
            yield Finding(
                "problem",
                f"{name}: running for {ago(since)}, 0 trials",
                "is the trial step in a workflow that runs? On a laptop: "
                f"expci trial {name} --pairs 1",
            )

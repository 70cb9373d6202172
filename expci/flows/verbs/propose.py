"""What `expci create` and `validate` need to know of the ledger, and `create --auto`."""

from __future__ import annotations

from expci.core.lifecycle.transitions import ENDED
from expci.core.spec.base_conflicts import base_problems
from expci.core.spec.parse import all_problems
from expci.errors import ExpciError, Unreachable
from expci.flows.context import Context
from expci.flows.verbs.create import CreateResult
from expci.flows.verbs.start import StartResult, start
from expci.flows.verbs.validate import read_experiments
from expci.store.git import refs
from expci.store.git.git import Git
from expci.store.ledger.ledger import Ledger


def taken_ids(app: Context) -> tuple[str, ...]:
    """Ids that the ledger knows: an id is used once. Offline: as far as this clone has heard."""
    try:
        return app.store.snapshot(inbox=False).ledger.experiments
    except Unreachable:
        return Ledger(app.git, app.git.resolve(refs.fetched(refs.LEDGER))).experiments


def ended_here(git: Git) -> tuple[str, ...]:
    """Experiments that have ended, as far as this clone has heard; asks no server."""
    ledger = Ledger(git, git.resolve(refs.fetched(refs.LEDGER)))
    return tuple(name for name in ledger.experiments if ledger.life(name).state in ENDED)


def _require_startable(git: Git, created: CreateResult) -> None:
    """Refuse before anything is committed: copies that equal the repository's try nothing."""
    _, experiments = read_experiments(git.root)
    entry = experiments[created.id][0]
    experiment, base = entry.reading.legible, git.read_tree("HEAD") if git.resolve("HEAD") else {}
    against_base = base_problems(experiment, entry.tree, base) if experiment else ()
    if problems := all_problems(entry.reading, against_base):
        listed = "\n".join(f"  {problem}" for problem in problems)
        raise ExpciError(
            f"{created.directory} was written, and nothing was committed or started. Correct "
            f"this, commit it, then run `expci start {created.id}`:\n{listed}"
        )


def commit_and_start(app: Context, created: CreateResult) -> StartResult:
    """Commit exactly the new experiment, as the user, on the branch that is checked out."""
    git = app.git
    _require_startable(git, created)
    git.run("add", "--", f":(literal,top){created.directory}")
    result = git.attempt(
        "commit",
        "--quiet",
        "--no-verify",
        "--only",
        f"--message=Experiment: {created.id}",
        "--",
        f":(literal,top){created.directory}",
    )
    if result.returncode != 0:
        stderr = result.stderr.decode(errors="replace").strip()
        raise ExpciError(
            f"{created.directory} was written but could not be committed: {stderr}. Commit it, "
            f"then run `expci start {created.id}`"
        )
    return start(app, created.id)

"""`expci create --auto`: commit the scaffold and start it."""

from __future__ import annotations

from expci.errors import ExpciError
from expci.flows.context import Context
from expci.flows.create import CreateResult
from expci.flows.start import StartResult, start


def taken_ids(app: Context) -> tuple[str, ...]:
    """Ids that the ledger knows: an id is used once."""
    return app.store.snapshot().ledger.experiments


def commit_and_start(app: Context, created: CreateResult) -> StartResult:
    """Commit exactly the new experiment, as the user, on the branch that is checked out."""
    git = app.git
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

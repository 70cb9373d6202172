"""What to say where every run of the first round failed: the work tree lacks something."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from expci.core.model.trial import Trial
from expci.store.git.git import Git


def complaint(git: Git, trials: Sequence[Trial], shared: Collection[str]) -> str | None:
    """The likely cause and what to do; `None` where a run of the round was good."""
    if not trials or any(trial.status not in ("failed", "error", "timeout") for trial in trials):
        return None
    how = ", ".join(f"{trial.arm}: {trial.status}" for trial in trials)
    hint = _hint(git, shared)
    return f"every run of the first round failed ({how}), so nothing can be compared. {hint}"


def _hint(git: Git, shared: Collection[str]) -> str:
    absent = [name for name in ignored_directories(git) if name not in shared]
    if not absent:
        return "Try the command in a fresh clone of this commit: that is where a trial runs."
    names = ", ".join(absent[:5])
    return (
        f"A trial runs in a fresh work tree of the commit, without what git ignores: {names}. If "
        f"the command needs it, write `share: [{names}]`, or install it in `setup:`"
    )


def ignored_directories(git: Git) -> list[str]:
    """Top-level directories of the checkout that git ignores, such as node_modules."""
    listed = git.attempt(
        *("ls-files", "--others", "--ignored", "--exclude-standard", "--directory", "-z")
    )
    names = listed.stdout.decode(errors="replace").split("\0")
    return [name[:-1] for name in names if name.endswith("/") and name.count("/") == 1]

"""The default branch: where experiments are merged to, and what is promoted."""

from __future__ import annotations

from dataclasses import dataclass

from expci.errors import ExpciError
from expci.flows.context import Context
from expci.store.git import refs


@dataclass(frozen=True)
class Base:
    """The default branch and its newest commit (`None` while the branch is empty)."""

    branch: str
    tip: str | None

    def require_tip(self) -> str:
        if self.tip is None:
            raise ExpciError(f"the branch {self.branch} has no commit to promote to")
        return self.tip


def base_of(app: Context) -> Base:
    """As the remote has it now."""
    branch = app.store.remote.default_branch()
    ref = refs.head(branch)
    return Base(branch, app.store.remote.fetch(ref).get(ref))

"""What every flow is given: the repository, the store, the forge, the clock, who acts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from expci.core.model.events import Event
from expci.core.model.experiment import EXPERIMENTS_ROOT
from expci.store.git.git import Git
from expci.store.ledger.transaction import Store

if TYPE_CHECKING:
    from expci.forge.ports import Forge

Clock = Callable[[], datetime]


@dataclass(frozen=True)
class Context:
    """Built by `expci/app.py` only. The forge is built when it is first needed.

    `comment` is the id of the comment that asks for what is done, where one does.
    `forge_name` says which one it is, also where a token to build it is missing.

    `web` is the repository's address on the web, `page` that of its published page; "" without.
    `after_revert` names workflows that are started after a revert by a workflow's own token.
    `retention_days` is how long `expci gc` leaves trials of what has ended; `None`: for ever.
    `reads_inbox` is whether pushed trials count (`transport:` in `experiments/expci.yml`).
    `webhook` takes news, as a text, to wherever people read it; `None` where none is set.
    """

    git: Git
    store: Store
    make_forge: Callable[[], Forge]
    clock: Clock
    actor: str
    roots: tuple[str, ...] = (EXPERIMENTS_ROOT,)
    webhook: Callable[[str], None] | None = None
    comment: str = ""
    forge_name: str = "local"
    reads_inbox: bool = True
    after_revert: tuple[str, ...] = ()
    web: str = ""
    page: str = ""
    retention_days: float | None = None

    @property
    def root(self) -> Path:
        return self.git.root

    @cached_property
    def forge(self) -> Forge:
        return self.make_forge()

    def named(self, event: Event) -> Event:
        """The event with the forge that its numbers speak of."""
        return replace(event, forge=self.forge_name)

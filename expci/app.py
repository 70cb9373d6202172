"""The composition root: the only place that builds adapters."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from expci.core.defaults import Defaults
from expci.errors import ExpciError
from expci.flows import freeze
from expci.flows.context import Clock, Context
from expci.forge.base import Forge
from expci.settings import Settings
from expci.store.git import Git
from expci.store.remote import Remote
from expci.store.transaction import Store


def system_clock() -> datetime:
    return datetime.now(UTC)


def open_context(
    directory: Path,
    settings: Settings,
    *,
    remote: str | None = None,
    forge: str | None = None,
    clock: Clock = system_clock,
) -> Context:
    """What the flows need for the repository that holds `directory`."""
    git = Git.at(directory)
    git.require_version()
    defaults = freeze.defaults_at(git, "HEAD") if git.resolve("HEAD") else Defaults()
    usual = defaults.remote if defaults.remote in git.remotes() else None
    store = Store(
        Remote.of(git, remote or usual),
        ledger_ref=defaults.ledger,
        mirror=defaults.mirror_branch,
    )

    def make_forge() -> Forge:
        return _forge(settings.forge_name(forge), store, clock, settings)

    return Context(git, store, make_forge, clock, settings.actor, defaults.roots)


def _forge(name: str, store: Store, clock: Clock, settings: Settings) -> Forge:
    if name == "local":
        from expci.forge.local import LocalForge

        return LocalForge(store, clock, settings.actor)
    raise ExpciError(
        f"the forge {name!r} is not available in this version; work without it: --forge local"
    )

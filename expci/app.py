"""The composition root: the only place that builds adapters."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from expci.core.model.experiment import DEFAULTS_FILE, EXPERIMENTS_ROOT
from expci.errors import ExpciError
from expci.flows.context import Clock, Context
from expci.forge.ports import Forge
from expci.settings import Settings
from expci.store.git.git import Git
from expci.store.git.remote import Remote
from expci.store.ledger.transaction import Store


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
    store, roots = _store(git, remote)

    def make_forge() -> Forge:
        return _forge(settings.forge_name(forge), store, clock, settings)

    return Context(git, store, make_forge, clock, settings.actor, roots, _webhook(settings))


def _store(git: Git, remote: str | None) -> tuple[Store, tuple[str, ...]]:
    """The store and the experiments' roots, as `experiments/expci.yml` at HEAD sets them."""
    head = git.resolve("HEAD")
    if head is None or git.read_paths(head, [DEFAULTS_FILE])[DEFAULTS_FILE] is None:
        return Store(Remote.of(git, remote)), (EXPERIMENTS_ROOT,)
    # Reading YAML takes a tenth of a second to import, so only where there is some.
    from expci.flows.freeze_plan import reviewed_defaults

    defaults = reviewed_defaults(git, head)
    usual = defaults.remote if defaults.remote in git.remotes() else None
    store = Store(
        Remote.of(git, remote or usual),
        ledger_ref=defaults.ledger,
        mirror=defaults.mirror_branch,
    )
    return store, defaults.roots


def _forge(name: str, store: Store, clock: Clock, settings: Settings) -> Forge:
    if name == "local":
        from expci.forge.local.forge import local_forge

        return local_forge(store, clock, settings.actor)
    if name == "github":
        return _github(settings)
    raise ExpciError(f"there is no forge {name!r}; there are: github, local")


def _webhook(settings: Settings) -> Callable[[str], None] | None:
    if settings.webhook is None:
        return None
    from expci.forge import webhook

    return webhook.Webhook(settings.webhook).post


def _github(settings: Settings) -> Forge:
    if settings.repository is None or settings.token is None:
        raise ExpciError(
            "GitHub needs to be told which repository and with which token: set GITHUB_REPOSITORY "
            "(OWNER/NAME) and GITHUB_TOKEN, or work without it: --forge local"
        )
    # PyGithub takes a fifth of a second to import, and most commands never ask GitHub.
    from expci.forge.github.forge import github_forge
    from expci.forge.github.session import Access

    return github_forge(
        Access(
            settings.repository,
            settings.token,
            api_url=settings.api_url,
            server_url=settings.server_url,
            pause=settings.pause,
        )
    )

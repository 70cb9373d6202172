"""The composition root: the only place that builds adapters."""

from __future__ import annotations

import getpass
import math
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from expci.core.lifecycle.next_event import BY
from expci.core.model.experiment import DEFAULTS_FILE, EXPERIMENTS_ROOT
from expci.core.writable_text import writable_text
from expci.errors import ExpciError
from expci.flows.context import Clock, Context
from expci.forge.address import (
    GITHUB,
    GITHUB_COM,
    LOCAL,
    GitHubAddress,
    github_address,
    ssh_host,
)
from expci.settings import Settings
from expci.store.git import job_token, refs
from expci.store.git.git import Git
from expci.store.git.remote import Remote
from expci.store.git.time_limit import TimeLimits
from expci.store.ledger.transaction import Store

if TYPE_CHECKING:
    from expci.forge.ports import Forge

_WAYS_OUT = """\
this acts on {place}, and there is no token for it. One of:
  gh auth login                       at a terminal, once
  export GH_TOKEN=...                 (any of {tokens})
  env:
    GITHUB_TOKEN: ${{{{ github.token }}}}   in a workflow's step
  --forge local                       work without GitHub, on git alone"""


_GITEA = (
    "this is Gitea or Forgejo, which set GitHub's variables and answer to another API. What needs "
    "git alone works here: trials by push, the ledger, `expci auto --forge local` in a scheduled "
    "job with a token that may push; reports are kept in git, and there are no comments, checks "
    "or artifacts (docs/ci.md)"
)

_NOT_ON_GITHUB = (
    "the remote {remote!r} is not on GitHub: set GITHUB_REPOSITORY=OWNER/NAME (and "
    "GITHUB_SERVER_URL for another server), or work without it: --forge local"
)


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
    store, defaults = _store(git, remote, settings)
    git.promisor = store.remote.environment  # for what a partial clone lacks

    address = _address(git, store, settings, forge)
    actor = settings.actor or _person(git)

    def make_forge() -> Forge:
        if address is not None and settings.gitea:
            raise ExpciError(_GITEA)
        if address is not None:
            return _github(address, settings)
        if forge == GITHUB:
            raise ExpciError(_NOT_ON_GITHUB.format(remote=store.remote.name))
        from expci.forge.local.forge import local_forge

        return local_forge(store, clock, actor)

    return Context(
        git,
        store,
        make_forge,
        clock,
        actor,
        defaults.roots,
        _webhook(settings),
        forge_name=address.place if address else forge or LOCAL,
        reads_inbox=defaults.transport != "artifact",
        after_revert=defaults.after_revert,
        web=address.web if address else "",
        page=defaults.page,
        retention_days=defaults.retention_days,
    )


@dataclass(frozen=True)
class Choices:
    """What a repository's defaults say of it as a whole."""

    roots: tuple[str, ...] = (EXPERIMENTS_ROOT,)
    transport: str = "any"
    after_revert: tuple[str, ...] = ()
    page: str = ""
    retention_days: float | None = None


def _store(git: Git, remote: str | None, settings: Settings) -> tuple[Store, Choices]:
    """The store and the rest of what `experiments/expci.yml` at HEAD sets."""
    access = (job_token.stated_token(settings.environment), settings.server_url or "")
    if access[0]:  # a partial clone may have to load even the defaults
        with suppress(ExpciError):
            git.promisor = Remote.of(git, remote, *access).environment
    head = git.resolve("HEAD")
    if head is None or git.read_paths(head, [DEFAULTS_FILE])[DEFAULTS_FILE] is None:
        return Store(Remote.of(git, remote, *access)), Choices()
    # Reading YAML takes a tenth of a second to import, so only where there is some.
    from expci.flows.freeze_plan import reviewed_defaults

    defaults = reviewed_defaults(git, head)
    usual = defaults.remote if defaults.remote in git.remotes() else None
    store = Store(
        Remote.of(git, remote or usual, *access),
        ledger_ref=defaults.ledger,
        contains=defaults.ledger_contains,
        mirror=defaults.mirror_branch and defaults.ledger != refs.MIRROR_BRANCH,
    )
    return store, Choices(
        defaults.roots,
        defaults.transport,
        defaults.after_revert,
        defaults.page,
        defaults.retention_days,
    )


def _address(git: Git, store: Store, settings: Settings, forge: str | None) -> GitHubAddress | None:
    """Where pull requests live: by the option, the environment, the remote's address; `None`
    is the local forge."""
    if forge == LOCAL:
        return None
    if settings.repository is not None:
        server = (settings.server_url or GITHUB_COM).rstrip("/")
        return GitHubAddress(server, settings.repository, settings.api_url)
    servers = [settings.server_url] if settings.server_url else []
    servers += [f"https://{settings.gh_host}"] if settings.gh_host else []
    remote = store.remote
    written = git.config(f"remote.{remote.name}.url") or ""
    used = [] if remote.is_self else [remote.addresses.fetch]
    return github_address([written, *used], servers, settings.api_url, ssh_host)


def _person(git: Git) -> str:
    """Who acts: as their commits say, else as the operating system does."""
    names = (git.config("user.name"), git.config("user.email"), _account())
    # The pass acts as BY, and no person may be taken for it.
    return next((writable_text(name) for name in names if name and name != BY), "unknown")


def _account() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container's user without a name
        return "unknown"


def _webhook(settings: Settings) -> Callable[[str], None] | None:
    if settings.webhook is None:
        return None
    from expci.forge import webhook

    return webhook.Webhook(settings.webhook).post


def _github(address: GitHubAddress, settings: Settings) -> Forge:
    # PyGithub takes a fifth of a second to import, and most commands never ask GitHub.
    from expci.forge.github.forge import github_forge
    from expci.forge.github.gh import gh_token
    from expci.forge.github.session import Access

    token = settings.token or gh_token(address.host)
    if token is None:
        raise ExpciError(_WAYS_OUT.format(place=address.place, tokens=", ".join(job_token.TOKENS)))
    return github_forge(
        Access(
            address.repository,
            token,
            api_url=address.api_url,
            server_url=address.server_url,
            timeout=math.ceil(TimeLimits.of(os.environ).silence),
            pause=settings.pause,
        )
    )

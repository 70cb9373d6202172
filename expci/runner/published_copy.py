"""The published document as this job has it: from the remote, or as this clone read it last."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from expci.core.spec.strict_yaml import NotPlain
from expci.core.value_class import dataclass
from expci.errors import LedgerDamaged, Unreachable
from expci.runner.experiment_files import defaults_at
from expci.store import published
from expci.store.git import bounded
from expci.store.git.git import Git
from expci.store.git.remote import Remote
from expci.store.published import Published


@dataclass(frozen=True)
class PublishedCopy:
    """The published document and how it was come by; `is_fresh` if the remote gave it now."""

    document: Published
    warnings: tuple[str, ...] = ()
    is_fresh: bool = True


def remote_of(git: Git, name: str | None, token: str, environment: Mapping[str, str]) -> Remote:
    """The remote that holds expci's refs; a `token` is for it and nobody else.

    Without a `name` the repository's defaults name it. Objects that a partial clone lacks are
    loaded from it.
    """
    server = environment.get("GITHUB_SERVER_URL", "")
    remote = Remote.of(git, name, token, server)
    git.promisor = remote.environment
    usual = None if name else _usual_remote(git)
    if usual not in (None, remote.name) and usual in git.remotes():
        remote = Remote.of(git, usual, token, server)
        git.promisor = remote.environment
    return remote


def _usual_remote(git: Git) -> str | None:
    """What `remote:` of the defaults at HEAD says."""
    try:
        return defaults_at(git, "HEAD").remote
    except (NotPlain, Unreachable):
        return None  # which keeps every experiment out, with the reason


def fetch_published(remote: Remote) -> PublishedCopy:
    """The published document: from the remote, or as this clone read it last."""
    try:
        fetched = published.fetch_published(remote)
    except Unreachable as error:
        why = f"{str(error).rstrip('.')}. Working from what this clone read last."
        return PublishedCopy(_cached(published.cache_path(remote.git)), (why,), is_fresh=False)
    document = Published() if fetched is None else fetched[0]
    published.cache(remote.git, document)
    silence = published.without_passes(document, datetime.now(UTC))
    return PublishedCopy(document, (silence,) if silence else ())


def last_read(git: Git) -> PublishedCopy:
    """The document as this clone read it last, without asking the remote."""
    return PublishedCopy(_cached(published.cache_path(git)))


def _cached(cache: Path) -> Published:
    try:
        return published.parse_published(bounded.read_file(cache, published.MOST_BYTES))
    except (OSError, LedgerDamaged):
        return Published()

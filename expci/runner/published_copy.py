"""The published document as this job has it: from the remote, or as this clone read it last."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from expci.errors import LedgerDamaged, Unreachable
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

    Objects that a partial clone lacks are loaded from it.
    """
    remote = Remote.of(git, name, token, environment.get("GITHUB_SERVER_URL", ""))
    git.promisor = remote.environment
    return remote


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

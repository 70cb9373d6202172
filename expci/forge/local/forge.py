"""A plain git repository as a `Forge`: it has neither checks nor issues nor CI records."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from expci.forge.local.comments import LocalComments
from expci.forge.local.pull_requests import LocalPullRequests
from expci.forge.local.records import Records
from expci.forge.ports import Forge
from expci.store.ledger.transaction import Store


def local_forge(store: Store, now: Callable[[], datetime], actor: str) -> Forge:
    """Pull requests as records in the ledger. `now` is the clock, `actor` writes comments."""
    records = Records(store, now, actor)
    return Forge(
        name="local",
        pull_requests=LocalPullRequests(store.remote, records, now),
        comments=LocalComments(records),
    )

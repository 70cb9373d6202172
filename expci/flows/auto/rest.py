"""For how long a pass that left nothing to do need not be repeated on the same refs.

Everything that a pass acts on is in the remote's refs or follows from the time, where pull requests
live in git and no metric in a database. What the record beside the ledger says is believed no
longer than any pass believes it: until the turn of each experiment that was not looked at.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime

from expci.core.model.trial import parse_timestamp
from expci.errors import InvalidRecord
from expci.flows.context import Context
from expci.flows.experiment.advance import Pass, Rest
from expci.forge.address import LOCAL
from expci.store.git import refs
from expci.store.ledger.settled_experiments import LONGEST, next_turn, read_settled
from expci.store.ledger.transaction import Snapshot
from expci.store.published import next_beat


def rest_of(app: Context, done: Pass, before: tuple[str, ...]) -> Rest | None:
    """The rest after a quiet pass over everything, which began with the refs in `before`.

    `None` where something else may bring news, or has brought some meanwhile.
    """
    remote = app.store.remote
    is_in_refs = app.forge_name == LOCAL and app.store.ledger_ref.startswith(refs.EXPCI)
    if done.dry_run or remote.is_self or not is_in_refs or not before:
        return None
    if remote.listing() != before or any(f"\t{refs.INBOX}/" in line for line in before):
        return None
    with suppress(InvalidRecord):
        until = _until(app.store.snapshot(inbox=False), done, app.clock())
        return Rest(before, until) if until is not None else None
    return None


def _until(snapshot: Snapshot, done: Pass, now: datetime) -> datetime | None:
    """The first moment at which time alone may bring news; `None`: now."""
    recorded = read_settled(snapshot.ledger)
    times = [now + LONGEST]
    for name in done.experiments:
        item = done.at_rest.get(name) or (recorded.get(name) if name in done.settled else None)
        if item is None:
            return None
        times.append(parse_timestamp(item.until))
        times += [next_turn(name, now)] if name in done.settled else []
    if snapshot.published.experiments:
        beat = next_beat(snapshot.published)
        times.append(beat if beat is not None else now)
    return min(times) if min(times) > now else None

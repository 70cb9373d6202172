"""Sending trials: one create-only ref per batch, so that no writer waits for another.

A batch is a parentless commit whose tree is one file, `trials.jsonl`. Its name is the
hash of that file, so sending it twice is sending it once. Standard library only.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence

from expci.core.model.content import Blob
from expci.errors import LostRace
from expci.store.git import refs
from expci.store.git.remote import Remote, Update

FILE = "trials.jsonl"
BATCH_BYTES = 1_000_000  # a larger batch is refused by the pass


def encode(lines: Sequence[str]) -> bytes:
    return "".join(line + "\n" for line in lines).encode()


def batch_name(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def split(lines: Iterable[str]) -> Iterator[list[str]]:
    """Lines in batches that each stay below `BATCH_BYTES`, order kept."""
    batch: list[str] = []
    size = 0
    for line in lines:
        length = len(line.encode()) + 1
        if batch and size + length > BATCH_BYTES:
            yield batch
            batch, size = [], 0
        batch.append(line)
        size += length
    if batch:
        yield batch


def send(remote: Remote, experiment: str, data: bytes) -> str:
    """Push one batch of at most `BATCH_BYTES`; the ref's name.

    `Unreachable` when the remote cannot be reached or refuses. A batch that is there
    already is a success.
    """
    update = _update(remote, experiment, data)
    try:
        remote.push([update])
    except LostRace:
        if remote.fetch(update.ref).get(update.ref) != update.new:
            raise
    return update.ref


def send_all(remote: Remote, batches: Sequence[tuple[str, bytes]]) -> list[str]:
    """Push (experiment, batch) pairs at once; the refs' names.

    On `LostRace` and `Unreachable` some may have arrived all the same: send each by
    itself to know.
    """
    if len(batches) == 1:
        return [send(remote, *batches[0])]
    updates = [_update(remote, experiment, data) for experiment, data in batches]
    remote.push(updates)
    return [update.ref for update in updates]


def _update(remote: Remote, experiment: str, data: bytes) -> Update:
    [oid] = remote.git.write_blobs([data])
    tree = remote.git.write_tree(None, {FILE: Blob("100644", oid)})
    # No date and no parent: the same batch is the same commit on every machine.
    commit = remote.git.commit_tree(tree, [], f"Trials of {experiment}")
    return Update(refs.inbox(experiment, batch_name(data)), commit, old="")

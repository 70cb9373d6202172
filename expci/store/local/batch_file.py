"""Records in a file of the user's choice, for a CI that hands files on by itself.

The same lines that the inbox takes, at most as many bytes as the pass accepts of one
batch. Standard library only (the trial path).
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from expci.errors import ExpciError
from expci.store.git import bounded, durable
from expci.store.inbox import send


def append_records(path: Path, lines: Iterable[str]) -> None:
    """Append records, durably; one that is there already is not written again.

    `ExpciError` when the file would grow beyond what the pass takes; nothing is written.
    """
    before = bounded.read_file(path, send.BATCH_BYTES) if path.exists() else b""
    present = set(before.splitlines())
    data = bytearray()
    for line in lines:
        if line.encode() not in present:
            data += send.encode([line])
        if len(before) + len(data) > send.BATCH_BYTES:
            raise ExpciError(
                f"{path} is full: {send.BATCH_BYTES:,} bytes is all that the pass takes of one "
                "file; use fewer pairs in one job"
            )
    durable.append(path, bytes(data))

"""What was made of segments, kept in the clone by the id of the segment's blob.

A segment never changes, and its id says what it holds, so what was made of it stays true. A file
counts only where its checksum says that it was made of that blob by this version; whatever else
lies there is as good as nothing, and is made again. A disk that takes nothing makes expci slower.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Collection
from pathlib import Path

import expci
from expci.store.git import bounded, durable

DIRECTORY = "segments"
SMALLEST = 100_000  # bytes of a segment; a smaller one is read as fast as its file
MOST_BYTES = 1_000_000_000  # of all files
_MOST_FILE = 200_000_000
_DIGEST = hashlib.sha256().digest_size


class SegmentCache:
    """The files of one `kind` in a clone; `form` is another where they come to mean another."""

    def __init__(self, private_dir: Path, kind: str, form: int) -> None:
        self._directory = private_dir / DIRECTORY
        self._kind = kind
        self._seal = f"{expci.__version__} {form} {kind}"

    def read(self, oid: str) -> memoryview | None:
        """What was made of a blob; `None` where nothing is kept that can be believed."""
        try:
            data = bounded.read_file(self._path(oid), _MOST_FILE)
        except OSError:
            return None
        body = memoryview(data)[_DIGEST:]
        return body if data[:_DIGEST] == self._digest(oid, body) else None

    def write(self, oid: str, data: bytes, needed: Collection[str]) -> None:
        """Keep what was made of a blob, where there is room beside what is `needed`."""
        with contextlib.suppress(OSError):
            self._directory.mkdir(parents=True, exist_ok=True)
            if self._make_room(len(data) + _DIGEST, needed):
                durable.replace_file(self._path(oid), self._digest(oid, data) + data)

    def _make_room(self, size: int, needed: Collection[str]) -> bool:
        """Whether the file fits, when those of blobs that nobody needs any more are gone."""
        files = [(entry, entry.stat().st_size) for entry in os.scandir(self._directory)]
        room = MOST_BYTES - sum(own for _, own in files) - size
        for entry, own in files if room < 0 else ():
            if entry.name.partition(".")[0] not in needed:
                Path(entry.path).unlink(missing_ok=True)
                room += own
        return room >= 0

    def _path(self, oid: str) -> Path:
        return self._directory / f"{oid}.{self._kind}"

    def _digest(self, oid: str, body: bytes | memoryview) -> bytes:
        digest = hashlib.sha256(f"{self._seal} {oid}\n".encode())
        digest.update(body)
        return digest.digest()

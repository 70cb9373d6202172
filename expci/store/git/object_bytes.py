"""Objects in the bytes that git gives them: trees, commits, and the pack that carries new ones.

gitformat-pack(5) and git's `Documentation/technical`; both object formats. Standard library only.
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from collections.abc import Mapping, Sequence
from datetime import datetime

from expci.core.model.content import Blob

TREE_MODE = "040000"
_TYPES = {"commit": 1, "tree": 2, "blob": 3}


def object_id(form: str, kind: str, data: bytes) -> str:
    """The id of an object in the object format `form` (`sha1`, `sha256`).

    >>> object_id("sha1", "blob", b"test content\\n")  # Pro Git (Chacon and Straub), 10.2
    'd670460b4b4aece5915caf5c68d12f560a9fe3e4'
    """
    return hashlib.new(form, f"{kind} {len(data)}\0".encode() + data).hexdigest()


def tree_rows(data: bytes, length: int) -> dict[str, Blob]:
    """The entries of a raw tree by name, directories among them; `length` is that of an id.

    >>> tree_rows(b"40000 d\\0" + bytes(20), 40)
    {'d': Blob(mode='040000', oid='0000000000000000000000000000000000000000')}
    """
    rows: dict[str, Blob] = {}
    position, width = 0, length // 2
    while position < len(data):
        end = data.index(b"\0", position)
        mode, _, name = data[position:end].partition(b" ")
        position = end + 1 + width
        oid = data[end + 1 : position].hex()
        rows[name.decode(errors="surrogateescape")] = Blob(mode.decode().zfill(6), oid)
    return rows


def tree_bytes(rows: Mapping[str, Blob]) -> bytes:
    """The raw tree of these entries, in git's order: a directory sorts as if it ended in `/`."""
    entries = [(name.encode(errors="surrogateescape"), blob) for name, blob in rows.items()]
    entries.sort(key=lambda entry: entry[0] + b"/" * (entry[1].mode == TREE_MODE))
    return b"".join(
        b"%s %s\0%s" % (blob.mode.lstrip("0").encode(), name, bytes.fromhex(blob.oid))
        for name, blob in entries
    )


def commit_bytes(
    tree: str, parents: Sequence[str], who: tuple[str, str], at: datetime, message: str
) -> bytes:
    """The raw commit by `who` (name and address) at a time, in UTC."""
    signed = f"{who[0]} <{who[1]}> {int(at.timestamp())} +0000"
    head = [f"tree {tree}", *(f"parent {parent}" for parent in dict.fromkeys(parents))]
    head += [f"author {signed}", f"committer {signed}"]
    return ("\n".join(head) + f"\n\n{message}\n").encode()


def tree_in_commit(data: bytes) -> str:
    """The id of the tree of a raw commit.

    >>> tree_in_commit(b"tree 4b825dc642cb6eb9a060e54bf8d69288fbee4904\\nauthor A <a@b> 0 +0000")
    '4b825dc642cb6eb9a060e54bf8d69288fbee4904'
    """
    return data.split(b"\n", 1)[0].removeprefix(b"tree ").decode()


def pack(form: str, objects: Sequence[tuple[str, bytes]]) -> bytes:
    """A pack of (kind, bytes), each whole: what `git unpack-objects` reads."""
    parts = [b"PACK", struct.pack(">II", 2, len(objects))]
    for kind, data in objects:
        parts += [_entry_header(_TYPES[kind], len(data)), zlib.compress(data, 1)]
    body = b"".join(parts)
    return body + hashlib.new(form, body).digest()


def _entry_header(kind: int, size: int) -> bytes:
    """Type and size: four bits of the size in the first byte, then seven at a time."""
    header, byte = bytearray(), kind << 4 | size & 15
    size >>= 4
    while size:
        header.append(byte | 0x80)
        byte, size = size & 0x7F, size >> 7
    header.append(byte)
    return bytes(header)

"""A file is the old one or the new one, and a full disk tears no line."""

from __future__ import annotations

import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from expci.store.git import durable


@contextmanager
def room_for(size: int) -> Iterator[None]:
    """No file of this process grows beyond `size` bytes, as on a disk that is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


def test_replacing_makes_what_is_missing_and_leaves_nothing_beside(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "file"
    durable.replace_file(path, b"old")
    durable.replace_file(path, b"new")
    assert path.read_bytes() == b"new"
    assert list(path.parent.iterdir()) == [path]


def test_a_full_disk_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    durable.replace_file(path, b"old")
    with room_for(100), pytest.raises(OSError, match="File too large"):
        durable.replace_file(path, bytes(200))
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_appending_adds_and_a_full_disk_takes_back_the_torn_line(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "log"
    durable.append(path, b"one\n")
    durable.append(path, b"two\n")
    with room_for(20), pytest.raises(OSError, match="File too large"):
        durable.append(path, b"a line of more than twenty bytes\n")
    assert path.read_bytes() == b"one\ntwo\n"
    durable.append(path, b"three\n")
    assert path.read_bytes() == b"one\ntwo\nthree\n"


def test_a_place_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a directory")
    for write in (durable.replace_file, durable.append):
        with pytest.raises(OSError, match=r"Not a directory|File exists"):
            write(tmp_path / "file" / "below", b"x")

"""Files that somebody else wrote are read with a limit."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from expci.store.git.bounded import append_file, read_file


def test_a_file_within_the_limit_is_read_whole(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"x" * 100)
    assert read_file(tmp_path / "f", 100) == b"x" * 100


def test_one_byte_more_is_refused(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"x" * 101)
    with pytest.raises(OSError, match="more than 100 bytes"):
        read_file(tmp_path / "f", 100)


@pytest.mark.parametrize("device", ["/dev/zero", "/dev/urandom", "/dev/null"])
def test_a_device_is_not_read(device: str) -> None:
    with pytest.raises(OSError, match="not a regular file"):
        read_file(Path(device), 100)


def test_a_pipe_that_nobody_writes_to_holds_nobody(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="not a regular file"):
        read_file(tmp_path / "pipe", 100)  # else it would wait for ever


def test_a_file_is_added_to_and_created_where_it_is_missing(tmp_path: Path) -> None:
    append_file(tmp_path / "f", b"one\n")
    append_file(tmp_path / "f", b"two\n")
    assert (tmp_path / "f").read_bytes() == b"one\ntwo\n"


def test_a_pipe_that_nobody_reads_holds_nobody(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="No such device"):  # ENXIO; else it would wait for ever
        append_file(tmp_path / "pipe", b"value\n")


def test_a_full_pipe_holds_nobody(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    with pytest.raises(BlockingIOError):
        append_file(tmp_path / "pipe", b"x" * 10_000_000)
    os.close(reader)

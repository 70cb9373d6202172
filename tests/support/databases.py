"""Real databases for the tests: PostgreSQL and Spark. DuckDB needs nothing."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import msgspec
import pytest

from expci.core.model.source import SourceAnswer
from expci.store.warehouse.request import SourceRequest

MUST_RUN = os.environ.get("CI", "").lower() in ("1", "true")  # read before the tests clear it


def _missing(text: str) -> NoReturn:
    (pytest.fail if MUST_RUN else pytest.skip)(text)


def _program(name: str) -> str:
    """Debian keeps the server's programs beside the path."""
    versions = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    program = str(versions[-1]) if versions else shutil.which(name)
    return program or _missing(f"there is no {name}: install PostgreSQL")


@contextmanager
def postgres() -> Iterator[str]:
    """The address of a server that listens on a socket of its own, as the account `reader`."""
    initdb, server = _program("initdb"), _program("pg_ctl")
    owner = "nobody" if os.geteuid() == 0 else None  # the server refuses to run as root
    directory = Path(tempfile.mkdtemp(prefix="expci-pg-", dir="/tmp"))
    if owner:
        shutil.chown(directory, owner)

    def run(*command: str) -> None:
        subprocess.run(command, check=True, user=owner, cwd=directory, stdout=subprocess.DEVNULL)

    data = str(directory / "data")
    try:
        run(initdb, "-D", data, "-A", "trust", "-U", "reader", "-N", "--locale=C", "-E", "UTF8")
        settings = f"-c listen_addresses= -c unix_socket_directories={directory} -F"
        run(server, "-D", data, "-l", str(directory / "log"), "-o", settings, "-w", "start")
        try:
            yield f"postgres://reader@/postgres?host={directory}"
        finally:
            run(server, "-D", data, "-m", "immediate", "-w", "stop")
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def asked_in_spark(request: SourceRequest, directory: Path) -> dict[str, SourceAnswer]:
    """The answers of a session that has `orders.parquet`, in a process of its own."""
    if shutil.which("java") is None:
        _missing("there is no java: install a Java 17 runtime")
    if importlib.util.find_spec("pyspark") is None:
        _missing("there is no PySpark: make spark")
    file = directory / "request.json"
    file.write_bytes(msgspec.json.encode(request))
    command = [sys.executable, str(Path(__file__).with_name("spark_source.py")), str(file)]
    # A quick start counts here, not speed later.
    options = {"JDK_JAVA_OPTIONS": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"}
    done = subprocess.run(command, cwd=directory, capture_output=True, env=os.environ | options)
    assert done.returncode == 0, done.stderr.decode()
    return msgspec.json.decode(done.stdout, type=dict[str, SourceAnswer])

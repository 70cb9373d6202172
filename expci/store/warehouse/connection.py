"""From an address to a connection that can only read, by the means that each engine has.

No text of a spec reaches this module, only an address of the reviewed `experiments/expci.yml`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from expci.core.model.limits import HOME
from expci.core.spec.source_address import ENGINES, VARIABLE, named_variables
from expci.errors import ExpciError

CONNECT_SECONDS = 10
STATEMENT_SECONDS = 110  # the server's own limit: a little less than that of the process
MISSING = f"reading a database needs Ibis: pip install 'expci[sql] @ git+https://github.com/{HOME}'"
FILES = ("parquet", "csv")


class SourceRefused(ExpciError):
    """The source cannot be read as it is written down; waiting does not help."""


def library() -> Any:
    """Ibis; `SourceRefused` says how to install it."""
    try:
        import ibis
    except ImportError as error:
        raise SourceRefused(MISSING) from error
    return ibis


def expanded(address: str, environment: Mapping[str, str] = os.environ) -> str:
    """The address with the values of the variables that it names."""
    missing = [name for name in named_variables(address) if not environment.get(name)]
    if missing:
        raise SourceRefused(f"the environment variable {missing[0]} is not set where the pass runs")
    if VARIABLE.fullmatch(address):
        return environment[address[1:]].strip()
    return VARIABLE.sub(lambda match: quote(environment[match[1]], safe=""), address)


def connect(url: str, root: Path) -> Any:
    """An Ibis backend. Times are in UTC in it."""
    engine, _, _ = url.partition("://")
    if engine not in ENGINES:
        raise SourceRefused("the address begins with none of " + ", ".join(ENGINES))
    ibis = library()
    if engine in FILES:
        return _utc(ibis.duckdb.connect())
    if engine == "duckdb":
        return _locked(_utc(ibis.duckdb.connect(_database(url, root), read_only=True)))
    if engine.startswith("postgres"):
        return ibis.connect(url, connect_timeout=CONNECT_SECONDS, options=_POSTGRES)
    connection = ibis.connect(url)
    if engine == "pyspark":
        connection.raw_sql("SET TIME ZONE 'UTC'")
    return connection


_POSTGRES = " ".join(
    f"-c {setting}"
    for setting in (
        "default_transaction_read_only=on",
        f"statement_timeout={STATEMENT_SECONDS}s",
        "TimeZone=UTC",
    )
)


def _utc(connection: Any) -> Any:
    connection.raw_sql("SET TimeZone = 'UTC'")
    return connection


def _locked(connection: Any) -> Any:
    """Without the way to other files and the network that DuckDB has by itself."""
    connection.raw_sql("SET enable_external_access = false")
    connection.raw_sql("SET lock_configuration = true")
    return connection


def _database(url: str, root: Path) -> Path:
    path = file_path(url, root)
    if not path.is_file():
        raise SourceRefused(f"there is no file {path.name}")
    return path


def file_path(url: str, root: Path) -> Path:
    """The path of an address of files, which is relative to `root` without a third slash."""
    parts = urlsplit(url)
    return root / f"{parts.netloc}{parts.path}"


def without_secrets(text: str, address: str, environment: Mapping[str, str] = os.environ) -> str:
    """The first line of an error, cut, with nothing of what the environment holds."""
    secrets = {environment.get(name, "") for name in named_variables(address)}
    for url in list(secrets):
        secrets |= set(filter(None, _parts(url)))
    line = next(filter(None, map(str.strip, text.splitlines())), "")
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        line = line.replace(secret, "***")
    return line[:200]


def _parts(url: str) -> tuple[str, ...]:
    """What of an address nobody should read."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return ()
    return (parts.password or "", unquote(parts.password or ""), parts.query)

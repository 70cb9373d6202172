"""Addresses of databases in `experiments/expci.yml`: no secret is one, only its variable's name."""

from __future__ import annotations

import re

ENGINES = (
    "duckdb", "parquet", "csv", "postgres", "postgresql", "pyspark",
    "bigquery", "snowflake", "trino",
)  # fmt: skip
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,62}")
VARIABLE = re.compile(r"\$([A-Z_][A-Z0-9_]*)")
_ADDRESS = re.compile(
    r"(?P<engine>[a-z]+)://(?:(?P<account>[^/?#]*)@)?[^?#\s]*(?:\?(?P<query>[^#\s]*))?"
)
_SECRET = re.compile(r"pass|pwd|token|secret|key|credential|auth|%", re.IGNORECASE)


def address_refusal(address: str) -> tuple[str, str] | None:
    """Return why an address may not stand in the file, with what to write; `None` where it may.

    >>> address_refusal("$WAREHOUSE_URL"), address_refusal("postgres://reader:$PW@db/shop")
    (None, None)
    >>> address_refusal("postgres://reader:hunter2@db/shop")
    ('holds a password', 'write `$NAME`, the environment variable that has it')
    >>> address_refusal("orders.duckdb")[0]
    'is no address of a database'
    """
    if VARIABLE.fullmatch(address):
        return None
    form = _ADDRESS.fullmatch(address)
    if form is None or form["engine"] not in ENGINES:
        fix = f"begin with one of {', '.join(f'{engine}://' for engine in ENGINES)}, or write $NAME"
        return "is no address of a database", fix
    _, colon, password = (form["account"] or "").partition(":")
    pairs = [pair.partition("=") for pair in (form["query"] or "").split("&")]
    secrets = [value for name, _, value in pairs if _SECRET.search(name)]
    secrets += [password] if colon else []
    if all(VARIABLE.fullmatch(secret) for secret in secrets):
        return None
    return "holds a password", "write `$NAME`, the environment variable that has it"


def named_variables(address: str) -> tuple[str, ...]:
    """Return the environment variables that an address names.

    >>> named_variables("postgres://reader:$PW@$HOST/shop")
    ('PW', 'HOST')
    """
    return tuple(VARIABLE.findall(address))

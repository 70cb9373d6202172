"""A database that is not there, is silent or breaks is down, and no word of a secret gets out."""

from __future__ import annotations

import socket
import sys
from pathlib import Path

import pytest

from expci.core.model.source import DueUnit, MetricSource
from expci.store.warehouse import process
from expci.store.warehouse.request import SourceReply, SourceRequest, Wanted

pytestmark = pytest.mark.slow

SOURCE = MetricSource("shop", "orders", "user_id", "paid_at", 60.0, "amount")
SECRET = "hunter2-and-more"


def request(address: str, root: Path) -> SourceRequest:
    wanted = Wanted(SOURCE, [DueUnit("t", "ada", 0, 60)])
    return SourceRequest(address, str(root), 1000, {"spend": wanted})


def test_a_silent_server_is_down_after_the_time_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:  # accepts, and never answers
        monkeypatch.setenv(
            "SHOP_URL", f"postgres://u:{SECRET}@127.0.0.1:{server.getsockname()[1]}/x"
        )
        reply = process.ask_source(request("$SHOP_URL", tmp_path), seconds=0.5)
    assert reply == SourceReply("down", "did not answer within 0.5 seconds")


def test_what_a_driver_says_is_told_without_the_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Nothing listens at port 1, and the driver names the host; the host is the secret here.
    monkeypatch.setenv("SHOP_URL", f"postgres://u:{SECRET}@127.0.0.1:1/x?application_name={SECRET}")
    reply = process.ask_source(request("$SHOP_URL", tmp_path))
    assert reply.status == "down"
    assert reply.detail.startswith("OperationalError: connection failed")
    assert SECRET not in reply.detail


@pytest.mark.parametrize(
    ("address", "detail"),
    [
        ("$NOWHERE_URL", "the environment variable NOWHERE_URL is not set where the pass runs"),
        ("duckdb://missing.duckdb", "there is no file missing.duckdb"),
        ("$FILE_URL", "the address begins with none of duckdb, parquet, csv, postgres, postgresql"),
    ],
)
def test_what_waiting_does_not_mend_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str, detail: str
) -> None:
    monkeypatch.setenv("FILE_URL", "file:///etc/passwd")
    reply = process.ask_source(request(address, tmp_path))
    assert reply.status == "refused"
    assert reply.detail.startswith(detail)


def test_a_process_that_dies_is_a_source_that_is_down(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    reply = process.ask_source(request("duckdb://x.duckdb", tmp_path))
    assert reply == SourceReply("down", "its process ended with 1 and no answer")


def test_nothing_in_the_repository_is_imported(tmp_path: Path) -> None:
    (tmp_path / "ibis.py").write_text("raise SystemExit('imported')\n")
    (tmp_path / "x.duckdb").write_text("no database")
    reply = process.ask_source(request("duckdb://x.duckdb", tmp_path))
    assert reply.status == "down"
    assert "not a valid DuckDB database file" in reply.detail


def test_without_ibis_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "path" / "ibis").mkdir(parents=True)
    (tmp_path / "path" / "ibis" / "__init__.py").write_text("raise ImportError('no ibis')\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "path"))
    (tmp_path / "x.duckdb").write_text("")
    reply = process.ask_source(request("duckdb://x.duckdb", tmp_path))
    assert reply == SourceReply(
        "refused",
        "reading a database needs Ibis: pip install 'expci[sql] @ git+https://github.com/expci/expci'",
    )

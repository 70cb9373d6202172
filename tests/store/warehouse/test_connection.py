"""Addresses get their secrets from the environment, and errors lose them."""

from __future__ import annotations

from pathlib import Path

import pytest

from expci.store.warehouse.connection import (
    SourceRefused,
    expanded,
    file_path,
    without_secrets,
)

ENVIRONMENT = {"PW": "p@ss/w:rd&x=1", "URL": "postgres://ada:s3cr3t-word@db.example/shop\n"}


def test_a_variable_in_an_address_is_one_part_of_it() -> None:
    url = expanded("postgres://ada:$PW@db.example/shop", ENVIRONMENT)
    assert url == "postgres://ada:p%40ss%2Fw%3Ard%26x%3D1@db.example/shop"
    assert expanded("$URL", ENVIRONMENT) == "postgres://ada:s3cr3t-word@db.example/shop"
    with pytest.raises(SourceRefused, match="NOPE is not set"):
        expanded("postgres://ada:$NOPE@db.example/shop", ENVIRONMENT)


def test_an_error_loses_what_the_environment_holds() -> None:
    words = "\n cannot log in with s3cr3t-word at db.example\nSELECT 1"
    assert without_secrets(words, "$URL", ENVIRONMENT) == "cannot log in with *** at db.example"
    words = f"bad password {ENVIRONMENT['PW']}"
    assert without_secrets(words, "postgres://ada:$PW@db", ENVIRONMENT) == "bad password ***"
    assert len(without_secrets("x" * 5000, "$URL", ENVIRONMENT)) == 200


def test_files_are_relative_to_the_repository_without_a_third_slash() -> None:
    root = Path("/srv/repository")
    assert file_path("parquet://exports/daily", root) == root / "exports/daily"
    assert file_path("parquet:///srv/exports", root) == Path("/srv/exports")

"""The lock files hold what pyproject.toml asks for, each by hash."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
SQL = [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["sql"]]
DEV = [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["dev"]]


def locked(name: str) -> dict[str, str]:
    """Version by name."""
    text = (ROOT / name).read_text()
    blocks = re.split(r"^(?=\S)", text, flags=re.MULTILINE)
    pins: dict[str, str] = {}
    for block in filter(None, blocks):
        match = re.match(r"([\w.-]+)==([\w.]+)", block)
        assert match, block.splitlines()[0]
        assert "--hash=sha256:" in block, f"{match[1]} has no hash"
        pins[canonicalize_name(match[1])] = match[2]
    return pins


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("requirements.lock", PROJECT["dependencies"]),
        ("requirements-sql.lock", SQL),
        ("requirements-dev.lock", DEV),
    ],
)
def test_what_is_asked_for_is_locked(name: str, wanted: list[str]) -> None:
    pins = locked(name)
    for requirement in map(Requirement, wanted):
        pin = pins.get(canonicalize_name(requirement.name))
        assert pin is not None, f"make lock: {name} lacks {requirement.name}"
        assert requirement.specifier.contains(pin), f"make lock: {requirement} is not {pin}"


@pytest.mark.parametrize("name", ["requirements.lock", "requirements-sql.lock"])
def test_users_and_developers_run_the_same_versions(name: str) -> None:
    users, developers = locked(name), locked("requirements-dev.lock")
    assert {package: developers.get(package) for package in users} == users

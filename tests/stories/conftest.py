"""Stages that take long to set are set once, and copied for each test."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.repositories import project
from support.stage import Stage


@pytest.fixture(scope="session")
def first_watching(tmp_path_factory: pytest.TempPathFactory) -> tuple[Stage, str]:
    stage = Stage(project(tmp_path_factory.mktemp("watching")))
    return stage, stage.to_watching()


@pytest.fixture
def watching(first_watching: tuple[Stage, str], tmp_path: Path) -> Stage:
    """An experiment that was promoted and is watched."""
    return first_watching[0].copy(tmp_path)


@pytest.fixture
def merge(first_watching: tuple[Stage, str]) -> str:
    """The merge that promoted it."""
    return first_watching[1]

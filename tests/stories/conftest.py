"""One experiment at the points of its life where the stories begin."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

import pytest

from support.repositories import project
from support.stage import Stage


class Prepared:
    """Each point is reached once, from the one before; the tests get copies."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def _after(self, stage: Stage, name: str) -> Stage:
        return stage.copy(self._directory / name)

    @cached_property
    def running(self) -> Stage:
        stage = Stage(project(self._directory))
        stage.begin()
        return stage

    @cached_property
    def winning(self) -> Stage:
        stage = self._after(self.running, "winning")
        stage.pairs(14, 0.5)
        return stage

    @cached_property
    def promoting(self) -> Stage:
        stage = self._after(self.winning, "promoting")
        stage.auto()
        return stage

    @cached_property
    def watching(self) -> Stage:
        stage = self._after(self.promoting, "watching")
        stage.merge_promotion()
        return stage


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    return Prepared(tmp_path_factory.mktemp("prepared"))


@pytest.fixture
def running(prepared: Prepared, tmp_path: Path) -> Stage:
    """An experiment without a trial."""
    return prepared.running.copy(tmp_path / "running")


@pytest.fixture
def winning(prepared: Prepared, tmp_path: Path) -> Stage:
    """A clear win that no pass has analysed."""
    return prepared.winning.copy(tmp_path / "winning")


@pytest.fixture
def promoting(prepared: Prepared, tmp_path: Path) -> Stage:
    """A pass has opened the pull request that promotes."""
    return prepared.promoting.copy(tmp_path / "promoting")


@pytest.fixture
def watching(prepared: Prepared, tmp_path: Path) -> Stage:
    """It was promoted and is watched."""
    return prepared.watching.copy(tmp_path / "watching")


@pytest.fixture
def merge(watching: Stage) -> str:
    """The merge that promoted it."""
    return watching.merge()

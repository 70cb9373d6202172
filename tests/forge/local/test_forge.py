"""The contract, on plain git."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

import pytest

from expci.forge.local.forge import LocalForge, parse
from expci.store.git.git import Git
from expci.store.git.remote import Remote
from expci.store.ledger import paths
from expci.store.ledger.transaction import Store
from support.forge_contract import Bench, ForgeContract
from support.repositories import Repository


@dataclass
class LocalBench(Bench):
    @property
    def store(self) -> Store:
        return Store(Remote.of(Git.at(self.repository.path)))

    def forge(self) -> LocalForge:
        return LocalForge(self.store, lambda: datetime(2026, 11, 22, tzinfo=UTC), "ada")

    def comments(self, number: int) -> list[str]:
        data = self.store.snapshot().ledger.read(paths.pull(number))
        assert data is not None
        return [comment["body"] for comment in parse(data).comments]


@pytest.fixture
def bench(repository: Repository) -> LocalBench:
    return LocalBench(repository)


class TestLocalForge(ForgeContract):
    pass

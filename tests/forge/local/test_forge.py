"""The contract, on plain git."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

import pytest

from expci.forge.local.forge import local_forge
from expci.forge.local.records import load_record
from expci.forge.ports import Forge
from expci.store.git.git import Git
from expci.store.git.remote import Remote
from expci.store.ledger import paths
from expci.store.ledger.transaction import LedgerChange, Store
from support.forge_contract import Bench, CommentsContract, PullRequestsContract
from support.repositories import Repository

NOW = datetime(2026, 11, 22, tzinfo=UTC)


@dataclass
class LocalBench(Bench):
    @property
    def store(self) -> Store:
        return Store(Remote.of(Git.at(self.repository.path)))

    def forge(self) -> Forge:
        return local_forge(self.store, lambda: NOW, "ada")

    def comments(self, number: int) -> list[str]:
        data = self.store.snapshot().ledger.read(paths.pull(number))
        assert data is not None
        return [comment["body"] for comment in load_record(data).comments]


@pytest.fixture
def bench(repository: Repository) -> LocalBench:
    """With a ledger: pull requests are records in it."""
    made = LocalBench(repository)
    begin = LedgerChange.of("Begin", {paths.README: b"# Experiments\n"})
    made.store.transact(NOW, lambda _: begin)
    return made


class TestLocalPullRequests(PullRequestsContract):
    pass


class TestLocalComments(CommentsContract):
    pass


def test_a_plain_repository_lacks_checks_alerts_and_ci_records(bench: LocalBench) -> None:
    forge = bench.forge()
    assert (forge.checks, forge.alerts, forge.ci, forge.social) == (None, None, None, False)


def test_a_merge_that_another_pass_has_just_made_is_not_made_twice(bench: LocalBench) -> None:
    pull = bench.open()
    first = bench.forge().pull_requests.merge(pull, "Promote")
    again = bench.forge().pull_requests.merge(pull, "Promote again")
    assert (again.state, again.merge) == (first.state, first.merge)
    assert bench.repository.git("rev-list", "--count", "--merges", bench.main()) == "1"

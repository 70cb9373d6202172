"""What open pull requests were told: it reads back, and damage costs one more review."""

from __future__ import annotations

import pytest

from expci.errors import LedgerDamaged
from expci.store.ledger import paths
from expci.store.ledger.fold import Changes
from expci.store.ledger.reviewed_pull_requests import (
    ReviewedExperiment,
    ReviewedPullRequest,
    dump_reviewed,
    parse_reviewed,
    read_reviewed,
)
from expci.store.ledger.transaction import LedgerChange
from support.ledger_samples import AT, start, store
from support.repositories import Repository

REVIEWED = {
    7: ReviewedPullRequest("a" * 40, "digest"),
    12: ReviewedPullRequest(
        "b" * 40,
        "",
        {
            "speed": ReviewedExperiment("c" * 64, "review", ("a", "größe"), {"power": 0.8}),
            "wrong": ReviewedExperiment(),
        },
    ),
}


def test_they_read_back_as_they_were_written() -> None:
    assert parse_reviewed(dump_reviewed(REVIEWED)) == REVIEWED


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"null",
        b"[]",
        b'{"v": 2, "requests": {}}',
        b'{"v": 1}',
        b'{"v": 1, "requests": {"x": {"head": "a"}}}',
        b'{"v": 1, "requests": {"1": null}}',
        b'{"v": 1, "requests": {"1": {"head": "a", "experiments": {"x": {}}}}}',
    ],
)
def test_damage_is_named_and_read_as_nothing(data: bytes, repository: Repository) -> None:
    with pytest.raises(LedgerDamaged, match=paths.REVIEWED):
        parse_reviewed(data)
    target = store(repository.path)
    start(target)
    target.transact(AT, lambda _: LedgerChange.of("damage", {paths.REVIEWED: data}))
    assert read_reviewed(target.snapshot().ledger) == {}


def test_before_the_first_review_there_are_none(repository: Repository) -> None:
    target = store(repository.path)
    start(target)
    assert read_reviewed(target.snapshot().ledger) == {}
    written: Changes = {paths.REVIEWED: dump_reviewed(REVIEWED)}
    target.transact(AT, lambda _: LedgerChange.of("review", written))
    assert read_reviewed(target.snapshot().ledger) == REVIEWED

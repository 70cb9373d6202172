"""What forks left is counted, within a size that no fork can exceed."""

from __future__ import annotations

import json

import pytest

from expci.errors import LedgerDamaged
from expci.store.ledger.uncounted import (
    FORKS,
    OTHERS,
    SCHEMA,
    ForkArtifact,
    Uncounted,
    parse_uncounted,
    read_uncounted,
    with_artifacts,
)

RECORDS = (("speed", "p", "control"), ("speed", "p", "treatment"), ("speed", "q", "control"))
EVE = ForkArtifact("eve/copy", RECORDS, lines=5, refused=2)


def test_what_an_artifact_left_is_added() -> None:
    once = with_artifacts(Uncounted(), [EVE])
    twice = with_artifacts(once, [EVE, ForkArtifact("bob/copy", RECORDS[:1], 1)])
    assert once.forks == {"eve/copy": {"artifacts": 1, "records": 5, "refused": 2}}
    assert twice.forks["eve/copy"] == {"artifacts": 2, "records": 10, "refused": 4}
    assert twice.forks["bob/copy"] == {"artifacts": 1, "records": 1, "refused": 0}
    assert twice.of("speed") == {"control": 5, "treatment": 2}
    assert twice.of("speed", "p") == {"control": 3, "treatment": 2}
    assert twice.of("speed", "other") == twice.of("other") == {}
    assert once.of("speed") == {"control": 2, "treatment": 1}, "the older counters are unchanged"


def test_the_later_forks_share_a_row() -> None:
    many = with_artifacts(Uncounted(), [ForkArtifact(f"f{i}/x", lines=1) for i in range(FORKS + 3)])
    assert len(many.forks) == FORKS + 1
    assert many.forks[OTHERS] == {"artifacts": 3, "records": 3, "refused": 0}
    again = with_artifacts(many, [ForkArtifact("f0/x", lines=1), ForkArtifact("new/x", lines=1)])
    assert again.forks["f0/x"]["artifacts"] == 2
    assert again.forks[OTHERS]["artifacts"] == 4


def test_counters_are_written_and_read() -> None:
    counters = with_artifacts(Uncounted(), [EVE])
    data = counters.dump()
    assert json.loads(data)["schema"] == SCHEMA
    assert data.endswith(b"}\n")
    assert parse_uncounted(data) == read_uncounted(data) == counters
    assert read_uncounted(None) == Uncounted()


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"{", "cannot be read"),
        (b"[]", "cannot be read"),
        (b'"x"', "cannot be read"),
        (b"{}", "cannot be read"),
        (json.dumps({"schema": SCHEMA}).encode(), "cannot be read"),
        (json.dumps({"schema": "expci.uncounted/9"}).encode(), "use a newer expci"),
    ],
)
def test_damaged_counters_are_named_and_begin_anew(data: bytes, words: str) -> None:
    with pytest.raises(LedgerDamaged, match=words):
        parse_uncounted(data)
    assert read_uncounted(data) == Uncounted()

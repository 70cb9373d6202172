"""What reviews of open pull requests reported, as it is kept beside the ledger."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from expci.errors import LedgerDamaged
from expci.store.ledger import paths
from expci.store.ledger.ledger import Ledger

FORMAT = 1


@dataclass(frozen=True)
class ReviewedExperiment:
    """One experiment as it was reviewed; no `plan` where it was not valid.

    `varied` and `slot` tell what it would overlap with, `document` is its design report.
    """

    plan: str | None = None
    slot: str | None = None
    varied: tuple[str, ...] = ()
    document: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class ReviewedPullRequest:
    """A pull request at its newest commit. `said` is a digest of the ledger's answer then."""

    head: str
    said: str = ""
    experiments: Mapping[str, ReviewedExperiment] = field(default_factory=dict)


def read_reviewed(ledger: Ledger) -> dict[int, ReviewedPullRequest]:
    """Pull requests by number. A damaged file is as none: they are reviewed once more."""
    data = ledger.read_derived(paths.REVIEWED)
    try:
        return {} if data is None else parse_reviewed(data)
    except LedgerDamaged:
        return {}


def parse_reviewed(data: bytes) -> dict[int, ReviewedPullRequest]:
    """Pull requests by number; `LedgerDamaged` when they cannot be read."""
    try:
        document = json.loads(data)
        if document["v"] != FORMAT:
            raise LedgerDamaged(f"{paths.REVIEWED} has another version: use a newer expci")
        return {int(number): _one(item) for number, item in document["requests"].items()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise LedgerDamaged(f"{paths.REVIEWED} cannot be read: {error!r}") from error


def _one(item: Mapping[str, Any]) -> ReviewedPullRequest:
    experiments = {
        name: ReviewedExperiment(
            entry["plan"], entry["slot"], tuple(entry["varied"]), entry["document"]
        )
        for name, entry in item.get("experiments", {}).items()
    }
    return ReviewedPullRequest(item["head"], item.get("said", ""), experiments)


def dump_reviewed(requests: Mapping[int, ReviewedPullRequest]) -> bytes:
    rows = {str(n): {k: v for k, v in asdict(r).items() if v} for n, r in sorted(requests.items())}
    text = json.dumps({"v": FORMAT, "requests": rows}, indent=1, ensure_ascii=False)
    return text.encode(errors="replace") + b"\n"

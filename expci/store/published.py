"""The published document: what jobs need to know to take part. Data, never code.

One small JSON file in a parentless commit at `refs/expci/published`. It names the live
experiments, their plans, states, weights and salts, and which content of the varied paths
a job must find to take part. Commands, environment and file content come from the
checkout's reviewed `experiments/<id>/`, never from here. Standard library only.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from expci.core.assignment import Rule
from expci.core.lazy_pattern import lazy_pattern
from expci.core.model.arm import ID_PATTERN
from expci.core.model.content import Blob, Paths
from expci.core.model.trial import parse_timestamp
from expci.core.value_class import dataclass, field
from expci.errors import InvalidRecord, LedgerDamaged
from expci.store.git import durable, refs
from expci.store.git.git import Git
from expci.store.git.remote import Remote

SCHEMA = "expci.published/1"
FILE = "published.json"
MOST_BYTES = 20_000_000
BEAT = timedelta(hours=6)  # between two signs of life of the pass
SILENT = timedelta(days=2)  # without one, every place that a person reads says so
_OID = lazy_pattern(r"[0-9a-f]{40}|[0-9a-f]{64}")


@dataclass(frozen=True)
class Exposure:
    """One live experiment as jobs see it.

    `paths` is the content of every varied path that a checkout must hold to take part:
    the plan base's, or after the promotion the promoted one. `source` is the commit to
    read the experiment from once the promotion has removed it from the tree. `started` is
    when this phase began (the start, or the promotion): imported lines without a time get it.
    `weights` are of the arms that units get now, `dropped` the planned ones of those that left.
    `branch` is where it was started, "" for the default branch: CI runs lab trials there. `head`
    is the commit of that branch at which a person started it last.
    """

    plan: str
    state: str
    mode: str
    slot: str | None
    design: str
    unit: str
    weights: Mapping[str, float]
    traffic: float
    salt: str
    base: str
    paths: Paths = field(default_factory=dict)
    source: str | None = None
    started: str = ""
    branch: str = ""
    dropped: Mapping[str, float] = field(default_factory=dict)
    head: str = ""

    @property
    def rule(self) -> Rule:
        """What draws an arm for a unit."""
        return Rule(self.plan, self.salt, self.design, self.weights, self.traffic, self.dropped)


@dataclass(frozen=True)
class Published:
    """`ledger` is the ledger commit that this was derived from ("" before the first).

    `passed` is when a pass last wrote that it looks after the experiments: some hours old at most.
    """

    ledger: str = ""
    experiments: Mapping[str, Exposure] = field(default_factory=dict)
    passed: str = ""

    def dump(self) -> bytes:
        experiments = {
            name: {
                "plan": e.plan,
                "state": e.state,
                "mode": e.mode,
                "slot": e.slot,
                "design": e.design,
                "unit": e.unit,
                "weights": dict(e.weights),
                "traffic": e.traffic,
                "salt": e.salt,
                "base": e.base,
                "paths": {
                    path: None if blob is None else [blob.mode, blob.oid]
                    for path, blob in sorted(e.paths.items())
                },
                "source": e.source,
                "started": e.started,
                "branch": e.branch,
                **({"dropped": dict(e.dropped)} if e.dropped else {}),
                **({"head": e.head} if e.head else {}),
            }
            for name, e in sorted(self.experiments.items())
        }
        document = {"schema": SCHEMA, "ledger": self.ledger, "experiments": experiments}
        document |= {"passed": self.passed} if self.passed else {}
        return json.dumps(document, indent=1, ensure_ascii=False).encode() + b"\n"


def parse_published(data: bytes) -> Published:
    """The document; `LedgerDamaged` says what is wrong with it."""
    try:
        document = json.loads(data)
        if document["schema"] != SCHEMA:
            raise LedgerDamaged(
                f"{refs.PUBLISHED} has the schema {document['schema']!r}; this expci reads "
                f"{SCHEMA}: use a newer expci"
            )
        experiments = {
            _experiment_id(name): _exposure(item) for name, item in document["experiments"].items()
        }
        passed = str(document.get("passed", ""))[:40]
        return Published(str(document["ledger"]), experiments, passed)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise LedgerDamaged(
            f"{refs.PUBLISHED} cannot be read ({error!r}); `expci fsck --repair` derives it "
            "from the ledger again"
        ) from error


def without_passes(document: Published, now: datetime) -> str:
    """What to say where no pass has looked after live experiments for days; "" where one has."""
    days = days_without_passes(document, now)
    if not days:
        return ""
    return (
        f"no pass has run for {days} days: nothing is decided, and no harm is undone. "
        "GitHub switches schedules off after 60 days without activity, and comments with them: "
        "start the workflow expci-pass by hand, or run `expci auto`"
    )


def days_without_passes(document: Published, now: datetime) -> int:
    """For how many days nobody has looked after experiments that live; 0 below two.

    What started since the last pass waits for the next one no longer than since its start.
    """
    began = [exposure.started for exposure in document.experiments.values() if exposure.started]
    try:
        moments = [parse_timestamp(text) for text in (document.passed, *sorted(began)[:1]) if text]
    except InvalidRecord:
        return 0
    if not document.passed or not document.experiments or now - max(moments) < SILENT:
        return 0
    return (now - max(moments)).days


def is_beat_due(document: Published, now: datetime) -> bool:
    """Whether a pass has to say again that it looks after the experiments."""
    at = next_beat(document)
    return at is None or now >= at


def next_beat(document: Published) -> datetime | None:
    """When a pass has to say so again; `None`: now, because none has."""
    try:
        return parse_timestamp(document.passed) + BEAT if document.passed else None
    except (InvalidRecord, OverflowError):
        return None


def read_published(git: Git, commit: str) -> Published:
    """The document that a commit of `refs/expci/published` holds."""
    blob = git.read_tree(commit).get(FILE)
    if blob is None:
        raise LedgerDamaged(f"{refs.PUBLISHED} holds no {FILE}; run `expci fsck --repair`")
    return parse_published(git.cat([blob.oid])[blob.oid])


def cache_path(git: Git) -> Path:
    """Where this clone keeps the newest document it has seen, for work while offline."""
    return git.private_dir / FILE


def cache(git: Git, document: Published) -> None:
    """Keep the document for work while offline; a disk that takes nothing stops nobody."""
    with contextlib.suppress(OSError):
        durable.replace_file(cache_path(git), document.dump())


def fetch_published(remote: Remote) -> tuple[Published, str] | None:
    """(document, commit id) as the remote holds it now; `None` before the first start."""
    commit = remote.fetch_one(refs.PUBLISHED)
    return None if commit is None else (read_published(remote.git, commit), commit)


def write_published(git: Git, published: Published) -> str:
    """The parentless commit that holds the document."""
    [oid] = git.write_blobs([published.dump()])
    tree = git.write_tree(None, {FILE: Blob("100644", oid)})
    return git.commit_tree(tree, [], "Live experiments")


def _experiment_id(name: str) -> str:
    if not re.fullmatch(ID_PATTERN, name):
        raise ValueError(f"not an experiment's id: {name[:60]!r}")
    return name


def _exposure(item: Mapping[str, Any]) -> Exposure:
    return Exposure(
        plan=str(item["plan"]),
        state=str(item["state"]),
        mode=str(item["mode"]),
        slot=item["slot"],
        design=str(item["design"]),
        unit=str(item["unit"]),
        weights={str(arm): float(weight) for arm, weight in item["weights"].items()},
        traffic=float(item["traffic"]),
        salt=str(item["salt"]),
        base=str(item["base"]),
        paths={path: _blob(blob) for path, blob in item["paths"].items()},
        source=item["source"],
        started=str(item.get("started", "")),
        branch=str(item.get("branch", "")),
        dropped={str(arm): float(weight) for arm, weight in item.get("dropped", {}).items()},
        head=str(item.get("head", "")),
    )


def _blob(item: Any) -> Blob | None:
    if item is None:
        return None
    mode, oid = item
    if mode not in ("100644", "100755") or not _OID.fullmatch(oid):
        raise ValueError(f"not a file's mode and object id: {item!r}")
    return Blob(mode, oid)

"""A plan, frozen at the start: everything that its experiment is, by content.

`plan.json` holds the effective experiment and what varies; `files/` the experiment's own
files as they were reviewed; `base/` and `arms/<arm>/` the content of every varied path.
A plan needs nothing outside the ledger: no commit that could be rebased away.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from expci.core.model.arm import CONTROL
from expci.core.model.cases import BadCases, Case
from expci.core.model.content import SPEC_NAME, Blob, Paths, plan_id, variant_files
from expci.core.model.experiment import Experiment, from_json, to_json
from expci.errors import LedgerDamaged
from expci.store import cases
from expci.store.git.git import Git
from expci.store.ledger import paths

SCHEMA = "expci.plan-content/1"


@dataclass(frozen=True)
class Plan:
    """`files` are relative to the experiment's directory, all other paths to the repository.

    `arms` maps each arm (control too) to the content of every varied path. `shipped` is
    what a promotion of the arm puts on the base branch, where that differs (`promote:`).
    `directory` is the experiment's directory in the repository.
    """

    id: str
    experiment: Experiment
    base: str
    directory: str
    files: Mapping[str, Blob]
    arms: Mapping[str, Paths]
    shipped: Mapping[str, Paths]

    @property
    def varied(self) -> tuple[str, ...]:
        return tuple(sorted(self.arms[CONTROL]))

    def promotes(self, arm: str) -> Paths:
        return self.shipped.get(arm) or {
            path: blob for path, blob in self.arms[arm].items() if blob != self.arms[CONTROL][path]
        }

    def change_size(self, arm: str) -> int:
        """How many paths and environment variables a treatment changes."""
        return len(self.promotes(arm)) + len(self.experiment.arm(arm).env)

    def promote_base(self, arm: str) -> Paths:
        """The plan base's content of what `promotes(arm)` changes."""
        base = {**self.shipped.get(CONTROL, {}), **self.arms[CONTROL]}
        return {path: base.get(path) for path in self.promotes(arm)}


def entries(plan: Plan) -> dict[str, Blob]:
    """The blobs of a plan by ledger path, without `plan.json` itself."""
    root = paths.plan(plan.experiment.id, plan.id)
    blobs = {f"{root}/files/{path}": blob for path, blob in plan.files.items()}
    for arm, content in plan.arms.items():
        blobs |= _present(f"{root}/arms/{arm}", content)
    for arm, content in plan.shipped.items():
        blobs |= _present(f"{root}/ship/{arm}", content)
    return blobs


def dump_plan(plan: Plan) -> bytes:
    document = {
        "schema": SCHEMA,
        "plan": plan.id,
        "base": plan.base,
        "directory": plan.directory,
        "experiment": to_json(plan.experiment),
        "files": dump_paths(plan.files),
        "arms": {arm: dump_paths(content) for arm, content in sorted(plan.arms.items())},
        "ship": {arm: dump_paths(content) for arm, content in sorted(plan.shipped.items())},
    }
    return json.dumps(document, indent=1, ensure_ascii=False).encode() + b"\n"


def parse_plan(data: bytes) -> Plan:
    """The plan that `dump` wrote; `LedgerDamaged` when it cannot be read."""
    try:
        document = json.loads(data)
        if document["schema"] != SCHEMA:
            raise LedgerDamaged(f"a plan of schema {document['schema']!r}: use a newer expci")
        files = {path: blob for path, blob in load_paths(document["files"]).items() if blob}
        return Plan(
            id=document["plan"],
            experiment=from_json(document["experiment"]),
            base=document["base"],
            directory=document["directory"],
            files=files,
            arms={arm: load_paths(content) for arm, content in document["arms"].items()},
            shipped={arm: load_paths(content) for arm, content in document["ship"].items()},
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise LedgerDamaged(f"a frozen plan cannot be read: {error!r}; run `expci fsck`") from error


def _present(root: str, content: Paths) -> dict[str, Blob]:
    return {f"{root}/{path}": blob for path, blob in content.items() if blob is not None}


def dump_paths(content: Paths) -> dict[str, list[str] | None]:
    return {
        path: None if blob is None else [blob.mode, blob.oid]
        for path, blob in sorted(content.items())
    }


def load_paths(content: Mapping[str, Any]) -> dict[str, Blob | None]:
    return {path: None if item is None else Blob(*item) for path, item in content.items()}


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def content_id(git: Git, commit: str, plan: Plan) -> str | None:
    """The plan id of what stands in the experiment's directory now; `None` when it is gone."""
    blobs = git.read_tree(commit, plan.directory)
    if SPEC_NAME not in blobs:
        return None
    files = git.read_files(commit, plan.directory)
    return plan_id(variant_files(plan.experiment.arms, files), _cases_now(git, commit, plan))


def _cases_now(git: Git, commit: str, plan: Plan) -> tuple[Case, ...]:
    """The cases as they stand now; merges are those before the start, for good."""
    source = plan.experiment.cases
    if source is None:
        return ()
    if source.merged is not None:
        return source.frozen
    try:
        return cases.read_cases(git, commit, source).cases
    except BadCases:
        return ()

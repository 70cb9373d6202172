"""Whether a run took part at all: what a run without a step of expci's uploads does not count.

A job needs no permission to upload an artifact, so a lint job could invent trials. What tells is
the workflow's file on the default branch, which was reviewed, else the CI's list of the steps.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from expci.flows.arrivals.lost_units import took_part
from expci.flows.context import Context
from expci.flows.experiment.base import base_of
from expci.forge.ports import CIRecords, CIRun, Job

_USES = re.compile(
    rb"uses:[^\n#]*/\.github/(?:actions/(?:assign|record|trial|lab)|workflows/expci-lab\.yml)\b"
)
NO_STEP = (
    "no step of expci's is among the steps of its run, so its records do not count. If they are "
    "yours, let the name of the step that records have `expci` in it"
)


@dataclass
class Provenance:
    """What is read once a pass: reviewed workflows by path, and the jobs of runs."""

    app: Context
    ci: CIRecords
    _reviewed: dict[str, bool] = field(default_factory=dict)
    _jobs: dict[int, tuple[Job, ...]] = field(default_factory=dict)

    def took_part(self, run: CIRun) -> bool:
        """Whether a step of expci's is in the reviewed workflow, or ran; `ForgeError`: not now."""
        return self._is_reviewed(run.workflow) or took_part(self._jobs_of(run))

    def jobs(self, run: CIRun) -> int:
        """How many jobs it had, all attempts together: it may speak for as many units."""
        return len(self._jobs_of(run))

    def pulls(self, run: CIRun) -> frozenset[int]:
        """The pull requests that it may be of: those that the CI names, else its branch's."""
        if not run.event.startswith("pull_request"):
            return frozenset()
        if run.pulls:
            return frozenset(run.pulls)
        listed = self.app.forge.pull_requests.listed()
        same = [p for p in listed if p.head == run.head_branch and p.fork is not run.own]
        exact = [pull for pull in same if pull.head_commit == run.head_commit]
        return frozenset(pull.number for pull in exact or same)

    def _jobs_of(self, run: CIRun) -> tuple[Job, ...]:
        if run.id not in self._jobs:
            self._jobs[run.id] = self.ci.jobs(run.id)
        return self._jobs[run.id]

    def _is_reviewed(self, path: str) -> bool:
        if not self._reviewed:
            self._reviewed.update(_reviewed_workflows(self.app))
        return self._reviewed.get(path, False)


def _reviewed_workflows(app: Context) -> Mapping[str, bool]:
    """By path, whether a workflow of the default branch uses a step of expci's."""
    tip = base_of(app).tip
    if tip is None:
        return {"": False}
    blobs = app.git.read_tree(tip, ".github/workflows")
    files = app.git.cat(blob.oid for blob in blobs.values())
    return {"": False} | {
        f".github/workflows/{name}": bool(_USES.search(files[blob.oid]))
        for name, blob in blobs.items()
    }

"""How much of an experiment's budget is used, while several jobs use it up at once.

Each job sends its records after every round, and reads everybody's before the next: the ledger
and the inbox. So two jobs that look at the same moment go at most one round each beyond it.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from expci.core.model.arm import Budget
from expci.core.model.budget import BudgetUse, use
from expci.core.model.trial import Amendment, Trial, amended
from expci.core.model.trial_reader import parse_line
from expci.core.value_class import dataclass, field, replace
from expci.errors import ExpciError, GitError, InvalidRecord, Unreachable
from expci.runner.ci.context import CiJob
from expci.store.git import bounded, durable, refs
from expci.store.git.git import Git
from expci.store.git.remote import Remote
from expci.store.inbox import send
from expci.store.ledger import paths

_MOST_NOTE = 64_000_000  # bytes
_NO_NEWS = "what others have spent meanwhile cannot be read, so only this job's own is added"


@dataclass
class BudgetMeter:
    """Reads what all jobs have spent; without a `remote` as the job's first step saw it.

    Jobs that cannot see one another share what was left when they began, so that all of them
    together go at most one round each beyond the budget: the runs of a workflow by `run_share`, the
    `parts` of one run's matrix equally.
    """

    git: Git
    remote: Remote | None
    ledger: str
    experiment: str
    plan: str
    budget: Budget
    warnings: list[str] = field(default_factory=list)
    parts: int = 1
    job: CiJob = field(default_factory=CiJob)
    _files: dict[str, list[Trial | Amendment]] = field(default_factory=dict)
    _others: list[Trial | Amendment] = field(default_factory=list)

    def use(self, own: Sequence[Trial]) -> BudgetUse:
        """Return what is used, with the trials that this job has just run."""
        try:
            self._others = list(self._read(self._commits()))
        except Unreachable as error:
            self.warnings.append(f"{str(error).rstrip('.')}: {_NO_NEWS}")
        records = {record.id: record for record in (*own, *self._others)}
        trials = [record for record in records.values() if isinstance(record, Trial)]
        late = [record for record in records.values() if isinstance(record, Amendment)]
        total = use(self.budget, amended(trials, late), self.plan)
        if self.remote is not None:
            return total
        mine = {trial.id for trial in own}
        before = [trial for trial in trials if trial.id not in mine]
        spent = use(self.budget, amended(before, late), self.plan).spent
        share = run_share(self.job, before) / self.parts
        return replace(
            total, most=self.budget.most - max(0.0, self.budget.most - spent) * (1 - share)
        )

    def _commits(self) -> Mapping[str, str]:
        if self.remote is None:
            return _remembered(self.git, self.experiment)
        return everybody_s_records(self.remote, self.ledger, self.experiment)

    def _read(self, commits: Mapping[str, str]) -> Iterator[Trial | Amendment]:
        oids: list[str] = []
        for ref, commit in commits.items():
            with contextlib.suppress(GitError):  # what is no batch is for the pass to refuse
                oids += self._ledger_files(commit) if ref == self.ledger else self._batch(commit)
        missing = [oid for oid in oids if oid not in self._files]
        for oid, data in self.git.cat(missing).items():
            self._files[oid] = list(_parsed(data))
        for oid in oids:
            yield from self._files[oid]

    def _ledger_files(self, commit: str) -> list[str]:
        directories = (paths.trials(self.experiment), paths.amendments(self.experiment))
        trees = (self.git.read_tree(commit, directory) for directory in directories)
        return [blob.oid for tree in trees for blob in tree.values()]

    def _batch(self, commit: str) -> list[str]:
        blob = self.git.read_paths(commit, [send.FILE])[send.FILE]
        if blob is None:
            return []
        size = self.git.sizes([blob.oid])[blob.oid]
        return [blob.oid] if size is not None and size[1] <= send.BATCH_BYTES else []


def run_share(job: CiJob, before: Iterable[Trial]) -> float:
    """Return the share of what is left that a run of the CI may use, by the trials `before` it.

    1/2, and 1/6, 1/12, … of those that follow before the ledger has one of them: together 1. A run
    knows its number and that of the workflow's last run in the ledger; without one it counts from
    the workflow's first, and starts a pair. Outside of a CI 1.

    >>> from dataclasses import replace
    >>> from support.analysis_samples import make_trial
    >>> job = CiJob(workflow="lab", run_number="8")
    >>> seventh = make_trial(1, "control", context={"workflow": "lab", "run_number": "7"})
    >>> run_share(job, []) == 1 / 72, run_share(job, [seventh]), run_share(CiJob(), [seventh])
    (True, 0.5, 1.0)
    >>> run_share(replace(job, run_number="9"), [seventh]) == 1 / 6
    True
    """
    if not job.run_number.isdecimal():
        return 1.0
    own = (t.context for t in before if t.context.get("workflow") == job.workflow)
    numbers = (context.get("run_number", "") for context in own)
    last = max((int(text) for text in numbers if text.isdecimal()), default=0)
    between = max(0, int(job.run_number) - last - 1)
    return 1 / ((between + 1) * (between + 2))


def everybody_s_records(remote: Remote, ledger: str, experiment: str) -> Mapping[str, str]:
    """Return the ledger's commit and those of the experiment's batches, all brought here."""
    return remote.fetch(ledger, f"{refs.INBOX}/{experiment}/*")


def remember(remote: Remote, ledger: str, experiment: str) -> None:
    """Keep word of what is spent, for a later step of this job that reaches no remote."""
    commits = dict(everybody_s_records(remote, ledger, experiment))
    durable.replace_file(_note(remote.git, experiment), json.dumps(commits).encode())


def _remembered(git: Git, experiment: str) -> Mapping[str, str]:
    try:
        return dict(json.loads(bounded.read_file(_note(git, experiment), _MOST_NOTE)))
    except (OSError, ValueError) as error:
        raise ExpciError(
            f"what {experiment} has spent is unknown here, so nothing is run against its budget"
        ) from error


def _note(git: Git, experiment: str) -> Path:
    return git.private_dir / "spent" / f"{experiment}.json"


def _parsed(data: bytes) -> Iterator[Trial | Amendment]:
    for line in data.splitlines():
        with contextlib.suppress(InvalidRecord):
            yield parse_line(line)

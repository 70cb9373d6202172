"""Runs that should have reported and did not: the CI's runs since the last look.

`look_for_silent_runs` reads the CI's records; which runs are missed is decided in
`expci/flows/arrivals/lost_units.py`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import islice

from expci.core.model.content import Paths
from expci.core.model.events import ArmDropped, Paused, Promoted, Resumed, Started
from expci.core.model.trial import Trial, parse_timestamp, timestamp
from expci.core.model.trial_reader import parse_line
from expci.errors import ExpciError, ForgeError
from expci.flows.arrivals.lost_units import (
    Live,
    Workflows,
    lost_trial,
    reporting_workflows,
    silent_runs,
    took_part,
)
from expci.flows.context import Context
from expci.forge.ports import CIRecords, CIRun
from expci.store.inbox.read_batches import Arrived
from expci.store.ledger import paths, plans
from expci.store.ledger.artifact_cursor import ArtifactCursor
from expci.store.ledger.ledger import Ledger
from expci.store.ledger.transaction import Snapshot

GRACE = timedelta(hours=2)  # after a run's end, for what was pushed late
LOOKBACK = timedelta(days=2)  # a run that is not over by then is given up on
JOBS = 20  # runs whose jobs are read in one pass
LISTED = 1000  # as many runs as GitHub lists at most
_COLLECTING = ("running", "promoting", "watching")


@dataclass(frozen=True)
class SilentRuns:
    """What the CI's records say.

    `since`, `settled`, `workflows`: see `store/ledger/artifact_cursor.py`.
    """

    lost: tuple[Trial, ...] = ()
    since: str = ""
    settled: Mapping[int, str] = field(default_factory=dict)
    workflows: Workflows = field(default_factory=dict)
    examined: int = 0
    problem: str = ""


def look_for_silent_runs(
    app: Context,
    ci: CIRecords,
    snapshot: Snapshot,
    cursor: ArtifactCursor,
    reported: set[int],
    now: datetime,
) -> SilentRuns:
    """Look for silent runs since the last look. `reported` are runs that left an artifact."""
    live = _live(snapshot)
    if not live:
        return SilentRuns()
    since = max(
        [min(item.begin for item in live), now - LOOKBACK]
        + ([parse_timestamp(cursor.runs_since)] if cursor.runs_since else [])
    )
    try:
        runs = list(islice(ci.runs(since), LISTED))
    except ForgeError as error:
        return SilentRuns(problem=str(error))
    live = [_with_reports(snapshot.ledger, item, runs) for item in live]
    workflows = reporting_workflows(live, runs, cursor)
    silent = silent_runs(live, runs, workflows, cursor, reported)
    inquiry = _Inquiry(app, ci)
    over = [run for run in silent if _is_over(run, now)]
    for run in over[:JOBS]:
        inquiry.look_at(run, silent[run], workflows)
    unsure = {run.id for run in silent if run.id not in inquiry.settled}
    ours = {path for names in workflows.values() for path in names}
    unsure |= {run.id for run in runs if run.workflow in ours and not _is_over(run, now)}
    all_named = all(item.slot in workflows for item in live)
    return SilentRuns(
        lost=tuple(inquiry.lost),
        since=_cursor(runs, unsure) if all_named else "",
        settled=inquiry.settled,
        workflows=workflows,
        examined=len(runs),
        problem=inquiry.problem,
    )


def _live(snapshot: Snapshot) -> list[Live]:
    live = []
    for name, exposure in snapshot.published.experiments.items():
        is_live = exposure.mode == "live" and exposure.slot and exposure.state in _COLLECTING
        if is_live and exposure.unit == "run" and exposure.design != "paired":
            plan = snapshot.ledger.plan(name, exposure.plan)
            if plan is not None:
                live.append(Live(name, exposure, plan, _begin(snapshot.ledger, name)))
    return live


def _begin(ledger: Ledger, name: str) -> datetime:
    """When jobs last began or ceased to take part, or began to by other weights."""
    kinds = (Started, Paused, Resumed, ArmDropped, Promoted)
    return parse_timestamp(
        max(event.at for event in ledger.life(name).events if isinstance(event, kinds))
    )


def _with_reports(ledger: Ledger, live: Live, runs: Iterable[CIRun]) -> Live:
    """Parsing a whole ledger of trials for a few runs would take seconds."""
    wanted = {str(run.id).encode() for run in runs}
    if not wanted:
        return live
    trials: dict[int, tuple[Trial, ...]] = {}
    for line in ledger.lines_naming(paths.trials(live.name), _any_run(wanted)):
        trial = parse_line(line)
        if isinstance(trial, Trial) and trial.plan == live.plan.id:
            named = trial.context.get("run_id", "")
            if named.encode() in wanted:
                trials[int(named)] = (*trials.get(int(named), ()), trial)
    return replace(live, reported=trials)


def _any_run(wanted: Iterable[bytes]) -> re.Pattern[bytes]:
    """What finds a line with the id of one of these runs."""
    return re.compile(rb'"run_id":"(?:' + b"|".join(sorted(wanted)) + rb')"')


def _is_over(run: CIRun, now: datetime) -> bool:
    return run.status == "completed" and now - (run.changed or run.created) >= GRACE


def _cursor(runs: Sequence[CIRun], unsure: set[int]) -> str:
    """Where the next look begins: at the first run that is not settled, else at the newest."""
    if not runs:
        return ""
    times = [run.created for run in runs if run.id in unsure]
    return timestamp(min(times) if times else max(run.created for run in runs))


@dataclass
class _Inquiry:
    """The last doubts, one call for each run."""

    app: Context
    ci: CIRecords
    lost: list[Trial] = field(default_factory=list)
    settled: dict[int, str] = field(default_factory=dict)
    problem: str = ""

    def look_at(self, run: CIRun, live: Iterable[Live], workflows: Workflows) -> None:
        if self.problem:
            return
        taking = [item for item in live if self._holds(run, item)]
        try:
            ran = bool(taking) and took_part(self.ci.jobs(run.id))
        except ForgeError as error:
            self.problem = str(error)
            return
        self.settled[run.id] = timestamp(run.created)
        if ran:
            self.lost += [
                lost_trial(item, run, workflows[item.slot][run.workflow]) for item in taking
            ]

    def _holds(self, run: CIRun, live: Live) -> bool:
        """Whether the run's commit holds the plan, and the content that its arms start from.

        A checkout without them leaves the job alone and records nothing, or nothing that
        counts. A commit that this clone does not have is not fetched: the benefit of the doubt.
        """
        git = self.app.git
        commit, source = run.head_commit, live.exposure.source
        if git.resolve(commit) is None:
            return False
        try:
            here: Paths = git.read_paths(commit, live.exposure.paths)
            if here != dict(live.exposure.paths):
                return False
            if live.exposure.state == "watching" and source:
                return git.is_ancestor(source, commit)  # the promotion took the experiment away
            return plans.content_id(git, commit, live.plan) == live.plan.id
        except ExpciError:
            return False


def lost_records(
    ledger: Ledger, cursor: ArtifactCursor, silent: SilentRuns, reporting: set[tuple[str, str]]
) -> list[Arrived]:
    """The records of what was lost, but for what reports after all (experiment, run).

    `cursor` is what the ledger holds by now: another pass may have been faster.
    """
    records = []
    for trial in silent.lost:
        run = trial.context["run_id"]
        is_running = ledger.life(trial.experiment).plan == trial.plan
        is_new = int(run) not in cursor.settled and (trial.experiment, run) not in reporting
        if is_running and is_new:
            where = f"run {run}, which never reported"
            records.append(Arrived(trial, trial.line().encode(), where))
    return records

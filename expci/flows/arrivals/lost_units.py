"""Which runs are lost units: they took part by the rule, and reported nothing. Pure.

A variant that kills its runs before they can report would otherwise win by silence. A run
is called lost only where everything points to it: its workflow reports in this slot, its
commit holds the plan, the rule gives it an arm, and the CI saw a step of expci's run.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from expci.core.assignment import Assigned, Counter, Rule, assign
from expci.core.model.trial import CI_RECORDS, Trial, derived_trial_id, timestamp
from expci.forge.ports import CIRun, Job
from expci.store.ledger.artifact_cursor import ArtifactCursor
from expci.store.ledger.plans import Plan
from expci.store.published import Exposure

Workflows = Mapping[str, Mapping[str, str]]  # slot → path of the file → the workflow's name
_RAN = ("success", "failure", "cancelled")


@dataclass(frozen=True)
class Live:
    """An experiment that real jobs take part in. `begin`: since when it has been as it is now.

    `reported` are its trials of listed runs, by run.
    """

    name: str
    exposure: Exposure
    plan: Plan
    begin: datetime
    reported: Mapping[int, tuple[Trial, ...]] = field(default_factory=dict)

    @property
    def slot(self) -> str:
        return self.exposure.slot or ""

    @property
    def rule(self) -> Rule:
        return self.exposure.rule

    def assigned(self, run: CIRun, workflow: str) -> Assigned:
        """What the job's own step computed: `runner/ci/context.py` names unit and counter so."""
        counter = Counter(run.number, workflow) if run.number else None
        return assign(self.rule, f"run-{run.id}", counter)


def took_part(jobs: Iterable[Job]) -> bool:
    """Whether a step of expci's ran, however it ended."""
    steps = (step for job in jobs for step in job.steps)
    return any("expci" in step.name.lower() and step.conclusion in _RAN for step in steps)


def reporting_workflows(
    live: Iterable[Live], runs: Iterable[CIRun], cursor: ArtifactCursor
) -> Workflows:
    """The workflows that report in each slot, by the path of their file, with their names.

    The API's name of a run is whatever `run-name:` says (actions/runner#4141), so the name
    that the blocks count by is taken from the records of this repository's own runs.
    """
    workflows = {slot: dict(names) for slot, names in cursor.workflows.items()}
    listed = {run.id: run for run in runs if run.own}
    for item in live:
        for id in item.reported.keys() & listed.keys():
            for trial in item.reported[id]:
                name = trial.context.get("workflow", "")
                reported = trial.status != "lost" and trial.context.get("source") != CI_RECORDS
                if trial.mode == "live" and name and reported:
                    workflows.setdefault(item.slot, {})[listed[id].workflow] = name
    return workflows


def silent_runs(
    live: Iterable[Live],
    runs: Iterable[CIRun],
    workflows: Workflows,
    cursor: ArtifactCursor,
    reported: set[int],
) -> dict[CIRun, list[Live]]:
    """Runs that should have reported and did not, with the experiments they are missed in."""
    listed = [run for run in runs if run.own]
    silent: dict[CIRun, list[Live]] = {}
    for item in live:
        names = workflows.get(item.slot, {})
        odd = {run.workflow for run in listed if not _as_the_rule_says(item, run, names)}
        for run in listed:
            is_open = run.id not in reported and run.id not in cursor.settled
            is_ours = run.workflow in names and run.workflow not in odd
            is_silent = run.created >= item.begin and run.id not in item.reported
            if is_open and is_ours and is_silent and item.assigned(run, names[run.workflow]).arm:
                silent.setdefault(run, []).append(item)
    return silent


def _as_the_rule_says(live: Live, run: CIRun, names: Mapping[str, str]) -> bool:
    """Whether what this run reported is what the rule foretells.

    Where a workflow passes units or counters of its own, nothing can be foretold.
    """
    for trial in live.reported.get(run.id, ()):
        is_drawn = trial.context.get("assignment") in ("hash", "block")
        if run.created < live.begin or not is_drawn or run.workflow not in names:
            continue
        expected = live.assigned(run, names[run.workflow]).arm
        if (trial.unit, trial.arm) != (f"run-{run.id}", expected):
            return False
    return True


def lost_trial(live: Live, run: CIRun, workflow: str) -> Trial:
    """The trial of a run that never reported.

    Where a person or a newer run cancelled it, that is not the arm's failure, but it shows.
    """
    assigned = live.assigned(run, workflow)
    unit = f"run-{run.id}"
    context = {
        "sha": run.head_commit,
        "repository": run.repository,
        "run_id": str(run.id),
        "run_number": str(run.number or ""),
        "workflow": workflow,
        "workflow_path": run.workflow,
        "event": run.event,
        "actor": run.actor,
        "conclusion": run.conclusion or "",
        "assignment": assigned.reason,
        "source": CI_RECORDS,
    }
    return Trial(
        id=derived_trial_id("lost", live.name, live.plan.id, unit),
        experiment=live.name,
        plan=live.plan.id,
        mode="live",
        arm=assigned.arm or "",
        unit=unit,
        started=timestamp(run.created),
        status="cancelled" if run.conclusion == "cancelled" else "lost",
        context={key: text for key, text in context.items() if text},
    )

"""The record of one run in the lab."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from expci.core.model.trial import Status, Trial
from expci.runner.lab.schedule import LabSettings, PlannedRun
from expci.runner.measure.measure import Measurement
from expci.runner.trial_ids import new_trial_id


def lab_trial(
    setting: LabSettings,
    run: PlannedRun,
    done: Measurement,
    reported: Mapping[str, float],
    *,
    at: datetime,
    started: str,
    status: Status,
    excluded: str | None,
    context: Mapping[str, str],
) -> Trial:
    """Return the trial of a measured run; `at` is when it started by this machine's clock."""
    return Trial(
        id=new_trial_id(at),
        experiment=setting.experiment,
        plan=setting.rule.plan,
        mode="lab",
        arm=run.arm,
        unit=run.unit,
        started=started,
        block=run.block,
        seq=run.seq,
        order=run.order,
        attempt=setting.place.attempt,
        status=status,
        excluded=excluded,
        metrics=_metrics(setting, done, reported),
        context={**setting.context, **context},
    )


def _metrics(
    setting: LabSettings, done: Measurement, reported: Mapping[str, float]
) -> dict[str, float]:
    """The run's metrics; of one that says nothing of its arm only what it cost."""
    if done.status not in ("cancelled", "error"):
        return {**reported, **done.metrics}
    costs = {"duration_s": done.duration_s} if done.duration_s else {}
    costs |= reported
    return {name: costs[name] for name in setting.budget_names if name in costs}

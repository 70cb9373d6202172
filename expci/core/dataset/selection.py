"""Which trials count: those of one plan, sorted by what they count for, in the ledger's order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import datetime

from expci.core.model.trial import Trial, parse_timestamp

NOT_EXPOSED = "not_exposed"
CI_RECORDS = "ci-records"  # the `source` of a trial that nobody reported


@dataclass(frozen=True)
class Selection:
    """The trials of one plan, sorted by what they count for.

    `counted` are analysed. `assigned` are all that were given an arm and took part: these
    and the cancelled and erroneous ones. `reruns` are later attempts of a job for a unit
    that has an earlier one; `changed` ran where the varied files were others than the plan's
    base. `excluded` counts everything that is not analysed by reason.
    """

    counted: tuple[Trial, ...]
    assigned: tuple[Trial, ...]
    reruns: tuple[Trial, ...]
    not_exposed: tuple[Trial, ...]
    excluded: Mapping[str, int]
    changed: tuple[Trial, ...] = ()


def select(
    trials: Sequence[Trial], plan: str, arms: Sequence[str], since: datetime | None = None
) -> Selection:
    """Sort `trials` (in the ledger's order); `since` drops what started earlier."""
    lowest = _lowest_attempts(trials, plan)
    reporting = _reporting_runs(trials, plan)
    reasons = [_reason(trial, plan, arms, since, lowest, reporting) for trial in trials]

    def having(*wanted: str | None) -> tuple[Trial, ...]:
        return tuple(t for t, reason in zip(trials, reasons, strict=True) if reason in wanted)

    return Selection(
        counted=having(None),
        assigned=having(None, "cancelled", "error"),
        reruns=having("rerun"),
        not_exposed=having(NOT_EXPOSED),
        excluded=dict(sorted(Counter(reason for reason in reasons if reason).items())),
        changed=having("file_changed"),
    )


def _lowest_attempts(trials: Sequence[Trial], plan: str) -> dict[tuple[str, ...], int]:
    lowest: dict[tuple[str, ...], int] = {}
    for trial in trials:
        if trial.plan == plan:
            key = (trial.unit, *trial.job)
            lowest[key] = min(trial.attempt, lowest.get(key, trial.attempt))
    return lowest


def is_inferred(trial: Trial) -> bool:
    """Whether the CI's records made this trial, because the run itself said nothing."""
    if trial.status == "cancelled":
        return trial.context.get("source") == CI_RECORDS
    return trial.status == "lost"


def _reporting_runs(trials: Sequence[Trial], plan: str) -> Set[tuple[str, str]]:
    """The runs that reported for themselves; empty where nothing was inferred."""
    if not any(map(is_inferred, trials)):
        return frozenset()
    return {_run(trial) for trial in trials if trial.plan == plan and not is_inferred(trial)}


def _run(trial: Trial) -> tuple[str, str]:
    return trial.unit, trial.context.get("run_id", "")


def _reason(
    trial: Trial,
    plan: str,
    arms: Sequence[str],
    since: datetime | None,
    lowest: Mapping[tuple[str, ...], int],
    reporting: Set[tuple[str, str]],
) -> str | None:
    """Why `trial` is not analysed; `None` when it is."""
    if trial.plan != plan:
        return "other_plan"
    if trial.arm not in arms:
        return "other_arm"
    if since is not None and parse_timestamp(trial.started) < since:
        return "before_promotion"
    if trial.excluded is not None:
        return trial.excluded
    if reporting and is_inferred(trial) and _run(trial) in reporting:
        return "reported_late"  # the run's own record, whenever it came, is what counts
    if trial.attempt > lowest[trial.unit, *trial.job]:
        return "rerun"
    return trial.status if trial.status in ("cancelled", "error") else None

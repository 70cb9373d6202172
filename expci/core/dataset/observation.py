"""From trial records to the numbers that are analysed: which count, and as what.

The rules of what a failed, timed-out or repeated run counts as live here and nowhere
else. Everything keeps the ledger's own order.
"""

from __future__ import annotations

import bisect
import math
from collections import Counter
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np

from expci.core.dataset.moments import BoolArray, FloatArray, IntArray
from expci.core.model.experiment import Metric
from expci.core.model.metric_names import is_time
from expci.core.model.trial import Trial, parse_timestamp

NOT_EXPOSED = "not_exposed"
CI_RECORDS = "ci-records"  # the `source` of a trial that nobody reported
_WARM_UP = 10  # no evidence is weighed on fewer trials, so a first maximum over them is fair


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
    heard = _heard(trials, plan)
    reasons = [_reason(trial, plan, arms, since, lowest, heard) for trial in trials]

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


def _heard(trials: Sequence[Trial], plan: str) -> Set[tuple[str, str]]:
    """The runs that reported for themselves; not asked for where nothing was inferred."""
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
    heard: Set[tuple[str, str]],
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
    if heard and is_inferred(trial) and _run(trial) in heard:
        return "reported_late"  # the run's own record, whenever it came, is what counts
    if trial.attempt > lowest[trial.unit, *trial.job]:
        return "rerun"
    return trial.status if trial.status in ("cancelled", "error") else None


@dataclass(frozen=True)
class Frame:
    """The counted trials as columns, one row each, in the ledger's order.

    `arm` is the index among the arms (0 = control); `unit` codes what is analysed: a unit
    in an arm, or one run in a paired design. `failed`: the work did not do its job.
    """

    trials: tuple[Trial, ...]
    arms: tuple[str, ...]
    paired: bool
    arm: IntArray
    unit: IntArray
    failed: BoolArray


def frame(trials: tuple[Trial, ...], arms: tuple[str, ...], paired: bool) -> Frame:
    codes: dict[tuple[str, str], int] = {}
    unit = [
        index if paired else codes.setdefault((trial.unit, trial.arm), len(codes))
        for index, trial in enumerate(trials)
    ]
    return Frame(
        trials,
        arms,
        paired,
        np.array([arms.index(trial.arm) for trial in trials], dtype=np.int64),
        np.array(unit, dtype=np.int64),
        np.array([_failed(trial) for trial in trials], dtype=np.bool_),
    )


def pilot_frame(pilot: Sequence[Trial], arms: tuple[str, ...], paired: bool) -> Frame:
    """The trials of a pilot that tell what runs are like, whatever plan they were made for."""
    usable = tuple(
        trial
        for trial in pilot
        if trial.arm in arms
        and trial.excluded is None
        and trial.status not in ("cancelled", "error")
    )
    return frame(usable, arms, paired)


def _failed(trial: Trial) -> bool:
    if trial.status in ("failed", "lost"):
        return True
    return trial.status == "ok" and trial.metrics.get("success") == 0


@dataclass(frozen=True)
class Values:
    """One metric of every counted trial; nan where it has none.

    `last` is `value` with failures ranked last: a failed run takes the worst time seen
    up to then (durations only, else the same). `unreported` marks runs that worked and
    did not report the metric; `unusable` counts values that the kind cannot take,
    `winsorized` those that were pulled in to the plan's quantile.
    """

    value: FloatArray
    last: FloatArray
    unreported: BoolArray
    censored: int = 0
    failures: int = 0
    unusable: int = 0
    winsorized: int = 0


def values(metric: Metric, table: Frame, timeout_s: float) -> Values:
    """What each counted trial's run counts as on `metric`, outliers pulled in where asked."""
    found = _counted(metric, table, timeout_s)
    return found if metric.winsorize is None else _winsorized(found, metric.winsorize)


def _winsorized(found: Values, quantile: float) -> Values:
    """Values beyond the quantile of all values up to then, of all arms, count as that.

    So what comes later changes nothing, and nothing is cut before there are 1/(1 − quantile)
    values: only an order statistic is a bound.
    """
    last, seen = found.last.copy(), list[float]()
    for index in np.flatnonzero(~np.isnan(last)):
        bisect.insort(seen, float(last[index]))
        cut = len(seen) - math.ceil(quantile * len(seen))
        last[index] = min(max(last[index], seen[cut]), seen[-1 - cut])
    changed = ~np.isnan(last) & (last != found.last)
    return replace(
        found,
        value=np.where(np.isnan(found.value), np.nan, last),
        last=last,
        winsorized=int(changed.sum()),
    )


def _counted(metric: Metric, table: Frame, timeout_s: float) -> Values:
    """What each counted trial's run counts as on `metric`.

    `success`: 1 or what an `ok` run reported; 0 for failed, timed-out and lost runs.
    Durations: a timeout counts at the timeout; a failure has no duration of its own
    (a broken build is a fast one), it is only ranked. All else: as reported.
    """
    if metric.name == "success":
        return _whole(np.array([_success(trial) for trial in table.trials]), metric, table)
    if metric.kind == "duration":
        return _durations(reported(table, metric.name), metric, table, timeout_s)
    return _whole(reported(table, metric.name), metric, table)


def reported(table: Frame, name: str) -> FloatArray:
    """What the trials say of a metric; nan where they say nothing."""
    return np.array([t.metrics.get(name, math.nan) for t in table.trials], dtype=np.float64)


def _success(trial: Trial) -> float:
    return float(trial.metrics.get("success", 1.0)) if trial.status == "ok" else 0.0


def _whole(reported: FloatArray, metric: Metric, table: Frame) -> Values:
    value = reported.astype(np.float64)
    unusable = np.zeros(value.shape, dtype=np.bool_)
    if metric.kind == "proportion":
        unusable = (value < 0) | (value > 1)
        value = np.where(unusable, np.nan, value)
    ok = np.array([trial.status == "ok" for trial in table.trials], dtype=np.bool_)
    missing = np.isnan(value) & ok
    return Values(value, value, missing, unusable=int(unusable.sum()))


def _durations(reported: FloatArray, metric: Metric, table: Frame, timeout_s: float) -> Values:
    unusable = reported <= 0
    reported = np.where(unusable, np.nan, reported)
    late = np.array([trial.status == "timeout" for trial in table.trials], dtype=np.bool_)
    limit = timeout_s * (1000 if metric.name.endswith("_ms") else 1)
    at_limit = late & ((metric.name == "duration_s") | (np.isnan(reported) & is_time(metric.name)))
    observed = np.where(at_limit, limit, reported)
    # What a run that was cut off would have cost nobody knows: it ranks as a failed one.
    failed = table.failed | (late & np.isnan(observed))
    value = np.where(failed, np.nan, observed)
    return Values(
        value=value,
        last=np.where(failed, _worst_so_far(observed, metric), value),
        unreported=np.isnan(value) & ~failed,
        censored=int(at_limit.sum()),
        failures=int(failed.sum()),
        unusable=int(unusable.sum()),
    )


def _worst_so_far(observed: FloatArray, metric: Metric) -> FloatArray:
    """The worst time in the ledger up to each trial (and in its first ten)."""
    if not observed.size:
        return observed
    worse = np.fmax if metric.direction == "decrease" else np.fmin
    return worse(worse.accumulate(observed), worse.reduce(observed[:_WARM_UP]))


@dataclass(frozen=True)
class Path:
    """The unit means of one arm, as they stood after each of its trials.

    One entry per trial with a value: its `position` in the ledger's order, its `unit`
    (numbered by first appearance), the unit's mean after it, and before it (nan: first).
    """

    position: IntArray
    unit: IntArray
    mean: FloatArray
    before: FloatArray

    @property
    def first(self) -> BoolArray:
        return np.isnan(self.before)

    @property
    def final(self) -> FloatArray:
        """The unit means after the last trial, in order of first appearance."""
        found = np.empty(int(self.first.sum()))
        found[self.unit] = self.mean
        return found

    def up_to(self, units: int) -> Path:
        """Only the first `units` units."""
        return self._kept(self.unit < units)

    def before_position(self, position: int) -> Path:
        """Only what the ledger held before `position`."""
        return self._kept(self.position < position)

    def _kept(self, keep: BoolArray) -> Path:
        return Path(self.position[keep], self.unit[keep], self.mean[keep], self.before[keep])


def path(table: Frame, arm: int, column: FloatArray) -> Path:
    """The path of `column` in one arm; trials without a value leave no trace."""
    position = np.flatnonzero((table.arm == arm) & ~np.isnan(column))
    value, code = column[position], table.unit[position]
    _, first, inverse = np.unique(code, return_index=True, return_inverse=True)
    unit = np.argsort(np.argsort(first))[inverse].astype(np.int64)
    if first.size == position.size:
        return Path(position, unit, value, np.full(position.size, np.nan))
    return _with_repeats(position, unit, value)


def _with_repeats(position: IntArray, unit: IntArray, value: FloatArray) -> Path:
    mean, before = np.empty(value.size), np.full(value.size, np.nan)
    known: dict[int, tuple[int, float]] = {}
    for index in range(value.size):
        count, old = known.get(int(unit[index]), (0, math.nan))
        new = value[index] if not count else old + (value[index] - old) / (count + 1)
        mean[index], before[index] = new, old
        known[int(unit[index])] = count + 1, float(new)
    return Path(position, unit, mean, before)


@dataclass(frozen=True)
class Pairs:
    """The pairs of one treatment with control, in the order they became complete.

    `control` and `treatment` are row indices of the frame; `treatment_first` is +1 or −1
    by which ran first, 0 where the records don't tell. `lone_control` and
    `lone_treatment` count runs whose partner is missing.
    """

    control: IntArray
    treatment: IntArray
    treatment_first: FloatArray
    lone_control: int
    lone_treatment: int


def pairs(table: Frame, arm: int) -> Pairs:
    """Pairs share a block; where a block holds several, the k-th run meets the k-th run."""
    blocks: dict[str, tuple[list[int], list[int]]] = {}
    for row in np.flatnonzero((table.arm == 0) | (table.arm == arm)):
        block = table.trials[row].block
        if block is not None:
            blocks.setdefault(block, ([], []))[int(table.arm[row] == arm)].append(int(row))
    found = sorted((max(p), p) for c, t in blocks.values() for p in zip(c, t, strict=False))
    control = np.array([pair[0] for _, pair in found], dtype=np.int64)
    treatment = np.array([pair[1] for _, pair in found], dtype=np.int64)
    order = [_treatment_first(table.trials[c], table.trials[t]) for _, (c, t) in found]
    lone = [int(np.sum(table.arm == index)) - len(found) for index in (0, arm)]
    return Pairs(control, treatment, np.array(order, dtype=np.float64), lone[0], lone[1])


def _treatment_first(control: Trial, treatment: Trial) -> float:
    if control.order != treatment.order:
        return 1.0 if treatment.order < control.order else -1.0
    if control.started != treatment.started:
        return 1.0 if treatment.started < control.started else -1.0
    return 0.0

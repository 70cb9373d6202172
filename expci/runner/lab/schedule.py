"""What a lab trial will run: which arm, for which unit, in which order."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import groupby, islice

from expci.core.assignment import Rule, assign, pair_order
from expci.core.case_order import Visit, case_pair_order, lap, next_visits, part_of, visits_from
from expci.core.model import limits
from expci.core.model.arm import Budget, MetricsFile
from expci.core.model.budget import cost_names
from expci.core.model.cases import unit_of
from expci.core.model.content import Paths
from expci.core.value_class import dataclass, field, replace
from expci.errors import ExpciError, UsageError
from expci.runner.ci import context
from expci.runner.ci.context import CiJob
from expci.runner.lab.isolation import Hidden
from expci.runner.measure.secrets_vault import SecretsVault
from expci.runner.trial_ids import new_trial_id
from expci.store.cases import CaseContent


def _nothing(commit: str) -> tuple[str, ...]:
    del commit
    return ()


@dataclass(frozen=True)
class LabSettings:
    """What all runs of one call have in common.

    `contents` and `environments` are by arm. `unit` and `counter` are the user's own, if
    given; `arm` runs that arm alone. `wanted` metrics are kept before others, `primary` is the
    one that decides, where known. Commands are argument lists. `phase_began` is the start or
    the promotion, "" for a pilot.
    `cases` are all of the plan's by id, of which `chosen` ones and those of `part` (i of n) are
    run; `visited` counts what this clone has run of each. With `isolate` the `hidden` paths of
    a commit are not in a run's work tree. `judge` is the command that compares a pair's outputs,
    () where nothing does.
    """

    experiment: str
    directory: str
    rule: Rule
    contents: Mapping[str, Paths]
    environments: Mapping[str, Mapping[str, str]]
    command: tuple[str, ...]
    place: CiJob
    environment: Mapping[str, str] = field(repr=False)
    context: Mapping[str, str]
    setup: tuple[str, ...] | None = None
    warmup: int = 0
    timeout_s: float = limits.TIMEOUT_S
    share: tuple[str, ...] = ()
    metrics_from: tuple[MetricsFile, ...] = ()
    unit_kind: str = "run"
    unit: str | None = None
    counter: int | None = None
    pairs: int = 1
    arm: str | None = None
    in_place: bool = False
    quiet_output: bool = False
    metrics: Mapping[str, float] = field(default_factory=dict)
    wanted: Collection[str] = ()
    primary: str | None = None
    budget: Budget | None = None
    ledger: str = limits.LEDGER
    secrets: SecretsVault | None = None
    phase_began: str = ""
    cases: Mapping[str, CaseContent] = field(default_factory=dict)
    chosen: tuple[str, ...] = ()
    part: tuple[int, int] = (1, 1)
    visited: Mapping[str, int] = field(default_factory=dict)
    repeats: int = 1
    isolate: bool = False
    hidden: Hidden = _nothing
    judge: tuple[str, ...] = ()
    hidden_from_judge: Hidden = _nothing

    @property
    def budget_names(self) -> tuple[str, ...]:
        """The metrics that the budget sums; none without one."""
        return () if self.budget is None else cost_names(self.budget.metric)

    @property
    def is_paired(self) -> bool:
        return self.rule.design == "paired" and self.arm is None


@dataclass(frozen=True)
class PlannedRun:
    """One run that is due. `how` the arm came about: pair, block, hash or forced.

    `repeat` counts the runs of a visit of a `case` from 1.
    """

    arm: str
    unit: str
    how: str
    block: str | None = None
    seq: int = 0
    order: int = 1
    case: str | None = None
    repeat: int = 1


def runs(setting: LabSettings) -> list[PlannedRun]:
    """Return all runs in their order: `pairs` rounds, of cases `pairs` visits."""
    if setting.cases:
        return list(_of_cases(setting))
    session = f"local-{os.urandom(8).hex()}"
    return [run for seq in range(setting.pairs) for run in _round(setting, session, seq)]


def rounds(planned: Sequence[PlannedRun]) -> Iterator[list[PlannedRun]]:
    """Yield the runs of each round: a pair, or a single run."""
    for _, round in groupby(planned, key=lambda run: run.seq):
        yield list(round)


def repeated(round: Sequence[PlannedRun]) -> list[PlannedRun]:
    """Return the same round as a new block, so that no pair consists of two attempts."""
    block = new_trial_id(datetime.now(UTC))
    return [run if run.block is None else replace(run, block=block) for run in round]


def _round(setting: LabSettings, session: str, seq: int) -> Iterator[PlannedRun]:
    given = context.unit(setting.unit_kind, setting.place, setting.unit)
    # On a laptop every round is a unit of its own.
    unit = given or f"{session}-{seq}"
    if setting.arm is not None:
        yield PlannedRun(setting.arm, unit, "forced", seq=seq)
    elif setting.is_paired:
        block = new_trial_id(datetime.now(UTC))
        for position, arm in enumerate(_order(setting, given, session, seq), 1):
            yield PlannedRun(arm, unit, "pair", block, seq, position)
    else:
        counter = context.counter(setting.unit_kind, setting.place, setting.counter)
        assigned = assign(setting.rule, unit, counter if given else None)
        if assigned.arm is None:
            raise ExpciError(f"{unit} gets no arm: {assigned.explanation[-1]}")
        yield PlannedRun(assigned.arm, unit, assigned.reason, seq=seq)


def _of_cases(setting: LabSettings) -> Iterator[PlannedRun]:
    ranks = {case: rank for rank, case in enumerate(lap(setting.rule, tuple(setting.cases), 0))}
    for place, visit in enumerate(islice(_visits(setting), setting.pairs)):
        for repeat in range(setting.repeats):
            seq = place * setting.repeats + repeat
            yield from _case_round(setting, visit, ranks[visit.case], seq, repeat)


def _visits(setting: LabSettings) -> Iterator[Visit]:
    """The visits that are due: in CI by the run's number, elsewhere by what this clone ran."""
    cases = setting.chosen or part_of(setting.rule, tuple(setting.cases), setting.part)
    if not cases:
        raise UsageError("none of the cases is left to run")
    counter = context.counter("run", setting.place, setting.counter)
    if counter is None or setting.chosen:
        return next_visits(setting.rule, cases, setting.visited)
    return visits_from(setting.rule, cases, counter.number * setting.pairs)


def _case_round(
    setting: LabSettings, visit: Visit, rank: int, seq: int, repeat: int
) -> Iterator[PlannedRun]:
    unit, case = unit_of(visit.case), visit.case
    if setting.arm is not None:
        yield PlannedRun(setting.arm, unit, "forced", seq=seq, case=case, repeat=repeat + 1)
        return
    pair = visit.number * setting.repeats + repeat
    block = new_trial_id(datetime.now(UTC))
    order = case_pair_order(setting.rule, rank, pair)
    for position, arm in enumerate(order, 1):
        yield PlannedRun(arm, unit, "pair", block, seq, position, case, repeat + 1)


def _order(setting: LabSettings, given: str | None, session: str, seq: int) -> tuple[str, ...]:
    """The order inside one pair.

    Consecutive CI runs go on in one series, so that the order is balanced over them also
    where each makes a single pair.
    """
    counter = context.counter(setting.unit_kind, setting.place, setting.counter)
    if given is None or counter is None:
        return pair_order(setting.rule, given or session, seq)
    return pair_order(setting.rule, counter.stratum, counter.number * setting.pairs + seq)

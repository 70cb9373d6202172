"""A plan's decisions on many simulated experiments: which row applies first, and when.

What the analysis and the decision table say of one experiment at every look, for thousands
in arrays [experiments, looks], by the same statistics.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from expci.core.checks import registry
from expci.core.dataset.moments import BoolArray, FloatArray, IntArray
from expci.core.decision.criteria import looks_harmful
from expci.core.decision.numbers import DurationGuard, Improvement, LookNumbers
from expci.core.decision.table import TABLE, FirstRows, first_rows, rulings
from expci.core.decision.thresholds import compared_with, harm_level
from expci.core.kinds import look_evidence
from expci.core.kinds.contrast import Simulated
from expci.core.kinds.look_evidence import LookEvidence
from expci.core.kinds.trial_arrays import TrialArrays, simulated_column
from expci.core.model.experiment import Experiment, Metric, PlanRules
from expci.core.statistics.multiplicity import holm
from expci.core.statistics.t_mixture import p_value_of
from expci.core.statistics.terms import Terms

VERDICTS = ("rollback", "invalid", "promote", "stop", "undecided")
_PROMOTE, _STOP, _UNDECIDED = (VERDICTS.index(v) for v in ("promote", "stop", "undecided"))
_VERDICT = {verdict: code for code, verdict in enumerate(VERDICTS)}
_IS_DROP = np.array([row.verdict == "drop" for row in TABLE])
_OF_ROWS = np.array([_VERDICT.get(row.verdict, _UNDECIDED) for row in TABLE])


@dataclass(frozen=True)
class Outcomes:
    """For each experiment: the row that applied first, its look, units per arm then, and how many
    of them were measured.

    `looks_harmful` is where it stopped though a treatment's estimate is worse than the limit.
    """

    verdict: IntArray
    look: IntArray
    per_arm: IntArray
    looks_harmful: BoolArray
    measured: IntArray

    def share(self, verdict: str) -> float:
        return float(np.mean(self.verdict == VERDICTS.index(verdict)))


def first_decisions(
    experiment: Experiment, trials: TrialArrays, target: int | None, extra: int = 0
) -> Outcomes:
    """Return what is decided first. `target`: units per arm at most, `None` without a sample size;
    `extra`: how many of them were added after the start.

    Every metric of `trials.values` takes part; a guardrail without values cannot object.

    >>> from expci.core.planning.scenarios import Scenario, simulated_trials
    >>> from support.examples import planned
    >>> plan, rng = planned(), np.random.default_rng(1)
    >>> true = Scenario("no_effect")
    >>> trials = simulated_trials(plan.experiment, plan.source, true, (50, 80), rng)
    >>> first_decisions(plan.experiment, trials, plan.size).share("promote")
    0.0
    """
    return Simulation(experiment, trials, target, extra).outcomes()


@dataclass(frozen=True)
class _AdjustedEvidence:
    """One treatment's evidence with its p-value adjusted over the treatments."""

    evidence: LookEvidence
    p_value: FloatArray

    @property
    def harm_p_value(self) -> FloatArray:
        return self.evidence.harm_p_value

    @property
    def exact(self) -> BoolArray:
        return self.evidence.exact

    @property
    def relative(self) -> Improvement:
        return self.evidence.relative

    @property
    def absolute(self) -> Improvement:
        return self.evidence.absolute

    @property
    def relative_error(self) -> FloatArray:
        return self.evidence.relative_error

    @property
    def absolute_error(self) -> FloatArray:
        return self.evidence.absolute_error

    @property
    def no_loss_odds(self) -> FloatArray:
        return self.evidence.no_loss_odds

    @property
    def units(self) -> FloatArray:
        return self.evidence.units

    @property
    def futile(self) -> BoolArray:
        return self.evidence.futile

    @property
    def guard(self) -> DurationGuard | None:
        return self.evidence.guard


@dataclass
class Simulation:
    """The experiments of one plan on these trials."""

    experiment: Experiment
    trials: TrialArrays
    target: int | None
    extra: int = 0
    compared: dict[tuple[str, int], LookEvidence] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.rules: PlanRules = self.experiment.effective_rules
        self.weights = [
            self.experiment.assignment.weights.get(arm.name, 1.0) for arm in self.experiment.arms
        ]
        self.treatments = range(1, self.trials.arms)
        primary = self.experiment.primary
        column, in_pairs = simulated_column(primary, self.trials), primary.traits.pairing != "never"
        self.units = {
            arm: self.trials.smaller_arm(column.last, arm, in_pairs) for arm in self.treatments
        }
        self.sizes = self._sizes(column.last)
        self.per_arm = np.minimum.reduce(
            [self.sizes.get(arm, self.units[arm]) for arm in self.units]
        )
        on_cases = self._sizes(column.value)
        self.measured = np.minimum.reduce(
            [
                on_cases.get(arm, self.trials.smaller_arm(column.value, arm, in_pairs))
                for arm in self.treatments
            ]
        )
        for metric in (primary, *self.experiment.guardrails):
            if metric.name in self.trials.values:
                for arm in self.treatments:
                    self.compared[metric.name, arm] = self._compare(metric, arm)

    def _sizes(self, column: FloatArray) -> dict[int, FloatArray]:
        """What counts against the sample size where that is not units: pairs on cases."""
        if self.experiment.cases is None or not self.trials.paired:
            return {}
        return {arm: self.trials.pairs_run(column, arm) for arm in self.treatments}

    def _compare(self, metric: Metric, arm: int) -> LookEvidence:
        return look_evidence(
            Simulated(
                metric,
                self.trials,
                arm,
                self._terms,
                compared_with(self.experiment, metric),
                self._goal,
                exact=len(self.treatments) > 1,  # Holm's procedure needs the p-values themselves
            )
        )

    @property
    def _terms(self) -> Terms:
        names = [arm.name for arm in self.experiment.arms]
        weights = dict(zip(names, self.weights, strict=True))
        level = harm_level(self.experiment, len(self.treatments))
        paired, extra = self.trials.paired, self.extra
        return Terms(self.experiment, self.rules, self.target, level, paired, weights, extra)

    @property
    def _goal(self) -> IntArray:
        """The look at which each experiment has its sample size; −1 where it never has."""
        reached = self.per_arm >= (np.inf if self.target is None else self.target)
        return np.where(reached.any(axis=1), reached.argmax(axis=1), -1)

    def outcomes(self) -> Outcomes:
        numbers = self.numbers()
        first = first_rows(numbers)
        while self._withdraw_empty_intervals(first) or self._drop_arms(numbers, first):
            first = first_rows(numbers)
        verdict, per_arm = _OF_ROWS[first.row], _at(numbers.per_arm, first.look)
        harmful = [_at(looks_harmful(numbers, arm), first.look) for arm in numbers.treatments]
        suspected = np.logical_or.reduce(harmful) & (verdict == _STOP)
        measured = _at(numbers.measured, first.look).astype(np.int64)
        return Outcomes(verdict, first.look, per_arm.astype(np.int64), suspected, measured)

    def numbers(self) -> LookNumbers:
        """All that decides, as the decision table reads it."""
        names, adjusted = [arm.name for arm in self.experiment.arms], self._adjusted()
        primary, shape = self.experiment.primary.name, self.per_arm.shape
        return LookNumbers(
            experiment=self.experiment,
            evidence={
                (metric, names[arm]): _AdjustedEvidence(
                    evidence, adjusted[arm - 1] if metric == primary else evidence.p_value
                )
                for (metric, arm), evidence in self.compared.items()
            },
            units={names[arm]: units for arm, units in self.units.items()},
            sizes={names[arm]: pairs for arm, pairs in self.sizes.items()},
            measured=self.measured,
            target=np.nan if self.target is None else self.target,
            counted=np.ones(shape),
            overdue=np.zeros(shape, dtype=np.bool_),
            checks={"sample_ratio": (~self._invalid()).astype(np.float64)},
            paired=self.trials.paired,
            dropped={names[arm]: np.zeros(shape, dtype=np.bool_) for arm in self.treatments},
        )

    def _adjusted(self, dropped: Mapping[str, BoolArray] | None = None) -> FloatArray:
        """The primary's p-values by Holm's procedure; what was dropped has no more data."""
        primary, names = self.experiment.primary.name, [arm.name for arm in self.experiment.arms]
        raw = np.stack([self.compared[primary, arm].p_value for arm in self.treatments])
        for p_values, arm in zip(raw, self.treatments, strict=True):
            out = None if dropped is None else dropped[names[arm]]
            if out is not None and out.any():
                last = out.argmax(axis=1)
                p_values[out] = np.broadcast_to(_at(p_values, last)[:, None], out.shape)[out]
        return holm(raw)

    def proves_effect(self) -> BoolArray:
        """Where evidence of any effect on the primary ever reaches alpha, whatever follows."""
        return np.asarray((self._adjusted() <= self.rules.alpha).any(axis=(0, 2)))

    def proves_harm(self) -> BoolArray:
        """Where evidence of harm to any metric ever reaches its level, whatever follows."""
        level = harm_level(self.experiment, len(self.treatments))
        harmful = [evidence.harm_p_value <= level for evidence in self.compared.values()]
        return np.asarray(np.logical_or.reduce(harmful).any(axis=1))

    def _invalid(self) -> BoolArray:
        failed = np.zeros(self.per_arm.shape, dtype=np.bool_)
        if self.trials.paired or self.trials.unit is not None:
            return failed
        counts = np.stack(
            [np.cumsum(self.trials.arm == index, axis=1) for index in range(self.trials.arms)]
        )
        shares = np.array(self.weights) / sum(self.weights)
        suspect = _likelihood_ratio(counts, shares) >= -np.log(registry.ALARM)
        for row, look in zip(*np.nonzero(suspect), strict=True):
            log_e = registry.multinomial_log_e(counts[:, row, look].tolist(), shares.tolist())
            failed[row, look] = p_value_of(log_e) <= registry.ALARM
        return failed

    def _drop_arms(self, numbers: LookNumbers, first: FirstRows) -> bool:
        """Take a treatment out from the look at which a row drops it; was there one?"""
        dropping = np.flatnonzero(_IS_DROP[first.row])
        if not dropping.size:
            return False
        ruled = rulings(numbers, first)
        for experiment in dropping.tolist():
            arm = ruled[experiment].arm or ""
            numbers.dropped[arm][experiment, first.look[experiment] :] = True
        primary = self.experiment.primary.name
        for name, p_values in zip(numbers.treatments, self._adjusted(numbers.dropped), strict=True):
            evidence = numbers.evidence[primary, name]
            evidence.p_value[...] = p_values
        return True

    def _withdraw_empty_intervals(self, first: FirstRows) -> bool:
        """Take back a proportion's interval from where its ends have crossed; was there one?"""
        by_interval = np.isin(_OF_ROWS[first.row], (_PROMOTE, _STOP)) | _IS_DROP[first.row]
        row = np.flatnonzero(by_interval)
        return any(evidence.withdraw(row, first.look) for evidence in self.compared.values())


def _at(values: NDArray[Any], look: IntArray) -> NDArray[Any]:
    return np.take_along_axis(values, look[:, None], axis=1)[:, 0]


def _likelihood_ratio(counts: IntArray, shares: FloatArray) -> FloatArray:
    """The largest log likelihood ratio of any shares against these: above every mixture."""
    total = counts.sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        parts = counts * np.log(counts / (total * shares[:, None, None]))
    return np.asarray(np.where(counts > 0, parts, 0.0).sum(axis=0))

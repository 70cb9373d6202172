"""What an analysis says, as values.

`core/analysis/document.py` makes the `expci.analysis/1` document of them. A number that
cannot be computed is `None`, and `notes` says why; it is never invented.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from expci.core.model.budget import BudgetUse
from expci.core.model.experiment import Direction, Role
from expci.core.model.metric_kinds import Kind

Interval = tuple[float | None, float | None]  # `None` is an open (infinite) end

Verdict = Literal["continue", "promote", "rollback", "drop", "invalid", "stop", "expire"]
ReasonCode = Literal[
    "harm_primary",
    "harm_guardrail",
    "errors",
    "sample_ratio",
    "attrition",
    "not_exposed",
    "plan_drift",
    "implausible",
    "every_run_failed",
    "win",
    "effect_below_threshold",
    "no_effect",
    "harm_below_limit",
    "looks_harmful",
    "guardrail_unproven",
    "must_pass_broken",
    "budget_spent",
    "expired",
    "collecting",
    "no_data",
]


CriterionCode = Literal[
    "harm",
    "check",
    "enough_trials",
    "evidence",
    "effect",
    "guardrail",
    "guardrail_evidence",
    "arithmetic_mean",
    "failures_last",
    "must_pass",
    "below_threshold",
    "sample_size",
    "budget",
    "time_over",
]


NoteCode = Literal[
    "no_relative_change",
    "unsteady_effect",
    "unsteady_difference",
    "outside_interval",
    "repeated_units",
]


@dataclass(frozen=True)
class ArmSummary:
    """One arm of one metric. `n` counts analysed units, not raw trials."""

    n: int
    mean: float | None
    sd: float | None
    min: float | None
    max: float | None


@dataclass(frozen=True)
class Welch:
    """Welch's test on the raw scale, as if this had been the only look."""

    t: float | None
    df: float | None
    p_value: float | None
    interval: Interval | None


@dataclass(frozen=True)
class Paired:
    """The classical paired test on the raw differences (treatment − control), order-adjusted."""

    n: int
    t: float | None
    df: float | None
    p_value: float | None
    interval: Interval | None
    order_effect: float | None
    order_p_value: float | None


EXACT = "exact"  # the method of values that never vary


@dataclass(frozen=True)
class Evidence:
    """What the decision used. `harm_p_value` is one-sided, valid at every look.

    `p_value` is of the largest evidence so far and never rises; `e_value` (`log_e_value`) is the
    evidence as it stands, 1 on average without an effect (`None` at planned looks).

    Of values that never vary there is no p-value: their difference `is_exact`, and decides.

    `level_harm` is its threshold (alpha / m). `alpha_spent` is what the looks
    so far have used, where the method spends alpha by looks; `futile` whether the last of
    them makes success unlikely (`None` without a futility bound).
    """

    method: str
    p_value: float | None
    e_value: float | None
    looks: int | None
    log_e_value: float | None = None
    harm_p_value: float | None = None
    level_harm: float | None = None
    alpha_spent: float | None = None
    futile: bool | None = None

    @property
    def is_exact(self) -> bool:
        return self.method == EXACT


@dataclass(frozen=True)
class Corrected:
    """The primary's estimates freed of the winner's curse: shrunk towards no effect, so that they
    hold at a promotion, where estimates run high. Intervals are of the comparison's level."""

    improvement: float | None
    interval: Interval | None
    difference: float | None
    difference_interval: Interval | None


@dataclass(frozen=True)
class Comparison:
    """A treatment against control on one metric.

    `difference` is treatment − control in the metric's unit; `improvement` is relative
    and signed so that positive is better, with `interval` its confidence sequence at
    `level`. `holm_p_value` is the evidence's p-value adjusted over treatments, on secondary
    metrics `false_discovery_p_value` the one adjusted over all of them and their treatments.
    `note_codes` are the notes that something depends on, by their code.

    `difference_error` and `improvement_error` are standard errors as of this look alone: they say
    whether a guardrail has data enough. So does `no_loss_odds` of a proportion: how many times as
    likely its data are without a loss as with twice the limit. `corrected` is of a primary with a
    planned effect; it decides nothing.

    Reported, deciding nothing: `chance_to_beat` is the probability that the treatment is
    better and `expected_loss` what shipping it would cost on average if it is not (in the
    metric's unit), both under a flat prior; odds ratio and Cliff's delta as at one look.
    """

    arm: str
    difference: float | None
    difference_interval: Interval | None
    improvement: float | None
    interval: Interval | None
    level: float
    evidence: Evidence
    welch: Welch | None
    paired: Paired | None
    cohens_d: float | None
    hedges_g: float | None
    power: float | None
    effect_size_word: str | None = None
    holm_p_value: float | None = None
    notes: tuple[str, ...] = ()
    note_codes: Mapping[NoteCode, str] = field(default_factory=dict)
    false_discovery_p_value: float | None = None
    chance_to_beat: float | None = None
    expected_loss: float | None = None
    log_odds_ratio: float | None = None
    log_odds_ratio_interval: Interval | None = None
    cliffs_delta: float | None = None
    cliffs_delta_interval: Interval | None = None
    difference_error: float | None = None
    improvement_error: float | None = None
    no_loss_odds: float | None = None
    corrected: Corrected | None = None


@dataclass(frozen=True)
class MetricResult:
    """One metric over all arms. `unit` is as the plan states it."""

    name: str
    role: Role
    kind: Kind
    direction: Direction
    arms: Mapping[str, ArmSummary]
    comparisons: tuple[Comparison, ...]
    unit: str | None = None


@dataclass(frozen=True)
class CaseResult:
    """One case: how often each arm ran and passed it, and the primary metric's means.

    `difference` is treatment − control, `improvement` relative to control (a share's in points) and
    signed so that positive is better; both by treatment. A case is not `is_informative` where
    both arms were always alike. `broken_by` are the treatments that fail a `must_pass` case that
    control passes. `run_id` is the CI's run of the latest trial, where there was one.
    """

    id: str
    runs: Mapping[str, int]
    passed: Mapping[str, int]
    means: Mapping[str, float | None]
    difference: Mapping[str, float | None]
    improvement: Mapping[str, float | None]
    is_informative: bool
    must_pass: bool = False
    broken_by: tuple[str, ...] = ()
    run_id: str | None = None


@dataclass(frozen=True)
class Check:
    """A trust check. `failed` makes the verdict `invalid`; `warning` alerts."""

    name: str
    status: Literal["ok", "warning", "failed", "unknown"]
    p_value: float | None = None
    detail: str = ""


@dataclass(frozen=True)
class Criterion:
    """One criterion of the decision table, as met or not by these data.

    `code` says which, `arm` and `about` (a metric or a check) of what; `rule` and `detail`
    say it in words. Documents from before there were codes have none.
    """

    rule: str
    met: bool | None
    detail: str
    code: CriterionCode | None = None
    arm: str | None = None
    about: str | None = None


@dataclass(frozen=True)
class Decision:
    """The verdict, the rule that gave it, and what follows.

    `arm` is the treatment that the verdict is about, where it is about one.
    """

    verdict: Verdict
    reason_code: ReasonCode
    reasons: tuple[str, ...]
    next: str
    arm: str | None = None
    criteria: tuple[Criterion, ...] = ()


@dataclass(frozen=True)
class Progress:
    """How far the experiment is, per arm, and what is still to come.

    `per_arm`, `target` and `trials_needed` are trials (units) of each arm, pairs where `in_pairs`:
    as many again are needed of every arm. A paired design whose trials name no blocks is not
    compared in pairs; `None`: an earlier version wrote it, so the design says.
    `trials_per_day` is measured over both arms; `None` before two trials and a whole day.
    `hours_saved_per_month` is (cautious end, estimate) for a duration primary, at
    `runs_per_month`: as stated, as real jobs took part or by the CI's records; `None`: unknown.
    `corrected_hours_saved_per_month` is the same of the corrected estimate.
    `minimum_detectable_harm` is the smallest relative worsening of the primary that these
    trials would detect with the plan's power: what "no harm shown" is worth. `budget` is what
    was spent where the plan has one.
    """

    per_arm: int
    target: int | None
    trials_needed: int | None = None
    trials_per_day: float | None = None
    expected_end: str | None = None
    hours_saved_per_month: tuple[float, float] | None = None
    minimum_detectable_harm: float | None = None
    runs_per_month: float | None = None
    budget: BudgetUse | None = None
    corrected_hours_saved_per_month: tuple[float, float] | None = None
    in_pairs: bool | None = None


@dataclass(frozen=True)
class TrialCounts:
    """Counted trials by arm, and those that are kept and not counted by reason."""

    arms: Mapping[str, int]
    excluded: Mapping[str, int]


@dataclass(frozen=True)
class Analysis:
    """One look at one experiment; `core/analysis/document.py` makes the document of it.

    `refused` are records that never became trials, by the code of the reason and the arm;
    `dropped` are the treatments that are out of the experiment, `cases` those that were visited,
    the worst first.
    """

    experiment: str
    plan: str
    ledger: str
    state: str
    at: str
    trials: TrialCounts
    metrics: tuple[MetricResult, ...]
    checks: tuple[Check, ...]
    decision: Decision
    progress: Progress
    notes: tuple[str, ...] = ()
    version: str = ""
    schema: str = field(default="expci.analysis/1")
    refused: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    dropped: tuple[str, ...] = ()
    cases: tuple[CaseResult, ...] = ()

    @property
    def primary(self) -> MetricResult:
        return next(metric for metric in self.metrics if metric.role == "primary")

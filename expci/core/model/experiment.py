"""The experiment model: an experiment with every default filled in.

Standard library only, because the trial path reads these values too. `core/spec/parse.py`
makes them from a user's YAML file and refuses what is wrong with it; the ledger keeps
them as JSON (`to_json`, `from_json`) when the plan is frozen.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from types import MappingProxyType
from typing import Any, Literal

from expci.core.model import limits
from expci.core.model.arm import CONTROL as CONTROL
from expci.core.model.arm import DEFAULTS_FILE as DEFAULTS_FILE
from expci.core.model.arm import EXPERIMENTS_ROOT as EXPERIMENTS_ROOT
from expci.core.model.arm import ID_PATTERN as ID_PATTERN
from expci.core.model.arm import Arm as Arm
from expci.core.model.arm import Budget as Budget
from expci.core.model.arm import MetricsFile as MetricsFile
from expci.core.model.cases import Case, CaseSource
from expci.core.model.metric_kinds import KINDS, Kind, MetricKind
from expci.core.model.source import MetricSource

Role = Literal["primary", "guardrail", "secondary"]
Direction = Literal["increase", "decrease"]
Unit = Literal["run", "job", "pr", "actor", "custom", "case"]
Design = Literal["paired", "blocked", "randomized"]
Inference = Literal["anytime", "group-sequential", "fixed"]
InferenceBasis = Literal["stated", "stated_size", "computed_size", "ample_size", "no_size"]
Spending = Literal["obrien-fleming", "pocock", "power"]


@dataclass(frozen=True)
class Limit:
    """An effect size as the user wrote it: `15%` of control, or 0.3 in the metric's unit."""

    value: float
    relative: bool

    def __str__(self) -> str:
        return f"{100 * self.value:g}%" if self.relative else f"{self.value:g}"


@dataclass(frozen=True)
class Baseline:
    """What the user states about control before any trial: mean and standard deviation."""

    mean: float
    sd: float


@dataclass(frozen=True)
class Metric:
    """One measured number and what it must achieve.

    A proportion's limits are absolute (0.05 = five percentage points). A limit that is
    `None` is not set. `denominator` names the metric that a ratio divides by,
    `winsorize` the quantile that values are pulled in to, `adjust_by` the covariates whose
    influence is taken out, `unit` is what values are measured in, where the name does not tell,
    `source` the table that has the values where no trial reports them.
    """

    name: str
    role: Role
    kind: Kind
    direction: Direction
    minimum_effect: Limit | None = None
    max_regression: Limit | None = None
    alert_below: float | None = None
    non_inferior: bool = False
    quantile: float | None = None
    baseline: Baseline | None = None
    denominator: str | None = None
    winsorize: float | None = None
    adjust_by: tuple[str, ...] = ()
    unit: str | None = None
    source: MetricSource | None = None

    @property
    def traits(self) -> MetricKind:
        return KINDS[self.kind]


@dataclass(frozen=True)
class Assignment:
    """Who gets which arm. `traffic` is the share of units that take part, 0..1."""

    unit: Unit = limits.UNIT
    design: Design = limits.DESIGN_WITH_RUN
    weights: Mapping[str, float] = field(default_factory=dict)
    traffic: float = limits.TRAFFIC

    def __post_init__(self) -> None:
        object.__setattr__(self, "weights", MappingProxyType(dict(self.weights)))


@dataclass(frozen=True)
class PlanRules:
    """How evidence is weighed and for how long. `sample_size` is per arm, at most.

    `count_forks`: whether trials from runs of forks count; a stranger wrote their records.
    The four before it are of `group-sequential` plans: `looks` at equal steps of the sample size,
    alpha spent by `spending` (`rho`: exponent of the power family), and whether a look that
    makes success unlikely stops (`futility`, non-binding).

    `inference_basis` is why it is that inference: the file states it, or it says `auto` and the
    sample size is stated, computed, larger than needed by far, or unknown. `reserve` is the share
    of alpha that the planned looks leave to the trials of an extension. `planned_effect` is the
    hoped-for effect on the primary in standard deviations, which evidence at every look is tuned to
    (`None`: to no effect). `planned_harm` is the share of the level of harm that the planned looks
    spend; the rest is for the evidence at every look.
    """

    inference: Inference = "anytime"
    alpha: float = limits.ALPHA
    power: float = limits.POWER
    min_trials: int = limits.MIN_TRIALS
    sample_size: int | None = None
    max_days: float = limits.MAX_DAYS
    looks: int = limits.LOOKS
    spending: Spending = limits.SPENDING
    rho: float = limits.RHO
    futility: bool = False
    count_forks: bool = False
    inference_basis: InferenceBasis = "stated"
    reserve: float = 0.0
    planned_effect: float | None = None
    planned_harm: float = 0.0

    @property
    def planned_alpha(self) -> float:
        """What the planned looks may spend: all but the reserve for an extension."""
        return self.alpha * (1 - self.reserve)


@dataclass(frozen=True)
class DecisionRules:
    """What a verdict leads to. `holdback` of `None` is the default share."""

    promote: Literal["pr", "merge", "never"] = limits.PROMOTE
    promote_at: Limit | None = None
    rollback: Literal["auto", "manual"] = limits.ROLLBACK
    watch_days: float = limits.WATCH_DAYS
    holdback: float | None = None


@dataclass(frozen=True)
class Experiment:
    """An experiment with every effective value. Control comes first among `arms`.

    `rate` is how many times a month runs what it changes, where stated. `cases` are what the lab's
    pairs run on, `repeats` runs of each arm a visit; no promotion breaks one of `must_pass`.
    `isolate`: a run has neither the other arm's files nor the cases' in its work tree. `compare`
    is the command that judges the outputs of a pair.
    """

    id: str
    name: str
    hypothesis: str
    arms: tuple[Arm, ...]
    metrics: tuple[Metric, ...]
    assignment: Assignment
    plan: PlanRules
    decision: DecisionRules
    owner: str | None = None
    issue: int | None = None
    tags: tuple[str, ...] = ()
    prior: float | None = None
    risk: Literal["normal", "high"] = limits.RISK
    slot: str | None = None
    run: str | None = None
    setup: str | None = None
    warmup: int = limits.WARMUP
    timeout_s: float = limits.TIMEOUT_S
    share: tuple[str, ...] = ()
    metrics_from: tuple[MetricsFile, ...] = ()
    rate: float | None = None
    budget: Budget | None = None
    cases: CaseSource | None = None
    must_pass: tuple[str, ...] = ()
    repeats: int = limits.REPEAT
    isolate: bool = False
    compare: str | None = None

    @property
    def treatments(self) -> tuple[Arm, ...]:
        return tuple(arm for arm in self.arms if arm.name != CONTROL)

    @property
    def primary(self) -> Metric:
        return next(metric for metric in self.metrics if metric.role == "primary")

    @property
    def guardrails(self) -> tuple[Metric, ...]:
        return tuple(metric for metric in self.metrics if metric.role == "guardrail")

    @property
    def effective_rules(self) -> PlanRules:
        """The plan's rules with the alpha that is used: `risk: high` tests at 0.01 or less."""
        if self.risk != "high":
            return self.plan
        return replace(self.plan, alpha=min(self.plan.alpha, limits.HIGH_RISK_ALPHA))

    @property
    def arm_weights(self) -> tuple[float, float]:
        """Control's weight and the smallest treatment's; equal where none is stated."""
        weights = self.assignment.weights
        treatments = [weights.get(arm.name, limits.WEIGHT) for arm in self.treatments]
        return weights.get(CONTROL, limits.WEIGHT), min(treatments, default=limits.WEIGHT)

    def arm(self, name: str) -> Arm:
        """The arm of that name; `KeyError` when there is none."""
        for arm in self.arms:
            if arm.name == name:
                return arm
        raise KeyError(name)


def default_limit(kind: Kind) -> Limit:
    """Return `minimum_effect` and `max_regression` where none is stated.

    >>> default_limit("duration"), default_limit("proportion")
    (Limit(value=0.1, relative=True), Limit(value=0.05, relative=False))
    """
    return Limit(KINDS[kind].default_effect, relative=not KINDS[kind].is_share)


def to_json(value: Any) -> Any:
    """Return a model value as JSON-ready plain data, keys in declaration order.

    >>> to_json(Arm("treatment", env={"CACHE": "1"}))["env"], to_json(Limit(0.15, relative=True))
    ({'CACHE': '1'}, {'value': 0.15, 'relative': True})
    """
    if is_dataclass(value):
        return {f.name: to_json(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, Mapping):
        return {key: to_json(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_json(item) for item in value]
    return value


def from_json(data: Mapping[str, Any]) -> Experiment:
    """Return the inverse of `to_json` for an `Experiment`.

    `KeyError`, `TypeError` or `ValueError` on another shape, such as a newer version's.

    >>> metric = Metric("duration_s", "primary", "duration", "decrease")
    >>> arms = Arm("control"), Arm("treatment", files="treatment/")
    >>> experiment = Experiment(
    ...     "faster", "", "", arms, (metric,), Assignment(), PlanRules(), DecisionRules()
    ... )
    >>> from_json(to_json(experiment)) == experiment
    True
    """
    plain = dict(data)
    plain["arms"] = tuple(_arm(arm) for arm in plain["arms"])
    plain["metrics"] = tuple(_metric(metric) for metric in plain["metrics"])
    plain["assignment"] = Assignment(**plain["assignment"])
    plain["plan"] = PlanRules(**plain["plan"])
    plain["decision"] = DecisionRules(
        **{**plain["decision"], "promote_at": _limit(plain["decision"]["promote_at"])}
    )
    plain["tags"] = tuple(plain.get("tags", ()))
    plain["share"] = tuple(plain.get("share", ()))
    plain["metrics_from"] = tuple(MetricsFile(**file) for file in plain.get("metrics_from", ()))
    budget = plain.get("budget")
    plain["budget"] = None if budget is None else Budget(**budget)
    plain["cases"] = _cases(plain.get("cases"))
    plain["must_pass"] = tuple(plain.get("must_pass", ()))
    return Experiment(**plain)


def _cases(data: Mapping[str, Any] | None) -> CaseSource | None:
    if data is None:
        return None
    return CaseSource(**{**data, "frozen": tuple(Case(**case) for case in data["frozen"])})


def _limit(data: Mapping[str, Any] | None) -> Limit | None:
    return None if data is None else Limit(**data)


def _arm(data: Mapping[str, Any]) -> Arm:
    return Arm(**{**data, "delete": tuple(data["delete"])})


def _metric(data: Mapping[str, Any]) -> Metric:
    if data["kind"] not in KINDS:
        raise ValueError(f"a metric of kind {data['kind']!r}: use a newer expci")
    baseline, source = data.get("baseline"), data.get("source")
    return Metric(
        **{
            **data,
            "minimum_effect": _limit(data["minimum_effect"]),
            "max_regression": _limit(data["max_regression"]),
            "baseline": None if baseline is None else Baseline(**baseline),
            "adjust_by": tuple(data.get("adjust_by", ())),
            "source": None if source is None else MetricSource(**source),
        }
    )

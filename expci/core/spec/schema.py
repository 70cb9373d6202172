"""The shape of `experiment.yml` and `expci.yml`: every key, its type, its meaning, its default.

The models check form, not sense (`core/spec/parse.py` does). Every key is optional here so that
one reading lists all problems; `required` of a model names those that are not.
`core/spec/json_schema.py` makes the published schemas of them.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from expci.core.model import limits
from expci.core.model.experiment import (
    Design,
    Direction,
    Inference,
    Role,
    Spending,
    Unit,
)
from expci.core.model.metric_kinds import Kind
from expci.core.model.metrics_formats import MetricsFormat
from expci.core.model.source import Rows
from expci.core.spec.field_types import (
    Cases,
    Duration,
    Line,
    Number,
    PositiveSize,
    Rate,
    Share,
    Size,
    Text,
    TextOrEmpty,
    Whole,
    read_whole,
)

_EFFECT = (
    f"{limits.RELATIVE_EFFECT:.0%} ({100 * limits.PROPORTION_EFFECT:g} points for a proportion, "
    f"{100 * limits.PREFERENCE_EFFECT:g} for a preference)"
)


def _key(description: str, example: str, **limits: Any) -> Any:
    """A key that may be omitted. `example` is the value as a user would write it."""
    return Field(default=None, description=description, examples=[example], **limits)


class Section(BaseModel):
    """A mapping of the file. `required` are the keys that must be there."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)
    required: ClassVar[tuple[str, ...]] = ()


class BaselineSection(Section):
    required: ClassVar[tuple[str, ...]] = ("mean",)
    mean: Number | None = _key("Control's mean before any trial.", "300")
    sd: Number | None = _key(
        "Control's standard deviation; a proportion's follows from its mean.", "45", gt=0
    )


class SourceSection(Section):
    required: ClassVar[tuple[str, ...]] = ("name", "table", "unit", "at", "window")
    name: Line | None = _key("One of `sources` in experiments/expci.yml.", "warehouse")
    table: Line | None = _key("The table or view, with its schema where it has one.", "shop.orders")
    unit: Line | None = _key("The column with the unit, as `expci assign` printed it.", "user_id")
    at: Line | None = _key(
        "The column with the time of a row; without a zone it is UTC.", "paid_at"
    )
    window: Duration | None = _key(
        "How long after a unit's first trial its rows count; its value is read once, after that.",
        "7d",
    )
    value: Line | None = _key("The column with the number. Not for `rows: count`.", "amount")
    rows: Rows | None = _key(
        "What a unit's rows come to; with `one` a unit that has several has no value. "
        f"Default: `{limits.SOURCE_ROWS}`.",
        "sum",
    )


class MetricSection(Section):
    required: ClassVar[tuple[str, ...]] = ("name",)
    name: Line | None = _key("The name that trials report.", "duration_s")
    role: Role | None = _key(
        "`primary` decides (exactly one), `guardrail` must not get worse, `secondary` is "
        f"reported. Default: `{limits.ROLE}`.",
        "primary",
    )
    kind: Kind | None = _key(
        "How it is analysed. Default by name: `duration` for `*_s`, `*_ms`, `time_*`, "
        "`proportion` for `success`, `preference` for `preference`, else `mean`; never `count`.",
        "mean",
    )
    direction: Direction | None = _key(
        "Which way is better. Default by name: `decrease` for durations, sizes, costs and error "
        "counts; otherwise required.",
        "decrease",
    )
    minimum_effect: PositiveSize | None = _key(
        "The smallest effect worth having: `15%` of control, or `0.3` in the metric's unit; "
        f"percentage points for a proportion. Default for the primary metric: {_EFFECT}.",
        "15%",
    )
    max_regression: Size | None = _key(
        "How much worse it may get, in the same forms. Default for primary and guardrail "
        f"metrics: {_EFFECT}.",
        "10%",
    )
    alert_below: Number | None = _key("Raise an alert when an arm's mean is below this.", "0.5")
    non_inferior: bool | None = _key(
        "Promote only when the guardrail's whole interval is within its limit. Default: false.",
        "true",
    )
    quantile: Share | None = _key("Which quantile, for kind `quantile`.", "0.9", gt=0, lt=1)
    denominator: Line | None = _key(
        "For kind `ratio`: the metric that this one is divided by; both are averaged first.",
        "tokens",
    )
    winsorize: Share | None = _key(
        "Pull values beyond this quantile (and its counterpart below) in to it. Default: none.",
        "0.99",
        gt=0.5,
        lt=1,
    )
    adjust_by: list[Line] | None = _key(
        "Covariates from before the trial whose influence is taken out: names that trials "
        "record, `cpu`, `block` or `history`. Kinds `mean` and `duration`. Default: none.",
        "[lines_changed, cpu]",
    )
    unit: Line | None = _key(
        "What its values are measured in, where the name does not tell. Default: by the name's end "
        "(`_s`, `_ms`, `_mb`, `_usd`, `mb_per_s`), else none.",
        "MB/s",
    )
    source: SourceSection | None = _key(
        "The table that has the values, where no trial reports them. Default: trials report them.",
        "{name: warehouse, table: orders, unit: user_id, at: paid_at, window: 7d, value: amount}",
    )
    baseline: BaselineSection | None = _key(
        "Control before the start, from other data; plans the sample size.", "{mean: 300, sd: 45}"
    )


class MetricsFileSection(Section):
    required: ClassVar[tuple[str, ...]] = ("format", "path")
    format: MetricsFormat | None = _key("The tool that writes the file.", "hyperfine")
    path: Line | None = _key(
        "The file that each run writes anew, relative to the repository.", "bench.json"
    )


class BudgetSection(Section):
    required: ClassVar[tuple[str, ...]] = ("metric", "most")
    metric: Line | None = _key("The metric that adds up, such as a cost.", "cost_usd")
    most: Number | None = _key(
        "How much of it all trials of the plan may use together.", "20", gt=0
    )


class ArmSection(Section):
    description: TextOrEmpty | None = _key("What the arm is, in a few words.", "agents in parallel")
    files: Line | None = _key(
        "A directory beside this file whose files are put in place: `treatment/a/b` stands for "
        "`a/b` in the repository.",
        "treatment/",
    )
    patch: Line | None = _key("A git patch beside this file.", "treatment.patch")
    delete: list[Line] | None = _key("Paths of the repository to delete.", "[old/file.md]")
    env: dict[str, TextOrEmpty] | None = _key(
        "Environment variables of the arm; values are text.", "{REVIEW_MODE: parallel}"
    )
    promote: Line | None = _key(
        "For an arm that only sets `env`: the overlay directory or patch that ships it.", "ship/"
    )


class AssignmentDefaults(Section):
    unit: Unit | None = _key(
        f"What is randomised; `custom` needs `--unit`. Default: `{limits.UNIT}`, with `cases` the "
        "case.",
        "run",
    )
    design: Design | None = _key(
        "`paired` runs both arms in one job, `blocked` balances them over jobs, `randomized` "
        f"draws. Default: `{limits.DESIGN_WITH_RUN}` with `run:`, "
        f"else `{limits.DESIGN_WITHOUT_RUN}`.",
        "paired",
    )
    traffic: Share | None = _key(
        f"Share of units that take part at all. Default: {limits.TRAFFIC:.0%}.", "50%", gt=0, le=1
    )


class AssignmentSection(AssignmentDefaults):
    weights: dict[str, Number] | None = _key(
        f"How often each arm is drawn. Default: {limits.WEIGHT:g} for every arm.",
        "{control: 1, treatment: 1}",
    )


class PlanSection(Section):
    inference: Inference | Literal["auto"] | None = _key(
        "`anytime` is valid at every look, `group-sequential` at planned looks, `fixed` once; "
        "`auto` is what decides soonest: planned looks where the sample size is known at the "
        f"start, else every look. Default: `{limits.INFERENCE}`.",
        "auto",
    )
    alpha: Share | None = _key(
        f"Chance of a false win. Default: {limits.ALPHA:g}, at `risk: high` "
        f"{limits.HIGH_RISK_ALPHA:g}.",
        "0.05",
        gt=0,
        lt=limits.ALPHA_BELOW,
    )
    power: Share | None = _key(
        f"Chance to see an effect of `minimum_effect`. Default: {limits.POWER:g}.",
        "0.8",
        gt=0,
        lt=1,
    )
    min_trials: Whole | None = _key(
        f"Trials per arm before anything is promoted. Default: {limits.MIN_TRIALS}, "
        "or `sample_size` if smaller.",
        "20",
        ge=1,
    )
    sample_size: Whole | None = _key(
        "Trials per arm, at most. Default: computed from `minimum_effect`.",
        "60",
        ge=2,
        le=limits.SAMPLE_SIZE,
    )
    max_days: Number | None = _key(
        "Days after which it expires; with a slot and no `run` they count from the merge. "
        f"Default: {limits.MAX_DAYS:g}.",
        "14",
        gt=0,
        le=limits.DAYS,
    )
    looks: Whole | None = _key(
        "Group-sequential: how many looks, at equal steps of the sample size. "
        f"Default: {limits.LOOKS}.",
        "5",
        ge=1,
        le=limits.LOOKS_AT_MOST,
    )
    spending: Spending | None = _key(
        "Group-sequential: how the looks share alpha. "
        f"Default: `{limits.SPENDING}`, little at first.",
        "obrien-fleming",
    )
    rho: Number | None = _key(
        f"For `spending: power`: its exponent; larger spends later. Default: {limits.RHO:g}.",
        "3",
        gt=0,
        le=limits.RHO_AT_MOST,
    )
    futility: bool | None = _key(
        "Group-sequential: stop at a look that makes success unlikely. Default: false.", "true"
    )
    count_forks: bool | None = _key(
        "Count trials from runs of forks, whose records a stranger may have written. "
        "Default: false, they are kept and not counted.",
        "true",
    )


class DecisionSection(Section):
    promote: Literal["pr", "merge", "never"] | None = _key(
        f"What a win leads to: a pull request, its merge, or nothing. Default: `{limits.PROMOTE}`.",
        "pr",
    )
    promote_at: Size | None = _key(
        "The estimate needed to promote. Default: half of `minimum_effect`.", "7.5%"
    )
    rollback: Literal["auto", "manual"] | None = _key(
        f"Who undoes a promotion that proves harmful. Default: `{limits.ROLLBACK}`.", "auto"
    )
    watch_days: Number | None = _key(
        f"Days to watch after a promotion. Default: {limits.WATCH_DAYS:g}.",
        "7",
        ge=0,
        le=limits.DAYS,
    )
    holdback: Share | None = _key(
        f"Share of units that keep the old files while watching. Default: {limits.HOLDBACK:.0%}.",
        "50%",
        gt=0,
        lt=1,
    )


class _Shared(Section):
    """Keys that both files may hold."""

    version: Annotated[Literal[1], BeforeValidator(read_whole)] | None = _key(
        "Version of this format: 1.", "1"
    )
    owner: Line | None = _key("Who is responsible for it. Default: nobody.", "octocat")
    tags: list[Line] | None = _key(
        "Words to find it by (`expci status --tag WORD`). Default: none.", "[review]"
    )
    risk: Literal["normal", "high"] | None = _key(
        f"`high` tests at alpha {limits.HIGH_RISK_ALPHA:g}. Default: `{limits.RISK}`.", "normal"
    )
    warmup: Whole | None = _key(
        f"Lab: runs discarded per arm and job. Default: {limits.WARMUP}.",
        "1",
        ge=0,
        le=limits.WARMUP_AT_MOST,
    )
    timeout: Duration | None = _key(
        f"How long one trial may take. Default: {limits.TIMEOUT_S / 60:.0f}m.", "30m"
    )
    share: list[Line] | None = _key(
        "Lab: untracked paths that both arms' worktrees link. Default: none.", "[node_modules]"
    )
    plan: PlanSection | None = _key("How evidence is weighed, and for how long.", "{max_days: 14}")
    decision: DecisionSection | None = _key("What a verdict leads to.", "{promote: pr}")


class ExperimentFile(_Shared):
    required: ClassVar[tuple[str, ...]] = ("version", "hypothesis", "arms", "metrics")
    name: Line | None = _key("A title. Default: the experiment's id.", "Parallel review")
    hypothesis: Text | None = _key(
        "What should change, by how much, within which time.",
        "Parallel agents cut review time by 15% within 14 days.",
    )
    issue: Whole | None = _key("The issue it belongs to. Default: none.", "123", ge=1)
    prior: Share | None = _key(
        "How sure you are already, 0 to 1. Default: not stated.", "0.7", le=1, ge=0
    )
    rate: Rate | None = _key(
        "How often what it changes runs, for the hours saved: a number a day, week or month. "
        "Default: measured where real jobs take part or the CI's records tell, else none.",
        "50/month",
    )
    slot: Line | None = _key(
        "Live: the slot of the workflow steps that take part. If omitted: lab only.", "review"
    )
    run: Text | None = _key("Lab: the command that one trial runs.", "./review.sh")
    compare: Text | None = _key(
        "Lab: a command that judges which of a pair's two outputs is better, without knowing whose "
        "they are; it gives the metric `preference`. Default: none.",
        "./judge.sh",
    )
    setup: Text | None = _key("Lab: run once per arm, not measured. Default: none.", "npm ci")
    metrics_from: list[MetricsFileSection] | None = _key(
        "Lab: files of other tools that each run writes and whose metrics it reports. "
        "Default: none.",
        "[{format: hyperfine, path: bench.json}]",
    )
    budget: BudgetSection | None = _key(
        "Lab: what the trials may cost; no pair starts beyond it. Default: no limit.",
        "{metric: cost_usd, most: 20}",
    )
    cases: Cases | None = _key(
        "Lab: what each pair is run on: files or directories (`evals/*`), one JSON object with an "
        "`id` a line (`evals/cases.jsonl`), or the last merges (`{merged: 50}`). Default: none.",
        "evals/*",
    )
    must_pass: list[Line] | None = _key(
        "Cases that no promotion may break: passed by control, failed by the treatment. "
        "Default: none.",
        "[login, refund]",
    )
    repeats: Whole | None = _key(
        f"Runs of each arm for each visit of a case. Default: {limits.REPEAT}.",
        "1",
        ge=1,
        le=limits.REPEATS,
    )
    isolate: bool | None = _key(
        "Lab: a run has a work tree without the other arm's files, the cases and the history, and "
        "a fresh HOME. Default: true with `cases`, else false.",
        "true",
    )
    arms: dict[str, ArmSection] | None = _key(
        "`control` and one or more treatments.", "{control: {}, treatment: {files: treatment/}}"
    )
    metrics: list[MetricSection] | None = _key(
        "What is measured; `success` is always a guardrail.", "[{name: duration_s, role: primary}]"
    )
    assignment: AssignmentSection | None = _key("Who gets which arm.", "{unit: run}")


class DefaultsFile(_Shared):
    """`experiments/expci.yml`. Nothing that runs, and no variant, can be set here."""

    roots: list[Line] | None = _key(
        f"Directories that hold experiments. Default: [{limits.EXPERIMENTS_ROOT}].", "[experiments]"
    )
    ledger: Line | None = _key(f"The ledger's ref. Default: {limits.LEDGER}.", "refs/expci/ledger")
    ledger_contains: Line | None = _key(
        "A commit that the ledger must hold: a clone that never saw the ledger notices by it that "
        "the ledger is gone, or was put back to an old backup. Default: none.",
        "4f2a9c07d1e85b36a1c4f7e09b2d6853c0a7e914",
    )
    mirror_branch: bool | None = _key(
        "Also show the ledger as the branch expci-ledger. Default: false.", "true"
    )
    remote: Line | None = _key(f"The git remote. Default: {limits.REMOTE}.", "origin")
    transport: Literal["any", "artifact"] | None = _key(
        "How trials may arrive: by push and as artifacts (any), or only as artifacts, which the "
        "CI's own records vouch for (artifact). Default: any.",
        "artifact",
    )
    cron: Line | None = _key(
        "When the pass is due (`expci init` writes it into expci-pass.yml): minute, hour, day, "
        f"month, weekday, in UTC. Default: {limits.CRON}.",
        '"23 * * * *"',
    )
    after_revert: list[Line] | None = _key(
        "Workflows to start after a revert that a workflow's own token pushed, which starts none "
        "by itself; each needs `on: workflow_dispatch`. Default: none.",
        "[deploy.yml]",
    )
    retention_days: Number | None = _key(
        "For how many days `expci gc` leaves the trials of an experiment in the ledger after its "
        "end. Default: for ever.",
        "365",
        ge=0,
    )
    page: Line | None = _key(
        "Where the page of `expci site` is published, for the links of comments. Default: none.",
        "https://octocat.github.io/tools",
    )
    sources: dict[str, Line] | None = _key(
        "Databases that metrics may be read from, by name: an address without a secret, or the "
        "environment variable that has it. Default: none.",
        "{warehouse: $WAREHOUSE_URL}",
    )
    assignment: AssignmentDefaults | None = _key("Who gets which arm.", "{unit: run}")

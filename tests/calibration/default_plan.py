"""The default plan: what `inference: auto` needs and errs by, beside one look at the end."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import drift
import mistakes
import unequal_weights
from tables import covered, experiments_of, share, table

from expci.core.dataset.recorded import trial_columns
from expci.core.model.auto_inference import as_stated
from expci.core.model.experiment import (
    Arm,
    Assignment,
    Baseline,
    DecisionRules,
    Experiment,
    Limit,
    Metric,
    PlanRules,
)
from expci.core.planning.operating_characteristics import Question, outcomes_of
from expci.core.planning.planned_size import frozen_experiment
from expci.core.planning.scenarios import Scenario, source_of
from expci.core.planning.settled import fixed_size
from expci.core.planning.simulation import Outcomes
from expci.core.statistics.sample_size import as_spread

ALPHA = 0.05
EXPERIMENTS = 4000
WORLD_EXPERIMENTS = 2000
DRIFT_EXPERIMENTS = 400
EXTENSIONS = (0.0, 0.5, 1.0, 3.0)
MOST_SIZE, MOST_MEAN = 1.15, 0.85  # of the fixed design
DESIGNS = ("paired", "blocked", "randomized")


@dataclass(frozen=True)
class Setting:
    """A primary metric and the effect that the plan hopes for."""

    name: str
    metric: Metric


def _metric(name: str, kind: str, direction: str, effect: Limit, baseline: Baseline) -> Metric:
    return Metric(name, "primary", kind, direction, minimum_effect=effect, baseline=baseline)  # type: ignore[arg-type]


SETTINGS = (
    Setting(
        "duration, cv .3, −15 %",
        _metric("time_s", "duration", "decrease", Limit(0.15, True), Baseline(60.0, 18.0)),
    ),
    Setting(
        "mean, d = .5",
        _metric("score", "mean", "increase", Limit(0.5, False), Baseline(10.0, 1.0)),
    ),
    Setting(
        "mean, d = .8",
        _metric("score", "mean", "increase", Limit(0.8, False), Baseline(10.0, 1.0)),
    ),
    Setting(
        "proportion, .80 → .90",
        _metric("success", "proportion", "increase", Limit(0.1, False), Baseline(0.8, 0.4)),
    ),
    Setting(
        "proportion, .50 → .70",
        _metric("success", "proportion", "increase", Limit(0.2, False), Baseline(0.5, 0.5)),
    ),
)


def plan(setting: Setting, design: str, rules: PlanRules) -> Experiment:
    """The plan, `min_trials` aside, as the start freezes it."""
    experiment = Experiment(
        id="default",
        name="",
        hypothesis="",
        arms=(Arm("control"), Arm("treatment")),
        metrics=(setting.metric,),
        assignment=Assignment(design=design),  # type: ignore[arg-type]
        plan=rules,
        decision=DecisionRules(),
    )
    frozen, size = frozen_experiment(experiment, trial_columns([]))
    return replace(frozen, plan=replace(frozen.plan, sample_size=size or frozen.plan.sample_size))


def decided(
    experiment: Experiment, effect: Limit | None, experiments: int, extra: int = 0
) -> Outcomes:
    """What the frozen plan decides where the primary improves by `effect`."""
    source, size = source_of(experiment, trial_columns([])), experiment.plan.sample_size
    if source is None or size is None:
        raise ValueError("the plan states its baseline")
    scenario = Scenario("", {experiment.primary.name: effect} if effect else {})
    question = Question(experiment, source, size + extra, experiments=experiments, extra=extra)
    return outcomes_of(question, scenario)


def section(scale: float) -> str:
    return "\n".join([_sizes(scale), _worlds(scale), _unequal(scale), _extended(scale)])


def _sizes(scale: float) -> str:
    experiments = experiments_of(EXPERIMENTS, scale, 400)
    rows = [
        _size_row(setting, design, inference, experiments)
        for setting in SETTINGS
        for design in DESIGNS
        for inference in ("auto", "anytime")
    ]
    header = (
        *("metric and effect", "design", "plan", "fixed n", "sample size", "mean n"),
        *("promoted", "no effect: promoted", "no effect: rolled back"),
    )
    return f"""
## The default plan

`inference: auto` with a `baseline`, as the start freezes it: 20 planned looks, alpha spent as the
cube of the information, a tenth of it kept for an extension; beside it `inference: anytime`, tuned
to the planned effect. Through the whole decision, a look after every trial, promoted at half of
the effect or more. *Sample size* is confirmed for a power of 80 %; *mean n* are trials per arm
(pairs) until any verdict at the planned effect; both also as a multiple of the fixed design's n.
Limits of `auto`: {MOST_SIZE:g} and {MOST_MEAN:g}. {experiments} experiments a row.

{table(header, rows)}"""


def _size_row(setting: Setting, design: str, inference: str, experiments: int) -> list[str]:
    rules = PlanRules(min_trials=1)
    frozen = plan(setting, design, as_stated(rules) if inference == "auto" else rules)
    metric, size = frozen.primary, frozen.plan.sample_size or 0
    if metric.baseline is None:
        raise ValueError("the plan states its baseline")
    fixed = fixed_size(frozen, as_spread(metric, metric.baseline)) or 0
    hoped, nothing = (decided(frozen, e, experiments) for e in (metric.minimum_effect, None))
    limits = (MOST_SIZE, MOST_MEAN) if inference == "auto" else (None, None)
    mean = float(hoped.per_arm.mean())
    margin = float(hoped.per_arm.std()) / math.sqrt(experiments) / fixed
    print(".", end="", flush=True)
    return [
        *(setting.name, design, inference, f"{fixed}"),
        f"{size} ({_multiple(size / fixed, 0.0, limits[0])})",
        f"{mean:.1f} ({_multiple(mean / fixed, margin, limits[1])})",
        share(hoped.share("promote"), experiments),
        share(nothing.share("promote"), experiments, ALPHA),
        share(nothing.share("rollback"), experiments, ALPHA),
    ]


def _multiple(value: float, margin: float, limit: float | None) -> str:
    text = f"{value:.2f}" + (f" ±{margin:.3f}" if margin else "")
    return f"**{text}**" if limit is not None and value > limit + 3 * margin else text


def _worlds(scale: float) -> str:
    experiments = max(mistakes.CHUNK, int(WORLD_EXPERIMENTS * scale))
    experiments = experiments // mistakes.CHUNK * mistakes.CHUNK
    rows = []
    for setting in mistakes.settings():
        results = [mistakes.mistakes(setting, one, experiments) for one in ("auto", "tuned")]
        cells = [
            share(value, experiments, ALPHA)
            for result in results
            for value in (result.effect, result.promote, result.rollback)
        ]
        rows.append([*setting.words, *cells])
        print(".", end="", flush=True)
    named = ("effect shown", "promoted", "rolled back")
    header = ("values", "design", "dependence", *named, *(f"tuned: {name}" for name in named))
    return f"""
### In every world

The worlds of [the first table](#false-alarms), no effect, one primary and two guardrails with
limits of 0, so that the evidence alone decides; `auto` with {mistakes.SIZE} per arm, and `anytime`
*tuned* to half a standard deviation. {experiments} experiments a row.

{table(header, rows)}
False promotions stay within alpha in all of them. More effects and harm than alpha are shown only
where they are in every mode: runs that follow one another while one arm swings three times as
far ([what is warned of](#runs-that-follow-one-another)).
"""


def _unequal(scale: float) -> str:
    runs = max(unequal_weights.CHUNK, int(WORLD_EXPERIMENTS * scale))
    runs = runs // unequal_weights.CHUNK * unequal_weights.CHUNK
    rows = []
    for setting in unequal_weights.SETTINGS:
        for weights in unequal_weights.WEIGHTS:
            found = unequal_weights.alarms(setting, weights, "auto", runs)
            shares = (found.effect, found.harm, found.promote, found.rollback)
            cells = [share(value, runs, ALPHA) for value in shares]
            covers = covered(found.covers, runs, 1 - ALPHA)
            rows.append([setting.name, f"{weights[0]:g}:{weights[1]:g}", *cells, covers])
        print(".", end="", flush=True)
    header = (
        *("values", "control : treatment", "effect shown", "harm shown", "promoted"),
        *("rolled back", "interval covers"),
    )
    drifts = experiments_of(DRIFT_EXPERIMENTS, scale, 100)
    return f"""
### At unequal weights, under drift

As in [unequal weights](#unequal-weights), {runs} experiments a row:

{table(header, rows)}
As in [drift and outages](#drift-and-outages-at-unequal-weights), *effect shown*, {drifts}
experiments a cell:

{table(("design", "control : treatment", *_DRIFTS), list(_drift_rows(drifts)))}"""


_DRIFTS = {
    "rank, drift 1 sd": ("rank", 1.0),
    "proportion, rate .9 to .6": ("proportion", 0.0),
}


def _drift_rows(runs: int) -> Iterator[list[str]]:
    for design in ("blocked", "randomized"):
        for weights in drift.WEIGHTS:
            cells = [
                share(drift.shown(kind, design, weights, size, runs, "auto"), runs, ALPHA)
                for kind, size in _DRIFTS.values()
            ]
            yield [design, f"{weights[0]:g}:{weights[1]:g}", *cells]


def _extended(scale: float) -> str:
    experiments = experiments_of(EXPERIMENTS // 2, scale, 400)
    rows = []
    for setting in SETTINGS:
        frozen = plan(setting, "paired", as_stated(PlanRules(min_trials=1)))
        for extension in EXTENSIONS:
            extra = round(extension * (frozen.plan.sample_size or 0))
            nothing = decided(frozen, None, experiments, extra)
            hoped = decided(frozen, frozen.primary.minimum_effect, experiments, extra)
            cells = [share(nothing.share("promote"), experiments, ALPHA)]
            cells += [share(hoped.share(verdict), experiments) for verdict in ("promote", "stop")]
            rows.append([setting.name, f"{frozen.plan.sample_size}", f"{extension:.0%}", *cells])
        print(".", end="", flush=True)
    header = (
        *("metric and effect", "pairs planned", "extended by"),
        *("no effect: promoted", "planned effect: promoted", "stopped"),
    )
    return f"""
### Extended

`extend --trials` before the planned size is reached, in every experiment: whatever is not decided
at the planned looks goes on, weighed at every look with the tenth of alpha that was kept. Pairs;
{experiments} experiments a row.

{table(header, rows)}"""

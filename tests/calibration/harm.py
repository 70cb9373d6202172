"""How large harm ends: rolled back, or stopped with the estimate worse than the limit."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tables import share, table

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
from expci.core.planning.design_report import plan_report

EXPERIMENTS = 4000
ALPHA = 0.05
NOISE = (0.2, 0.3)
EFFECTS = tuple(Limit(-harm, True) for harm in (0.3, 0.5))
HARM = ("harm", "harm_twice", "effect")


def plan(design: str, cv: float) -> Experiment:
    """The default plan for a time that is to fall by 15 %."""
    primary = Metric(
        "duration_s",
        "primary",
        "duration",
        "decrease",
        minimum_effect=Limit(0.15, True),
        baseline=Baseline(60.0, 60.0 * cv),
    )
    return Experiment(
        id="harm",
        name="",
        hypothesis="",
        arms=(Arm("control"), Arm("treatment")),
        metrics=(primary, Metric("success", "guardrail", "proportion", "increase")),
        assignment=Assignment(design=design),  # type: ignore[arg-type]
        plan=PlanRules(),
        decision=DecisionRules(),
    )


def section(scale: float) -> str:
    experiments = max(500, int(EXPERIMENTS * scale))
    rows = [
        row
        for design in ("paired", "blocked", "randomized")
        for cv in NOISE
        for row in _rows(design, cv, experiments)
    ]
    header = (
        *("design", "cv", "size", "truth", "rolled back", "stopped", "of these, looks harmful"),
        *("promoted", "median n"),
    )
    return f"""
## Large harm

The default plan for a duration that is to fall by 15 %, its sample size computed and
confirmed, `max_regression` 10 %, success as the guardrail. *cv*: coefficient of variation of
single runs (paired: without anything that a pair shares). A harm as large as the limit is
estimated as smaller than it half of the time. *looks harmful*: the planned size came first and
the estimate is worse than the limit, which the report says and an alert tells.
{experiments} experiments a row.

{table(header, rows)}"""


def _rows(design: str, cv: float, experiments: int) -> Iterator[list[str]]:
    report = plan_report(plan(design, cv), (), None, experiments=experiments, effects=EFFECTS)
    for row in report.operating_characteristics:
        if row["scenario"] == "hoped_effect":
            continue
        numbers: list[Any] = [design, cv, report.sample_size["per_arm"], _truth(row)]
        limit = ALPHA if row["scenario"] == "no_effect" else None
        numbers.append(share(row["rollback"], experiments, limit))
        numbers += [share(row[key], experiments) for key in ("stop", "looks_harmful")]
        numbers += [share(row["promote"], experiments, ALPHA), row["trials_median"]]
        yield [str(number) for number in numbers]
    print(".", end="", flush=True)


def _truth(row: dict[str, Any]) -> str:
    effect = row["effect"]
    return "no effect" if effect is None else f"{-100 * effect['value']:.0f} % slower"

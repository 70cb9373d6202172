"""How often a treatment that wins on its primary metric and breaks a guardrail is promoted."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from unittest.mock import patch

import numpy as np
from harm import plan
from tables import share, table

from expci.core.dataset.recorded import trial_columns
from expci.core.decision import criteria
from expci.core.decision.criteria import Answer, CriterionKey
from expci.core.decision.numbers import LookNumbers
from expci.core.kinds.trial_arrays import TrialArrays
from expci.core.model.experiment import Baseline, Experiment, Limit, PlanRules
from expci.core.planning.scenarios import Scenario, simulated_trials, source_of
from expci.core.planning.simulation import first_decisions

EXPERIMENTS = 4000
CHUNK = 500
FALLS = (0.0, 0.02, 0.05, 0.10, 0.15)
PLANS = (  # design, cv, size, inference
    ("paired", 0.2, 40, "anytime"),
    ("randomized", 0.2, 60, "anytime"),
    ("randomized", 0.3, 120, "anytime"),
    ("paired", 0.2, 40, "group-sequential"),
)


def section(scale: float) -> str:
    experiments = max(CHUNK, int(EXPERIMENTS * scale) // CHUNK * CHUNK)
    rows = [row for setting in PLANS for row in _rows(setting, experiments)]
    header = (
        *("design", "cv", "size", "inference", "rule"),
        *(f"{100 * fall:.0f} points" if fall else "no fall" for fall in FALLS),
    )
    return f"""
## Guardrails

A time falls by 20 % and `success`, .95 in control, by the amount above the columns; its limit
is 5 points. How often the whole table promotes. *estimate*: the guardrail's estimate is within
its limit. *chance .7*: so is, with a flat prior, the effect with a chance of .7. *odds 2*, what
expci does: the data are twice as likely without a fall as with one of twice the limit (or the
chance is .8).
{experiments} experiments a cell.

{table(header, rows)}"""


def _estimate(n: LookNumbers, q: CriterionKey) -> Answer:
    del q
    return np.ones_like(n.counted)


def _chance(n: LookNumbers, q: CriterionKey) -> Answer:
    return (criteria.guardrail_chance(n, q) >= 0.7).astype(np.float64)


RULES: Mapping[str, Callable[[LookNumbers, CriterionKey], Answer]] = {
    "estimate": _estimate,
    "chance .7": _chance,
    "odds 2": criteria.PREDICATES["guardrail_evidence"],
}


def _rows(setting: tuple[str, float, int, str], experiments: int) -> list[list[str]]:
    design, cv, size, inference = setting
    experiment = _plan(design, cv, inference)
    cells: dict[str, list[str]] = {name: [] for name in RULES}
    for fall in FALLS:
        counts = dict.fromkeys(RULES, 0.0)
        rng = np.random.default_rng(17)
        for _ in range(experiments // CHUNK):
            drawn = _drawn(experiment, fall, size, rng)
            for name in RULES:
                counts[name] += CHUNK * _promoted(experiment, drawn, size, name)
        for name, count in counts.items():
            cells[name].append(share(count / experiments, experiments))
        print(".", end="", flush=True)
    head = [design, str(cv), str(size), inference]
    return [[*head, name, *cells[name]] for name in RULES]


def _promoted(experiment: Experiment, drawn: TrialArrays, size: int, rule: str) -> float:
    with patch.dict(criteria.PREDICATES, {"guardrail_evidence": RULES[rule]}):
        return first_decisions(experiment, drawn, size).share("promote")


def _plan(design: str, cv: float, inference: str) -> Experiment:
    experiment = plan(design, cv, PlanRules(inference=inference))  # type: ignore[arg-type]
    primary, success = experiment.metrics
    known = replace(success, baseline=Baseline(0.95, 0.218))
    return replace(experiment, metrics=(primary, known))


def _drawn(experiment: Experiment, fall: float, size: int, rng: np.random.Generator) -> TrialArrays:
    """Runs whose success has nothing to do with their time, and which all have one."""
    effects = {"duration_s": Limit(0.2, True)}
    if fall:
        effects["success"] = Limit(-fall, False)
    source = source_of(experiment, trial_columns([]))
    if source is None:
        raise ValueError("the plan states its baseline")
    trials = 2 * size + (0 if experiment.assignment.design == "paired" else 40)
    drawn = simulated_trials(experiment, source, Scenario("fall", effects), (CHUNK, trials), rng)
    return replace(drawn, failed=np.zeros_like(drawn.failed))

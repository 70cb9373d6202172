"""Effects and metrics that the tests of a decision's wording share."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

from expci.core.decision.decide import decide
from expci.core.model.experiment import Limit, Metric
from expci.core.model.results import Decision
from support.analysis_samples import START
from support.look_numbers import Effect, LookSample

COST = Metric("cost", "guardrail", "mean", "decrease", max_regression=Limit(0.1, True))
PROVEN = replace(COST, non_inferior=True)
SCORE = Metric("score", "primary", "mean", "increase", minimum_effect=Limit(1.0, False))
ARM = "treatment"
PRIMARY = ("duration_s", ARM)
UNDECIDED = Effect(p_value=0.5, improvement=0.02, interval=(-0.2, 0.2))
NO_CHANCE = Effect(p_value=0.5, improvement=0.0, interval=(-0.05, 0.05))
SILENT = Effect(None, None, None, None, None, None, notes=("evidence starts at 5 per arm",))
HARMFUL = Effect(1.0, 0.0001, -0.5, (-0.9, -0.2))
OVER = START + timedelta(days=14)


def decision(effect: Effect = UNDECIDED, **changes: Any) -> Decision:
    return decide(LookSample(effects={PRIMARY: effect}, **changes).input())


def details(look_decision: Decision) -> dict[str, tuple[bool | None, str]]:
    return {item.rule: (item.met, item.detail) for item in look_decision.criteria}

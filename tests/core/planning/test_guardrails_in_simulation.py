"""How often a treatment that breaks a guardrail is promoted, by plan and by analysis."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from expci.core.dataset.recorded import trial_columns
from expci.core.decision.table import first_rows
from expci.core.kinds.trial_arrays import TrialArrays
from expci.core.model.experiment import Baseline, Experiment, Limit, Metric
from expci.core.planning.operating_characteristics import (
    Question,
    characteristics,
    standard_scenarios,
)
from expci.core.planning.scenarios import source_of
from expci.core.planning.simulation import Simulation
from support.analysis_samples import DURATION, SUCCESS, look_at, make_experiment, make_trial

SLOW = replace(DURATION, minimum_effect=Limit(0.2, True), baseline=Baseline(10.0, 2.0))
SURE = replace(SUCCESS, baseline=Baseline(0.95, 0.218))
COST = Metric("cost", "guardrail", "mean", "decrease", max_regression=Limit(0.1, True))


def plan() -> Experiment:
    return make_experiment(primary=SLOW, others=(SURE,), sample_size=60)


def promoted(name: str) -> float:
    experiment = plan()
    source = source_of(experiment, trial_columns([]))
    assert source is not None
    scenario = next(s for s in standard_scenarios(experiment) if s.name == name)
    row = characteristics(Question(experiment, source, 60, experiments=1500), scenario)
    assert row is not None
    return row.promote


@pytest.mark.slow
def test_a_broken_guardrail_is_promoted_less_often_than_by_its_estimate_alone() -> None:
    """By the estimate alone: .44 at no-harm promotions of .97 (an independent audit's .44, .94)."""
    leaks, harmless = promoted("broken_guardrail"), promoted("hoped_effect")
    assert leaks < 0.33
    assert harmless > 0.87


def test_the_scenario_names_the_guardrail_and_its_loss() -> None:
    [broken] = [s for s in standard_scenarios(plan()) if s.guardrail]
    assert (broken.name, broken.guardrail) == ("broken_guardrail", "success")
    assert broken.effects == {"duration_s": SLOW.minimum_effect, "success": Limit(-0.1, False)}
    assert not [s for s in standard_scenarios(make_experiment(others=())) if s.guardrail]


@pytest.mark.parametrize("paired", [False, True])
def test_the_simulation_judges_guardrails_as_the_analysis_does(paired: bool) -> None:
    """The odds and errors of both, at the last look of one experiment."""
    design = "paired" if paired else "blocked"
    experiment = make_experiment(design=design, others=(SUCCESS, COST), sample_size=100)
    rng, n = np.random.default_rng(5), 60
    arm = np.tile([0, 1], n // 2)
    values = {
        "duration_s": rng.lognormal(1, 0.2, n),
        "success": (rng.random(n) < 0.9).astype(float),
        "cost": rng.normal(5, 1, n),
    }
    arrays = TrialArrays(
        arm[None, :],
        2,
        {name: column[None, :] for name, column in values.items()},
        np.zeros((1, n), dtype=np.bool_),
        paired,
    )
    simulated = Simulation(experiment, arrays, 100).numbers()
    assert first_rows(simulated).look.size == 1
    trials = [
        make_trial(
            index,
            "treatment" if arm[index] else "control",
            metrics={name: float(column[index]) for name, column in values.items()},
            **({"block": str(index // 2), "order": index % 2} if paired else {}),
        )
        for index in range(n)
    ]
    analysis = look_at(experiment, trials)
    for name in ("success", "cost"):
        [comparison] = next(m for m in analysis.metrics if m.name == name).comparisons
        evidence = simulated.evidence[name, "treatment"]
        assert comparison.difference_error == pytest.approx(evidence.absolute_error[0, -1])
        if name == "success":
            assert comparison.no_loss_odds == pytest.approx(evidence.no_loss_odds[0, -1])
        else:
            assert comparison.improvement_error == pytest.approx(evidence.relative_error[0, -1])

"""What the design report advises."""

import re
from dataclasses import replace

import numpy as np
import pytest

from expci.core.dataset.recorded import trial_columns
from expci.core.model.experiment import Baseline, Limit, Metric
from expci.core.model.trial import Trial
from expci.core.planning.design_report import plan_report
from support.analysis_samples import DURATION, in_pairs, make_experiment


@pytest.mark.slow
def test_a_hopeless_plan_is_told_so_with_what_would_do() -> None:
    metric = replace(DURATION, minimum_effect=Limit(0.1, True), baseline=Baseline(10, 1.5))
    hopeless = make_experiment(primary=metric, sample_size=10)
    report = plan_report(hopeless, trial_columns([]), None, experiments=300)
    assert report.power is not None
    assert report.power < 0.2
    assert any("10 trials per arm can hardly see 10%" in line for line in report.advice)
    assert any("paired" in line for line in report.advice)
    assert report.minimum_detectable_effect is not None
    assert report.minimum_detectable_effect > 0.2


def timed(wall: float, work: float, computes: float = 1.0) -> list[Trial]:
    """Pairs of a one-second command: load makes the wall's time vary by `wall`, in logs."""
    rng = np.random.default_rng(11)
    cpu = computes * np.exp(rng.normal(0, work, (2, 40)))
    times = cpu / computes * np.exp(rng.normal(0, wall, (2, 40)))
    values = {("control", i): (cpu[0][i], times[0][i]) for i in range(40)}
    values |= {("treatment", i): (cpu[1][i], times[1][i]) for i in range(40)}
    pairs = in_pairs(times[0], times[1])
    return [
        replace(t, metrics={"duration_s": t.metrics["duration_s"], "cpu_s": float(value[0])})
        for t in pairs
        for value in [values[t.arm, int(t.unit.removeprefix("job-"))]]
    ]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("wall", "work", "computes", "advised"),
    [
        (0.08, 0.005, 1.0, True),  # load on the machine
        (0.08, 0.005, 0.25, True),  # so much of it that three others run beside
        (0.001, 0.05, 1.0, False),  # the work itself varies, both clocks see it
        (0.08, 0.005, 0.1, False),  # it waits for nine tenths of its time
    ],
)
def test_the_processor_s_time_is_advised_where_the_pilot_shows_it(
    wall: float, work: float, computes: float, advised: bool
) -> None:
    metric = replace(DURATION, minimum_effect=Limit(0.01, True))
    plan = make_experiment(primary=metric, design="paired")
    pilot = timed(wall, work, computes)
    report = plan_report(plan, trial_columns(pilot), None, experiments=20)
    advice = [text for text in report.advice if "cpu_s" in text]
    assert bool(advice) is advised
    if advised:
        # Two-sided t test of pair differences: n = (1.96 + 0.84)^2 sd^2 / d^2, sd^2 = 2 work^2;
        # looking at every trial costs up to some two thirds more (docs/statistics.md).
        fixed = (1.96 + 0.84) ** 2 * 2 * work**2 / 0.01**2
        size = int(re.search(r"formula (\d+) pairs", advice[0])[1])  # type: ignore[index]
        assert fixed < size < 3 * fixed + 5


def test_without_a_pilot_no_clock_is_advised() -> None:
    baseline = replace(DURATION, baseline=Baseline(10, 1.5))
    report = plan_report(make_experiment(primary=baseline), trial_columns([]), None, experiments=20)
    assert not [text for text in report.advice if "cpu_s" in text]


@pytest.mark.parametrize(("bytes_of_run", "is_constant"), [(1000.0, True), (None, False)])
def test_what_never_varies_is_left_out_of_the_simulation(
    bytes_of_run: float | None, is_constant: bool
) -> None:
    """Analysis decides such a metric by the difference itself (docs/statistics.md, exact)."""
    rng = np.random.default_rng(5)
    sizes = rng.normal(1000, 50, 24) if bytes_of_run is None else np.full(24, bytes_of_run)
    pilot = [
        replace(trial, metrics={**trial.metrics, "binary_size": float(size)})
        for trial, size in zip(
            in_pairs(np.exp(rng.normal(2, 0.1, 12)), np.exp(rng.normal(2, 0.1, 12))),
            sizes,
            strict=True,
        )
    ]
    size = Metric("binary_size", "guardrail", "mean", "decrease")
    as_guardrail = make_experiment(others=(size,), design="paired")
    as_primary = make_experiment(
        primary=replace(size, role="primary", minimum_effect=Limit(0.05, True)), others=()
    )
    for plan in (as_guardrail, replace(as_primary, assignment=as_guardrail.assignment)):
        report = plan_report(plan, trial_columns(pilot), None, experiments=20)
        rows = [row for row in report.operating_characteristics if row.guardrail != "success"]
        of_size = plan.primary.name == "binary_size" or any(row.guardrail for row in rows)
        assert (bool(rows) and of_size) is not is_constant
        assert any("binary_size never vary" in text for text in report.advice) is is_constant

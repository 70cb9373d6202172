"""Values that cannot be what they are taken for: units, percent, zeros, nothing but failures."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from expci.core.model.experiment import Experiment
from expci.core.model.results import Analysis, Check
from expci.core.model.trial import Trial
from support.analysis_samples import look_at, make_experiment, make_trial

RNG = np.random.default_rng(15)


def named(analysis: Analysis, name: str) -> Check | None:
    return next((check for check in analysis.checks if check.name == name), None)


def of_kind(kind: str) -> Experiment:
    primary = next(metric for metric in make_experiment().metrics if metric.role == "primary")
    return make_experiment(primary=replace(primary, kind=kind))  # type: ignore[arg-type]


def trials(values: Callable[[str], float], count: int = 40, status: str = "ok") -> list[Trial]:
    arms = ("control", "treatment")
    return [
        make_trial(n, arms[n % 2], value=values(arms[n % 2]), status=status) for n in range(count)
    ]


def scaled(control: float, treatment: float) -> Callable[[str], float]:
    by_arm = {"control": control, "treatment": treatment}
    return lambda arm: by_arm[arm] * math.exp(RNG.normal(0, 0.1))


@pytest.mark.parametrize(
    ("control", "treatment"),
    # ms against s, s against min, bytes against KiB, bytes against MB, a share against percent
    [(1200, 1.2), (1.2, 1200), (90, 1.5), (4096, 4), (5e6, 5), (0.93, 93)],
)
@pytest.mark.parametrize("kind", ["duration", "mean"])
def test_arms_in_different_units_pause(control: float, treatment: float, kind: str) -> None:
    analysis = look_at(of_kind(kind), trials(scaled(control, treatment)))
    check = named(analysis, "implausible_ratio")
    assert check is not None
    assert check.status == "failed"
    assert "same unit" in check.detail
    # without the check a win where smaller, a rollback where larger
    assert analysis.decision.verdict == "invalid"
    assert analysis.decision.reason_code == "implausible"


@pytest.mark.parametrize(
    "values",
    [
        scaled(10, 7),
        scaled(10, 0.5),  # 20 times: a variant that really is that much better
        lambda arm: 0.0 if arm == "treatment" else 5.0,
        lambda arm: -5.0 if arm == "treatment" else 500.0,
        lambda arm: float(RNG.choice([1.0, 1000.0])),  # values in common
    ],
)
def test_what_may_be_an_effect_is_let_be(values: Callable[[str], float]) -> None:
    analysis = look_at(of_kind("mean"), trials(values))
    assert named(analysis, "implausible_ratio") is None


MIXED = [1.0 if n % 6 else 1000.0 for n in range(20)]  # a sixth of the runs in milliseconds


@pytest.mark.parametrize(
    ("control", "treatment", "where"),
    [
        ([10.0] * 20, [9.0 * scale for scale in MIXED], "treatment is about 9"),
        ([10.0 * scale for scale in MIXED], [9.0] * 20, "control is about 10"),
    ],
)
def test_an_arm_whose_runs_use_two_units_pauses(
    control: list[float], treatment: list[float], where: str
) -> None:
    values = {"control": iter(control), "treatment": iter(treatment)}
    jitter = np.random.default_rng(6)
    rows = trials(lambda arm: next(values[arm]) * math.exp(jitter.normal(0, 0.05)))
    analysis = look_at(of_kind("duration"), rows)
    check = named(analysis, "implausible_ratio")
    assert check is not None
    assert where in check.detail
    assert "every run reports it in the same unit" in check.detail
    assert (analysis.decision.verdict, analysis.decision.reason_code) == ("invalid", "implausible")


def test_one_run_in_the_other_unit_hides_nothing() -> None:
    values = {"control": iter([10.0] * 20), "treatment": iter([9000.0] * 19 + [9.0])}
    analysis = look_at(of_kind("duration"), trials(lambda arm: next(values[arm])))
    check = named(analysis, "implausible_ratio")
    assert check is not None
    assert "900 times apart" in check.detail


def test_percent_for_a_proportion_is_named_by_value_and_by_arm() -> None:
    analysis = look_at(of_kind("proportion"), trials(lambda _: 95.0))
    check = named(analysis, "unusable_values")
    assert check is not None
    assert check.status == "failed"
    for words in ("0 to 1", "20 of 20 in control, 20 of 20 in treatment", "such as 95", "percent"):
        assert words in check.detail
    assert named(analysis, "missing_primary") is None
    assert "did not report duration_s" not in " ".join(c.detail for c in analysis.checks)
    assert analysis.decision.verdict == "invalid"


def test_zero_for_a_duration_is_named_by_arm() -> None:
    values = iter([0.0 if n % 4 == 1 else 12.0 + n for n in range(40)])
    analysis = look_at(of_kind("duration"), trials(lambda _: next(values)))
    check = named(analysis, "unusable_values")
    assert check is not None
    assert "0 of 20 in control, 10 of 20 in treatment" in check.detail
    assert "values above 0" in check.detail


def test_usable_values_are_not_spoken_of() -> None:
    for kind, value in (("proportion", 0.5), ("duration", 2.0), ("mean", -1.0)):
        analysis = look_at(of_kind(kind), trials(lambda _, value=value: value))  # type: ignore[misc]
        assert named(analysis, "unusable_values") is None


@pytest.mark.parametrize("status", ["failed", "timeout"])
def test_from_the_first_pair_on_a_command_that_never_works_is_named(status: str) -> None:
    check = named(look_at(make_experiment(), trials(lambda _: 1.0, 2, status)), "every_run_failed")
    assert check is not None
    assert check.status == "warning"
    assert "1 in control, 1 in treatment" in check.detail
    analysis = look_at(make_experiment(), trials(lambda _: 1.0, 24, status))
    check = named(analysis, "every_run_failed")
    assert check is not None
    assert (check.status, "at the time limit" in check.detail) == ("failed", status == "timeout")
    assert analysis.decision.reason_code == "every_run_failed"
    mixed = [*trials(lambda _: 1.0, 2, status), make_trial(9, "control", value=1.0)]
    assert named(look_at(make_experiment(), mixed), "every_run_failed") is None


def test_where_success_itself_is_the_question_a_zero_in_both_arms_is_an_answer() -> None:
    rate = replace(make_experiment().primary, name="success", kind="proportion")
    analysis = look_at(make_experiment(primary=rate), trials(lambda _: 1.0, 24, "failed"))
    check = named(analysis, "every_run_failed")
    assert check is not None
    assert check.status == "warning"
    assert analysis.decision.verdict != "invalid"

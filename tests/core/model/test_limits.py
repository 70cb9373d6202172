"""One fact, one place: model, schema, `validate --explain` and docs state the same limits.

What stands here in numbers is what docs/experiment.md and the design promise to users.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from expci.core.model import limits
from expci.core.model.experiment import Experiment, Metric
from expci.core.spec.json_schema import defaults_schema, experiment_schema
from expci.core.spec.parse import Defaults, read_experiment

DOCS = Path(__file__).parents[3] / "docs"
LEAST = """\
version: 1
hypothesis: It is faster.
slot: review
arms: {control: {}, treatment: {env: {FAST: "1"}}}
metrics:
  - {name: duration_s, role: primary}
  - {name: share, kind: proportion, role: guardrail, direction: increase}
decision: {promote: never}
"""

# key: (how docs/experiment.md writes it, how the schema does)
PROMISED = {
    "risk": (limits.RISK, limits.RISK),
    "warmup": (str(limits.WARMUP), str(limits.WARMUP)),
    "timeout": (f"{limits.TIMEOUT_S / 60:.0f}m", f"{limits.TIMEOUT_S / 60:.0f}m"),
    "metrics.*.role": (limits.ROLE, limits.ROLE),
    "metrics.*.minimum_effect": (f"{limits.RELATIVE_EFFECT:.0%}",) * 2,
    "metrics.*.max_regression": (f"{limits.RELATIVE_EFFECT:.0%}",) * 2,
    "repeats": (str(limits.REPEAT),) * 2,
    "assignment.unit": (limits.UNIT,) * 2,
    "assignment.design": (limits.DESIGN_WITH_RUN, limits.DESIGN_WITHOUT_RUN),
    "assignment.weights": (f"{limits.WEIGHT:g}",) * 2,
    "assignment.traffic": (f"{limits.TRAFFIC:.0%}",) * 2,
    "plan.inference": (limits.INFERENCE,) * 2,
    "plan.alpha": (f"{limits.ALPHA:g}", f"{limits.HIGH_RISK_ALPHA:g}"),
    "plan.power": (f"{limits.POWER:g}",) * 2,
    "plan.min_trials": (str(limits.MIN_TRIALS),) * 2,
    "plan.max_days": (f"{limits.MAX_DAYS:g}",) * 2,
    "plan.looks": (str(limits.LOOKS),) * 2,
    "plan.spending": (limits.SPENDING,) * 2,
    "plan.rho": (f"{limits.RHO:g}",) * 2,
    "decision.promote": (limits.PROMOTE,) * 2,
    "decision.rollback": (limits.ROLLBACK,) * 2,
    "decision.watch_days": (f"{limits.WATCH_DAYS:g}",) * 2,
    "decision.holdback": (f"{limits.HOLDBACK:.0%}",) * 2,
    "roots": (limits.EXPERIMENTS_ROOT,) * 2,
    "ledger": (limits.LEDGER,) * 2,
    "remote": (limits.REMOTE,) * 2,
}


def documented(key: str) -> str:
    """The default column of the key's row in docs/experiment.md."""
    text = (DOCS / "experiment.md").read_text()
    [row] = re.findall(rf"^\| `{re.escape(key)}` \|(.*)\|$", text, re.MULTILINE)
    return str(row).rpartition("|")[2]


def described(key: str) -> str:
    """The key's description in the published schema."""
    schema: Any = defaults_schema() if key in ("roots", "ledger", "remote") else experiment_schema()
    part = schema
    for name in key.split("."):
        part = part["items"] if name == "*" else part["properties"][name]
        if "$ref" in part:
            part = {**schema["$defs"][part["$ref"].rpartition("/")[2]], **part}
    return str(part["description"])


@pytest.fixture
def reading() -> tuple[Experiment, dict[str, str]]:
    result = read_experiment("least", LEAST, {}, Defaults())
    assert result.problems == ()
    assert result.experiment is not None
    return result.experiment, dict(result.origins)


@pytest.mark.parametrize("key", PROMISED)
def test_docs_state_the_default(key: str) -> None:
    for value in PROMISED[key]:
        assert f"{value}`" in documented(key) or f"{value}]`" in documented(key), documented(key)


@pytest.mark.parametrize("key", PROMISED)
def test_the_schema_states_the_default(key: str) -> None:
    words = described(key).partition("Default")[2]
    for value in PROMISED[key]:
        assert value in words, words


def test_a_spec_that_says_nothing_gets_the_defaults(
    reading: tuple[Experiment, dict[str, str]],
) -> None:
    """The reader's values are the model's own, and `--explain` calls each a default."""
    experiment, origins = reading
    plan, decision, assignment = experiment.plan, experiment.decision, experiment.assignment
    assert (experiment.risk, experiment.warmup, experiment.timeout_s) == ("normal", 0, 1800.0)
    assert (plan.alpha, plan.power, plan.min_trials, plan.max_days) == (0.05, 0.8, 20, 14.0)
    assert (plan.inference, plan.looks, plan.spending, plan.rho) == (
        "anytime",
        5,
        "obrien-fleming",
        3.0,
    )
    assert (decision.rollback, decision.watch_days, decision.holdback) == ("auto", 7.0, 0.5)
    assert (assignment.unit, assignment.design, assignment.traffic) == ("run", "blocked", 1.0)
    primary, share = experiment.primary, named(experiment, "share")
    assert (str(primary.minimum_effect), str(primary.max_regression)) == ("10%", "10%")
    assert (str(share.max_regression), str(decision.promote_at)) == ("0.05", "5%")
    for key in ("risk", "warmup", "timeout", "plan.alpha", "plan.looks", "decision.watch_days"):
        assert origins[key] == "default"


def named(experiment: Experiment, name: str) -> Metric:
    return next(metric for metric in experiment.metrics if metric.name == name)


def test_high_risk_is_tested_at_its_own_alpha() -> None:
    result = read_experiment("least", f"{LEAST}risk: high\n", {}, Defaults())
    assert result.experiment is not None
    assert result.experiment.plan.alpha == limits.HIGH_RISK_ALPHA == 0.01


def test_experiment_docs_state_the_sizes() -> None:
    text = (DOCS / "experiment.md").read_text()
    for promise in (
        f"at most {limits.VARIANT_BYTES / 1e6:.0f} MB",
        f"the file itself {limits.SPEC_BYTES / 1e6:.0f} MB",
        f"[a-z0-9][a-z0-9-]{{0,{limits.ID_CHARACTERS - 1}}}",
        f"an alpha above {limits.HIGH_RISK_ALPHA:g}",
        f"a `prior` of {limits.SURE_PRIOR:g} or more",
        f"under {limits.UNSURE_PRIOR:g} (think again",
        f"fewer than {limits.ADVISED_TRIALS} planned trials per arm",
    ):
        assert promise in " ".join(text.split()), promise


def test_statistics_docs_state_the_constants() -> None:
    text = " ".join((DOCS / "statistics.md").read_text().split())
    for promise in (
        f"({limits.ALPHA:g}, `risk: high` {limits.HIGH_RISK_ALPHA:g})",
        f"no decision before {limits.MINIMUM_UNITS} ({limits.MINIMUM_PAIRS} pairs)",
        f"{limits.SAMPLE_SIZE_FACTOR:g} times the fixed sample",
        f"{limits.SAMPLE_SIZE_FACTOR:g} for `anytime`",
        f"alarms at {limits.ALARM:g} only",
    ):
        assert promise in text, promise

"""Calls that the world refuses: failures of the arm, or pairs that are made again."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from tables import experiments_of, share, table

from expci.core.kinds.trial_arrays import TrialArrays
from expci.core.model.experiment import (
    Arm,
    Assignment,
    DecisionRules,
    Experiment,
    Limit,
    Metric,
    PlanRules,
)
from expci.core.planning.scenarios import assigned
from expci.core.planning.simulation import first_decisions

EXPERIMENTS = 2000
PAIRS = 60
REFUSED = 0.02  # of all calls
CALLS = 12.0  # of a run, on average
ATTEMPTS = 4  # of a pair: the first and three repetitions
SPREAD = 0.3  # of a call's price in one run, in logs; half of its variance is the pair's
FEWEST = 0.5  # calls of a run vary by this share, evenly to both sides


@dataclass(frozen=True)
class Change:
    """What the treatment does: how many calls a run makes, and what a run costs, as multiples."""

    words: str
    calls: float
    cost: float


CHANGES = (
    Change("nothing", 1.0, 1.0),
    Change("20 % cheaper, as many calls", 1.0, 0.8),
    Change("as dear, twice the calls", 2.0, 1.0),
    Change("20 % cheaper, twice the calls", 2.0, 0.8),
)


# What becomes of refused runs, the share of calls that are refused, whether the pair is repeated.
MODES = (("none", 0.0, False), ("counted", REFUSED, False), ("made again", REFUSED, True))


def section(scale: float) -> str:
    runs = experiments_of(EXPERIMENTS, scale, 100)
    rows = []
    for change in CHANGES:
        for words, refused, again in MODES:
            found = simulate(change, runs, refused, again=again)
            rows.append(
                [
                    change.words,
                    words,
                    share(found.promote, runs),
                    share(found.rollback, runs),
                    f"{100 * found.bias:+.1f} points",
                    f"{found.attempts:.2f}",
                    f"{100 * found.lost:.1f} %",
                ]
            )
    header = ("the treatment is", "refused runs are", "promoted", "rolled back", "bias")
    return f"""
## Rate limits

{100 * REFUSED:g} % of all calls are refused, and a run with a refused call fails; a run makes
{CALLS:g} calls on average, from half to one and a half times as many, and costs by the call.
Primary `cost_usd` (`kind: duration`, 20 % hoped for), guardrail `success`, {PAIRS} pairs at most,
mode `anytime`. Refused runs count as failures of their arm, or their pair is made again (exit code
75), at most three times. Bias is that of the improvement by the geometric means over all pairs.
{runs} experiments a row.

{table((*header, "attempts a pair", "pairs lost"), rows)}
Counted as failures of their arm, refusals take more than half of the power, and an arm that makes
more calls is rolled back because of the provider. Made again, almost all of the power is there and
nothing is rolled back. What a repetition selects for is runs with few calls: of an arm that makes
twice the calls the cost is then seen about two points too low. `attrition` watches the refused
runs by arm, and a budget counts what they cost.
"""


@dataclass(frozen=True)
class Result:
    """Shares of experiments, the bias of the improvement, and what the repetitions cost."""

    promote: float
    rollback: float
    bias: float
    attempts: float
    lost: float


def simulate(change: Change, runs: int, share_refused: float, *, again: bool) -> Result:
    plan = _plan()
    rng = np.random.default_rng(53)
    size = (runs, 2 * PAIRS)
    arm = assigned(plan, size, rng)
    most = ATTEMPTS if again else 1
    cost, refused, attempts = _pairs(change, arm, rng, share_refused, most)
    failed = np.zeros(size, np.bool_) if again else refused
    # A pair that stays refused is an error of both: it is as though it had not been made.
    lost = np.repeat(refused.reshape(runs, PAIRS, 2).any(axis=2), 2, axis=1)
    values = np.where(lost if again else refused, np.nan, cost)
    success = np.where(lost, np.nan, 1.0) if again else 1.0 - refused
    trials = TrialArrays(arm, 2, {"cost_usd": values, "success": success}, failed, paired=True)
    outcomes = first_decisions(plan, trials, PAIRS)
    return Result(
        outcomes.share("promote"),
        outcomes.share("rollback"),
        _bias(values, arm, change),
        float(attempts.mean()),
        float(lost.mean()) if again else 0.0,
    )


def _plan() -> Experiment:
    metrics = (
        Metric(
            "cost_usd",
            "primary",
            "duration",
            "decrease",
            minimum_effect=Limit(0.2, True),
            max_regression=Limit(0.1, True),
        ),
        Metric("success", "guardrail", "proportion", "increase", max_regression=Limit(0.05, False)),
    )
    return Experiment(
        id="calibration",
        name="",
        hypothesis="",
        arms=(Arm("control"), Arm("treatment")),
        metrics=metrics,
        assignment=Assignment(design="paired"),
        plan=PlanRules(inference="anytime", min_trials=10, sample_size=PAIRS),
        decision=DecisionRules(),
    )


def _pairs(
    change: Change, arm: np.ndarray, rng: np.random.Generator, share_refused: float, most: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(costs, refused, attempts): the last attempt of each pair, and how many each took."""
    cost, refused = _runs(change, arm, rng, share_refused)
    attempts = np.ones(refused.shape)
    for _ in range(most - 1):
        bad = refused.reshape(len(arm), -1, 2).any(axis=2)
        both = np.repeat(bad, 2, axis=1)
        attempts += both
        new_cost, new_refused = _runs(change, arm, rng, share_refused)
        cost, refused = np.where(both, new_cost, cost), np.where(both, new_refused, refused)
    return cost, refused, attempts


def _runs(
    change: Change, arm: np.ndarray, rng: np.random.Generator, share_refused: float
) -> tuple[np.ndarray, np.ndarray]:
    mean = np.where(arm == 1, CALLS * change.calls, CALLS)
    share_of_mean = rng.uniform(1 - FEWEST, 1 + FEWEST, arm.shape)
    calls = np.round(mean * share_of_mean)
    price = np.where(arm == 1, change.cost / change.calls, 1.0)
    shared = np.repeat(rng.standard_normal((len(arm), arm.shape[1] // 2)), 2, axis=1)
    noise = (shared + rng.standard_normal(arm.shape)) * SPREAD / np.sqrt(2)
    refused = rng.random(arm.shape) >= (1 - share_refused) ** calls
    return calls * price * np.exp(noise), refused


def _bias(values: np.ndarray, arm: np.ndarray, change: Change) -> float:
    """Of the improvement that the geometric means show, over all experiments together."""
    with np.errstate(invalid="ignore"):
        logs = np.log(values)
    means = [float(np.nanmean(logs[arm == one])) for one in (0, 1)]
    return (1 - float(np.exp(means[1] - means[0]))) - (1 - change.cost)

"""Assignment: reproducible, balanced, and the same in every implementation."""

from __future__ import annotations

import hashlib
import hmac
from collections import Counter as Tally

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from expci.core.assignment import (
    Counter,
    Rule,
    assign,
    ordered_arms,
    pair_order,
    reduced_weights,
    trailing_counter,
)

PLAN = "5f" * 32
EVEN = {"control": 1.0, "treatment": 1.0}


def rule(design: str = "randomized", traffic: float = 1.0, **weights: float) -> Rule:
    return Rule(PLAN, "c2FsdA", design, weights or EVEN, traffic)


def reference_draw(purpose: str, *fields: str) -> float:
    """The published rule, written down a second time."""
    message = "\n".join([purpose, PLAN, *fields]).encode()
    digest = hmac.new(b"c2FsdA", message, hashlib.sha256).digest()
    return (int.from_bytes(digest[:8], "big") // 2**11) / 2**53


@pytest.mark.parametrize("unit", ["run-4242", "pr-7", "actor-octocat", "ünï", "a b"])
def test_a_unit_gets_the_arm_that_the_published_rule_names(unit: str) -> None:
    expected = "control" if reference_draw("arm", unit) < 0.25 else "treatment"
    assert assign(rule(control=1.0, treatment=3.0), unit).arm == expected
    in_part = reference_draw("traffic", unit) < 0.4
    assert (assign(rule(traffic=0.4), unit).arm is not None) == in_part


def test_vectors_that_other_implementations_must_agree_with() -> None:
    # Made once by `reference_draw`; a change here moves running experiments' units.
    units = [f"run-{number}" for number in range(4240, 4252)]
    arms = "".join((assign(rule(), unit).arm or "-")[0] for unit in units)
    blocks = "".join((assign(rule("blocked"), unit).arm or "-")[0] for unit in units)
    assert (arms, blocks) == (
        "".join("c" if reference_draw("arm", unit) < 0.5 else "t" for unit in units),
        "".join(
            "ct"[
                (
                    reference_draw("block", "run-", str(n // 2), "0")
                    < reference_draw("block", "run-", str(n // 2), "1")
                )
                == bool(n % 2)
            ]
            for n in range(4240, 4252)
        ),
    )
    assert (arms, blocks) == VECTORS


VECTORS = ("tctccccttttc", "cttccttctcct")


@pytest.mark.parametrize(
    "weights",
    [EVEN, {"control": 1.0, "treatment": 4.0}, {"control": 2.0, "a": 1.0, "b": 1.0}],
)
def test_shares_follow_the_weights(weights: dict[str, float]) -> None:
    drawn = Tally(
        assign(Rule(PLAN, "c2FsdA", "randomized", weights), f"run-{n}").arm for n in range(20_000)
    )
    total = sum(weights.values())
    expected = [20_000 * weights[arm] / total for arm in weights]
    assert chisquare([drawn[arm] for arm in weights], expected).pvalue > 0.001


def test_traffic_is_drawn_apart_from_the_arm() -> None:
    units = [f"run-{n}" for n in range(20_000)]
    taking = [arm for unit in units if (arm := assign(rule(traffic=0.3), unit).arm)]
    assert chisquare([len(taking), 20_000 - len(taking)], [6000, 14_000]).pvalue > 0.001
    drawn = Tally(taking)
    assert chisquare([drawn["control"], drawn["treatment"]]).pvalue > 0.001


@given(st.integers(0, 10**9), st.sampled_from([(1, 1), (1, 4), (2, 3), (0.5, 0.5), (0.2, 0.8)]))
@settings(max_examples=60)
def test_every_block_holds_the_weights_exactly(block: int, weights: tuple[float, float]) -> None:
    named = {"control": weights[0], "treatment": weights[1]}
    whole = reduced_weights(named)
    size = sum(whole.values())
    numbers = range(block * size, (block + 1) * size)
    drawn = Tally(assign(rule("blocked", **named), "u", Counter(n)).arm for n in numbers)
    assert drawn == whole


def test_blocks_are_permuted_differently_and_by_stratum() -> None:
    def series(stratum: str) -> str:
        arms = (assign(rule("blocked"), "u", Counter(n, stratum)).arm for n in range(400))
        return "".join((arm or "-")[0] for arm in arms)

    one, two = series("ci/test/3.11"), series("ci/test/3.12")
    assert one != two
    first = Tally(one[::2])
    assert chisquare([first["c"], first["t"]]).pvalue > 0.001


def test_a_leg_does_not_meet_one_arm_for_ever() -> None:
    # `3.12` ends with a number that does not count anything.
    units = [f"job-{run}-test-3.12" for run in range(200)]
    assert set(Tally(assign(rule("blocked"), unit).arm for unit in units)) == set(EVEN)


@given(st.integers(0, 10**6), st.integers(2, 5), st.text(min_size=1, max_size=8))
@settings(max_examples=60)
def test_orders_balance_every_arm_over_every_position(group: int, arms: int, key: str) -> None:
    named = {"control": 1.0} | {f"arm{number}": 1.0 for number in range(1, arms)}
    orders = [pair_order(rule("paired", **named), key, group * arms + i) for i in range(arms)]
    for position in range(arms):
        assert sorted(order[position] for order in orders) == sorted(named)


def test_which_order_comes_first_is_even() -> None:
    firsts = Tally(pair_order(rule("paired"), f"local-{n}", 0)[0] for n in range(4000))
    assert chisquare([firsts["control"], firsts["treatment"]]).pvalue > 0.001


@given(st.text(max_size=40), st.sampled_from(["randomized", "blocked", "paired"]))
def test_the_same_unit_gets_the_same_arm(unit: str, design: str) -> None:
    assert assign(rule(design), unit) == assign(rule(design), unit)


@pytest.mark.slow
@pytest.mark.parametrize("design", ["randomized", "blocked"])
@pytest.mark.parametrize(
    "weights", [{"control": 1.0, "a": 1.0, "b": 1.0}, {"control": 2.0, "a": 3.0, "b": 4.0}]
)
def test_when_an_arm_is_dropped_every_other_unit_keeps_its_arm(
    design: str, weights: dict[str, float]
) -> None:
    left = {arm: weight for arm, weight in weights.items() if arm != "b"}
    before = Rule(PLAN, "c2FsdA", design, weights)
    after = Rule(PLAN, "c2FsdA", design, left, dropped={"b": weights["b"]})
    units = [f"run-{n}" for n in range(5_000)]
    moved: Tally[str | None] = Tally()
    for unit in units:
        old, new = assign(before, unit).arm, assign(after, unit).arm
        if old != "b":
            assert new == old
        else:
            share = reference_draw("again", unit)
            of_control = weights["control"] / sum(left.values())
            assert new == ("control" if share < of_control else "a")
            moved[new] += 1
    expected = [moved.total() * weight / sum(left.values()) for weight in left.values()]
    assert chisquare([moved[arm] for arm in left], expected).pvalue > 0.001


def test_pairs_go_on_without_a_dropped_arm() -> None:
    after = Rule(PLAN, "c2FsdA", "paired", EVEN, dropped={"b": 1.0})
    orders = Tally(pair_order(after, "local", index) for index in range(400))
    assert orders[("control", "treatment")] == orders[("treatment", "control")] == 200


def test_salt_and_plan_decide_anew() -> None:
    units = [f"run-{n}" for n in range(200)]
    plain = [assign(rule(), unit).arm for unit in units]
    salted = [assign(Rule(PLAN, "other", "randomized", EVEN), unit).arm for unit in units]
    planned = [assign(Rule("a" * 64, "c2FsdA", "randomized", EVEN), unit).arm for unit in units]
    assert len({tuple(plain), tuple(salted), tuple(planned)}) == 3


def test_an_arm_without_weight_is_never_drawn() -> None:
    held = {"control": 0.5, "treatment": 0.5, "loser": 0.0}
    assert ordered_arms(held) == ["control", "treatment"]
    drawn = {
        assign(rule(design, **held), f"run-{n}").arm
        for n in range(300)
        for design in ("blocked", "randomized")
    }
    assert drawn == {"control", "treatment"}
    nobody = assign(rule(control=0.0), "run-1")
    assert (nobody.arm, nobody.reason) == (None, "no_weight")


def test_the_explanation_names_what_decided() -> None:
    text = "\n".join(assign(rule("blocked"), "run-4242").explanation)
    assert "'run-4242'" in text
    assert "number 4242 of 'run-'" in text
    assert "number 4242: place" in "\n".join(assign(rule("blocked"), "4242").explanation)
    dropped = Rule(PLAN, "c2FsdA", "randomized", {"control": 1.0}, dropped={"b": 9999.0})
    lines = assign(dropped, "run-1").explanation
    assert lines[-2].endswith(", which was dropped from the experiment")
    assert "b (its share" in lines[-2]
    assert "control (its share" in lines[-1]
    assert trailing_counter("run-") is None

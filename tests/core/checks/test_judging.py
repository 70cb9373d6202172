"""A judge that follows the place of an output."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from expci.core.model.experiment import Limit, Metric
from expci.core.model.judge import preference
from expci.core.model.results import Analysis
from support.analysis_samples import alternating, look_at, make_experiment

LIKED = Metric(
    "preference", "primary", "preference", "increase", minimum_effect=Limit(0.15, relative=False)
)


def judged(answers: Sequence[str]) -> Analysis:
    """A look at pairs with these answers of the judge."""
    values = [preference(pair) for pair in answers]
    known = [0.5 if value is None else value for value in values]
    trials = alternating([0.5] * len(known), known, "preference")
    made = [
        replace(trial, block=f"b{index // 2}", order=index % 2 + 1, context=context)
        for index, trial in enumerate(trials)
        for context in [{"judge": answers[index // 2]} if trial.arm != "control" else {}]
    ]
    return look_at(make_experiment(primary=LIKED, design="paired"), made)


def bias(answers: Sequence[str]) -> tuple[str, str]:
    [check] = [check for check in judged(answers).checks if check.name == "position_bias"]
    return check.status, check.detail


@pytest.mark.parametrize(
    ("answers", "status", "words"),
    [
        (["A/A"] * 20 + ["B/A"] * 10, "warning", "20 of 30 judged pairs (66.7%)"),
        (["A/A", "B/B"] * 15, "ok", "30 of 30 judged pairs (100%)"),
        (["B/A"] * 20, "ok", "0 of 20 judged pairs (0%)"),
        (["tie/tie"] * 20, "ok", "0 of 20"),
    ],
)
def test_a_side_is_an_alert(answers: list[str], status: str, words: str) -> None:
    found, detail = bias(answers)
    assert found == status, detail
    assert words in detail


def test_nothing_judged_is_nothing_to_check() -> None:
    assert [c for c in judged(["none"] * 10).checks if c.name == "position_bias"] == []


def test_the_answers_are_reported_beside_the_result() -> None:
    analysis = judged(["B/A"] * 6 + ["A/B"] * 2 + ["A/A"] * 3 + ["tie/tie"])
    [primary] = [metric for metric in analysis.metrics if metric.role == "primary"]
    notes = primary.comparisons[0].notes
    assert "preferred 6 times, control 2 times, 4 ties" in notes
    assert "3 of 12 answers turned with the order of the outputs: ties" in notes
    assert primary.comparisons[0].improvement == pytest.approx((6 - 2) / 12 / 2)

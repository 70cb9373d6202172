"""The keys about a judge, and where they mean nothing."""

from __future__ import annotations

from dataclasses import replace

import pytest

from expci.core.model.experiment import Baseline, Limit, from_json, to_json
from support.spec_samples import MINIMAL, experiment, problems_of, read

JUDGED = (
    MINIMAL[: MINIMAL.index("metrics:")]
    + "compare: ./judge.sh\nmetrics:\n  - {name: preference, role: primary}\n"
)


def test_a_judge_gives_a_preference_in_points_above_one_half() -> None:
    result = experiment(JUDGED)
    primary = result.primary
    assert (result.compare, primary.kind, primary.direction) == (
        "./judge.sh",
        "preference",
        "increase",
    )
    assert (primary.baseline, primary.minimum_effect) == (Baseline(0.5, 0.5), Limit(0.15, False))
    assert read(JUDGED).origins["metrics[0].baseline"] == "derived from kind preference"
    data = to_json(result)
    assert from_json(data) == result
    del data["compare"]
    assert from_json(data) == replace(result, compare=None)


@pytest.mark.parametrize(
    ("text", "path", "message"),
    [
        (MINIMAL + "compare: ./judge.sh\n", "compare", "gives the metric preference"),
        (JUDGED.replace("run:", "slot: a #"), "compare", "no `run` makes any"),
        (JUDGED + "assignment: {design: blocked}\n", "assignment.design", "has no pairs"),
        (
            JUDGED.replace("role: primary", "role: primary, direction: decrease"),
            "metrics[0].direction",
            "more of a preference is better",
        ),
        (
            JUDGED.replace("role: primary", "role: primary, kind: proportion"),
            "metrics[0].kind",
            "is proportion",
        ),
        (
            JUDGED.replace("role: primary", "role: primary, baseline: {mean: 0.6, sd: 0.4}"),
            "metrics[0].baseline.mean",
            "control stands for one half",
        ),
        (
            JUDGED.replace("compare: ./judge.sh\n", "") + "assignment: {design: blocked}\n",
            "metrics[0].kind",
            "preference is of pairs",
        ),
    ],
)
def test_keys_about_a_judge_that_make_no_sense(text: str, path: str, message: str) -> None:
    problems = problems_of(read(text))
    assert [where for _, where, words in problems if message in words] == [path], problems

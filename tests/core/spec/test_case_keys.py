"""The keys about cases, and where they mean nothing."""

from __future__ import annotations

import json

import pytest

from expci.core.model.experiment import from_json, to_json
from support.spec_samples import MINIMAL, experiment, problems_of, read

CASES = MINIMAL + "cases: evals/*\n"


def test_with_cases_the_case_is_the_unit_and_runs_are_isolated() -> None:
    result = experiment(CASES + "must_pass: [log in]\nrepeats: 3\n")
    assert result.cases is not None
    assert result.cases.path == "evals/*"
    assert result.assignment.unit == "case"
    assert (result.must_pass, result.repeats, result.isolate) == (("log in",), 3, True)
    origins = read(CASES).origins
    assert origins["assignment.unit"] == origins["isolate"] == "derived: cases:"
    assert not experiment(MINIMAL).isolate
    assert from_json(json.loads(json.dumps(to_json(result)))) == result


def test_a_plan_frozen_before_there_were_cases_reads_as_one_without() -> None:
    data = to_json(experiment(MINIMAL))
    for key in ("cases", "must_pass", "repeats", "isolate"):
        del data[key]
    assert from_json(data) == experiment(MINIMAL)


@pytest.mark.parametrize(
    ("text", "path", "message"),
    [
        (CASES + "slot: review\n", "cases", "are for the lab; real jobs have work of their own"),
        (
            CASES + "assignment: {unit: run}\n",
            "assignment.unit",
            "is run, but every case is a unit",
        ),
        (CASES + "assignment: {design: blocked}\n", "assignment.design", "cases are run in pairs"),
        (
            CASES + "plan: {inference: fixed, sample_size: 20}\n",
            "plan.inference",
            "plans its looks by new units",
        ),
        (CASES + "must_pass: [a, a]\n", "must_pass[1]", "'a' stands twice"),
        (CASES + "repeats: 0\n", "repeats", "must be at least 1"),
        (MINIMAL + "cases: ../evals/*\n", "cases", "leaves the repository or is not plain"),
        (MINIMAL + "cases: evals\n", "cases", "'evals' names one path"),
        (MINIMAL + "cases: {merged: 3}\nisolate: false\n", "isolate", "must be true for a replay"),
        (MINIMAL + "repeats: 2\n", "repeats", "means nothing without cases"),
        (MINIMAL + "must_pass: [a]\n", "must_pass", "means nothing without cases"),
        (MINIMAL + "assignment: {unit: case}\n", "assignment.unit", "is case, but there are no"),
    ],
)
def test_keys_about_cases_that_make_no_sense(text: str, path: str, message: str) -> None:
    [(_, where, words)] = problems_of(read(text))
    assert where == path
    assert message in words

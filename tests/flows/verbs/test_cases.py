"""Cases from the working directory to the frozen plan."""

from __future__ import annotations

import pytest

from expci.errors import ExpciError
from expci.flows.verbs.plan import plan
from expci.flows.verbs.start import start
from expci.flows.verbs.validate import validate
from support.repositories import Repository
from support.stage import Stage

SPEC = """\
version: 1
name: Better prompt
hypothesis: The new prompt cuts the cost by 15% within 14 days.
run: cat w.txt
cases: evals/*
must_pass: [c1]
arms:
  control: {}
  treatment: {files: treatment/}
metrics:
  - {name: cost_usd, role: primary, kind: duration}
"""


def propose(repository: Repository, spec: str = SPEC, cases: int = 6) -> None:
    repository.write("w.txt", "one\n")
    repository.commit("w")
    repository.write("experiments/e/experiment.yml", spec)
    repository.write("experiments/e/treatment/w.txt", "two\n")
    for number in range(cases):
        repository.write(f"evals/c{number}/task.txt", f"task {number}\n")


def test_cases_are_frozen_with_the_plan_and_another_case_is_another_plan(
    repository: Repository,
) -> None:
    propose(repository)
    stage = Stage(repository)
    assert validate(repository.path, ["e"], git=stage.context.git).problems == ()
    repository.commit("e")
    repository.push("HEAD:main")
    first = start(stage.context, "e")
    plan = stage.context.store.snapshot().ledger.plan("e")
    assert plan is not None
    assert plan.experiment.cases is not None
    assert [case.id for case in plan.experiment.cases.frozen] == [f"c{n}" for n in range(6)]
    assert start(stage.context, "e").already
    repository.write("evals/c2/task.txt", "another task\n")
    repository.commit("changed")
    repository.push("HEAD:main")
    second = start(stage.context, "e")
    assert not second.already
    assert second.plan != first.plan
    [learned] = stage.context.store.snapshot().ledger.life("e").learned
    assert "Cases changed (changed: c2)" in learned
    assert f"The plan {first.plan[:12]} had 6 cases: it had no trials yet." in learned


@pytest.mark.parametrize(
    ("spec", "cases", "words"),
    [
        (
            SPEC,
            0,
            "experiment.yml:5: cases: evals/* has no case — commit them, or correct the path",
        ),
        (SPEC.replace("[c1]", "[c0]"), 1, "cases: 1 case, and evidence is over cases — have 5"),
        (
            SPEC.replace("[c1]", "[c11]"),
            6,
            "experiment.yml:6: must_pass[0]: 'c11' is not a case — did you mean 'c1'?",
        ),
        (SPEC.replace("evals/*", "{merged: 20}").replace("must_pass: [c1]\n", ""), 0, "case"),
    ],
)
def test_what_validate_refuses_does_not_start(
    repository: Repository, spec: str, cases: int, words: str
) -> None:
    propose(repository, spec, cases)
    stage = Stage(repository)
    before = validate(repository.path, ["e"], git=stage.context.git).problems
    assert any(words in str(problem) for problem in before), before
    repository.commit("e")
    repository.push("HEAD:main")
    with pytest.raises(ExpciError) as refused:
        start(stage.context, "e")
    assert words in str(refused.value)


def test_plan_says_how_many_cases_there_are_and_how_to_learn_what_repeats_give(
    repository: Repository,
) -> None:
    propose(repository)
    report = plan(Stage(repository).context, "e").report
    assert report.cases is not None
    assert (report.cases.cases, report.cases.repeats) == (6, 1)
    assert any("expci trial e --pilot --pairs 12" in line for line in report.advice)


def test_validate_says_which_merges_are_not_replayed(repository: Repository) -> None:
    spec = SPEC.replace("evals/*", "{merged: 6}").replace("must_pass: [c1]\n", "")
    for number in range(6):
        repository.write("m.txt", f"{number}\n")
        repository.commit(f"m{number}")
    (repository.path / "image").write_bytes(b"\0\1\2" * 100)
    repository.git("add", "image")
    propose(repository, spec, cases=0)
    result = validate(repository.path, ["e"], git=Stage(repository).context.git)
    assert result.problems == ()
    assert "merges that are not replayed: 1 with binary files" in result.advice["e"]

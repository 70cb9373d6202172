"""What a user writes, as an experiment or as all of its problems."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from expci.core.model.content import SPEC_NAME
from expci.core.model.experiment import from_json, to_json
from expci.core.spec.parse import read_experiment, slot_conflicts
from expci.core.spec.repository_defaults import Defaults, read_defaults
from expci.core.spec.schema import ExperimentFile
from expci.core.spec.variants import live_paths
from support.properties import examples
from support.spec_samples import MINIMAL, file, problems_of, read

DOCS = Path(__file__).parents[3] / "docs"
FULL = (
    MINIMAL
    + """\
prior: 0.7
timeout: 30m
share: [node_modules]
warmup: 1
plan: {alpha: 5%, sample_size: 60}
decision: {promote_at: 0.3}
"""
)


@pytest.mark.parametrize(
    ("old", "new", "line", "path", "words"),
    [
        ("version: 1\n", "", 1, "version", "is missing"),
        ("version: 1", "version: 2", 1, "version", "must be 1"),
        ("version: 1", "version: true", 1, "version", "not true"),
        ("run:", "rnu:", 3, "rnu", "unknown key"),
        ("run: ./build.sh", "run: 5", 3, "run", "must be text, not 5"),
        ("run: ./build.sh", "run: true", 3, "run", "must be text, not true"),
        ("run: ./build.sh", 'run: "a\\0b"', 3, "run", "invisible character U+0000"),
        ("run: ./build.sh", "run: a \u202eb", 3, "run", "invisible character U+202E"),
        ("run: ./build.sh", "run:", 3, "run", "has no value"),
        ("hypothesis: It", "hypothesis: ''\nx: It", 2, "hypothesis", "is empty"),
        ("hypothesis: It", "hypothesis: [It]\nx: It", 2, "hypothesis", "must be text"),
        ("  control: {}\n", "", 4, "arms", "no control"),
        ("  control: {}", "  control: {env: {A: b}}", 5, "arms.control.env", "must change nothing"),
        ("  treatment: {files: treatment/}\n", "", 4, "arms", "no treatment"),
        ("  treatment: {files", "  excluded: {files", 6, "arms.excluded", "a word of the reports"),
        ("{files: treatment/}", "{}", 6, "arms.treatment", "changes nothing"),
        ("{files: treatment/}", "{env: {A: b}}", 6, "arms.treatment", "a win would ship nothing"),
        ("{files: treatment/}", "{env: {A: 1}, files: treatment/}", 6, "arms.treatment.env.A",
         "must be text, not 1"),
        ("{files: treatment/}", "{env: {EXPCI_ARM: b}, files: treatment}", 6,
         "arms.treatment.env.EXPCI_ARM", "sets itself"),
        ("{files: treatment/}", "{env: {A-B: b}, files: treatment}", 6, "arms.treatment.env.A-B",
         "not a valid variable name"),
        ("{files: treatment/}", "{file: treatment/, env: {A: b}}", 6, "arms.treatment.file",
         "unknown key"),
        ("{files: treatment/}", "{files: nowhere/}", 6, "arms.treatment.files", "missing or empty"),
        ("{files: treatment/}", "{files: ../treatment}", 6, "arms.treatment.files", "leaves"),
        ("{files: treatment/}", "{files: /etc}", 6, "arms.treatment.files", "leaves"),
        ("{files: treatment/}", "{files: .}", 6, "arms.treatment.files", "experiment itself"),
        ("{files: treatment/}", "{patch: a.patch}", 6, "arms.treatment.patch", "no file 'a.patch'"),
        ("{files: treatment/}", "{delete: [/etc/x]}", 6, "arms.treatment.delete[0]", "absolute"),
        ("{files: treatment/}", "{delete: [a, ../b]}", 6, "arms.treatment.delete[1]", "leaves"),
        ("{files: treatment/}", "{delete: [.GIT/x]}", 6, "arms.treatment.delete[0]", "under .git"),
        ("{files: treatment/}", "{delete: [.github/workflows/ci.yml]}", 6,
         "arms.treatment.delete[0]", "is a workflow"),
        ("{files: treatment/}", "{delete: [experiments/faster/notes.md]}", 6,
         "arms.treatment.delete[0]", "belongs to this experiment"),
        ("{files: treatment/}", "{delete: [build.sh], files: treatment}", 6,
         "arms.treatment.delete", "both deleted and overlaid"),
        ("{files: treatment/}", "{files: treatment/, delete: [BUILD.sh]}", 6, "arms.treatment",
         "only by case or Unicode form"),
        ("{files: treatment/}", "{delete: [a/caf\u00e9, a/cafe\u0301]}", 6, "arms.treatment",
         "only by case or Unicode form"),
        ("{files: treatment/}", "[files, treatment]", 6, "arms.treatment", "must be a mapping"),
        ("role: primary", "role: secondary", 7, "metrics", "no primary"),
        ("role: primary", "role: first", 8, "metrics[0].role", "must be primary, guardrail"),
        ("name: duration_s", "name: score", 8, "metrics[0].direction", "'score' does not tell"),
        ("name: duration_s", "nmae: duration_s", 8, "metrics[0].nmae", "unknown key"),
        ("name: duration_s", "name: a b", 8, "metrics[0].name", "not a valid metric name"),
        ("15%}", "-15%}", 8, "metrics[0].minimum_effect", "not an effect size"),
        ("15%}", "0}", 8, "metrics[0].minimum_effect", "more than zero"),
        ("15%}", "100%}", 8, "metrics[0].minimum_effect", "nothing falls by 100%"),
        ("15%}", "true}", 8, "metrics[0].minimum_effect", "must be a number, not true"),
        ("15%}", ".nan}", 8, "metrics[0].minimum_effect", "not a number that can be used"),
        ("15%}", "15%, kind: mean, quantile: 0.9}", 8, "metrics[0].quantile", "no meaning"),
        ("15%}", "15%, kind: quantile}", 8, "metrics[0].quantile", "is missing"),
        ("15%}", "15%, kind: ratio}", 8, "metrics[0].denominator", "is missing"),
        ("15%}", "15%, kind: mean, denominator: x}", 8, "metrics[0].denominator", "no meaning"),
        ("15%}", "15%, denominator: duration_s}", 8, "metrics[0].denominator", "metric itself"),
        ("15%}", "15%, kind: rank, winsorize: 0.9}", 8, "metrics[0].winsorize", "no meaning"),
        ("15%}", "15%, winsorize: 0.4}", 8, "metrics[0].winsorize", "more than 0.5"),
        ("15%}", "15%, kind: rank, adjust_by: [x]}", 8, "metrics[0].adjust_by", "no meaning"),
        ("15%}", "15%, adjust_by: [x, x]}", 8, "metrics[0].adjust_by", "twice"),
        ("15%}", "15%, adjust_by: [duration_s]}", 8, "metrics[0].adjust_by", "metric itself"),
        ("15%}", "15%, non_inferior: true}", 8, "metrics[0].non_inferior", "for a primary metric"),
        ("15%}", "15%, baseline: {mean: 3}}", 8, "metrics[0].baseline.sd", "is missing"),
        ("15%}", "15%, baseline: {mean: 0, sd: 1}}", 8, "metrics[0].baseline.mean", "than zero"),
        ("15%}", "15%, kind: count, baseline: {mean: -1, sd: 1}}", 8, "metrics[0].baseline.mean",
         "never negative"),
        ("15%}", "15%, kind: count, baseline: {mean: 1.0e+300, sd: 1}}", 8,
         "metrics[0].baseline.mean", "over 2^53"),
        ("15%}", "15%, kind: count, adjust_by: [x]}", 8, "metrics[0].adjust_by", "no meaning"),
        ("15%}", "15%, baseline: {mean: true, sd: 1}}", 8, "metrics[0].baseline.mean", "not true"),
        ("metrics:\n", "metrics: []\nx:\n", 7, "metrics", "are none"),
    ],
)  # fmt: skip
def test_refusals_with_line_and_key(old: str, new: str, line: int, path: str, words: str) -> None:
    assert old in MINIMAL
    problems = problems_of(read(MINIMAL.replace(old, new)))
    assert any(
        (number, key) == (line, path) and words in message for number, key, message in problems
    ), problems


@pytest.mark.parametrize(
    ("text", "path", "words"),
    [
        ("prior: 1.5", "prior", "from 0 to 1"),
        ("rate: 50", "rate", "is not a rate"),
        ("rate: 0/day", "rate", "is not a possible rate"),
        ("rate: 5/year", "rate", "is not a rate"),
        ("prior: .inf", "prior", "not a number"),
        ("issue: abc", "issue", "must be a number"),
        ("tags: review", "tags", "must be a list"),
        ("tags: [1]", "tags[0]", "must be text"),
        ("risk: low", "risk", "must be normal or high"),
        ("slot: a b", "slot", "not a valid slot name"),
        ("warmup: -1", "warmup", "at least 0"),
        ("warmup: 1.5", "warmup", "whole number"),
        ("timeout: 30", "timeout", "has no unit"),
        ("timeout: 0s", "timeout", "more than zero"),
        ("share: [../x]", "share[0]", "leaves"),
        ("alpha: 0.05", "alpha", "unknown key here"),
        ("plan: {alpha: 0.5}", "plan.alpha", "less than 0.5"),
        ("plan: {alpha: 1e-3}", "plan.alpha", "not the text '1e-3'"),
        ("plan: {alpha: true}", "plan.alpha", "not true"),
        ("plan: {power: 0}", "plan.power", "more than 0"),
        ("plan: {max_days: 2026-01-01}", "plan.max_days", "is a date"),
        ("plan: {max_days: .inf}", "plan.max_days", "not a number"),
        ("plan: {sample_size: 10, min_trials: 20}", "plan.min_trials", "sample_size is 10"),
        ("plan: {looks: 3}", "plan.looks", "no meaning for inference auto"),
        ("plan: {spending: pocock}", "plan.spending", "no meaning"),
        ("plan: {futility: true}", "plan.futility", "no meaning"),
        ("plan: {inference: group-sequential, rho: 2}", "plan.rho", "spending obrien-fleming"),
        ("plan: {inference: group-sequential, looks: 0}", "plan.looks", "at least 1"),
        (
            "plan: {inference: group-sequential, spending: haybittle}",
            "plan.spending",
            "must be obrien-fleming, pocock or power",
        ),
        ("plan: {inference: bayes}", "plan.inference", "must be anytime"),
        ("assignment: {traffic: 120%}", "assignment.traffic", "at most 1"),
        ("assignment: {traffic: 0%}", "assignment.traffic", "more than 0"),
        (
            "assignment: {weights: {control: 0}, design: blocked}",
            "assignment.weights.control",
            "more than 0",
        ),
        (
            "assignment: {weights: {control: -1}, design: blocked}",
            "assignment.weights.control",
            "more than 0",
        ),
        ("assignment: {weights: {control: .nan}}", "assignment.weights.control", "not a number"),
        ("assignment: {weights: {contrl: 1}}", "assignment.weights.contrl", "is no arm"),
        ("assignment: {weights: {control: 2}}", "assignment.weights", "no effect on pairs"),
        ("decision: {promote: yes}", "decision.promote", "is a boolean"),
        ("decision: {promote: always}", "decision.promote", "must be pr, merge or never"),
        ("decision: {holdback: 100%}", "decision.holdback", "less than 1"),
        ("roots: [a]", "roots", "unknown key here"),
        ("version: 1", "version", "stands twice (first on line 1)"),
    ],
)
def test_refusals_of_further_keys(text: str, path: str, words: str) -> None:
    problems = problems_of(read(MINIMAL + text + "\n"))
    assert any((line, key) == (9, path) and words in message for line, key, message in problems), (
        problems
    )


@pytest.mark.parametrize("text", ["1e-3", "1e-6", "2e-08"])
def test_the_number_that_a_refusal_names_is_accepted(text: str) -> None:
    [problem] = read(MINIMAL + f"plan: {{alpha: {text}}}\n").problems
    number = problem.fix.removeprefix("write ").partition(",")[0]
    assert float(number) == float(text)
    assert not read(MINIMAL + f"plan: {{alpha: {number}}}\n").problems


def test_all_problems_of_all_kinds_come_at_once_in_order_of_lines() -> None:
    text = """\
version: 1
name: On
hypothesis: It gets faster.
onwer: x
slot: a b
plan: {alpha: 2}
arms:
  control: {}
  treatment: {files: nowhere/}
  empty: {}
metrics:
  - {name: duration_s, role: primry}
  - {name: satisfaction}
"""
    reading = read(text)
    assert [(line, path) for line, path, _ in problems_of(reading)] == [
        (2, "name"),
        (4, "onwer"),
        (5, "slot"),
        (6, "plan.alpha"),
        (9, "arms.treatment.files"),
        (10, "arms.empty"),
        (12, "metrics[0].role"),
        (13, "metrics[1].direction"),
    ]
    assert str(reading.problems[1]) == (
        "experiments/faster/experiment.yml:4: onwer: is an unknown key — did you mean `owner`?"
    )


def test_an_id_that_is_no_id() -> None:
    reading = read_experiment("Bad_Id", MINIMAL, {"treatment/a": file()}, Defaults())
    assert ["experiment id" in problem.message for problem in reading.problems] == [True]


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ("run: ./build.sh", 'run: "./build\n  .sh"', 3),
        ("run: ./build.sh", "run: ./build.sh\n  --fast", 4),
        ("run: ./build.sh", '"run": ./build.sh', 3),
        ("run: ./build.sh", "run: |2\n    ./build.sh", 3),
        # a text that reaches column 0 hides another command from one of the two readers
        ("hypothesis: It gets", 'hypothesis: "\nrun: ./evil.sh #"\nx: It gets', 3),
    ],
)
def test_a_command_that_a_trial_would_read_differently_is_refused(
    old: str, new: str, line: int
) -> None:
    reading = read(MINIMAL.replace(old, new))
    assert reading.experiment is None
    assert any(problem.line in (line, line + 1) for problem in reading.problems), reading.problems
    assert any(
        "trial job" in problem.message or "twice" in problem.message for problem in reading.problems
    ), reading.problems


def test_the_examples_of_the_documentation_are_valid() -> None:
    blocks = [
        part.split("```")[0] for part in (DOCS / "experiment.md").read_text().split("```yaml\n")[1:]
    ]
    full, cases, judged, defaults = blocks
    assert read(MINIMAL.replace("run: ./build.sh\n", cases)).problems == ()
    head = MINIMAL[: MINIMAL.index("metrics:")].replace("run: ./build.sh\n", "")
    assert read(head + judged).problems == ()
    tree = {"treatment/commands/review.md": file(), SPEC_NAME: file(full.encode())}
    assert read_experiment("parallel-review", full, tree, Defaults()).problems == ()
    assert read_defaults(defaults).problems == ()


WORDS = st.one_of(
    st.sampled_from(["control", "treatment", "name", "files", "env", "delete", "15%", "-1", "0"]),
    st.sampled_from(["duration_s", "primary", ".nan", "1e400", "[]", "{}", "", "\u202e", "a: b"]),
    st.sampled_from(["true", "x/../y", "2026-01-01"]),
)
ANY = st.recursive(
    WORDS | st.integers() | st.floats() | st.none() | st.booleans(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.slow
@examples(300)
@given(
    st.sampled_from(list(ExperimentFile.model_fields)),
    ANY,
    st.sampled_from(["plan", "metrics", "x"]),
)
def test_any_value_of_any_key_is_read_or_refused(key: str, value: Any, dropped: str) -> None:
    data = {**yaml.safe_load(FULL), key: value}
    data.pop(dropped, None)
    text = yaml.safe_dump(data, allow_unicode=True)
    reading = read(text)
    assert (reading.experiment is None) == bool(reading.problems)
    for problem in reading.problems:
        assert str(problem).isprintable()
        assert problem.fix
    if reading.experiment is not None:
        assert from_json(json.loads(json.dumps(to_json(reading.experiment)))) == reading.experiment


def test_two_experiments_in_one_slot_must_not_vary_the_same_file() -> None:
    text = MINIMAL.replace("run: ./build.sh", "slot: build")
    tree = {"treatment/build.sh": file()}
    first, second, other = (
        read_experiment(
            id, text.replace("slot: build", f"slot: {slot}"), tree, Defaults()
        ).experiment
        for id, slot in (("first", "build"), ("second", "build"), ("other", "review"))
    )
    assert first is not None
    assert second is not None
    assert other is not None
    paths = live_paths(first, tree)
    assert paths == ("build.sh",)
    [problem] = slot_conflicts([(first, paths), (second, ["BUILD.sh"]), (other, paths)])
    assert problem.file == "experiments/second/experiment.yml"
    assert "first" in problem.message
    assert slot_conflicts([(first, paths), (second, ["README.md"])]) == ()

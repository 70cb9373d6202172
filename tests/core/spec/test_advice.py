"""What a colleague would say; nothing of it refuses an experiment."""

from dataclasses import replace

import pytest

from expci.core.model.content import File
from expci.core.model.experiment import Experiment, Limit, Metric
from expci.core.spec.advice import advise
from expci.core.spec.parse import read_experiment
from expci.core.spec.repository_defaults import Defaults

TEXT = """\
version: 1
hypothesis: Caching cuts build time by 15% within 14 days.
run: ./build.sh
prior: 0.7
arms:
  control: {}
  treatment: {files: treatment/}
metrics:
  - {name: duration_s, role: primary, minimum_effect: 15%}
  - {name: comments, role: guardrail, direction: increase}
"""
PATHS = {"control": (), "treatment": ("build.sh",)}


def experiment(hypothesis: str | None = None) -> Experiment:
    tree = {"treatment/build.sh": File("100644", b"x")}
    made = read_experiment("faster", TEXT, tree, Defaults()).experiment
    assert made is not None
    return made if hypothesis is None else replace(made, hypothesis=hypothesis)


def test_a_sound_experiment_gets_no_advice() -> None:
    assert advise(experiment(), PATHS) == ()


@pytest.mark.parametrize(
    "hypothesis",
    [
        "Running the agents in parallel cuts review time by 15% within 14 days.",
        "The new prompt halves the number of failures over two weeks.",
        "zstd makes archives 10% smaller by the end of June.",
        "For all builds time drops 15% within 14 days.",
        "With ccache duration drops from 300 to 200 s in 20 runs.",
    ],
)
def test_hypotheses_that_say_what_how_much_and_until_when(hypothesis: str) -> None:
    assert advise(experiment(hypothesis), PATHS) == ()


@pytest.mark.parametrize(
    ("hypothesis", "words"),
    [
        ("Caching makes builds faster within 14 days.", ["vague"]),
        ("Caching is 20% nicer within 14 days.", ["nothing that is measured"]),
        ("Caching cuts build time by 15%.", ["no time bound"]),
        ("Caching cuts build time within 2 weeks.", ["vague"]),
        ("Caching cuts 15% of the time per run.", ["no time bound"]),
        ("The new prompt is better.", ["vague", "nothing that is measured", "no time bound"]),
    ],
)
def test_vague_unmeasurable_and_unbounded_hypotheses(hypothesis: str, words: list[str]) -> None:
    advice = advise(experiment(hypothesis), PATHS)
    assert len(advice) == len(words)
    for line, word in zip(advice, words, strict=True):
        assert word in line


@pytest.mark.parametrize(
    ("prior", "words"),
    [
        (0.85, "just ship it"),
        (1.0, "just ship it"),
        (0.84, None),
        (0.6, None),
        (0.59, "think again before spending trials"),
        (0.0, "think again before spending trials"),
        (None, None),
    ],
)
def test_prior(prior: float | None, words: str | None) -> None:
    advice = advise(replace(experiment(), prior=prior), PATHS)
    assert len(advice) == (words is not None)
    assert words is None or words in advice[0]


def test_several_things_at_once() -> None:
    [advice] = advise(experiment(), {"treatment": ("a", "b")})
    assert "2 files" in advice
    made = experiment()
    treatment = replace(made.arm("treatment"), env={"A": "b"})
    both = replace(made, arms=(made.arms[0], treatment))
    [advice] = advise(both, PATHS)
    assert "1 file and 1 variable" in advice


@pytest.mark.parametrize(
    ("size", "words"),
    [
        (9, "under 10"),
        (10, "20 are recommended"),
        (19, "20 are recommended"),
        (20, None),
        (60, None),
    ],
)
def test_few_planned_trials(size: int, words: str | None) -> None:
    made = experiment()
    advice = advise(replace(made, plan=replace(made.plan, sample_size=size)), PATHS)
    assert len(advice) == (words is not None)
    assert words is None or (words in advice[0] and f"{size} trials" in advice[0])


def test_no_guardrail_but_success() -> None:
    made = experiment()
    bare = replace(made, metrics=tuple(m for m in made.metrics if m.name != "comments"))
    [advice] = advise(bare, PATHS)
    assert "No guardrail but success" in advice


def test_a_threshold_that_makes_a_true_effect_a_coin_flip() -> None:
    made = experiment()
    decision = replace(made.decision, promote_at=Limit(0.15, relative=True))
    [advice] = advise(replace(made, decision=decision), PATHS)
    assert "every other time" in advice


def test_a_guardrail_without_any_room() -> None:
    made = experiment()
    strict = Metric("comments", "guardrail", "mean", "increase", max_regression=Limit(0, True))
    [advice] = advise(replace(made, metrics=(made.primary, strict)), PATHS)
    assert "noise alone" in advice


def test_merging_by_itself_needs_a_token_whose_requests_are_checked() -> None:
    made = experiment()
    merging = replace(made, decision=replace(made.decision, promote="merge"))
    assert any("GitHub App" in text for text in advise(merging, PATHS))

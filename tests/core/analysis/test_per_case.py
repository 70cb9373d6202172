"""Case by case: the table, what tells nothing, and the veto of `must_pass`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest

from expci.core.analysis.document import analysis_document, dump_analysis, load_analysis
from expci.core.model.cases import Case, CaseSource, unit_of
from expci.core.model.experiment import Assignment, Experiment, Limit
from expci.core.model.results import Analysis, CaseResult
from expci.core.model.trial import Trial
from support.analysis_samples import DURATION, SUCCESS, in_pairs, look_at, make_experiment


def on_cases(
    names: Sequence[str], visits: int, value: Callable[[str, int, np.random.Generator], float]
) -> list[Trial]:
    """Pairs that visit each case in turn; `value(case, arm, rng)`."""
    rng = np.random.default_rng(5)
    order = [name for _ in range(visits) for name in names]
    pairs = in_pairs([value(n, 0, rng) for n in order], [value(n, 1, rng) for n in order])
    return [replace(t, unit=unit_of(order[i // 2])) for i, t in enumerate(pairs)]


def plan(
    names: Sequence[str], must_pass: Sequence[str] = (), sample_size: int | None = None
) -> Experiment:
    lenient = replace(SUCCESS, max_regression=Limit(0.2, relative=False))
    made = make_experiment(
        primary=DURATION, others=(lenient,), design="paired", sample_size=sample_size
    )
    cases = CaseSource(path="evals/*", frozen=tuple(Case(name, "0" * 64) for name in names))
    return replace(
        made,
        cases=cases,
        must_pass=tuple(must_pass),
        assignment=Assignment(unit="case", design="paired"),
    )


NAMES = [f"c{number}" for number in range(8)]


def faster(name: str, arm: int, rng: np.random.Generator) -> float:
    return float((10 + NAMES.index(name)) * (0.6 if arm else 1) * rng.lognormal(0, 0.05))


def failing(trials: Sequence[Trial], case: str, arm: str, which: set[int]) -> list[Trial]:
    """The visits of that number fail."""
    visits = [t.id for t in trials if t.unit == unit_of(case) and t.arm == arm]
    failed = {visits[number] for number in which}
    return [replace(t, status="failed") if t.id in failed else t for t in trials]


def of(analysis: Analysis, case: str) -> CaseResult:
    return next(result for result in analysis.cases if result.id == case)


def outcome(analysis: Analysis) -> tuple[str, str]:
    return analysis.decision.verdict, analysis.decision.reason_code


def test_a_table_of_cases_the_worst_first() -> None:
    times = {"a": (10.0, 5.0), "b": (10.0, 20.0), "c": (8.0, 8.0), "d": (10.0, 9.0)}
    trials = on_cases(list(times), 3, lambda name, arm, _: times[name][arm])
    analysis = look_at(plan(list(times)), trials)
    assert [result.id for result in analysis.cases] == ["b", "c", "d", "a"]
    worst = of(analysis, "b")
    assert worst.means == {"control": 10.0, "treatment": 20.0}
    assert worst.difference == {"treatment": 10.0}
    assert worst.improvement == {"treatment": -1.0}
    assert worst.runs == worst.passed == {"control": 3, "treatment": 3}
    assert [result.is_informative for result in analysis.cases] == [True, False, True, True]
    assert "tells nothing: both arms always have the same result on it: c" in " ".join(
        analysis.notes
    )


def test_the_document_holds_the_cases_and_reads_back() -> None:
    analysis = look_at(plan(NAMES, ["c1"]), on_cases(NAMES, 2, faster))
    document = analysis_document(analysis)
    assert len(document["cases"]) == 8
    assert load_analysis(dump_analysis(analysis)) == analysis
    without = look_at(make_experiment(design="paired"), in_pairs([1, 2], [1, 2]))
    assert "cases" not in analysis_document(without)


def test_min_trials_and_the_sample_size_count_pairs_and_the_evidence_cases() -> None:
    trials = on_cases(NAMES, 3, faster)
    early = look_at(plan(NAMES), trials[:32])
    assert early.progress.per_arm == 16
    assert outcome(early) == ("continue", "collecting")
    analysis = look_at(plan(NAMES), trials)
    assert analysis.progress.per_arm == 24
    assert analysis.primary.arms["control"].n == 8
    assert outcome(analysis) == ("promote", "win")
    enough = next(c for c in analysis.decision.criteria if c.code == "enough_trials")
    assert enough.detail == "24 pairs on 8 cases, needs 20"


def test_a_few_cases_decide_nothing_however_often_they_are_visited() -> None:
    trials = on_cases(NAMES[:4], 30, faster)
    analysis = look_at(plan(NAMES[:4], sample_size=1000), trials)
    assert analysis.progress.per_arm == 120
    assert outcome(analysis) == ("continue", "collecting")


def test_a_broken_case_vetoes_the_promotion_and_ends_it_at_the_sample_size() -> None:
    trials = failing(on_cases(NAMES, 5, faster), "c3", "treatment", {0, 1, 2})
    assert outcome(look_at(plan(NAMES), trials)) == ("promote", "win")
    analysis = look_at(plan(NAMES, ["c1", "c3"], sample_size=100), trials)
    assert analysis.decision.verdict == "continue"
    broken = next(c for c in analysis.decision.criteria if c.code == "must_pass")
    assert (broken.met, broken.detail) == (False, "treatment fails what control passes: c3")
    assert analysis.cases[0].id == "c3"
    assert analysis.cases[0].broken_by == ("treatment",)
    assert any(note.startswith("treatment breaks the case c3: control passed") for note in
               analysis.notes)  # fmt: skip
    full = look_at(plan(NAMES, ["c1", "c3"], sample_size=37), trials)  # three pairs have none
    assert outcome(full) == ("stop", "must_pass_broken")


@pytest.mark.parametrize(
    ("control", "treatment", "is_broken"),
    [
        (set(), {0, 1, 2}, True),  # 5 of 5 against 2 of 5
        (set(), {0, 1}, False),  # 3 of 5 still is most of its runs
        ({0, 1, 2}, {0, 1, 2, 3, 4}, False),  # control does not pass it either
    ],
)
def test_an_arm_passes_a_case_in_more_than_half_of_its_runs(
    control: set[int], treatment: set[int], is_broken: bool
) -> None:
    trials = failing(on_cases(NAMES, 5, faster), "c3", "control", control)
    trials = failing(trials, "c3", "treatment", treatment)
    analysis = look_at(plan(NAMES, ["c3"]), trials)
    assert (of(analysis, "c3").broken_by == ("treatment",)) == is_broken


def test_nothing_is_promoted_before_every_case_that_must_pass_was_run() -> None:
    names = [*NAMES, "late"]
    trials = on_cases(NAMES, 3, faster)
    analysis = look_at(plan(names, ["c1", "late"]), trials)
    assert analysis.decision.verdict == "continue"
    must = next(c for c in analysis.decision.criteria if c.code == "must_pass")
    assert (must.met, must.detail) == (None, "not run yet under both arms: late")
    assert "8 of 9 cases have been visited" in analysis.notes


def test_a_case_that_always_fails_tells_nothing_and_stands_in_nobodys_way() -> None:
    trials = on_cases(NAMES, 4, faster)
    for arm in ("control", "treatment"):
        trials = failing(trials, "c0", arm, {0, 1, 2, 3})
    analysis = look_at(plan(NAMES, ["c0"]), trials)
    assert outcome(analysis) == ("promote", "win")
    assert not of(analysis, "c0").is_informative
    assert of(analysis, "c0").difference == {"treatment": None}

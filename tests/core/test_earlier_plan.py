"""What the old plan had shown, when the cases change."""

from __future__ import annotations

from expci.core.earlier_plan import earlier_plan
from expci.core.model.cases import Case, CaseSource
from support.analysis_samples import in_pairs, look_at, make_experiment

OLD = CaseSource(path="evals/*", frozen=(Case("a", "1"), Case("b", "1"), Case("c", "1")))
NEW = CaseSource(path="evals/*", frozen=(Case("b", "2"), Case("c", "1"), Case("d", "1")))


def test_the_changes_and_the_last_look_in_one_line() -> None:
    trials = in_pairs([10, 11, 12] * 4, [5, 5.5, 6] * 4)
    analysis = look_at(make_experiment(design="paired"), trials)
    text = earlier_plan("ab" * 32, OLD, NEW, analysis)
    assert text.startswith(
        "Cases changed (added: d; removed: a; changed: b). The plan abababababab had 3 cases: "
        "treatment +50.0% ("
    )
    assert text.endswith(") on duration_s after 12 pairs; verdict continue (collecting).")


def test_a_plan_without_trials_had_shown_nothing() -> None:
    assert earlier_plan("ab" * 32, OLD, NEW, None).endswith("had 3 cases: it had no trials yet.")

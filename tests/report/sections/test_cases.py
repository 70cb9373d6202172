"""The table of cases in words."""

from __future__ import annotations

from dataclasses import replace

from expci.core.model.arm import Budget
from expci.core.model.cases import Case, CaseSource
from expci.core.model.results import CaseResult
from expci.report.sections.cases import MOST_ROWS, case_table, hidden_cases
from expci.report.sections.plan_rules import rules
from expci.report.text.phrases import in_text
from expci.report.text.tables import markdown_table, text_table
from support.analysis_samples import in_pairs, look_at, make_experiment

PLAN = make_experiment(design="paired")
LOOK = look_at(PLAN, in_pairs([10, 11], [8, 9]))


def case(id: str, treatment: float, **changes: object) -> CaseResult:
    result = CaseResult(
        id=id,
        runs={"control": 3, "treatment": 3},
        passed={"control": 3, "treatment": 2},
        means={"control": 10.0, "treatment": treatment},
        difference={"treatment": treatment - 10},
        improvement={"treatment": (10 - treatment) / 10},
        is_informative=True,
    )
    return replace(result, **changes)  # type: ignore[arg-type]


def test_both_arms_the_difference_and_the_runs_of_every_case() -> None:
    cases = (
        case("login", 12.0, must_pass=True, broken_by=("treatment",)),
        case("a | <b> `x`", 12.5),
        case("same", 10.0, is_informative=False),
        case("quick", 8.0),
    )
    table = case_table(PLAN, replace(LOOK, cases=cases))
    assert text_table(table).split("\n") == [
        "  case               control  treatment   improvement     passed  runs",
        "  login (must pass)   10.0 s     12.0 s        broken  3/3 : 2/3     6",
        "  a | <b> `x`         10.0 s     12.5 s        −25.0%  3/3 : 2/3     6",
        "  same                10.0 s     10.0 s  always alike  3/3 : 2/3     6",
        "  quick               10.0 s     8.00 s        +20.0%  3/3 : 2/3     6",
    ]
    assert "<b>" not in markdown_table(table)


def test_the_latest_run_of_a_case_is_a_link_where_a_ci_ran_it() -> None:
    look = replace(
        LOOK, cases=(case("a", 9.0, run_id="4242"), case("b", 9.0, run_id="x](http://e"))
    )
    linked = case_table(PLAN, look, repository="https://forge.example/o/r")
    rows = markdown_table(linked).split("\n")
    assert rows[0].endswith("| latest run |")
    assert "[4242](<https://forge.example/o/r/actions/runs/4242>)" in rows[2]
    assert "x](http" not in rows[3]  # escaped
    alone = text_table(case_table(PLAN, look)).split("\n")
    assert alone[1].endswith("4242")
    assert "latest run" not in text_table(case_table(PLAN, replace(LOOK, cases=(case("a", 9.0),))))


def test_a_long_table_says_where_the_rest_is() -> None:
    look = replace(LOOK, cases=tuple(case(f"c{n}", 9.0) for n in range(MOST_ROWS + 5)))
    assert len(case_table(PLAN, look).rows) == MOST_ROWS
    assert in_text(hidden_cases(look)) == "5 cases more in expci analyze --json"
    assert not hidden_cases(replace(LOOK, cases=(case("a", 1.0),)))


def test_the_plan_names_the_cases_and_the_budget() -> None:
    frozen = (Case("log in", ""), Case("logout", ""))
    plan = replace(
        PLAN,
        cases=CaseSource("evals/*", frozen=frozen),
        must_pass=("log in",),
        repeats=2,
        budget=Budget("cost_usd", 20),
    )
    rows = {word: in_text(sentence) for word, sentence in rules(plan)}
    assert rows["cases"] == "2 of evals/*, 2 runs of each arm a visit"
    assert rows["must pass"] == "log in"
    assert rows["budget"] == "$20 of cost_usd, all trials together"
    many = replace(plan, must_pass=tuple(f"c{number}" for number in range(12)))
    assert in_text(dict(rules(many))["must pass"]).endswith("c9 and 2 more")
    assert {"cases", "must pass", "budget"}.isdisjoint(word for word, _ in rules(PLAN))

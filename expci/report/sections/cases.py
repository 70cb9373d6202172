"""The table of cases: both arms, the difference and the runs of each, the worst first."""

from __future__ import annotations

from expci.core.model.experiment import CONTROL, Experiment
from expci.core.model.metric_kinds import KINDS
from expci.core.model.results import Analysis, CaseResult, MetricResult
from expci.report.text import escape, numbers
from expci.report.text.phrases import NOTHING, Code, Link, Phrase, Words, phrase
from expci.report.text.tables import Cell, Table

MOST_ROWS = 20
FEW_ROWS = 5  # of the table in `expci status`
_NAME_CHARACTERS = 40


def case_table(
    experiment: Experiment,
    analysis: Analysis,
    most: int | None = MOST_ROWS,
    repository: str = "",
) -> Table:
    """One row for each visited case and treatment, at most `most` of them.

    Where a CI ran them, the latest run of each, as a link into the `repository`'s address.
    """
    metric = analysis.primary
    in_ci = any(case.run_id for case in analysis.cases)
    several = len(analysis.metrics[0].comparisons) > 1
    rows = [
        (*_row(case, arm, metric, several), *([_run(case, repository)] if in_ci else []))
        for case in analysis.cases
        for arm in case.difference
        if arm not in analysis.dropped
    ]
    treatment: Words = "arm" if several else Code(experiment.treatments[0].name)
    header: list[Words] = ["case", *(["arm"] if several else []), Code(CONTROL)]
    header += ["value" if several else treatment, "improvement", "passed", "runs"]
    header += ["latest run"] if in_ci else []
    align = "l" + "l" * several + "rrrrr" + "r" * in_ci
    return Table(align, tuple(header), tuple(rows[:most]))


def _run(case: CaseResult, repository: str) -> Words:
    """The CI's run of the case's latest trial; what a record calls it is followed only as a
    number."""
    run = case.run_id or ""
    if not run.isdecimal():
        return escape.clipped(run, _NAME_CHARACTERS)
    home = repository.rstrip("/")
    return Link(f"{home}/actions/runs/{run}", run) if home else run


def hidden_cases(analysis: Analysis, most: int = MOST_ROWS) -> Phrase:
    """How many cases the table leaves out, and where they are."""
    left = len(analysis.cases) - most
    if left <= 0:
        return NOTHING
    return phrase("{} more in {}", numbers.count(left, "case"), Code("expci analyze --json"))


def _row(case: CaseResult, arm: str, metric: MetricResult, several: bool) -> tuple[Cell, ...]:
    name = Code(escape.clipped(case.id, _NAME_CHARACTERS))
    marked = phrase("{} (must pass)", name) if case.must_pass else name
    passed = f"{case.passed[CONTROL]}/{case.runs[CONTROL]} : {case.passed[arm]}/{case.runs[arm]}"
    return (
        marked,
        *([Code(arm)] if several else []),
        _quantity(case.means[CONTROL], metric),
        _quantity(case.means[arm], metric),
        _improvement(case, arm, metric),
        passed,
        numbers.count(case.runs[CONTROL] + case.runs[arm]),
    )


def _quantity(value: float | None, metric: MetricResult) -> str:
    return numbers.quantity(value, metric)


def _improvement(case: CaseResult, arm: str, metric: MetricResult) -> str:
    value = case.improvement[arm]
    if arm in case.broken_by:
        return "broken"
    if value is None:
        return numbers.MISSING
    if not case.is_informative:
        return "always alike"
    in_points = KINDS[metric.kind].is_share
    return numbers.points(value, sign=True) if in_points else numbers.percent(value, sign=True)

"""What each case shows: both arms on the primary metric, how often they passed, the worst first.

Reported, and the source of the veto of `must_pass`: no evidence is taken from a single case.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from expci.core import number_format
from expci.core.dataset.dataset import Dataset
from expci.core.dataset.factor import factor
from expci.core.dataset.metric_columns import metric_column
from expci.core.model.cases import case_of
from expci.core.model.experiment import CONTROL, Experiment, Metric
from expci.core.model.metric_names import SUCCESS
from expci.core.model.results import CaseResult

_MOST_NAMES = 10


def case_results(data: Dataset) -> tuple[CaseResult, ...]:
    """Return the visited cases, the worst first; none where the experiment has no cases.

    >>> from dataclasses import replace
    >>> from expci.core.model.cases import CaseSource
    >>> from support.analysis_samples import in_pairs, make_experiment
    >>> from support.examples import data_of
    >>> plan = replace(make_experiment(design="paired"), cases=CaseSource("evals/*"))
    >>> [login] = case_results(data_of(plan, in_pairs([10.0], [8.0])))
    >>> login.means, login.improvement
    ({'control': 10.0, 'treatment': 8.0}, {'treatment': 0.2})
    """
    experiment, table = data.experiment, data.table
    if experiment.cases is None:
        return ()
    unit = table.trials.unit
    cases = factor(map(case_of, unit.levels))
    codes = cases.codes[unit.codes]
    rows = {cases.levels[code]: np.flatnonzero(codes == code) for code in np.unique(codes)}
    value = data.columns[experiment.primary.name].value
    success = next(metric for metric in experiment.metrics if metric.name == SUCCESS)
    passed = metric_column(success, table, experiment.timeout_s).value
    results = (_result(data, case, own, value, passed) for case, own in rows.items())
    return tuple(sorted(results, key=_by_harm))


def _result(
    data: Dataset,
    case: str,
    rows: np.ndarray[tuple[int], np.dtype[np.int64]],
    value: np.ndarray[tuple[int], np.dtype[np.float64]],
    passed: np.ndarray[tuple[int], np.dtype[np.float64]],
) -> CaseResult:
    experiment, table = data.experiment, data.table
    arms = {arm: rows[table.arm[rows] == index] for index, arm in enumerate(data.arms)}
    means = {arm: _mean(value[own]) for arm, own in arms.items()}
    passes = {arm: int(np.nansum(passed[own] == 1)) for arm, own in arms.items()}
    runs = {arm: int(own.size) for arm, own in arms.items()}
    difference = {arm: _difference(means[CONTROL], means[arm]) for arm in data.arms[1:]}
    is_must = case in experiment.must_pass
    broken = [arm for arm in data.arms[1:] if is_must and _breaks(passes, runs, arm)]
    return CaseResult(
        id=case,
        runs=runs,
        passed=passes,
        means=means,
        difference=difference,
        improvement={
            arm: _improvement(experiment.primary, means[CONTROL], gap)
            for arm, gap in difference.items()
        },
        is_informative=_is_informative(arms, value[rows], passed[rows]),
        must_pass=is_must,
        broken_by=tuple(broken),
        run_id=table.trials.stated("run_id").word(int(rows[-1])),
    )


def _mean(values: np.ndarray[tuple[int], np.dtype[np.float64]]) -> float | None:
    numbers = values[~np.isnan(values)]
    mean = float(numbers.mean()) if numbers.size else math.nan
    return mean if math.isfinite(mean) else None


def _difference(control: float | None, treatment: float | None) -> float | None:
    return None if control is None or treatment is None else treatment - control


def _improvement(metric: Metric, control: float | None, gap: float | None) -> float | None:
    """Positive is better: in points for a share, else relative to control; `None` at 0."""
    if gap is None or control is None:
        return None
    sign = 1 if metric.direction == "increase" else -1
    if metric.traits.is_share:
        return sign * gap + 0.0
    share = gap / abs(control) if control else math.nan
    return sign * share + 0.0 if math.isfinite(share) else None


def passes(passed: int, runs: int) -> bool:
    """Return whether an arm passes a case: in more than half of its runs.

    >>> passes(1, 1), passes(1, 2), passes(0, 0)
    (True, False, False)
    """
    return 2 * passed > runs


def _breaks(passed: Mapping[str, int], runs: Mapping[str, int], arm: str) -> bool:
    control = passes(passed[CONTROL], runs[CONTROL])
    return control and runs[arm] > 0 and not passes(passed[arm], runs[arm])


def _is_informative(
    arms: Mapping[str, np.ndarray[tuple[int], np.dtype[np.int64]]],
    value: np.ndarray[tuple[int], np.dtype[np.float64]],
    passed: np.ndarray[tuple[int], np.dtype[np.float64]],
) -> bool:
    """Whether the arms ever differed; not yet run under every arm, it may."""
    if not all(own.size for own in arms.values()):
        return True
    return np.unique(value).size > 1 or np.unique(passed).size > 1


def _by_harm(result: CaseResult) -> tuple[float, float, float, str]:
    """Broken cases, then by how much more often the treatment fails, then by the primary."""
    lost = max(
        (_share(result, CONTROL) - _share(result, arm) for arm in result.difference), default=0.0
    )
    worst = min((v for v in result.improvement.values() if v is not None), default=math.inf)
    return -len(result.broken_by), -lost, worst, result.id


def _share(result: CaseResult, arm: str) -> float:
    return result.passed[arm] / result.runs[arm] if result.runs[arm] else 0.0


def must_pass_answers(
    experiment: Experiment, results: Sequence[CaseResult], treatments: Sequence[str]
) -> dict[str, float | None]:
    """Return for each treatment 1 where it breaks no `must_pass` case, 0 where it does.

    `None` while one of them has not been run under both arms. Empty without `must_pass`.

    >>> from dataclasses import replace
    >>> from support.analysis_samples import make_experiment
    >>> runs = {"control": 1, "treatment": 1}
    >>> login = CaseResult("login", runs, runs, {}, {}, {}, True, must_pass=True)
    >>> plan = replace(make_experiment(), must_pass=("login", "logout"))
    >>> must_pass_answers(plan, [login], ["treatment"])  # logout has not been run
    {'treatment': None}
    >>> must_pass_answers(plan, [replace(login, broken_by=("treatment",))], ["treatment"])
    {'treatment': 0.0}
    """
    if not experiment.must_pass:
        return {}
    named = [result for result in results if result.must_pass]
    return {arm: _answer(experiment, named, arm) for arm in treatments}


def _answer(experiment: Experiment, named: Sequence[CaseResult], arm: str) -> float | None:
    if any(arm in result.broken_by for result in named):
        return 0.0
    both = sum(bool(result.runs[CONTROL] and result.runs[arm]) for result in named)
    return 1.0 if both == len(experiment.must_pass) else None


def case_notes(experiment: Experiment, results: Sequence[CaseResult]) -> Iterator[str]:
    """Yield notes on the cases as a whole: which broke, are not run yet, or tell nothing.

    >>> from dataclasses import replace
    >>> from expci.core.model.cases import Case, CaseSource
    >>> from support.analysis_samples import make_experiment
    >>> two = CaseSource("evals/*", frozen=(Case("login", ""), Case("logout", "")))
    >>> login = CaseResult("login", {"control": 1}, {"control": 1}, {}, {}, {}, True)
    >>> list(case_notes(replace(make_experiment(), cases=two), [login]))
    ['1 of 2 cases have been visited']
    """
    if experiment.cases is None or not results:
        return
    for result in results:
        for arm in result.broken_by:
            yield (
                f"{arm} breaks the case {result.id}: control passed it in "
                f"{result.passed[CONTROL]} of {result.runs[CONTROL]} runs, {arm} in "
                f"{result.passed[arm]} of {result.runs[arm]}; nothing is promoted while it does"
            )
    of = len(experiment.cases.frozen)
    if len(results) < of:
        yield f"{len(results)} of {of} cases have been visited"
    silent = [result.id for result in results if not result.is_informative]
    if silent:
        more = f" and {len(silent) - _MOST_NAMES} more" if len(silent) > _MOST_NAMES else ""
        tell, them = ("tells", "it") if len(silent) == 1 else ("tell", "them")
        many = number_format.count(len(silent), "case")
        yield (
            f"{many} {tell} nothing: both arms always have the same result on {them}: "
            f"{', '.join(silent[:_MOST_NAMES])}{more}"
        )

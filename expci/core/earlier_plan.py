"""The results of a plan up to a change of its cases, in words: the next one starts afresh."""

from __future__ import annotations

from collections.abc import Iterator

from expci.core import number_format
from expci.core.model.cases import CaseSource, case_changes
from expci.core.model.metric_kinds import KINDS
from expci.core.model.results import Analysis, Comparison, MetricResult

_MOST_NAMES = 5


def earlier_plan(id: str, old: CaseSource, new: CaseSource, analysis: Analysis | None) -> str:
    """Return one line for the log: what changed in the cases, and the last look at the plan `id`.

    `analysis` is that look, `None` where there was none.

    >>> from expci.core.model.cases import Case
    >>> old, new = (CaseSource(frozen=(Case("login", hash),)) for hash in ("aa", "bb"))
    >>> earlier_plan("0123456789abcdef", old, new, None)
    'Cases changed (changed: login). The plan 0123456789ab had 1 case: it had no trials yet.'
    """
    changes = "; ".join(_changes(old, new))
    cases = number_format.count(len(old.frozen), "case")
    results = "it had no trials yet"
    if analysis is not None and analysis.decision.reason_code != "no_data":
        results = "; ".join(_results(analysis))
    return f"Cases changed ({changes}). The plan {id[:12]} had {cases}: {results}."


def _changes(old: CaseSource, new: CaseSource) -> Iterator[str]:
    for what, ids in zip(
        ("added", "removed", "changed"), case_changes(old.frozen, new.frozen), strict=True
    ):
        if ids:
            more = f" and {len(ids) - _MOST_NAMES} more" if len(ids) > _MOST_NAMES else ""
            yield f"{what}: {', '.join(ids[:_MOST_NAMES])}{more}"


def _results(analysis: Analysis) -> Iterator[str]:
    metric = analysis.primary
    pairs = number_format.count(analysis.progress.per_arm, "pair")
    for comparison in metric.comparisons:
        yield f"{comparison.arm} {_effect(metric, comparison)} on {metric.name} after {pairs}"
    yield f"verdict {analysis.decision.verdict} ({analysis.decision.reason_code})"


def _effect(metric: MetricResult, comparison: Comparison) -> str:
    words = number_format.points if KINDS[metric.kind].is_share else number_format.percent
    low, high = comparison.interval or (None, None)
    if comparison.improvement is None:
        return "without an estimate"
    estimate = words(comparison.improvement, sign=True)
    if low is None or high is None:
        return f"{estimate} (no interval yet)"
    return f"{estimate} ({words(low, sign=True)} to {words(high, sign=True)})"

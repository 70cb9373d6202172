"""What the evidence shows, what is open, whether the data can be trusted, and what happens next."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from expci.core import number_format
from expci.core.decision.thresholds import promotion_threshold, regression_limit
from expci.core.lifecycle.transitions import Life
from expci.core.model.experiment import Experiment, Limit, Metric
from expci.core.model.results import Analysis, Comparison, Interval, MetricResult
from expci.report.sections import records, result_tables
from expci.report.sections.effects import effect_of, interval_words, towards_better
from expci.report.sections.sentences import no_trials
from expci.report.text import escape, numbers, times
from expci.report.text.phrases import Code, Phrase, Strong, Words, joined, phrase
from expci.report.text.tables import Table

_MOST_FINDINGS = 12


@dataclass(frozen=True)
class Findings:
    """Sentences about the primary metric and the guardrails."""

    results: tuple[Phrase, ...]
    open_questions: tuple[Phrase, ...]


# What the codes of refused records mean, in a reader's words.
_REFUSALS: Mapping[str, str] = {
    "clock": "a clock in the future",
    "damaged": "damaged in the ledger",
    "id_taken": "the id of another record",
    "malformed": "not a record",
    "no_arm": "an arm that the plan does not have",
    "not_started": "of a plan that never ran",
    "untrusted": "of a fork",
}


def findings(experiment: Experiment, analysis: Analysis | None) -> Findings:
    """Each judged metric goes to one side; the intervals decide which, at their own level."""
    if analysis is None or no_trials(analysis):
        return Findings((), (phrase("everything: no trial has been counted"),))
    settled: list[Phrase] = []
    unknown: list[Phrase] = []
    for metric in result_tables.by_role(analysis.metrics):
        if metric.role == "secondary":
            continue
        spec = next((item for item in experiment.metrics if item.name == metric.name), None)
        for comparison in metric.comparisons:
            sure, sentence = _finding(experiment, metric, comparison, spec)
            (settled if sure else unknown).append(sentence)
    unknown += _unreported(experiment, analysis)
    unknown += [phrase("{}", escape.clean(note)) for note in analysis.notes]
    return Findings(_shortened(settled), _shortened(unknown))


def _shortened(sentences: Sequence[Phrase]) -> tuple[Phrase, ...]:
    hidden = len(sentences) - _MOST_FINDINGS
    if hidden <= 1:
        return tuple(sentences)
    return (*sentences[:_MOST_FINDINGS], phrase("{} more, in the tables", str(hidden)))


def _unreported(experiment: Experiment, analysis: Analysis) -> list[Phrase]:
    reported = {metric.name for metric in analysis.metrics}
    return [
        phrase("{}: no counted trial has reported it", Code(metric.name))
        for metric in experiment.metrics
        if metric.name not in reported
    ]


def _finding(
    experiment: Experiment, metric: MetricResult, comparison: Comparison, spec: Metric | None
) -> tuple[bool, Phrase]:
    effect = effect_of(comparison, metric)
    name, arm = Code(metric.name), Code(comparison.arm)
    range_words = interval_words(effect, sign=True)
    if effect.value is None or effect.interval is None or effect.interval == (None, None):
        notes = "; ".join(escape.clean(note) for note in comparison.notes)
        return False, phrase("what {} does to {}{}", arm, name, f": {notes}" if notes else "")
    if effect.low is not None and effect.low > 0:
        return True, phrase("{} is better with {}: {}", name, arm, range_words)
    if effect.high is not None and effect.high < 0:
        guarded = spec is not None and metric.role == "guardrail"
        limit = numbers.limit(regression_limit(spec), metric) if spec else ""
        more = f"; its limit is {limit}" if guarded else ""
        return True, phrase("{} is worse with {}: {}{}", name, arm, range_words, more)
    if spec is not None and metric.role == "guardrail":
        return _guarded(metric, comparison, regression_limit(spec), range_words)
    if spec is not None and metric.role == "primary":
        threshold = promotion_threshold(experiment)
        high = _ends(metric, comparison, threshold)[1]
        if high is not None and high < threshold.value:
            limit = numbers.limit(threshold, metric)
            words = "{} does not make {} better by {}, what promotion asks for: {}"
            return True, phrase(words, arm, name, limit, range_words)
    words = "whether {} makes {} better or worse: {} fits the data"
    return False, phrase(words, arm, name, range_words)


def _guarded(
    metric: MetricResult, comparison: Comparison, bound: Limit, range_words: str
) -> tuple[bool, Phrase]:
    name, arm = Code(metric.name), Code(comparison.arm)
    low = _ends(metric, comparison, bound)[0]
    limit = numbers.limit(bound, metric)
    if low is not None and low >= -bound.value:
        words = "{} with {} stays within its limit of {}: {}"
        return True, phrase(words, name, arm, limit, range_words)
    loss = _possible_loss(metric, arm, bound, low)
    return False, phrase("{}: {} fits the data", loss, range_words)


def not_excluded(experiment: Experiment, analysis: Analysis | None) -> tuple[Phrase, ...]:
    """The largest loss of each guardrail that the data leave possible for what is promoted."""
    if analysis is None:
        return ()
    judged = {metric.name: regression_limit(metric) for metric in experiment.guardrails}
    arm = analysis.decision.arm
    losses = (
        (metric, Code(comparison.arm), _ends(metric, comparison, judged[metric.name])[0])
        for metric in analysis.metrics
        for comparison in metric.comparisons
        if metric.name in judged
        and arm in (None, comparison.arm)
        and not comparison.evidence.is_exact
    )
    return tuple(
        _possible_loss(metric, name, judged[metric.name], low)
        for metric, name, low in losses
        if low is None or low < 0
    )


def _possible_loss(metric: MetricResult, arm: Code, bound: Limit, low: float | None) -> Phrase:
    name, limit = Code(metric.name), numbers.limit(bound, metric)
    if low is None:
        return phrase("no loss of {} with {} can be excluded yet (limit {})", name, arm, limit)
    worst = number_format.improvement(-low, metric, bound.relative, sign=False)
    words = "a loss of {} with {} of up to {} could not be excluded (limit {})"
    return phrase(words, name, arm, worst, limit)


def _ends(metric: MetricResult, comparison: Comparison, bound: Limit) -> Interval:
    """The interval in the terms of a limit, positive where better."""
    if bound.relative:
        return comparison.interval or (None, None)
    _, interval = towards_better(None, comparison.difference_interval, metric.direction)
    return interval or (None, None)


def health(life: Life, analysis: Analysis | None) -> tuple[Phrase, ...]:
    """Checks, exclusions and alerts, what needs attention first."""
    parts = [
        phrase(
            "{} since {}{}",
            Strong(f"alert {escape.words(name)}"),
            times.day(alert.at),
            _detail(alert.why),
        )
        for name, alert in life.alerts.items()
    ]
    parts += [
        phrase("{} since {}{}", Strong(f"{arm} dropped"), times.day(event.at), _detail(event.why))
        for arm, event in life.dropped.items()
    ]
    if analysis is None:
        return (*parts, phrase("no check has run yet"))
    parts += [
        phrase("{}{}", Strong(f"{escape.words(check.name)} {check.status}"), _detail(check.detail))
        for check in analysis.checks
        if check.status in ("failed", "warning")
    ]
    parts += _checked(analysis)
    return (*parts, _counts(analysis))


def short_health(experiment: Experiment, life: Life, analysis: Analysis | None) -> Phrase:
    """How many notes on the health there are, and where they stand."""
    notes = len(health(life, analysis))
    return phrase("{}; see {}", numbers.count(notes, "note"), Code(f"expci status {experiment.id}"))


def health_line(life: Life, analysis: Analysis | None) -> Phrase:
    """One line: a mark, how many checks pass of how many, what does not, the trials excluded."""
    checks = analysis.checks if analysis else ()
    counts = Counter(check.status for check in checks)
    bad = [check for check in checks if check.status in ("failed", "warning")]
    mark = "🔴" if life.alerts or counts["failed"] else "🟡" if bad else "🟢"
    passed = f"{mark} {counts['ok']} of {numbers.count(len(checks), 'check')} pass"
    parts: list[Words] = [passed if checks else f"{mark} no check has run yet"]
    parts += [Strong(f"alert: {escape.words(name)}") for name in life.alerts]
    parts += [
        f"{escape.words(check.name)} {'fails' if check.status == 'failed' else 'warns'}"
        for check in bad
        if check.name not in life.alerts
    ]
    parts += [f"{counts['unknown']} not yet possible"] if counts["unknown"] else []
    reasons = records.excluded(analysis) if analysis else {}
    excluded = sum(n for reason, n in reasons.items() if reason != "before_promotion")
    parts += [f"{numbers.count(excluded, 'trial')} excluded"] if excluded else []
    return joined(parts, " · ")


def _detail(text: str) -> str:
    return f": {escape.clean(text)}" if text.strip() else ""


def _checked(analysis: Analysis) -> list[Phrase]:
    fine = sum(check.status == "ok" for check in analysis.checks)
    open_ones = [escape.words(check.name) for check in analysis.checks if check.status == "unknown"]
    parts = [phrase("{} of {} pass", str(fine), numbers.count(len(analysis.checks), "check"))]
    parts += [phrase("not possible yet: {}", ", ".join(open_ones))] if open_ones else []
    return parts if analysis.checks else [phrase("no check has run yet")]


def _counts(analysis: Analysis) -> Phrase:
    excluded = records.excluded(analysis)
    total = numbers.count(sum(analysis.trials.arms.values()), "trial")
    parts = [phrase("{} counted", total)]
    if excluded:
        reasons = records.reasons_with_counts(excluded)
        uncounted = numbers.count(sum(excluded.values()))
        parts.append(phrase("{} not counted ({})", uncounted, reasons))
    if analysis.refused:
        parts.append(_refused(analysis))
    if len(parts) == 1:
        return phrase("{} counted, none excluded", total)
    return joined(parts, ", ")


def _refused(analysis: Analysis) -> Phrase:
    """How many records were refused, why and of which arm: an arm that loses many looks good."""
    reasons = "; ".join(
        f"{_REFUSALS.get(code, escape.words(code))}: "
        + ", ".join(f"{arm or 'arm unknown'} {n:,}" for arm, n in sorted(by_arm.items()))
        for code, by_arm in sorted(analysis.refused.items())
    )
    total = sum(sum(by_arm.values()) for by_arm in analysis.refused.values())
    return phrase("{} refused ({})", numbers.count(total, "record"), escape.clean(reasons))


def criteria(analysis: Analysis) -> tuple[tuple[str, str, str], ...]:
    """(mark, rule, detail) of each row of the decision table."""
    marks = {True: "met", False: "not met", None: "open"}
    return tuple(
        (marks[item.met], escape.clean(item.rule), escape.clean(item.detail))
        for item in analysis.decision.criteria
    )


def criteria_table(analysis: Analysis) -> Table:
    """The rows of the decision table for a comment."""
    rows = criteria(analysis)
    header = ("criterion", "is", "detail")
    return Table("lll", header, tuple((rule, mark, detail) for mark, rule, detail in rows))


def criteria_lines(analysis: Analysis) -> tuple[tuple[str, Words], ...]:
    """(mark, sentence) of each row, for a terminal."""
    return tuple(
        (mark, phrase("{}: {}", rule, detail) if detail else rule)
        for mark, rule, detail in criteria(analysis)
    )

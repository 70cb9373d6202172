"""What the evidence shows, what is open, and the criteria of the decision."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from expci.core import number_format
from expci.core.decision.thresholds import promotion_threshold, regression_limit
from expci.core.model.experiment import Experiment, Limit, Metric
from expci.core.model.results import Analysis, Comparison, Interval, MetricResult
from expci.report.sections import result_tables
from expci.report.sections.effects import effect_of, interval_words, towards_better
from expci.report.sections.sentences import no_trials
from expci.report.text import escape, numbers
from expci.report.text.phrases import Code, Phrase, Words, phrase
from expci.report.text.tables import Table

_MOST_FINDINGS = 12


@dataclass(frozen=True)
class Findings:
    """Sentences about the primary metric and the guardrails."""

    results: tuple[Phrase, ...]
    open_questions: tuple[Phrase, ...]


def findings(experiment: Experiment, analysis: Analysis | None) -> Findings:
    """Each judged metric goes to one side; the intervals decide which, at their own level."""
    if analysis is None or no_trials(analysis):
        return Findings((), (phrase(_nothing_counted(analysis)),))
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
        bound = regression_limit(spec)
        return _guarded(metric, comparison, bound, interval_words(effect, True, -bound.value))
    if spec is not None and metric.role == "primary":
        threshold = promotion_threshold(experiment)
        high = _ends(metric, comparison, threshold)[1]
        if high is not None and high < threshold.value:
            limit = numbers.limit(threshold, metric)
            words = "{} does not make {} better by {}, what promotion asks for: {}"
            beside = interval_words(effect, True, threshold.value)
            return True, phrase(words, arm, name, limit, beside)
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
    worst = number_format.improvement(-low, metric, bound.relative, False, bound.value)
    words = "a loss of {} with {} of up to {} could not be excluded (limit {})"
    return phrase(words, name, arm, worst, limit)


def _ends(metric: MetricResult, comparison: Comparison, bound: Limit) -> Interval:
    """The interval in the terms of a limit, positive where better."""
    if bound.relative:
        return comparison.interval or (None, None)
    _, interval = towards_better(None, comparison.difference_interval, metric.direction)
    return interval or (None, None)


def _nothing_counted(analysis: Analysis | None) -> str:
    """What is not known without a trial: everything, or what the change has done since it is in."""
    if analysis is not None and analysis.state in result_tables.IN_USE:
        return "whether the change has done harm since the promotion: no trial has arrived since"
    return "everything: no trial has been counted"


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

"""Sentences about a comparison: what an arm does to a metric, and why a verdict was given."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from expci.core.model.experiment import Experiment
from expci.core.model.results import Analysis, Comparison, MetricResult
from expci.report.sections.effects import Effect, corrected_effect, effect_of, interval_words
from expci.report.text import escape, numbers
from expci.report.text.phrases import Code, Phrase, joined, phrase

_REASON_LIMIT = 300


def units_of_design(experiment: Experiment, units: int | None) -> str:
    """`24 pairs`, `12 trials per arm`: what the design counts."""
    return _units(units, in_pairs=experiment.assignment.design == "paired")


def units_counted(experiment: Experiment, analysis: Analysis, units: int | None) -> str:
    """The same of what an analysis counts: a paired design may have no pairs to compare."""
    in_pairs = analysis.progress.in_pairs
    return units_of_design(experiment, units) if in_pairs is None else _units(units, in_pairs)


def _units(units: int | None, in_pairs: bool) -> str:
    return numbers.count(units, *(["pair"] if in_pairs else ["trial per arm", "trials per arm"]))


def no_trials(analysis: Analysis | None) -> bool:
    """Whether nothing at all has been counted yet, in any arm."""
    return analysis is None or (
        analysis.progress.per_arm == 0 and not any(analysis.trials.arms.values())
    )


@dataclass(frozen=True)
class MetricChange:
    """What an arm does to a metric: the claim, and the interval that it rests on in brackets."""

    claim: Phrase
    evidence: str = ""

    @property
    def sentence(self) -> Phrase:
        """`treatment` cuts `duration_s` by 21.3% (95% interval 12.0% to 29.4%)."""
        return joined([self.claim, self.evidence])


def change_words(comparison: Comparison, metric: MetricResult) -> MetricChange:
    """The change in words; where the interval holds both signs no verb claims a direction."""
    effect = effect_of(comparison, metric)
    arm, name = Code(comparison.arm), Code(metric.name)
    if effect.value is None:
        return MetricChange(phrase("{}: no effect on {} can be estimated yet", arm, name))
    if not effect.sure:
        value = effect.words(effect.value, sign=True)
        claim = phrase("the improvement of {} with {} is {}", name, arm, value)
        return MetricChange(claim, _range(comparison, effect, sign=True))
    better = effect.value >= 0
    size = effect if better else effect.flipped()
    claim = _claim(comparison, metric, size, better=better)
    return MetricChange(claim, _range(comparison, size) + ("" if better else ", which is worse"))


def _claim(comparison: Comparison, metric: MetricResult, size: Effect, *, better: bool) -> Phrase:
    """What the arm does to the metric; `size` is positive."""
    verb = "raises" if better == (metric.direction == "increase") else "cuts"
    arm, name = Code(comparison.arm), Code(metric.name)
    return phrase("{} {} {} by {}", arm, verb, name, size.words(size.value))


def _range(comparison: Comparison, effect: Effect, sign: bool = False) -> str:
    """The interval in brackets; that of values that never vary is one point."""
    if comparison.evidence.is_exact:
        return " (exact: the values never vary)"
    level = numbers.stated_percent(comparison.level)
    return f" ({level} interval {interval_words(effect, sign)})"


def change_of(analysis: Analysis, metric: str, arm: str | None) -> MetricChange | None:
    """The change of one metric in the arm that a decision is about, else the first treatment."""
    result = next((item for item in analysis.metrics if item.name == metric), None)
    comparison = comparison_with(result, arm) if result else None
    return change_words(comparison, result) if comparison and result else None


def corrected_words(analysis: Analysis | None, arm: str | None) -> str:
    """What a win is likely to be worth: `12.3% (95% interval 2.1% to 22.5%)`; "" without one.

    Without the brackets where there is no interval."""
    metric = primary_of(analysis) if analysis else None
    comparison = comparison_with(metric, arm) if metric else None
    if metric is None or comparison is None or comparison.evidence.is_exact:
        return ""
    effect = corrected_effect(comparison, metric)
    if effect is None:
        return ""
    words = effect.words(effect.value)
    return words if effect.interval is None else words + _range(comparison, effect)


def comparison_with(metric: MetricResult, arm: str | None) -> Comparison | None:
    """The comparison of the arm that a decision is about, else of the first treatment."""
    named = [item for item in metric.comparisons if item.arm == arm]
    return next(iter(named or list(metric.comparisons)), None)


def primary_change(analysis: Analysis | None, arm: str | None) -> MetricChange | None:
    """The change of the primary metric; `None` where it is not compared."""
    metric = None if analysis is None else primary_of(analysis)
    return None if analysis is None or metric is None else change_of(analysis, metric.name, arm)


def primary_of(analysis: Analysis) -> MetricResult | None:
    return next((metric for metric in analysis.metrics if metric.role == "primary"), None)


def harmed_metric(analysis: Analysis) -> str | None:
    """The metric that a rollback is about: the one with the strongest evidence of harm."""
    code, arm = analysis.decision.reason_code, analysis.decision.arm
    roles = {"harm_primary": ("primary",), "harm_guardrail": ("guardrail",)}.get(
        code, ("primary", "guardrail")
    )
    candidates = [
        (_harm_p_value(comparison, metric), metric.name)
        for metric in analysis.metrics
        for comparison in metric.comparisons
        if metric.role in roles and arm in (None, comparison.arm)
        if code != "errors" or metric.name == "success"
        if _harm_p_value(comparison, metric) < math.inf
    ]
    return min(candidates)[1] if candidates else None


def _harm_p_value(comparison: Comparison, metric: MetricResult) -> float:
    """For the order of harms: 0 where an exact value is worse, infinite without evidence."""
    if comparison.evidence.is_exact:
        return 0.0 if (effect_of(comparison, metric).value or 0.0) < 0 else math.inf
    p_value = comparison.evidence.harm_p_value
    return math.inf if p_value is None else p_value


def harm_change(analysis: Analysis) -> MetricChange | None:
    """The change that a rollback rests on; `None` where no metric stands for it.

    Harm has evidence of its own: where the interval does not show it, that stands in its place.
    """
    name = harmed_metric(analysis)
    metric = next((item for item in analysis.metrics if item.name == name), None)
    comparison = comparison_with(metric, analysis.decision.arm) if metric else None
    if metric is None or comparison is None:
        return None
    effect, p_value = effect_of(comparison, metric), comparison.evidence.harm_p_value
    if effect.value is None or effect.value >= 0 or effect.sure or p_value is None:
        return change_words(comparison, metric)
    claim = _claim(comparison, metric, effect.flipped(), better=False)
    return MetricChange(claim, f" (evidence of harm: {numbers.p_value(p_value)})")


def harm_sentence(analysis: Analysis | None) -> Phrase:
    """What a rollback rests on."""
    if analysis is None:
        return phrase("no analysis is at hand")
    change = harm_change(analysis)
    if change is not None:
        return change.sentence
    return reason_words(analysis.decision.reasons, analysis.decision.reason_code)


def reason_words(reasons: Sequence[str], reason_code: str) -> Phrase:
    """The reasons as the decision gave them, else its code in words."""
    text = "; ".join(escape.clean(reason).rstrip(".") for reason in reasons if reason.strip())
    return phrase("{}", clip(text) or escape.words(reason_code) or "no reason given")


def clip(text: str) -> str:
    return text if len(text) <= _REASON_LIMIT else text[: _REASON_LIMIT - 1] + "…"

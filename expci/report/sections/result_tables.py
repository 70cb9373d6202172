"""The tables of an analysis: results at a glance, every number, trials, checks, events."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Literal

from expci.core.decision.thresholds import promotion_threshold, regression_limit
from expci.core.model.experiment import CONTROL, Experiment, Limit
from expci.core.model.metric_kinds import KINDS
from expci.core.model.results import Analysis, ArmSummary, Comparison, MetricResult, Paired, Welch
from expci.report.sections.effects import (
    Effect,
    between,
    effect_of,
    interval_words,
    raw_effect,
    scale,
)
from expci.report.text import charts, escape, numbers
from expci.report.text.phrases import Code, Strong, Words
from expci.report.text.tables import Bar, Cell, Table

_ROLES = {"primary": 0, "guardrail": 1, "secondary": 2}

Pair = tuple[MetricResult, Comparison]


def by_role(metrics: Iterable[MetricResult]) -> list[MetricResult]:
    """The primary first, then guardrails, then the rest, each in the order of the plan."""
    return sorted(metrics, key=lambda metric: _ROLES[metric.role])


def pairs(metrics: Sequence[MetricResult]) -> list[Pair]:
    return [(metric, comparison) for metric in metrics for comparison in metric.comparisons]


def result_table(
    experiment: Experiment, analysis: Analysis, *, most: int | None, wide: bool
) -> Table:
    """One row per metric (and treatment, where there are several), with an interval bar.

    `most` keeps the first rows only; `wide` adds the role as a column of its own.
    """
    rows = pairs(by_role(analysis.metrics))[:most]
    axis = _axis(rows)
    several = len(experiment.treatments) > 1
    treatment: Words = "arm" if several else Code(experiment.treatments[0].name)
    header: list[Words] = ["metric", *(["role"] if wide else []), *(["arm"] if several else [])]
    header += [Code(CONTROL), "value" if several else treatment]
    header += ["improvement", _interval_title(rows), _axis_title(axis)]
    return Table(
        "l" + "l" * wide + "l" * several + "rrrrl",
        tuple(header),
        tuple(_result(metric, item, axis, wide, several) for metric, item in rows),
    )


IN_USE = ("watching", "promoted")  # states in which the change is in place
MOST_AT_A_GLANCE = 5
_NAME_AT_A_GLANCE = 24  # characters: a phone shows the improvement beside it


def glance_table(experiment: Experiment, analysis: Analysis, most: int | None = None) -> Table:
    """What a reader needs in one look: each judged metric's improvement and what it must be.

    The improvement comes first, so that a narrow screen shows it; at most five rows.
    """
    rows = pairs(by_role(analysis.metrics))[: min(most or MOST_AT_A_GLANCE, MOST_AT_A_GLANCE)]
    several = len(experiment.treatments) > 1
    header: list[Words] = ["metric", *(["arm"] if several else []), "improvement"]
    header += [_interval_title(rows), "needed", Code(CONTROL)]
    header += ["value" if several else Code(experiment.treatments[0].name)]
    in_use = analysis.state in IN_USE
    cells = (_glance(experiment, metric, item, several, in_use) for metric, item in rows)
    return Table("l" + "l" * several + "rrrrr", tuple(header), tuple(cells), together=2)


def _glance(
    experiment: Experiment,
    metric: MetricResult,
    comparison: Comparison,
    several: bool,
    in_use: bool,
) -> tuple[Cell, ...]:
    effect = effect_of(comparison, metric)
    needed = _needed(experiment, metric, in_use)
    improvement = effect.words(effect.value, True, needed.value if needed else None)
    return (
        Code(escape.clipped(metric.name, _NAME_AT_A_GLANCE)),
        *((Code(escape.clipped(comparison.arm, _NAME_AT_A_GLANCE)),) if several else ()),
        Strong(improvement) if metric.role == "primary" else improvement,
        interval_words(effect, sign=True),
        f"≥ {numbers.limit(needed, metric)}" if needed else "",
        _mean(metric, CONTROL),
        _mean(metric, comparison.arm),
    )


def _needed(experiment: Experiment, metric: MetricResult, in_use: bool) -> Limit | None:
    """The improvement that promotion needs of a metric; `None` of one that decides nothing.

    Of what is promoted and `in_use` only harm is decided: no metric may pass its limit.
    """
    spec = next((item for item in experiment.metrics if item.name == metric.name), None)
    if spec is None or metric.role == "secondary":
        return None
    if metric.role == "primary" and not in_use:
        return promotion_threshold(experiment)
    loss = regression_limit(spec)
    return replace(loss, value=-loss.value)


def _result(
    metric: MetricResult, comparison: Comparison, axis: float, wide: bool, several: bool
) -> tuple[Cell, ...]:
    effect = effect_of(comparison, metric)
    drawn = charts.interval_bar(effect.value, effect.low, effect.high, axis)
    bar = Bar(drawn if effect.form != "unit" and effect.interval is not None else "")
    return (
        Code(metric.name),
        *((metric.role,) if wide else ()),
        *((Code(comparison.arm),) if several else ()),
        _mean(metric, CONTROL),
        _mean(metric, comparison.arm),
        effect.words(effect.value, sign=True),
        interval_words(effect, sign=True),
        bar,
    )


def _mean(metric: MetricResult, arm: str) -> str:
    summary = metric.arms.get(arm)
    return _quantity(summary.mean if summary else None, metric)


def _quantity(value: float | None, metric: MetricResult) -> str:
    return numbers.quantity(value, metric)


def _axis(rows: Sequence[Pair]) -> float:
    """Wide enough for what the decision looks at; other metrics may leave it."""
    judged = [row for row in rows if row[0].role != "secondary"]
    effects = [effect_of(comparison, metric) for metric, comparison in judged]
    return scale([item for item in effects if item.form != "unit"])


def _axis_title(axis: float) -> str:
    return f"worse −{numbers.stated_percent(axis)} … better +{numbers.stated_percent(axis)}"


def _interval_title(rows: Sequence[Pair]) -> str:
    levels = {comparison.level for _, comparison in rows}
    return f"{numbers.stated_percent(levels.pop())} interval" if len(levels) == 1 else "interval"


def arm_table(analysis: Analysis) -> Table:
    """n, mean, standard deviation and range of each arm on each metric."""
    rows: list[tuple[Cell, ...]] = []
    for metric in by_role(analysis.metrics):
        rows += [_arm(metric, name, summary) for name, summary in metric.arms.items()]
    return Table("llrrrr", ("metric", "arm", "n", "mean", "sd", "range"), tuple(rows))


def _arm(metric: MetricResult, name: str, summary: ArmSummary) -> tuple[Cell, ...]:
    low, high = _quantity(summary.min, metric), _quantity(summary.max, metric)
    return (
        Code(metric.name),
        Code(name),
        numbers.count(summary.n),
        _quantity(summary.mean, metric),
        _quantity(summary.sd, metric),
        numbers.MISSING if numbers.MISSING in (low, high) else between(low, high),
    )


def difference_table(analysis: Analysis) -> Table:
    """treatment − control in the metric's unit, and the improvement, each with its interval."""
    rows = pairs(by_role(analysis.metrics))
    header = ("metric", "arm", "difference", "interval", "improvement", "interval", "level")
    return Table("llrrrrr", header, tuple(_difference(*row) for row in rows))


def _difference(metric: MetricResult, comparison: Comparison) -> tuple[Cell, ...]:
    raw = raw_effect(comparison.difference, comparison.difference_interval, metric)
    form: Literal["points", "percent"] = "points" if KINDS[metric.kind].is_share else "percent"
    relative = Effect(comparison.improvement, comparison.interval, form)
    return (
        Code(metric.name),
        Code(comparison.arm),
        raw.words(raw.value, sign=True),
        interval_words(raw, sign=True),
        relative.words(relative.value, sign=True),
        interval_words(relative, sign=True),
        numbers.stated_percent(comparison.level),
    )


def evidence_table(experiment: Experiment, analysis: Analysis) -> Table:
    """What the decision used: the method, the look, the evidence and the alpha it has spent."""
    rows = pairs(by_role(analysis.metrics))
    several = len(experiment.treatments) > 1
    header = (
        "metric",
        "arm",
        "method",
        "look",
        "p",
        *(["Holm p"] if several else []),
        "e",
        "alpha",
    )
    return Table(
        "lllrr" + "r" * several + "rr",
        header,
        tuple(_evidence(metric, item, experiment, several) for metric, item in rows),
    )


def _evidence(
    metric: MetricResult, comparison: Comparison, experiment: Experiment, several: bool
) -> tuple[Cell, ...]:
    evidence = comparison.evidence
    return (
        Code(metric.name),
        Code(comparison.arm),
        evidence.method,
        "any" if evidence.looks is None else numbers.count(evidence.looks),
        numbers.bare_p_value(evidence.p_value),
        *((numbers.bare_p_value(comparison.holm_p_value),) if several else ()),
        numbers.e_value(evidence.e_value, evidence.log_e_value),
        _alpha(evidence.alpha_spent, experiment),
    )


def _alpha(spent: float | None, experiment: Experiment) -> str:
    if spent is not None:
        return f"{numbers.number(spent)} spent"
    if experiment.plan.inference == "anytime":
        return f"{numbers.stated(experiment.plan.alpha)} for all looks"
    return numbers.MISSING


def _stated(level: float | None) -> str:
    return numbers.MISSING if level is None else numbers.stated(level)


def harm_table(analysis: Analysis) -> Table:
    """One-sided evidence of harm, valid at every look, and the level that it must pass."""
    rows = [row for row in pairs(by_role(analysis.metrics)) if row[0].role != "secondary"]
    return Table(
        "llrr",
        ("metric", "arm", "evidence of harm: p", "threshold"),
        tuple(
            (
                Code(metric.name),
                Code(comparison.arm),
                numbers.bare_p_value(comparison.evidence.harm_p_value),
                _stated(comparison.evidence.level_harm),
            )
            for metric, comparison in rows
        ),
    )


def effect_size_table(analysis: Analysis) -> Table:
    """Standardised differences with their usual word; what a fixed test of so many trials would
    detect the planned effect with."""
    return Table(
        "llrrlr",
        ("metric", "arm", "Cohen's d", "Hedges' g", "called", "power of a fixed test"),
        tuple(
            (
                Code(metric.name),
                Code(comparison.arm),
                numbers.number(comparison.cohens_d),
                numbers.number(comparison.hedges_g),
                escape.clean(comparison.effect_size_word or ""),
                numbers.percent(comparison.power),
            )
            for metric, comparison in pairs(by_role(analysis.metrics))
        ),
    )


def side_table(analysis: Analysis) -> Table:
    """What is reported and decides nothing: flat-prior odds and the effect sizes of other kinds."""
    rows = [(m, c, _also(c)) for m, c in pairs(by_role(analysis.metrics))]
    return Table(
        "llrrl",
        ("metric", "arm", "chance to beat control", "expected loss", "also"),
        tuple(
            (
                Code(metric.name),
                Code(comparison.arm),
                numbers.percent(comparison.chance_to_beat),
                raw_effect(None, None, metric).words(comparison.expected_loss),
                also,
            )
            for metric, comparison, also in rows
            if comparison.chance_to_beat is not None or also
        ),
    )


def _also(comparison: Comparison) -> str:
    parts = []
    for name, value, ends in (
        ("log odds ratio", comparison.log_odds_ratio, comparison.log_odds_ratio_interval),
        ("Cliff's delta", comparison.cliffs_delta, comparison.cliffs_delta_interval),
    ):
        if value is not None:
            ends_words = f" ({between(*(numbers.number(end) for end in ends))})" if ends else ""
            parts.append(f"{name} {numbers.number(value)}{ends_words}")
    if comparison.false_discovery_p_value is not None:
        parts.append(f"Benjamini-Hochberg {numbers.p_value(comparison.false_discovery_p_value)}")
    return "; ".join(parts)


def classical_table(analysis: Analysis) -> Table:
    """The classical tests, as if this had been the only look."""
    rows: list[tuple[Cell, ...]] = []
    for metric, comparison in pairs(by_role(analysis.metrics)):
        rows += [_test(metric, comparison.arm, "Welch", comparison.welch)]
        if comparison.paired is not None:
            name = f"paired, n = {numbers.count(comparison.paired.n)}"
            rows += [_test(metric, comparison.arm, name, comparison.paired)]
    header = ("metric", "arm", "test", "t", "df", "p", "interval")
    return Table("lllrrrr", header, tuple(rows))


def _test(
    metric: MetricResult, arm: str, name: str, test: Welch | Paired | None
) -> tuple[Cell, ...]:
    values = (test.t, test.df, test.p_value, test.interval) if test else (None, None, None, None)
    t, df, p, interval = values
    return (
        Code(metric.name),
        Code(arm),
        name,
        numbers.number(t),
        numbers.number(df),
        numbers.bare_p_value(p),
        interval_words(raw_effect(None, interval, metric), sign=True),
    )


def order_table(analysis: Analysis) -> Table:
    """Whether the second run of a pair differs from the first, in paired designs."""
    rows = [(m, c, c.paired) for m, c in pairs(by_role(analysis.metrics)) if c.paired is not None]
    return Table(
        "llrr",
        ("metric", "arm", "order effect", "p"),
        tuple(
            (
                Code(metric.name),
                Code(comparison.arm),
                raw_effect(test.order_effect, None, metric).words(test.order_effect, True),
                numbers.bare_p_value(test.order_p_value),
            )
            for metric, comparison, test in rows
        ),
    )


def validity(experiment: Experiment) -> str:
    """At which looks the plan's evidence is valid."""
    plan = experiment.plan
    if plan.inference == "group-sequential":
        return f"group-sequential: valid at {numbers.count(plan.looks, 'planned look')}"
    if plan.inference == "fixed":
        return "fixed: valid once, at the sample size"
    return "anytime: valid at every look"


def number_tables(experiment: Experiment, analysis: Analysis) -> dict[str, Table | str]:
    """All tables of method and numbers, by their names in the templates."""
    return {
        "validity": validity(experiment),
        "heading": f"EVIDENCE THAT THE DECISION USED ({validity(experiment)})",
        "arms": arm_table(analysis),
        "differences": difference_table(analysis),
        "evidence": evidence_table(experiment, analysis),
        "harms": harm_table(analysis),
        "effect_sizes": effect_size_table(analysis),
        "beside": side_table(analysis),
        "classical": classical_table(analysis),
        "orders": order_table(analysis),
    }

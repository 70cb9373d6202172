"""The design report: what varies, how many trials, how long, and how often it would err."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from expci.core.model.experiment import (
    Experiment,
    Limit,
    Metric,
)
from expci.report.sections.plan_scenarios import inferences, number_in, promise, reading, scenarios
from expci.report.sections.sentences import units_of_design
from expci.report.text import escape, numbers
from expci.report.text.phrases import Code, Phrase, Strong, phrase
from expci.report.text.tables import Cell, Table

_MOST_PILOT_PAIRS = 80


@dataclass(frozen=True)
class PlanView:
    """The `expci.plan/1` document as words."""

    headline: Phrase
    promise: Phrase
    facts: tuple[tuple[str, Phrase], ...]
    scenarios: Table
    inferences: Table
    by_variation: Table
    pilot: Phrase
    reading: Phrase
    advice: tuple[str, ...]


def plan_view(
    document: Mapping[str, Any], experiment: Experiment, advice: Sequence[str] = ()
) -> PlanView:
    """Return the words for an `expci.plan/1` document, with further `advice` first."""
    own, rows = document.get("advice"), _rows(document.get("operating_characteristics"))
    given = [*advice, *(own if isinstance(own, (list, tuple)) else [])]
    return PlanView(
        headline=_headline(document, experiment),
        promise=promise(rows, experiment),
        facts=_facts(document, experiment),
        scenarios=scenarios(rows, experiment),
        inferences=inferences(document.get("inferences")),
        by_variation=_by_variation(document.get("sizes_by_variation"), experiment),
        pilot=_unmeasured(experiment),
        reading=reading(experiment.primary),
        advice=tuple(dict.fromkeys(escape.clean(item) for item in given)),
    )


def size_of_plan(document: Mapping[str, Any]) -> int | None:
    size = document.get("sample_size")
    value = number_in(size.get("per_arm")) if isinstance(size, Mapping) else number_in(size)
    return None if value is None else round(value)


def _headline(document: Mapping[str, Any], experiment: Experiment) -> Phrase:
    size = size_of_plan(document)
    if size is None:
        words = "{}: how many trials it needs is open; a pilot tells: {}."
        return phrase(words, Strong("Plan"), _pilot_command(experiment))
    expected = number_in(document.get("expected_days"))
    time = f"about {numbers.days(expected)}" if expected is not None else "for an unknown time"
    return phrase("{}: at most {}, {}.", Strong("Plan"), units_of_design(experiment, size), time)


def _pilot_command(experiment: Experiment) -> Code:
    """What measures how much runs vary: trials before the start, else those of the past."""
    if experiment.run is None:
        return Code(f"expci plan {experiment.id} --pilot FILE")
    cases = len(experiment.cases.frozen) if experiment.cases else 0
    pairs = min(2 * cases, _MOST_PILOT_PAIRS) or 5
    return Code(f"expci trial {experiment.id} --pilot --pairs {pairs}")


def _by_variation(rows: object, experiment: Experiment) -> Table:
    """What the plan needs by how much runs vary, where nothing has measured that."""
    listed = [row for row in rows if isinstance(row, Mapping)] if isinstance(rows, list) else []
    unit = units_of_design(experiment, 2).partition(" ")[2]
    head, cells = _guess_of(experiment.primary), [_at_variation(row, experiment) for row in listed]
    if any(row.get("expected_days") is not None for row in listed):
        timed = zip(cells, map(_days_of, listed), strict=True)
        return Table("lrr", (head, unit, "takes"), tuple((*cell, days) for cell, days in timed))
    return Table("lr", (head, unit), tuple(cells))


def _guess_of(metric: Metric) -> str:
    """What the rows of a plan without a pilot differ in."""
    if metric.traits.is_share:
        return f"if control's {metric.name} is"
    return "if runs vary by" if _is_relative(metric) else "if runs have an sd of"


def _unmeasured(experiment: Experiment) -> Phrase:
    """What the rows say, and the command that measures which of them holds."""
    what = "how much runs vary is their standard deviation (sd) over their mean"
    if experiment.primary.traits.is_share:
        what = "how much a share varies follows from the share itself"
    elif not _is_relative(experiment.primary):
        what = "sd is the standard deviation of single runs"
    size = units_of_design(experiment, experiment.plan.min_trials)
    words = "By the formula, at least {} (min_trials); {}. A pilot tells: {}"
    return phrase(words, size, what, _pilot_command(experiment))


def _is_relative(metric: Metric) -> bool:
    return metric.minimum_effect is not None and metric.minimum_effect.relative


def _at_variation(row: Mapping[str, Any], experiment: Experiment) -> tuple[Cell, ...]:
    size, sd = numbers.count(number_in(row.get("per_arm"))), number_in(row.get("sd"))
    if sd is not None:
        return numbers.limit(Limit(sd, relative=False), experiment.primary), size
    share = number_in(row.get("share"))
    variation = number_in(row.get("variation")) if share is None else share
    return numbers.stated_percent(variation or 0.0), size


def _days_of(row: Mapping[str, Any]) -> Cell:
    days = number_in(row.get("expected_days"))
    return numbers.MISSING if days is None else numbers.days(days)


def _facts(document: Mapping[str, Any], experiment: Experiment) -> tuple[tuple[str, Phrase], ...]:
    primary, rate = experiment.primary, number_in(document.get("trials_per_day"))
    smallest = number_in(document.get("minimum_detectable_effect"))
    hoped = numbers.limit(primary.minimum_effect, primary)
    power = f"with {numbers.stated_percent(experiment.plan.power)} power"
    detectable = numbers.points(smallest) if primary.traits.is_share else numbers.percent(smallest)
    return (
        ("hoped for", phrase("{}: {} of {} or more", Code(primary.name), primary.direction, hoped)),
        (
            "can see",
            phrase("{}", numbers.MISSING if smallest is None else f"{detectable} or more, {power}"),
        ),
        ("sample size", phrase("{}", _amount(experiment, size_of_plan(document)))),
        ("earliest win", phrase("{}", units_of_design(experiment, experiment.plan.min_trials))),
        ("rate", phrase("{}", _rate(rate))),
        ("time", phrase("{}", _time(document, experiment))),
        *_budget(document.get("budget")),
    )


def _budget(use: object) -> Iterator[tuple[str, Phrase]]:
    if not isinstance(use, Mapping):
        return
    metric, likely = str(use.get("metric")), number_in(use.get("to_decision"))
    spent, most = (numbers.amount_of(number_in(use.get(k)), metric) for k in ("spent", "most"))
    words = f"at most {most}, {spent} spent"
    if likely is not None:
        words += f"; about {numbers.amount_of(likely, metric)} to a decision"
    yield "budget", phrase("{}", words)


def _amount(experiment: Experiment, size: int | None) -> str:
    return numbers.MISSING if size is None else f"at most {units_of_design(experiment, size)}"


def _rate(rate: float | None) -> str:
    if rate is None:
        return "no trials over a whole day to measure it by"
    return numbers.per_day(rate)


def _time(document: Mapping[str, Any], experiment: Experiment) -> str:
    expected = number_in(document.get("expected_days"))
    limit = f"it expires after {numbers.days(experiment.plan.max_days)}"
    if expected is None:
        return f"open; {limit}"
    late = " SOONER THAN IT CAN FINISH" if expected > experiment.plan.max_days else ""
    return f"about {numbers.days(expected)}; {limit}{late}"


def _rows(rows: object) -> tuple[Mapping[str, Any], ...]:
    """The simulated scenarios of a document."""
    if not isinstance(rows, (list, tuple)):
        return ()
    return tuple(row for row in rows if isinstance(row, Mapping))

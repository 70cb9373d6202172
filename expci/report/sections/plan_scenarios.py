"""How often a plan promotes, rolls back and stops, by what is true: from its simulation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from expci.core.decision.thresholds import regression_limit
from expci.core.model.experiment import (
    Experiment,
    Limit,
    Metric,
)
from expci.report.text import charts, escape, numbers
from expci.report.text.phrases import NOTHING, Phrase, joined, phrase
from expci.report.text.tables import Bar, Cell, Table

_SCENARIOS = {
    "no_effect": "no effect at all",
    "minimum_effect": "the hoped-for effect",
    "hoped_effect": "the hoped-for effect",
    "hoped_for": "the hoped-for effect",
    "harm": "harm of that size",
    "harm_twice": "twice that harm",
}


def number_in(value: object) -> float | None:
    """Return the number of a JSON value; `None` where it is none."""
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def promise(rows: Sequence[Mapping[str, Any]], experiment: Experiment) -> Phrase:
    """Return what the simulation says, in a sentence; nothing where the plan was not simulated."""
    clauses = [clause for row in rows if (clause := _clause(row, experiment)) is not None]
    if not clauses:
        return NOTHING
    return joined([clauses[0][:1].upper() + clauses[0][1:], *clauses[1:]], "; ")


def _clause(row: Mapping[str, Any], experiment: Experiment) -> str | None:
    """What becomes of the change where one thing is true; `None` where no share says it."""
    promoted, rolled_back = number_in(row.get("promote")), number_in(row.get("rollback"))
    name, truth = str(row.get("scenario", "")), _truth(row, experiment)
    if name == "no_effect" and promoted is not None:
        return f"if the change does nothing, this plan promotes it in {_of_hundred(promoted)}"
    if name.startswith("harm") and rolled_back is not None:
        return f"{truth} is rolled back in {_of_hundred(rolled_back)}"
    return None if promoted is None else f"{truth} is promoted in {_of_hundred(promoted)}"


def _of_hundred(share: float) -> str:
    if share < 0.005:
        return "fewer than 1 of 100"
    return "more than 99 of 100" if share > 0.995 else f"{round(100 * share)} of 100"


def scenarios(rows: Sequence[Mapping[str, Any]], experiment: Experiment) -> Table:
    """Return the share of each verdict by what is true, with the trials it takes."""
    header = (
        "if the truth is",
        "promotes",
        "",
        "rolls back",
        "stops",
        "undecided",
        "trials",
        "9 in 10 under",
    )
    return Table("lrlrrrrr", header, tuple(_scenario(row, experiment) for row in rows))


def inferences(rows: object) -> Table:
    """Return what each inference needs, as it is and beside the fixed design."""
    listed = [row for row in rows if isinstance(row, Mapping)] if isinstance(rows, list) else []
    fixed = next((row for row in listed if row.get("inference") == "fixed"), {})
    one_look = number_in(fixed.get("sample_size"))
    header = ("inference", "needs", "of fixed", "uses on average", "of fixed", "")
    return Table("lrrrrl", header, tuple(_inference(row, one_look) for row in listed))


def _inference(row: Mapping[str, Any], one_look: float | None) -> tuple[Cell, ...]:
    size, mean = number_in(row.get("sample_size")), number_in(row.get("trials_mean"))
    return (
        escape.words(str(row.get("inference", ""))),
        numbers.count(size),
        _multiple(size, one_look),
        numbers.number(mean),
        _multiple(mean, one_look),
        "this plan" if row.get("chosen") is True else "",
    )


def _multiple(value: float | None, of: float | None) -> str:
    return numbers.MISSING if value is None or not of else f"{value / of:.2f} ×"


def reading(metric: Metric) -> Phrase:
    """Return how a reader of the table is to take its columns."""
    limit = numbers.limit(regression_limit(metric), metric)
    proof = "" if metric.traits.is_share else f" and an estimate worse than a loss of {limit}"
    return phrase(
        "A rollback and a stop both keep control. A rollback has proof of harm{}; a stop at the "
        "sample size with a loss of more than {}, not proven, says so and raises an alert.",
        proof,
        limit,
    )


def _loss(row: Mapping[str, Any], experiment: Experiment) -> str | None:
    """What a guardrail is assumed to lose; `None` in a scenario of none."""
    effect = row.get("guardrail_effect")
    metric = next((m for m in experiment.guardrails if m.name == row.get("guardrail")), None)
    value = number_in(effect.get("value")) if isinstance(effect, Mapping) else None
    if metric is None or value is None or not isinstance(effect, Mapping):
        return None
    limit = Limit(abs(value), bool(effect.get("relative")))
    verb = "rises" if metric.direction == "decrease" else "falls"
    return f"{metric.name} {verb} by {numbers.limit(limit, metric)}"


def _scenario(row: Mapping[str, Any], experiment: Experiment) -> tuple[Cell, ...]:
    promote = number_in(row.get("promote"))
    shares = [promote, number_in(row.get("rollback")), number_in(row.get("stop"))]
    return (
        _truth(row, experiment),
        numbers.frequency(promote),
        Bar(charts.share_bar(round(10 * promote)) if promote is not None else ""),
        *(numbers.frequency(value) for value in shares[1:]),
        numbers.frequency(_undecided(shares)),
        numbers.count(number_in(row.get("trials_median"))),
        numbers.count(number_in(row.get("trials_p90"))),
    )


def _truth(row: Mapping[str, Any], experiment: Experiment) -> str:
    """What is assumed, with its size where the row tells it."""
    metric, loss = experiment.primary, _loss(row, experiment)
    name, effect = str(row.get("scenario", "")), row.get("effect")
    if loss is not None:
        return f"{_SCENARIOS['hoped_effect']}, but {loss}"
    if not isinstance(effect, Mapping) or name == "hoped_effect":
        return _SCENARIOS.get(name, escape.words(name))
    value = number_in(effect.get("value")) or 0.0
    size = numbers.limit(Limit(abs(value), bool(effect.get("relative"))), metric)
    return f"harm of {size}" if value < 0 else f"an improvement of {size}"


def _undecided(shares: Sequence[float | None]) -> float | None:
    """What ends without a promotion, a rollback or a stop: expired, invalid, still open."""
    decided = [share for share in shares if share is not None]
    return max(0.0, 1 - sum(decided)) if len(decided) == len(shares) else None

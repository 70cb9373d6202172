"""The design report: what varies, how many trials, how long, and how often it would err."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from expci.core.decision.thresholds import promotion_threshold, regression_limit
from expci.core.model.experiment import (
    CONTROL,
    Arm,
    Experiment,
    InferenceBasis,
    Limit,
    Metric,
    PlanRules,
)
from expci.report.sections.sentences import units_of_design
from expci.report.text import charts, escape, numbers
from expci.report.text.phrases import NOTHING, Code, Phrase, Strong, Words, joined, phrase
from expci.report.text.tables import Bar, Cell, Table

_SCENARIOS = {
    "no_effect": "no effect at all",
    "minimum_effect": "the hoped-for effect",
    "hoped_effect": "the hoped-for effect",
    "hoped_for": "the hoped-for effect",
    "harm": "harm of that size",
    "harm_twice": "twice that harm",
}
_MOST_PATHS = 30
_MOST_PILOT_PAIRS = 80
_MOST_NAMES = 10


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
    own, rows = document.get("advice"), _rows(document.get("operating_characteristics"))
    given = [*advice, *(own if isinstance(own, (list, tuple)) else [])]
    return PlanView(
        headline=_headline(document, experiment),
        promise=_promise(rows, experiment),
        facts=_facts(document, experiment),
        scenarios=_scenarios(rows, experiment),
        inferences=_inferences(document.get("inferences")),
        by_variation=_by_variation(document.get("sizes_by_variation"), experiment),
        pilot=_unmeasured(experiment),
        reading=_reading(experiment.primary),
        advice=tuple(dict.fromkeys(escape.clean(item) for item in given)),
    )


def _number(data: object) -> float | None:
    return float(data) if isinstance(data, (int, float)) and not isinstance(data, bool) else None


def size_of_plan(document: Mapping[str, Any]) -> int | None:
    size = document.get("sample_size")
    value = _number(size.get("per_arm")) if isinstance(size, Mapping) else _number(size)
    return None if value is None else round(value)


def _headline(document: Mapping[str, Any], experiment: Experiment) -> Phrase:
    size = size_of_plan(document)
    if size is None:
        words = "{}: how many trials it needs is open; a pilot tells: {}."
        return phrase(words, Strong("Plan"), _pilot_command(experiment))
    expected = _number(document.get("expected_days"))
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
    size, sd = numbers.count(_number(row.get("per_arm"))), _number(row.get("sd"))
    if sd is not None:
        return numbers.limit(Limit(sd, relative=False), experiment.primary), size
    share = _number(row.get("share"))
    variation = _number(row.get("variation")) if share is None else share
    return numbers.stated_percent(variation or 0.0), size


def _days_of(row: Mapping[str, Any]) -> Cell:
    days = _number(row.get("expected_days"))
    return numbers.MISSING if days is None else numbers.days(days)


def _facts(document: Mapping[str, Any], experiment: Experiment) -> tuple[tuple[str, Phrase], ...]:
    primary, rate = experiment.primary, _number(document.get("trials_per_day"))
    smallest = _number(document.get("minimum_detectable_effect"))
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
    metric, likely = str(use.get("metric")), _number(use.get("to_decision"))
    spent, most = (numbers.amount_of(_number(use.get(k)), metric) for k in ("spent", "most"))
    words = f"at most {most}, {spent} spent"
    if likely is not None:
        words += f"; about {numbers.amount_of(likely, metric)} to a decision"
    yield "budget", phrase("{}", words)


def _amount(experiment: Experiment, size: int | None) -> str:
    return numbers.MISSING if size is None else f"at most {units_of_design(experiment, size)}"


def _rate(rate: float | None) -> str:
    if rate is None:
        return "no trials or runs to measure it by"
    return numbers.per_day(rate)


def _time(document: Mapping[str, Any], experiment: Experiment) -> str:
    expected = _number(document.get("expected_days"))
    limit = f"it expires after {numbers.days(experiment.plan.max_days)}"
    if expected is None:
        return f"open; {limit}"
    late = " SOONER THAN IT CAN FINISH" if expected > experiment.plan.max_days else ""
    return f"about {numbers.days(expected)}; {limit}{late}"


def _promise(rows: Sequence[Mapping[str, Any]], experiment: Experiment) -> Phrase:
    """What the simulation says, in a sentence; nothing where the plan was not simulated."""
    clauses = [clause for row in rows if (clause := _clause(row, experiment)) is not None]
    if not clauses:
        return NOTHING
    return joined([clauses[0][:1].upper() + clauses[0][1:], *clauses[1:]], "; ")


def _clause(row: Mapping[str, Any], experiment: Experiment) -> str | None:
    """What becomes of the change where one thing is true; `None` where no share says it."""
    promoted, rolled_back = _number(row.get("promote")), _number(row.get("rollback"))
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


def _rows(rows: object) -> tuple[Mapping[str, Any], ...]:
    """The simulated scenarios of a document."""
    if not isinstance(rows, (list, tuple)):
        return ()
    return tuple(row for row in rows if isinstance(row, Mapping))


def _scenarios(rows: Sequence[Mapping[str, Any]], experiment: Experiment) -> Table:
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


def _inferences(rows: object) -> Table:
    """What each inference needs, as it is and beside the fixed design."""
    listed = [row for row in rows if isinstance(row, Mapping)] if isinstance(rows, list) else []
    fixed = next((row for row in listed if row.get("inference") == "fixed"), {})
    one_look = _number(fixed.get("sample_size"))
    header = ("inference", "needs", "of fixed", "uses on average", "of fixed", "")
    return Table("lrrrrl", header, tuple(_inference(row, one_look) for row in listed))


def _inference(row: Mapping[str, Any], one_look: float | None) -> tuple[Cell, ...]:
    size, mean = _number(row.get("sample_size")), _number(row.get("trials_mean"))
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


def _reading(metric: Metric) -> Phrase:
    """How a reader of the table is to take its columns."""
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
    value = _number(effect.get("value")) if isinstance(effect, Mapping) else None
    if metric is None or value is None or not isinstance(effect, Mapping):
        return None
    limit = Limit(abs(value), bool(effect.get("relative")))
    verb = "rises" if metric.direction == "decrease" else "falls"
    return f"{metric.name} {verb} by {numbers.limit(limit, metric)}"


def _scenario(row: Mapping[str, Any], experiment: Experiment) -> tuple[Cell, ...]:
    promote = _number(row.get("promote"))
    shares = [promote, _number(row.get("rollback")), _number(row.get("stop"))]
    return (
        _truth(row, experiment),
        numbers.frequency(promote),
        Bar(charts.share_bar(round(10 * promote)) if promote is not None else ""),
        *(numbers.frequency(value) for value in shares[1:]),
        numbers.frequency(_undecided(shares)),
        numbers.count(_number(row.get("trials_median"))),
        numbers.count(_number(row.get("trials_p90"))),
    )


def _truth(row: Mapping[str, Any], experiment: Experiment) -> str:
    """What is assumed, with its size where the row tells it."""
    metric, loss = experiment.primary, _loss(row, experiment)
    name, effect = str(row.get("scenario", "")), row.get("effect")
    if loss is not None:
        return f"{_SCENARIOS['hoped_effect']}, but {loss}"
    if not isinstance(effect, Mapping) or name == "hoped_effect":
        return _SCENARIOS.get(name, escape.words(name))
    value = _number(effect.get("value")) or 0.0
    size = numbers.limit(Limit(abs(value), bool(effect.get("relative"))), metric)
    return f"harm of {size}" if value < 0 else f"an improvement of {size}"


def _undecided(shares: Sequence[float | None]) -> float | None:
    """What ends without a promotion, a rollback or a stop: expired, invalid, still open."""
    decided = [share for share in shares if share is not None]
    return max(0.0, 1 - sum(decided)) if len(decided) == len(shares) else None


def varied(paths: Sequence[str]) -> tuple[Words, ...]:
    """The paths that the treatments change, at most thirty by name."""
    named: list[Words] = [Code(path) for path in paths[:_MOST_PATHS]]
    hidden = len(paths) - len(named)
    return (*named, f"and {numbers.count(hidden, 'more path')}") if hidden else tuple(named)


def metrics(experiment: Experiment) -> Table:
    """What is measured and what it must achieve."""
    return Table(
        "lllllll",
        ("metric", "role", "kind", "better", "hoped for", "must not worsen by", "alert below"),
        tuple(
            (
                Code(metric.name),
                metric.role,
                metric.kind,
                "up" if metric.direction == "increase" else "down",
                _stated_limit(numbers.limit(metric.minimum_effect, metric)),
                _bounded(metric),
                "" if metric.alert_below is None else numbers.stated(metric.alert_below),
            )
            for metric in experiment.metrics
        ),
    )


def _bounded(metric: Metric) -> str:
    if metric.role == "secondary":
        return ""
    return numbers.limit(regression_limit(metric), metric)


def _stated_limit(limit: str) -> str:
    return "" if limit == "none" else limit


def arm_descriptions(experiment: Experiment) -> tuple[Phrase, ...]:
    """Each arm with what it changes, in words."""
    return tuple(joined([Code(arm.name), ": ", *_changes(arm)]) for arm in experiment.arms)


def _changes(arm: Arm) -> Iterable[Words]:
    changes = [arm.description] if arm.description else []
    changes += [f"files from {arm.files}"] if arm.files else []
    changes += [f"patch {arm.patch}"] if arm.patch else []
    changes += [f"deletes {', '.join(arm.delete[:5])}"] if arm.delete else []
    changes += [f"sets {', '.join(sorted(arm.env)[:10])}"] if arm.env else []
    default = "the repository as it is" if arm.name == CONTROL else "no change described"
    return [escape.clean("; ".join(changes))[:400] or default]


def plan_parts(experiment: Experiment) -> dict[str, Any]:
    """The parts of the folded plan of a comment."""
    return {
        "arms": arm_descriptions(experiment),
        "metrics": metrics(experiment),
        "rules": rules(experiment),
    }


def rules(experiment: Experiment) -> tuple[tuple[str, Phrase], ...]:
    """The plan's rules as (word, sentence)."""
    plan, decision, assignment = experiment.plan, experiment.decision, experiment.assignment
    threshold, primary = promotion_threshold(experiment), experiment.primary
    promote_at = numbers.limit(threshold, primary)
    where = [f"slot {experiment.slot}"] if experiment.slot else []
    where += [f"lab: {experiment.run}"] if experiment.run else []
    where += [f"judged by: {experiment.compare}"] if experiment.compare else []
    traffic = f"{numbers.stated_percent(assignment.traffic)} of {assignment.unit}s take part"
    return (
        ("runs", phrase("{}", escape.clean("; ".join(where))[:300] or "trials come by import")),
        *_case_rules(experiment),
        ("assignment", phrase("{}, {}", assignment.design, traffic)),
        (
            "inference",
            phrase(
                "{}, alpha {}, power {}{}{}",
                plan.inference,
                numbers.stated(plan.alpha),
                numbers.stated(plan.power),
                _looks(plan),
                _basis(plan),
            ),
        ),
        (
            "size",
            phrase(
                "at least {}, at most {}",
                units_of_design(experiment, plan.min_trials),
                _size(experiment),
            ),
        ),
        ("time", phrase("at most {}", numbers.days(plan.max_days))),
        ("promotion", phrase("{}, at an estimate of {} or more", decision.promote, promote_at)),
        ("rollback", phrase("{}", decision.rollback)),
        ("watch", phrase("{}", numbers.days(decision.watch_days))),
    )


def _case_rules(experiment: Experiment) -> Iterator[tuple[str, Phrase]]:
    cases, budget = experiment.cases, experiment.budget
    if cases is not None:
        each = numbers.count(experiment.repeats, "run")
        many = f"{len(cases.frozen)} of " if cases.frozen else ""
        yield "cases", phrase("{}{}, {} of each arm a visit", many, cases.text, each)
    if experiment.must_pass:
        names = [escape.clean(name) for name in experiment.must_pass[:_MOST_NAMES]]
        more = len(experiment.must_pass) - len(names)
        yield "must pass", phrase("{}{}", ", ".join(names), f" and {more} more" if more else "")
    if budget is not None:
        most = numbers.amount_of(budget.most, budget.metric)
        yield "budget", phrase("{} of {}, all trials together", most, budget.metric)


def _size(experiment: Experiment) -> str:
    size = experiment.plan.sample_size
    return "the computed sample size" if size is None else units_of_design(experiment, size)


_BASES: Mapping[InferenceBasis, str] = {
    "stated": "",
    "stated_size": "; auto: the sample size is stated",
    "computed_size": "; auto: the sample size is computed",
    "ample_size": "; auto: at a sample size so far above the one needed it decides soonest",
    "no_size": "; auto: no sample size is known at the start",
}


def _basis(plan: PlanRules) -> str:
    """Why `inference: auto` is this one; nothing where the file states it."""
    return _BASES[plan.inference_basis]


def _looks(plan: PlanRules) -> str:
    """How the looks of a group-sequential plan share alpha."""
    if plan.inference != "group-sequential":
        return ""
    rho = f", rho {numbers.stated(plan.rho)}" if plan.spending == "power" else ""
    futility = ", with a futility bound" if plan.futility else ""
    kept = numbers.stated(plan.alpha * plan.reserve)
    reserve = f", {kept} of alpha kept for an extension" if plan.reserve else ""
    return f", {numbers.count(plan.looks, 'look')} ({plan.spending}{rho}){futility}{reserve}"

"""The plan as the file states it: arms, metrics and rules."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from expci.core.decision.thresholds import promotion_threshold, regression_limit
from expci.core.model.experiment import (
    CONTROL,
    Arm,
    Experiment,
    InferenceBasis,
    Metric,
    PlanRules,
)
from expci.report.sections.sentences import units_of_design
from expci.report.text import escape, numbers
from expci.report.text.phrases import Code, Phrase, Words, joined, phrase
from expci.report.text.tables import Table

_MOST_PATHS = 30
_MOST_NAMES = 10


def varied(paths: Sequence[str]) -> tuple[Words, ...]:
    """Return the paths that the treatments change, at most thirty by name."""
    named: list[Words] = [Code(path) for path in paths[:_MOST_PATHS]]
    hidden = len(paths) - len(named)
    return (*named, f"and {numbers.count(hidden, 'more path')}") if hidden else tuple(named)


def metrics(experiment: Experiment) -> Table:
    """Return what is measured and what it must achieve."""
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
    """Return each arm with what it changes, in words."""
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
    """Return the parts of the folded plan of a comment."""
    return {
        "arms": arm_descriptions(experiment),
        "metrics": metrics(experiment),
        "rules": rules(experiment),
    }


def rules(experiment: Experiment) -> tuple[tuple[str, Phrase], ...]:
    """Return the plan's rules as (word, sentence)."""
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

"""Advice on an experiment that is valid: what a colleague would say before it starts."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping

from expci.core.model import limits
from expci.core.model.experiment import Arm, Experiment
from expci.core.model.metric_names import SUCCESS, has_long_tail

_LONG_DAYS = 60

_NUMBER = re.compile(
    r"\d|\b(half|halve[sd]?|double[sd]?|triple[sd]?|quarter|third|twice"
    r"|(one|two|three|four|five|six|seven|eight|nine|ten|twenty|fifty) (percent|points|times))\b",
    re.IGNORECASE,
)
_TIME = r"(second|minute|hour|day|week|fortnight|month|quarter|year|sprint|release)s?"
_MONTH = r"january|february|march|april|may|june|july|august|september|october|november|december"
_BOUND = re.compile(
    rf"\b(within|in|over|for|during|after|next) ([\w-]+ ){{0,2}}{_TIME}\b"
    r"|\b(within|in|over|for|during|after|next) [\w-]+ (run|trial|job)s?\b"
    rf"|\bby (the )?(end|{_TIME}|{_MONTH}|\d{{4}}|\d{{1,2}}(st|nd|rd|th))\b|\buntil\b|\bbefore\b",
    re.IGNORECASE,
)
_MEASURED = re.compile(
    r"\b(times?|duration|latency|seconds?|minutes?|hours?|faster|slower|quicker|speed"
    r"|costs?|cheaper|price|tokens?|memory|size|smaller|larger|bytes|[kmg]i?b|cpu"
    r"|errors?|failures?|fails?|flak\w+|crash\w*|rates?|ratio|success|score|coverage"
    r"|satisfaction|throughput|percentage|count|number of|comments?|reverts?)\b",
    re.IGNORECASE,
)
_WORD = re.compile(r"[a-z]{3,}")
# An agent's own configuration, which anthropics/claude-code-action takes from the base branch on
# pull requests: src/github/operations/restore-config.ts there.
_RESTORED = re.compile(r"\.claude/.*|CLAUDE(\.local)?\.md|\.mcp\.json|\.claude\.json")


def advise(experiment: Experiment, varied_paths: Mapping[str, Collection[str]]) -> tuple[str, ...]:
    """Return what to think about before the start; empty when there is nothing to say.

    `varied_paths` are the repository paths that each arm changes, by arm
    (`variant_paths.varied_paths`).

    >>> from dataclasses import replace
    >>> from support.report_samples import experiment
    >>> sure = replace(experiment(), prior=0.95)
    >>> advise(sure, {"control": (), "treatment": ("review.sh",)})[0].split(";")[0]
    'You are 95% sure already: just ship it, and watch it'
    """
    return (
        *_hypothesis(experiment),
        *_prior(experiment.prior),
        *_changes(experiment, varied_paths),
        *_restored(experiment, varied_paths),
        *_only_recorded(experiment),
        *_size(experiment),
        *_guards(experiment),
        *_long_tails(experiment),
        *_adjustment(experiment),
        *_decision(experiment),
    )


def _hypothesis(experiment: Experiment) -> Iterator[str]:
    text, primary = experiment.hypothesis, experiment.primary.name
    if not _NUMBER.search(_BOUND.sub("", text)):  # `within 14 days` is no effect
        yield "The hypothesis is vague: say by how much, for example `by 15%`."
    names = set(_WORD.findall(primary.lower()))
    if not _MEASURED.search(text) and not names & set(_WORD.findall(text.lower())):
        yield f"The hypothesis names nothing that is measured: say what it does to {primary}."
    if not _BOUND.search(text):
        example = f"`within {experiment.plan.max_days:g} days`"
        yield f"The hypothesis has no time bound: say within which time, for example {example}."


def _prior(prior: float | None) -> Iterator[str]:
    if prior is None:
        return
    if prior >= limits.SURE_PRIOR:
        yield (
            f"You are {prior:.0%} sure already: just ship it, and watch it; "
            "the trials would hardly change your mind."
        )
    elif prior < limits.UNSURE_PRIOR:
        yield (
            f"You are only {prior:.0%} sure: think again before spending trials; "
            "a cheaper look (logs, one try by hand) may settle it."
        )


def _changes(experiment: Experiment, varied: Mapping[str, Collection[str]]) -> Iterator[str]:
    for arm in experiment.treatments:
        parts = _parts(arm, len(varied.get(arm.name, ())))
        if len(parts) > 1 or (parts and not parts[0].startswith("1 ")):
            yield (
                f"Arm {arm.name} changes several things at once ({' and '.join(parts)}): a result "
                "will not tell which one did it. Split them unless they only work together."
            )


def _restored(experiment: Experiment, varied: Mapping[str, Collection[str]]) -> Iterator[str]:
    if experiment.slot is None:
        return
    for arm in experiment.treatments:
        paths = sorted(path for path in varied.get(arm.name, ()) if _RESTORED.fullmatch(path))
        if paths:
            yield (
                f"Arm {arm.name} varies {paths[0]}: some agent actions take such files from the "
                "base branch before they start, and their trials are then not exposed. Keep the "
                "prompt in a file of your own and pass it as an argument."
            )


def _only_recorded(experiment: Experiment) -> Iterator[str]:
    if experiment.run is None and experiment.slot is None:
        yield (
            "No `run` and no `slot`: trials come by `expci record` alone. Add `run: COMMAND` for "
            "lab trials, `slot: NAME` for real jobs, or both, if expci is to run them."
        )


def _parts(arm: Arm, files: int) -> list[str]:
    counts = ((files, "file"), (len(arm.env), "variable"))
    return [f"{count} {what}{'s' * (count > 1)}" for count, what in counts if count]


def _size(experiment: Experiment) -> Iterator[str]:
    plan = experiment.plan
    planned = plan.sample_size if plan.sample_size is not None else plan.min_trials
    key = "sample_size" if plan.sample_size is not None else "min_trials"
    if planned < limits.FEW_TRIALS:
        yield (
            f"{planned} trials per arm are planned ({key}): under {limits.FEW_TRIALS} hardly "
            f"any effect shows; {limits.ADVISED_TRIALS} are recommended."
        )
    elif planned < limits.ADVISED_TRIALS:
        advised = limits.ADVISED_TRIALS
        yield f"{planned} trials per arm are planned ({key}); {advised} are recommended."
    if plan.max_days > _LONG_DAYS:
        yield f"It may run for {plan.max_days:g} days; the compared runs drift over such a time."


def _guards(experiment: Experiment) -> Iterator[str]:
    if all(metric.name == SUCCESS for metric in experiment.guardrails):
        yield "No guardrail but success: name what must not get worse, such as cost or quality."
    for metric in experiment.guardrails:
        if (
            not metric.traits.is_share
            and metric.max_regression
            and metric.max_regression.value == 0
        ):
            yield f"{metric.name} may not get worse at all: noise alone will stop half of all wins."


def _long_tails(experiment: Experiment) -> Iterator[str]:
    """Raw costs and sizes as means: above alpha where one arm spreads wider (calibration)."""
    names = [
        metric.name
        for metric in experiment.metrics
        if metric.traits.average == "arithmetic"
        and metric.role != "secondary"
        and metric.winsorize is None
        and has_long_tail(metric.name)
    ]
    if names:
        yield (
            f"Compared by the mean: {', '.join(names)}. Costs and sizes often have a long tail; "
            "means of such values mislead where one arm spreads wider: write `kind: duration` "
            "(compares logarithms, of values above 0) or `kind: rank`."
        )


def _adjustment(experiment: Experiment) -> Iterator[str]:
    """Special covariates that this design has nothing of."""
    covariates = {name for metric in experiment.metrics for name in metric.adjust_by}
    unit, design = experiment.assignment.unit, experiment.assignment.design
    if "history" in covariates and unit in ("run", "job"):
        yield (
            f"adjust_by names history, but a {unit} never comes back: it has none. It takes "
            "`unit: actor`, `pr` or `custom`."
        )
    if "block" in covariates and design != "blocked":
        yield f"adjust_by names block, but `design: {design}` has none to adjust by."


def _decision(experiment: Experiment) -> Iterator[str]:
    decision, effect = experiment.decision, experiment.primary.minimum_effect
    at = decision.promote_at
    if at and effect and at.relative == effect.relative and at.value >= effect.value:
        yield (
            f"promote_at ({at}) is no smaller than minimum_effect ({effect}): an effect of that "
            "size is then promoted only every other time."
        )
    if experiment.risk == "high" and experiment.plan.alpha > limits.HIGH_RISK_ALPHA:
        yield (
            f"Risk is high, but alpha is {experiment.plan.alpha:g}; high risk usually takes "
            f"{limits.HIGH_RISK_ALPHA:g}."
        )
    if experiment.risk == "high" and decision.promote == "merge":
        yield "Risk is high, but a win is merged without a person: `promote: pr` lets one look."
    if decision.promote == "merge":
        yield (
            "On GitHub `promote: merge` waits for checks, and none start on a pull request that "
            "GITHUB_TOKEN opened: give expci a GitHub App's token, or use `promote: pr`."
        )

"""The runs of one round with what the judge says of them, or their failures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from expci.core.model.arm import CONTROL
from expci.core.model.judge import EVEN, KEY
from expci.core.model.metric_names import PREFERENCE
from expci.core.model.trial import Trial
from expci.core.value_class import replace
from expci.runner.lab import infrastructure
from expci.runner.lab.judge import Judge, Judgement

_COMPARED = ("ok", "failed", "timeout")  # a run that was cancelled says nothing of its arm
_NO_OUTPUT = "neither run wrote an output to the file or directory that $EXPCI_OUTPUT names"


def judged_round(
    judge: Judge, trials: Sequence[Trial], outputs: Mapping[str, Path | None], case: str | None
) -> tuple[list[Trial], list[str]]:
    """Return the trials with each treatment's preference to control, and what went wrong.

    Where the infrastructure failed the judge, nothing of the round counts but its cost.
    """
    runs = {trial.arm: trial for trial in trials}
    usable = all(trial.status in _COMPARED and not trial.excluded for trial in trials)
    if CONTROL not in runs or not usable:
        return list(trials), []
    judgements: dict[str, Judgement] = {}
    for arm in runs:
        if arm != CONTROL:
            judgements[arm] = _compared(judge, runs[CONTROL], runs[arm], outputs, case)
            if judgements[arm].infra is not None:
                break
    reason = next((one.infra for one in judgements.values() if one.infra is not None), None)
    judged = [_with_judgement(trial, judgements) for trial in trials]
    if reason is not None:
        return [_failed(trial, reason, judge.setting.budget_names) for trial in judged], []
    problems = [f"{arm}: no preference: {j.problem}" for arm, j in judgements.items() if j.problem]
    return judged, problems


def _compared(
    judge: Judge,
    control: Trial,
    treatment: Trial,
    outputs: Mapping[str, Path | None],
    case: str | None,
) -> Judgement:
    """The judgement of a pair: a run without an output loses, two failures are a tie."""
    a, b = outputs.get(control.arm), outputs.get(treatment.arm)
    if a is not None and b is not None:
        return judge.compare(a, b, case)
    if a is None and b is None:
        if control.status != "ok" and treatment.status != "ok":
            return Judgement(EVEN)
        return Judgement(None, problem=_NO_OUTPUT)
    return Judgement(0.0 if b is None else 1.0)


def _with_judgement(trial: Trial, judgements: Mapping[str, Judgement]) -> Trial:
    own = judgements.get(trial.arm)
    if own is None:  # control is what every treatment is compared with
        has_answer = any(judgement.value is not None for judgement in judgements.values())
        return replace(trial, metrics={**trial.metrics, PREFERENCE: EVEN}) if has_answer else trial
    value = {} if own.value is None else {PREFERENCE: own.value}
    return replace(
        trial,
        metrics={**trial.metrics, **own.costs, **value},
        context={**trial.context, **({KEY: own.answers} if own.costs or own.problem else {})},
    )


def _failed(trial: Trial, reason: str, costs: Sequence[str]) -> Trial:
    return replace(
        trial,
        status="error",
        metrics={name: trial.metrics[name] for name in costs if name in trial.metrics},
        context={**trial.context, infrastructure.KEY: f"{infrastructure.OF_JUDGE}{reason}"},
    )

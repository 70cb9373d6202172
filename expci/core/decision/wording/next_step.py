"""What the next pass does after a decision."""

from __future__ import annotations

from expci.core import number_format
from expci.core.decision.criteria import met
from expci.core.decision.inputs import DecisionInput
from expci.core.decision.table import Ruling, questions


def next_step(s: DecisionInput, ruling: Ruling) -> str:
    """Return what the next pass does.

    >>> from support.look_numbers import LookSample
    >>> next_step(LookSample().input(), Ruling("win", "promote", "win", "treatment"))
    'The pass opens a pull request that promotes treatment.'
    """
    match ruling.verdict:
        case "continue" if s.watching:
            days = number_format.days(s.experiment.decision.watch_days)
            return f"The next pass looks again; it will watch for {days} after the promotion."
        case "continue":
            return "The next pass looks again as trials arrive."
        case "promote":
            return _next_promotion(s, ruling.arm or "")
        case "rollback":
            return _next_rollback(s)
        case "drop":
            return _next_drop(s, ruling.arm or "")
        case "invalid":
            return "The pass pauses the experiment and raises an alert."
    return "The pass ends the experiment; control stays."


def _next_promotion(s: DecisionInput, arm: str) -> str:
    return {
        "pr": f"The pass opens a pull request that promotes {arm}.",
        "merge": f"The pass opens a pull request that promotes {arm} and merges it.",
        "never": "The pass ends the experiment as a win; its plan says never to promote.",
    }[s.experiment.decision.promote]


def _next_rollback(s: DecisionInput) -> str:
    if s.experiment.decision.rollback == "manual":
        return "The pass raises an alert; a person rolls back (`rollback: manual`)."
    if s.watching:
        return "The pass reverts the promoted change."
    return "The pass stops exposure first, then ends the experiment; control stays."


def _next_drop(s: DecisionInput, arm: str) -> str:
    others = ", ".join(other for other in s.remaining if other != arm)
    if s.experiment.decision.rollback == "manual" and _does_harm(s, arm):
        return "The pass raises an alert; a person rolls back (`rollback: manual`)."
    return (
        f"The pass drops {arm}: nothing is exposed to it any more, its share goes to the others, "
        f"and the experiment goes on with {others}."
    )


def _does_harm(s: DecisionInput, arm: str) -> bool:
    harms = (q for q in questions(s.numbers) if q.code == "harm" and q.arm == arm)
    return any(met(s.numbers, question).item() for question in harms)

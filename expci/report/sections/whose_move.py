"""Whose move it is: what a person has to do now, or that nobody has to do anything."""

from __future__ import annotations

from typing import Literal

from expci.core.lifecycle.transitions import ENDED, Life, State
from expci.core.model.experiment import Experiment
from expci.core.model.results import Analysis
from expci.report.sections.outlook import next_steps, on_merge
from expci.report.sections.sentences import no_trials
from expci.report.text.phrases import Code, Phrase, Strong, joined, phrase

Mover = Literal["a person", "expci", "nobody"]
_WORDS = {"a person": "Your move", "expci": "Nothing to do", "nobody": "Done"}


def whose_move(experiment: Experiment, life: Life, analysis: Analysis | None, base: str) -> Phrase:
    """One line on the experiment's pull request: the move, and what merging would do."""
    step = the_move(experiment, life, analysis, base)
    merging = on_merge(experiment, life, Code(base))
    return joined([step, merging], " ") if merging else step


def the_move(experiment: Experiment, life: Life, analysis: Analysis | None, base: str) -> Phrase:
    """Who moves, and the next step."""
    lead = Strong(_WORDS[mover(experiment, life, analysis)])
    return phrase("{}: {}.", lead, next_steps(experiment, life, analysis, base)[0])


def mover(experiment: Experiment, life: Life, analysis: Analysis | None) -> Mover:
    """Who has to do something before anything else happens."""
    match life.state:
        case State.DRAFT | State.PAUSED:
            return "a person"
        case State.RUNNING:
            return _while_running(experiment, analysis)
        case State.PROMOTING:
            merges = experiment.decision.promote == "merge"
            opened = life.promote_opened
            return "expci" if merges and not (opened and opened.draft) else "a person"
        case State.WATCHING:
            return "expci"
        case State.ROLLED_BACK:
            return _after_rollback(life)
    return "nobody" if life.state in ENDED else "expci"


def _while_running(experiment: Experiment, analysis: Analysis | None) -> Mover:
    if analysis is None or no_trials(analysis):
        return "a person"
    by_hand = experiment.decision.rollback == "manual"
    return "a person" if analysis.decision.verdict == "rollback" and by_hand else "expci"


def _after_rollback(life: Life) -> Mover:
    if life.promoted is None or getattr(life.ended, "manual", False):
        return "nobody"
    if life.reverted is None:
        return "expci"
    return "nobody" if life.reverted.commit else "a person"

"""From one look at one experiment to its decision: numbers, then the table, then words."""

from __future__ import annotations

from expci.core.decision.inputs import DecisionInput
from expci.core.decision.table import first_rows, questions, rulings
from expci.core.decision.wording.criterion import criterion
from expci.core.decision.wording.next_step import next_step
from expci.core.decision.wording.reasons import reasons
from expci.core.model.results import Decision


def decide(look: DecisionInput) -> Decision:
    """Return the verdict, why, and each criterion in the order of the table.

    >>> from support.look_numbers import LookSample
    >>> decision = decide(LookSample().input())
    >>> decision.verdict, decision.reason_code, decision.arm
    ('promote', 'win', 'treatment')
    """
    [ruling] = rulings(look.numbers, first_rows(look.numbers))
    return Decision(
        verdict=ruling.verdict,
        reason_code=ruling.reason_code,
        reasons=reasons(look, ruling),
        next=next_step(look, ruling),
        arm=ruling.arm,
        criteria=tuple(
            criterion(look, question)
            for question in questions(look.numbers)
            if question.arm not in look.dropped
        ),
    )

"""From one look at one experiment to its decision: numbers, then the table, then words."""

from __future__ import annotations

from expci.core.decision import wording
from expci.core.decision.inputs import DecisionInput
from expci.core.decision.table import first_rows, rulings
from expci.core.model.results import Decision


def decide(look: DecisionInput) -> Decision:
    """Return the verdict, why, and each criterion in the order of the table.

    >>> from support.look_numbers import LookSample
    >>> decision = decide(LookSample().input())
    >>> decision.verdict, decision.reason_code, decision.arm
    ('promote', 'win', 'treatment')
    """
    [ruling] = rulings(look.numbers, first_rows(look.numbers))
    return wording.decision(look, ruling)

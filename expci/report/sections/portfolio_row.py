"""One experiment in the portfolio, as everything about the portfolio comes from it."""

from __future__ import annotations

from dataclasses import dataclass

from expci.core.lifecycle.transitions import Life
from expci.core.model.experiment import Experiment
from expci.core.model.results import Analysis


@dataclass(frozen=True)
class PortfolioRow:
    """One experiment in the portfolio. `problem` comes before anything else about it.

    `promotion` is the analysis that it was promoted for, once it was.
    """

    id: str
    experiment: Experiment | None
    life: Life
    analysis: Analysis | None
    problem: str | None = None
    promotion: Analysis | None = None

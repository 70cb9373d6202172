"""The sources of the page as values, gathered by `flows/verbs/site.py`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from expci.core.lifecycle.transitions import Life
from expci.core.model.experiment import Experiment
from expci.core.model.results import Analysis
from expci.core.model.trial import Trial
from expci.report.sections.links import WebPlace
from expci.report.sections.portfolio_row import PortfolioRow
from expci.report.site.look_points import LookPoint


@dataclass(frozen=True)
class ExperimentSource:
    """One experiment. `looks` are those on record of its plan, oldest first; `counted`
    the trials that are analysed and `excluded` the others of its plan; `changes` the unified
    diff of each varied file by (arm, path); `removed` says what `expci gc` took, "" nothing."""

    experiment: Experiment
    life: Life
    analysis: Analysis | None
    row: PortfolioRow
    looks: tuple[LookPoint, ...] = ()
    counted: tuple[Trial, ...] = ()
    excluded: tuple[Trial, ...] = ()
    changes: Mapping[tuple[str, str], tuple[str, ...]] | None = None
    removed: str = ""


@dataclass(frozen=True)
class PassHealth:
    """The pass as the repository shows it: when it last said that it runs ("" never), how many
    batches of records wait for it, and when all of this was looked at. `unwatched` is for how many
    days nobody has looked after what runs, 0 below two."""

    passed: str
    waiting: int
    at: str
    unwatched: int = 0


@dataclass(frozen=True)
class SiteSource:
    """All experiments; `title` names the repository."""

    title: str
    place: WebPlace
    rows: tuple[PortfolioRow, ...]
    health: PassHealth

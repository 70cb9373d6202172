"""The portfolio: what runs, what ended and why, and what all of it was worth."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from expci.core.analysis.winners_curse import Prior
from expci.core.lifecycle.transitions import ENDED, State, awaits_merge, open_since
from expci.core.model.experiment import Experiment
from expci.core.model.results import Analysis
from expci.report.sections import outlook
from expci.report.sections.headline import headline, state_words
from expci.report.sections.portfolio_row import PortfolioRow
from expci.report.sections.savings import hours_saved, unknown_hours
from expci.report.sections.sentences import corrected_words, no_trials, primary_change
from expci.report.text import charts, escape, numbers, times
from expci.report.text.phrases import Code, Phrase, joined, phrase

_MOST_COLUMNS = 32  # of an id; a longer one pushes its own line only
_PATIENCE = timedelta(hours=1)
_SILENT = "running and no trial has arrived: is the trial step in a workflow that runs?"


@dataclass(frozen=True)
class Entry:
    """One experiment, ready for a template, which leaves empty phrases out."""

    id: Code
    name: str
    state: str
    progress: str
    headline: Phrase
    so_far: Phrase
    won_by: Phrase
    next: Phrase
    problem: str
    ended: str
    learned: tuple[str, ...]
    alerts: tuple[str, ...]


@dataclass(frozen=True)
class Portfolio:
    """`failed` are all that ended without a win; the latest end comes first."""

    active: tuple[Entry, ...]
    failed: tuple[Entry, ...]
    completed: tuple[Entry, ...]
    troubled: int
    id_width: int
    state_width: int
    success_rate: str
    hours_saved: str


# A watch ends by time, not by a number of trials.
_COUNTING = (State.RUNNING, State.PAUSED, State.PROMOTING)


def portfolio_of(rows: Sequence[PortfolioRow]) -> Portfolio:
    """The rows by what became of them; those in trouble come first."""
    counts = Counter(row.id for row in rows)
    again = {id for id, count in counts.items() if count > 1}
    active = [row for row in rows if row.life.state not in ENDED]
    ended = sorted((row for row in rows if row.life.state in ENDED), key=lambda row: row.id)
    ended.sort(key=_ended_at, reverse=True)
    active.sort(key=lambda row: (not problem(row), not row.life.alerts, row.id))
    return Portfolio(
        active=tuple(entry(row) for row in active),
        failed=tuple(entry(row, row.id in again) for row in ended if not won(row)),
        completed=tuple(entry(row, row.id in again) for row in ended if won(row)),
        id_width=min(max((len(row.id) for row in rows), default=0), _MOST_COLUMNS),
        state_width=max((len(row.life.state) for row in active), default=0),
        troubled=sum(1 for row in active if problem(row) or row.life.alerts),
        success_rate=success_rate(rows),
        hours_saved=_hours_words(rows),
    )


def won(row: PortfolioRow) -> bool:
    """Whether the experiment ended with a change for the better, on evidence."""
    if row.life.state == State.PROMOTED:
        return True
    return row.life.state == State.STOPPED and getattr(row.life.ended, "reason_code", "") == "win"


def problem(row: PortfolioRow) -> str:
    """What is wrong with it, if anything: running without trials always is."""
    if row.problem:
        return escape.clean(row.problem)
    if row.life.state == State.RUNNING and no_trials(row.analysis):
        waits = row.experiment is not None and awaits_merge(row.experiment, row.life)
        return "" if waits or _just_opened(row) else _SILENT
    return ""


def _just_opened(row: PortfolioRow) -> bool:
    """Whether trials have been possible for less than an hour as of its analysis."""
    since = open_since(row.experiment, row.life) if row.experiment else ""
    started = times.parsed(since)
    looked = times.parsed(row.analysis.at) if row.analysis else None
    return started is not None and looked is not None and looked - started < _PATIENCE


def _ended_at(row: PortfolioRow) -> str:
    return row.life.ended.at if row.life.ended else ""


def success_rate(rows: Sequence[PortfolioRow]) -> str:
    """The share that won of what has ended; a change that is watched has won so far."""
    watched = sum(1 for row in rows if row.life.state is State.WATCHING)
    ended = [row for row in rows if row.life.state in ENDED]
    decided = len(ended) + watched
    if not decided:
        return "none has ended yet"
    wins = watched + sum(1 for row in ended if won(row))
    still = f", {watched} still watched" if watched else ""
    of = f"{numbers.count(wins)} of {numbers.count(decided)} decided{still}"
    return f"{numbers.frequency(wins / decided)} ({of})"


def _hours_words(rows: Sequence[PortfolioRow]) -> str:
    """Cautious ends and estimates, both free of the winner's curse, beside what was measured."""
    total, unknown = hours_saved(rows), unknown_hours(rows)
    missing = f"unknown for {numbers.count(unknown, 'promoted change')}: no rate of runs"
    if not total.changes:
        return missing if unknown else "no promoted change has a measured duration yet"
    changes = numbers.count(total.changes, "promoted change")
    words = f"at least {numbers.hours(total.low)} ({changes}, cautious ends added up"
    if total.corrected:
        words += f"; {numbers.hours(total.value)} when corrected for the winner's curse"
        words += f" by {_prior_words(total.prior)}, {numbers.hours(total.as_measured)} as measured"
    if 0 < total.corrected < total.changes:
        words += f"; {numbers.count(total.changes - total.corrected)} not corrected"
    return f"{words}); {missing}" if unknown else f"{words})"


def _prior_words(prior: Prior) -> str:
    if not prior.experiments:
        return "the effects that were planned"
    return f"the repository's own {prior.experiments} decided experiments"


def entry(row: PortfolioRow, is_one_of_several: bool = False) -> Entry:
    """The row as words; one of several plans of an experiment names its plan."""
    life, experiment, analysis = row.life, row.experiment, row.analysis
    return Entry(
        id=Code(row.id),
        name=escape.clean(experiment.name) if experiment else "",
        state=state_words(life),
        progress=progress(experiment, analysis) if life.state in _COUNTING else "",
        headline=headline(experiment, life, analysis).sentence
        if experiment
        else phrase("not readable"),
        so_far=_so_far(analysis) if life.state == State.RUNNING else Phrase(),
        won_by=_won_by(row),
        next=_next(row),
        problem=problem(row),
        ended=_ended(row, is_one_of_several),
        learned=tuple(escape.clean(text)[:300] for text in life.learned),
        alerts=tuple(
            f"{escape.words(name)}: {escape.clean(alert.why)[:300]}"
            for name, alert in life.alerts.items()
        ),
    )


def progress(experiment: Experiment | None, analysis: Analysis | None) -> str:
    """The bar: `▓▓▓▓▓▓▓░░░ 70% (7/10)`, towards the planned size or else the minimum."""
    done = analysis.progress.per_arm if analysis else 0
    target = analysis.progress.target if analysis else None
    return charts.progress_bar(done, target or (experiment.plan.min_trials if experiment else None))


def _so_far(analysis: Analysis | None) -> Phrase:
    if analysis is None or no_trials(analysis) or analysis.decision.verdict != "continue":
        return Phrase()
    change = primary_change(analysis, analysis.decision.arm)
    return change.sentence if change else Phrase()


def _won_by(row: PortfolioRow) -> Phrase:
    """What it was promoted for, which the watch's own numbers do not show."""
    arm = row.life.promoted.arm if row.life.promoted else None
    change, corrected = primary_change(row.promotion, arm), corrected_words(row.promotion, arm)
    if change is None:
        return Phrase()
    return phrase("{}; corrected {}", change.sentence, corrected) if corrected else change.sentence


def _next(row: PortfolioRow) -> Phrase:
    if row.experiment is None:
        return phrase("fix its files, then {}", Code(f"expci validate {row.id}"))
    if row.life.state in ENDED:
        return Phrase()
    if row.life.state == State.DRAFT:
        return phrase("{}", Code(f"expci start {row.id}"))
    if row.life.state == State.PAUSED:
        return phrase("{} or {}", Code(f"expci resume {row.id}"), Code(f"expci stop {row.id}"))
    steps = outlook.next_steps(row.experiment, row.life, row.analysis, outlook.ANY_BASE)
    waiting = row.analysis is not None and row.analysis.decision.verdict == "continue"
    if row.life.state == State.RUNNING and waiting and not no_trials(row.analysis):
        return joined(steps, "; ")
    return steps[0]


def _ended(row: PortfolioRow, is_one_of_several: bool) -> str:
    ended = row.life.ended
    if ended is None or row.life.state not in ENDED:
        return ""
    by = f" by {escape.clean(ended.by)}" if ended.by else ""
    plan = f", plan {escape.short(row.life.plan)}" if is_one_of_several and row.life.plan else ""
    return f"{state_words(row.life)} {times.day(ended.at)}{by}{plan}"

"""How far an experiment is, in one line."""

from __future__ import annotations

from datetime import timedelta

from expci.core.lifecycle.transitions import Life, State
from expci.core.model.experiment import Experiment
from expci.core.model.results import Analysis
from expci.report.sections.headline import units_done
from expci.report.sections.outlook import still_needed
from expci.report.sections.sentences import no_trials, units_counted
from expci.report.text import charts, numbers, times
from expci.report.text.phrases import NOTHING, Phrase, Words, joined, phrase

_COLLECTING = (State.RUNNING, State.PAUSED)


def progress_line(experiment: Experiment, life: Life, analysis: Analysis | None) -> Phrase:
    """A bar, the units counted of those planned, the pace and the date; of a watch its days."""
    share = progress_share(experiment, life, analysis)
    words = progress_words(experiment, life, analysis)
    return words if share is None else joined([_bar(share), words], " ")


def progress_share(experiment: Experiment, life: Life, analysis: Analysis | None) -> float | None:
    """The share that is done, from 0 to 1, of the planned units or of the watch; `None` where
    nothing is under way."""
    if analysis is None or no_trials(analysis):
        return None
    if life.state is State.WATCHING:
        return _share_of_watch(experiment, life, analysis)
    target = analysis.progress.target or experiment.plan.min_trials
    if life.state not in _COLLECTING or not target:
        return None
    # What failed was run and not measured: as many are still needed.
    measured = target - (analysis.progress.trials_needed or 0)
    return min(max(min(analysis.progress.per_arm, measured), 0) / target, 1.0)


def progress_words(experiment: Experiment, life: Life, analysis: Analysis | None) -> Phrase:
    """The same in words alone."""
    if analysis is None or no_trials(analysis):
        return phrase("no trial counted yet") if life.state in _COLLECTING else NOTHING
    if life.state is State.WATCHING:
        return _watch(experiment, life, analysis)
    parts: list[Words] = [units_done(experiment, analysis)]
    if life.state in _COLLECTING and analysis.decision.verdict in ("continue", "expire"):
        parts.append(still_needed(experiment, analysis))
    return joined([*parts, *_lasted(life)], " · ")


def _watch(experiment: Experiment, life: Life, analysis: Analysis) -> Phrase:
    days = experiment.decision.watch_days + life.extra_days
    share = _share_of_watch(experiment, life, analysis)
    since = f"{units_counted(experiment, analysis, analysis.progress.per_arm)} since"
    if share is None:
        return phrase("{}", since)
    day = min(int(share * days) + 1, max(1, round(days)))
    return phrase("day {} of {} of the watch · {}", f"{day}", numbers.stated(days), since)


def _share_of_watch(experiment: Experiment, life: Life, analysis: Analysis) -> float | None:
    days = experiment.decision.watch_days + life.extra_days
    start = times.parsed(life.promoted.at) if life.promoted else None
    looked = times.parsed(analysis.at)
    if start is None or looked is None or days <= 0:
        return None
    return min(max(looked - start, timedelta()) / timedelta(days=days), 1.0)


def _bar(share: float, width: int = 10) -> str:
    """Full only when all is there, never empty once something is."""
    filled = int(min(max(share, 0.0), 1.0) * width)
    return charts.share_bar(max(filled, 1) if share > 0 else 0, width)


def _lasted(life: Life) -> list[Words]:
    """How long an ended experiment took."""
    if life.started is None or life.ended is None:
        return []
    lasted = times.age(life.started.at, life.ended.at)
    return [f"ended {times.day(life.ended.at)}" + (f" after {lasted}" if lasted else "")]

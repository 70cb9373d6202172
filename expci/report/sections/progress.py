"""How far an experiment is, in one line."""

from __future__ import annotations

from datetime import timedelta

from expci.core.lifecycle.transitions import Life, State
from expci.core.model.experiment import Experiment
from expci.core.model.results import Analysis
from expci.report.sections.headline import units_done
from expci.report.sections.outlook import still_needed
from expci.report.sections.sentences import no_trials, units_of_design
from expci.report.text import charts, numbers, times
from expci.report.text.phrases import Phrase, Words, joined, phrase

_COLLECTING = (State.RUNNING, State.PAUSED)


def progress_line(experiment: Experiment, life: Life, analysis: Analysis | None) -> Phrase:
    """A bar, the units counted of those planned, the pace and the date; of a watch its days."""
    if analysis is None or no_trials(analysis):
        return phrase("no trial counted yet") if life.state in _COLLECTING else Phrase()
    if life.state is State.WATCHING:
        return _watch(experiment, life, analysis)
    progress = analysis.progress
    parts: list[Words] = [units_done(experiment, analysis)]
    if life.state in _COLLECTING:
        target = progress.target or experiment.plan.min_trials
        parts[0] = f"{_bar(progress.per_arm / target)} {parts[0]}" if target else parts[0]
        if analysis.decision.verdict in ("continue", "expire"):
            parts.append(still_needed(experiment, life, analysis))
    parts += _lasted(life)
    return joined(parts, " · ")


def _watch(experiment: Experiment, life: Life, analysis: Analysis) -> Phrase:
    days = experiment.decision.watch_days + life.extra_days
    start = times.parsed(life.promoted.at) if life.promoted else None
    looked = times.parsed(analysis.at)
    since = f"{units_of_design(experiment, analysis.progress.per_arm)} since"
    if start is None or looked is None or days <= 0:
        return phrase("{}", since)
    gone = max(looked - start, timedelta()) / timedelta(days=1)
    day = min(int(gone) + 1, max(1, round(days)))
    bar = _bar(gone / days)
    return phrase("{} day {} of {} of the watch · {}", bar, f"{day}", numbers.stated(days), since)


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

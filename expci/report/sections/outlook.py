"""What happens next, what people can do about it, and what the change is worth."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from expci.core.lifecycle.transitions import ENDED, Life, State, awaits_merge
from expci.core.model.budget import BudgetUse
from expci.core.model.events import RolledBack
from expci.core.model.experiment import Experiment
from expci.core.model.metric_kinds import KINDS
from expci.core.model.results import Analysis, MetricResult, Verdict
from expci.report.sections.effects import interval_words, raw_effect
from expci.report.sections.sentences import (
    corrected_words,
    no_trials,
    primary_of,
    units_counted,
)
from expci.report.text import escape, numbers, times
from expci.report.text.phrases import Code, Link, Phrase, PullRequestNumber, Words, phrase

ANY_BASE = "the base branch"  # where its name is not at hand


def still_needed(experiment: Experiment, analysis: Analysis) -> Phrase:
    """Trials still needed, the date and the money, each only where it can be computed."""
    units, use = _units_needed(experiment, analysis), analysis.progress.budget
    return units if use is None else phrase("{}; {}", units, budget_words(use))


def budget_words(use: BudgetUse) -> str:
    """What was spent and what a decision is likely to cost."""
    if use.to_decision is None or use.is_spent:
        return numbers.spent_of(use)
    likely = numbers.amount_of(use.to_decision, use.metric)
    return f"{numbers.spent_of(use)}, at most about {likely} more to a decision"


def _units_needed(experiment: Experiment, analysis: Analysis) -> Phrase:
    """Trials still needed and the date, each only where it can be computed."""
    progress = analysis.progress
    if analysis.decision.verdict not in ("continue", "expire"):
        done = units_counted(experiment, analysis, progress.per_arm)
        words = "nothing more: the verdict rests on {} of at most {}"
        return phrase(words, done, numbers.count(progress.target or progress.per_arm))
    if progress.trials_needed is None:
        return phrase("how many trials are still needed is not clear yet")
    needed = units_counted(experiment, analysis, progress.trials_needed)
    rate = progress.trials_per_day
    if progress.trials_needed <= 0:
        return phrase("no more trials are needed{}", (rate and f" ({numbers.per_day(rate)})") or "")
    if rate is None:
        return phrase("about {} still needed; no date before a day is measured", needed)
    pace = numbers.per_day(rate)
    if progress.expected_end is None:
        return phrase("about {} still needed ({}; no date yet)", needed, pace)
    if analysis.decision.verdict == "expire":
        return phrase("about {} more, at {}", needed, pace)
    end = times.day(progress.expected_end)
    if _ends_first(experiment, analysis):
        return phrase(
            "about {} still needed; at {} the time ends first, around {}", needed, pace, end
        )
    return phrase("about {} still needed, done around {} at {}", needed, end, pace)


def _ends_first(experiment: Experiment, analysis: Analysis) -> bool:
    """Whether `expected_end` is the time limit, because the trials come too slowly."""
    progress, looked = analysis.progress, times.parsed(analysis.at)
    if not progress.trials_needed or not progress.trials_per_day or looked is None:
        return False
    days = progress.trials_needed * len(experiment.arms) / progress.trials_per_day
    done = looked + timedelta(days=min(days, 36500.0))
    return done.date().isoformat() > (progress.expected_end or "")


def next_steps(
    experiment: Experiment, life: Life, analysis: Analysis | None, base_branch: str
) -> tuple[Phrase, ...]:
    """What happens by itself, and what waits for a person."""
    base: Words = base_branch if base_branch == ANY_BASE else Code(base_branch)
    match life.state:
        case State.DRAFT:
            return (phrase("start it: {}", Code(f"expci start {experiment.id}")),)
        case State.RUNNING:
            return _running(experiment, life, analysis, base)
        case State.PAUSED:
            return (
                phrase(
                    "resume it ({}) or stop it ({})",
                    Code(f"expci resume {experiment.id}"),
                    Code(f"expci stop {experiment.id}"),
                ),
            )
        case State.PROMOTING:
            return _promoting(experiment, life, base)
        case State.WATCHING:
            return _watching(experiment, life, analysis, base)
        case State.PROMOTED:
            return (phrase("the change stays on {}", base),)
        case State.ROLLED_BACK:
            return _rolled_back(life, base)
    return (phrase("it has ended; to try again, change the experiment and start it as a new plan"),)


def next_of_plan(
    experiment: Experiment,
    life: Life,
    running: Experiment | None,
    look: Analysis | None,
    *,
    is_current: bool,
) -> Phrase:
    """What follows a plan that was computed for the files on disk.

    `running` is the experiment as its latest plan froze it, and `is_current` whether that plan
    has the content on disk.
    """
    start = Code(f"expci start {experiment.id}")
    if running is None:
        return phrase("{}", start)
    if is_current:
        own = look if look and look.plan == life.plan else None
        return next_steps(running, life, own, ANY_BASE)[0]
    match life.state:
        case State.RUNNING | State.PAUSED:
            return phrase("{}; it replaces the plan that is {}", start, life.state)
        case State.PROMOTING | State.WATCHING:
            words = "{} once the plan before has ended: that one is {} ({})"
            return phrase(words, start, life.state, Code(f"expci status {experiment.id}"))
    return phrase("{}", start)


def _running(
    experiment: Experiment, life: Life, analysis: Analysis | None, base: Words
) -> tuple[Phrase, ...]:
    if analysis is None or no_trials(analysis):
        return (
            (_merge_first(base),) if awaits_merge(experiment, life) else _no_data(experiment, life)
        )
    then = escape.clean(analysis.decision.next).rstrip(".")
    then = then[:1].lower() + then[1:]
    steps = [phrase("{}", then)] if then else []
    if awaits_merge(experiment, life):
        steps.insert(0, _merge_first(base))
    waiting = analysis.decision.verdict in ("continue", "expire")
    return (*steps, *([still_needed(experiment, analysis)] if waiting or not steps else []))


def _merge_first(base: Words) -> Phrase:
    words = "merge it into {}, or push its commit there; the pass that follows opens it to jobs"
    return phrase(words, base)


def _no_data(experiment: Experiment, life: Life) -> tuple[Phrase, ...]:
    """What brings a first trial; a slot is open to jobs once it is on the base branch."""
    steps: list[Phrase] = []
    if experiment.slot and life.mode == "live":
        steps.append(
            phrase(
                "check that a workflow step declares the slot {} and runs", Code(experiment.slot)
            )
        )
    if experiment.run:
        steps.append(phrase("run one trial by hand: {}", Code(f"expci trial {experiment.id}")))
    if not steps:
        line = Code(f"expci record {experiment.id} --arm ARM --metric NAME=VALUE")
        steps.append(phrase("record what was measured: {}", line))
    return (*steps, phrase("find out what is wrong: {}", Code("expci doctor")))


def _promoting(experiment: Experiment, life: Life, base: Words) -> tuple[Phrase, ...]:
    opened = life.promote_opened
    pull_request: Words = "the pull request"
    if opened is not None:
        pull_request = (
            Code(opened.branch) if opened.pull is None else PullRequestNumber(opened.pull)
        )
    arm: Words = Code(opened.arm) if opened else "the change"
    words = "merge {} to put {} into {}, or close it to decline"
    step = phrase(words, pull_request, arm, base)
    if experiment.decision.promote == "merge":
        step = phrase("expci merges {} when its checks pass", pull_request)
    if opened is not None and opened.draft:
        words = "{} conflicts with {}: resolve that on its branch, then merge it"
        step = phrase(words, pull_request, base)
    days = numbers.days(experiment.decision.watch_days)
    return (step, phrase("after the merge into {} it is watched for {}", base, days))


def _watching(
    experiment: Experiment, life: Life, analysis: Analysis | None, base: Words
) -> tuple[Phrase, ...]:
    by_itself = experiment.decision.rollback == "auto"
    if analysis is not None and analysis.decision.verdict == "rollback":
        if by_itself:
            return (phrase("the next pass reverts it on {}, by commit or pull request", base),)
        return (phrase("undo it: {}", Code(f'expci rollback {experiment.id} --reason "…"')),)
    since = times.day(life.promoted.at) if life.promoted else numbers.MISSING
    days = numbers.days(experiment.decision.watch_days + life.extra_days)
    undo = (
        phrase("on evidence of harm expci reverts it on {}, by commit or pull request", base)
        if by_itself
        else phrase("on evidence of harm expci raises an alert; a person rolls back")
    )
    share = numbers.stated_percent(life.promoted.holdback) if life.promoted else numbers.MISSING
    holdback = (
        [phrase("{} of the units keep the old files meanwhile", share)]
        if life.mode == "live"
        else []
    )
    return (phrase("it is watched for {} from {}, then it stays", days, since), undo, *holdback)


def _rolled_back(life: Life, base: Words) -> tuple[Phrase, ...]:
    reverted = life.reverted
    if isinstance(life.ended, RolledBack) and life.ended.manual:
        return (phrase("a person reverted the change on {}", base),)
    if reverted is None:
        if life.promoted is None:
            return (phrase("control stays; the change was never on {}", base),)
        return (phrase("the next pass undoes the promotion on {}", base),)
    if reverted.commit:
        return (phrase("{} has the revert commit {}", base, Code(escape.short(reverted.commit))),)
    if reverted.pull is None and reverted.compare:
        return (
            phrase(
                "open the revert pull request by hand, and merge it: {}", Link(reverted.compare)
            ),
        )
    pull_request: Words = (
        Code(reverted.branch) if reverted.pull is None else PullRequestNumber(reverted.pull)
    )
    return (phrase("merge the revert pull request {} into {}", pull_request, base),)


def on_merge(experiment: Experiment, life: Life, base: Words) -> Phrase:
    """What merging the experiment's own pull request would do now."""
    slot = experiment.slot
    if life.state not in (State.RUNNING, State.PAUSED) or not (
        life.started and life.started.branch
    ):
        return Phrase()
    if slot and life.mode == "lab":
        words = "Merging this pull request into {} lets jobs with the slot {} take part."
        return phrase(words, base, Code(slot))
    return phrase("Merging this pull request into {} changes nothing that runs now.", base)


@dataclass(frozen=True)
class NextCommand:
    """A command to type and what it does."""

    name: str
    line: Code
    does: str


_BY_STATE = {
    State.DRAFT: ("start", "status"),
    State.RUNNING: ("pause", "stop", "extend", "promote", "rollback"),
    State.PAUSED: ("resume", "stop", "extend", "rollback"),
    State.PROMOTING: ("merge", "pause", "stop", "rollback"),
    State.WATCHING: ("rollback", "extend", "status"),
    State.PROMOTED: ("rollback", "status", "export"),
}
_DOES = {
    "start": "start it",
    "pause": "stop exposure for now",
    "resume": "go on after a pause",
    "extend": "more days, or more trials",
    "stop": "end it, keep what was learned",
    "promote": "open the promote pull request by hand",
    "merge": "merge the promote pull request now",
    "rollback": "end it and undo what was promoted",
    "status": "everything about it",
    "export": "export the data",
}
# What follows the id: at a terminal, and in a comment on the pull request, where that is possible.
_TYPED = {
    "extend": " --days 7",
    "stop": ' --learned "…"',
    "merge": " --merge",
    "rollback": ' --reason "…"',
    "export": " --format csv",
}
_COMMENTED = {"rollback": " …why…", "extend": " 7 days", "stop": " …what was learned…"}
_ONLY_TYPED = ("merge", "export")


def commands(
    experiment: Experiment, life: Life, *, in_comments: bool = False
) -> tuple[NextCommand, ...]:
    """The exact commands that are possible in this state; `in_comments`: as one comments them."""
    names = _BY_STATE.get(life.state, ("status", "export"))
    return tuple(_command(experiment.id, name, in_comments=in_comments) for name in names)


def _command(id: str, name: str, *, in_comments: bool) -> NextCommand:
    verb = "promote" if name == "merge" else name
    if in_comments and name not in _ONLY_TYPED:
        line = Code(f"/expci {verb} {id}{_COMMENTED.get(name, '')}")
        return NextCommand(name, line, _DOES[name])
    return NextCommand(name, Code(f"expci {verb} {id}{_TYPED.get(name, '')}"), _DOES[name])


def impact(analysis: Analysis | None) -> tuple[tuple[str, Phrase], ...]:
    """What the change is worth per trial, month and year at the measured rate."""
    metric = primary_of(analysis) if analysis else None
    if no_trials(analysis) or analysis is None or metric is None or not metric.comparisons:
        return (("per trial", phrase("nothing has been compared yet")),)
    arm = analysis.decision.arm
    comparison = next(
        (item for item in metric.comparisons if item.arm == arm), metric.comparisons[0]
    )
    raw = raw_effect(comparison.difference, comparison.difference_interval, metric)
    each = phrase(
        "{} {} ({} interval {})",
        raw.words(raw.value, sign=True),
        Code(metric.name),
        numbers.stated_percent(comparison.level),
        interval_words(raw, sign=True),
    )
    return (("per trial", each), *_free_of_the_curse(analysis), *_over_time(metric, analysis))


def _free_of_the_curse(analysis: Analysis) -> tuple[tuple[str, Phrase], ...]:
    """What is left of a win's estimate, which is high because it won."""
    words = corrected_words(analysis, analysis.decision.arm)
    if analysis.decision.verdict != "promote" or not words:
        return ()
    why = "estimates at a promotion run high, so this one is shrunk towards no effect"
    return (("improvement, corrected", phrase("{}; {}", words, why)),)


_RATE = "rate: 50/month"


def _over_time(metric: MetricResult, analysis: Analysis) -> tuple[tuple[str, Phrase], ...]:
    saved, rate = analysis.progress.hours_saved_per_month, analysis.progress.runs_per_month
    if not KINDS[metric.kind].is_timed:
        reason = phrase("not given: only durations add up to hours saved")
        return (("per month and year", reason),)
    if saved is None:
        missing = "unknown: the interval of the difference is open"
        if rate is None:
            missing = "unknown: how often it runs outside the lab; the plan can say {}"
        return (("per month and year", phrase(missing, *([] if rate else [Code(_RATE)]))),)
    pace = f" at {numbers.count(rate, 'run')} a month" if rate is not None else ""
    fewer = analysis.progress.corrected_hours_saved_per_month
    return tuple(
        (name, phrase("{} saved, {}{}", numbers.hours(months * saved[1]), rest, pace))
        for name, months in (("per month", 1), ("per year", 12))
        for rest in [_cautious_hours(analysis, saved, fewer, months)]
    )


def _cautious_hours(
    analysis: Analysis,
    saved: tuple[float, float],
    fewer: tuple[float, float] | None,
    months: int,
) -> str:
    if fewer is None or analysis.decision.verdict != "promote":
        return f"cautiously {numbers.hours(months * saved[0])}"
    low, value = (numbers.hours(months * hours) for hours in fewer)
    return f"corrected {value}, cautiously {low}"


def _corrected(analysis: Analysis) -> str:
    words = corrected_words(analysis, analysis.decision.arm)
    return f"; corrected for that, it is {words}" if words else ""


def recommendation(experiment: Experiment, life: Life, analysis: Analysis | None) -> Phrase:
    """What a careful colleague would say, given this verdict."""
    if analysis is None or no_trials(analysis):
        return phrase("Do not decide anything. Find out why no trial arrives.")
    paired = "pairs" if experiment.assignment.design == "paired" else "trials"
    advice: Mapping[Verdict, str] = {
        "promote": "Promote it. Expect a smaller effect than the estimate: estimates at "
        f"promotion run high{_corrected(analysis)}. The watch that follows shows what remains.",
        "rollback": "Roll it back. If the idea is still good, find the cause of the harm and "
        "try it as a new plan.",
        "drop": f"Let the others run without {analysis.decision.arm}. If its idea is still good, "
        "try it as a new plan.",
        "invalid": "Do not use these numbers. Fix what the checks name, then start a new plan.",
        "stop": "End it and write down what was learned.",
        "expire": f"End it, or extend it if the question is worth that many more {paired}.",
        "continue": "Let it run. Anything read from these numbers now is a guess.",
    }
    if life.state in ENDED:
        ended = "Nothing is left to do: it has ended."
        again = " If the idea is still good, find the cause of the harm and try it as a new plan."
        return phrase("{}", ended + (again if analysis.decision.verdict == "rollback" else ""))
    if life.state == State.WATCHING and analysis.decision.verdict != "rollback":
        return phrase("Leave it in place and let the watch run.")
    return phrase("{}", advice[analysis.decision.verdict])

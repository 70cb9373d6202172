"""The first sentence of every report: what a busy engineer reads."""

from __future__ import annotations

from expci.core.lifecycle.transitions import Life, State
from expci.core.model.experiment import Experiment
from expci.core.model.results import Analysis, MetricResult
from expci.report.sections import records
from expci.report.sections.effects import effect_of
from expci.report.sections.sentences import (
    clip,
    harm_sentence,
    no_trials,
    primary_change,
    primary_of,
    reason_words,
    units_of_design,
)
from expci.report.text import escape, numbers, times
from expci.report.text.phrases import (
    Code,
    Link,
    Phrase,
    PullRequestNumber,
    Strong,
    Words,
    joined,
    phrase,
)


def headline(experiment: Experiment, life: Life, analysis: Analysis | None) -> Phrase:
    """The verdict sentence for this state, verdict and evidence, and which treatments are out."""
    return joined([_of_state(experiment, life, analysis), *_dropped(life)])


_OUT_BECAUSE = {
    "harm_primary": "it does harm",
    "harm_guardrail": "it harms a guardrail",
    "errors": "it fails more often",
    "harm_below_limit": "a small change for the worse",
}


def _dropped(life: Life) -> list[Words]:
    words: list[Words] = []
    for arm, event in life.dropped.items():
        why = _OUT_BECAUSE.get(event.reason_code, "it cannot win any more")
        words.append(phrase(" {} was dropped on {}: {}.", Code(arm), times.day(event.at), why))
    return words


def _of_state(experiment: Experiment, life: Life, analysis: Analysis | None) -> Phrase:
    match life.state:
        case State.DRAFT:
            return phrase("{}: no trial counts before it is started.", Strong("Draft"))
        case State.PAUSED:
            return _paused(life, analysis)
        case State.PROMOTING:
            return _promoting(experiment, life, analysis)
        case State.WATCHING:
            return _watching(experiment, life, analysis)
        case State.PROMOTED:
            return _promoted(life, analysis)
        case State.ROLLED_BACK:
            return _rolled_back(experiment, life, analysis)
        case State.EXPIRED:
            return _expired(experiment, life, analysis)
        case State.STOPPED:
            return _stopped(experiment, life, analysis)
    return _running(experiment, life, analysis)


def _after(experiment: Experiment, analysis: Analysis) -> str:
    return f", after {units_of_design(experiment, analysis.progress.per_arm)}."


def _running(experiment: Experiment, life: Life, analysis: Analysis | None) -> Phrase:
    if analysis is None or no_trials(analysis):
        return _silent(life, analysis)
    decision = analysis.decision
    match decision.verdict:
        case "promote":
            return _win("Promote", experiment, analysis)
        case "rollback":
            return joined(
                [Strong("Roll back"), ": ", harm_sentence(analysis), _after(experiment, analysis)]
            )
        case "invalid":
            return _invalid(analysis)
        case "drop":
            return joined([Strong("Drop"), ": ", _dropping(analysis)])
        case "stop":
            return joined([Strong("Stop"), ": ", _no_win(experiment, analysis)])
        case "expire":
            return joined([Strong("Expired"), ": ", _out_of_time(experiment, life, analysis)])
    return _collecting(experiment, analysis)


def _silent(life: Life, analysis: Analysis | None) -> Phrase:
    lasted = times.age(life.started.at, analysis.at) if life.started and analysis else None
    since = f"running for {lasted}, and" if lasted else "it is running, but"
    left_out = records.excluded(analysis) if analysis else {}
    if left_out:
        return phrase(
            "{}: {} not one trial counts. {} arrived and none was usable: {}.",
            Strong("No data"),
            since,
            numbers.count(sum(left_out.values())),
            records.reasons_with_counts(left_out),
        )
    return phrase(
        "{}: {} not one trial has arrived. There is no result, and there will be none until "
        "trials arrive.",
        Strong("No data"),
        since,
    )


def _win(lead: str, experiment: Experiment, analysis: Analysis) -> Phrase:
    change = primary_change(analysis, analysis.decision.arm)
    reason = change or reason_words(analysis.decision.reasons, analysis.decision.reason_code)
    return joined([Strong(lead), ": ", reason, _after(experiment, analysis)])


def promotion_headline(experiment: Experiment, analysis: Analysis | None) -> Phrase:
    """The first sentence of a promote pull request: on evidence, or against it, by hand."""
    if analysis is not None and analysis.decision.verdict == "promote":
        return _win("Promote", experiment, analysis)
    lead = phrase("{}: the evidence at hand does not support it", Strong("Promoted by hand"))
    change = primary_change(analysis, analysis.decision.arm if analysis else None)
    return joined([lead, ": ", change, "."] if change else [lead, "."])


def _dropping(analysis: Analysis) -> Phrase:
    decision = analysis.decision
    why = reason_words(decision.reasons, decision.reason_code)
    return phrase("{} leaves, the others go on: {}.", Code(decision.arm or ""), why)


def _invalid(analysis: Analysis) -> Phrase:
    decision = analysis.decision
    return phrase(
        "{}: these results cannot be trusted: {}.",
        Strong("Invalid"),
        reason_words(decision.reasons, decision.reason_code),
    )


def _collecting(experiment: Experiment, analysis: Analysis) -> Phrase:
    progress, lead = analysis.progress, Strong("Collecting")
    done = units_of_design(experiment, progress.per_arm)
    if progress.target and progress.per_arm < progress.target:
        number, _, noun = units_of_design(experiment, progress.target).partition(" ")
        done = f"{numbers.count(progress.per_arm)} of {number} {noun}"
    return phrase("{}: {}; nothing is decided yet.", lead, done)


def _no_win(experiment: Experiment, analysis: Analysis) -> Phrase:
    """Why a stop is not a win, with the interval that says so."""
    decision = analysis.decision
    lead = {
        "effect_below_threshold": "the effect is smaller than what promotion asks for",
        "no_effect": "no effect was shown",
        "harm_below_limit": "a change for the worse, within its limit",
        "looks_harmful": "it looks harmful, and the planned trials do not prove it",
        "guardrail_unproven": "a guardrail was not shown to hold",
        "win": "it won, and its plan says never to promote",
    }.get(decision.reason_code, escape.words(decision.reason_code))
    change = primary_change(analysis, decision.arm)
    middle: list[Words] = [lead] if change is None else [lead, ": ", change]
    return joined([*middle, _after(experiment, analysis)])


def _out_of_time(experiment: Experiment, life: Life, analysis: Analysis | None) -> Phrase:
    limit = numbers.days(experiment.plan.max_days + life.extra_days)
    if analysis is None:
        return phrase("{} passed without a decision.", limit)
    done = units_of_design(experiment, analysis.progress.per_arm)
    needed = analysis.progress.trials_needed
    if not needed:
        return phrase("{} passed without a decision; {} were counted.", limit, done)
    return phrase(
        "{} passed without a decision; {} were counted, and about {} more would have been needed.",
        limit,
        done,
        numbers.count(needed),
    )


def _paused(life: Life, analysis: Analysis | None) -> Phrase:
    if analysis is not None and analysis.decision.verdict == "invalid":
        return joined([_invalid(analysis), " It is paused; no trial counts meanwhile."])
    why = escape.clean(life.paused.why).rstrip(".") if life.paused else ""
    reason = f": {clip(why)}" if why else ""
    return phrase("{}{}. No trial counts until it is resumed.", Strong("Paused"), reason)


def _promoting(experiment: Experiment, life: Life, analysis: Analysis | None) -> Phrase:
    opened = life.promote_opened
    if analysis is None or analysis.decision.verdict != "promote":
        lead = phrase("{}: the pull request to promote is open", Strong("Promote"))
        return joined([lead, ", but the latest trials no longer support it." if analysis else "."])
    if opened is None:
        return _win("Promote", experiment, analysis)
    won = _win("Promote", experiment, analysis)
    if opened.pull is None and opened.compare:
        words = " This token may not open pull requests: open it by hand, {}"
        return joined([won, phrase(words, Link(opened.compare))])
    where: Words = Code(opened.branch) if opened.pull is None else PullRequestNumber(opened.pull)
    kind = "A draft pull request waits" if opened.draft else "The pull request waits"
    return joined([won, phrase(" {} in {}.", kind, where)])


def no_harm(analysis: Analysis | None) -> Phrase:
    """What "no harm shown" is worth: the smallest harm that would be detected."""
    if analysis is None or no_trials(analysis):
        return phrase("no trial has arrived since, so harm could not be detected")
    metric = primary_of(analysis)
    name = Code(metric.name) if metric else "the primary metric"
    smallest = analysis.progress.minimum_detectable_harm
    if smallest is None:
        return _harm_outside(metric, name)
    return phrase(
        "no harm shown; a harm to {} of {} or more would probably be detected, "
        "a smaller one perhaps not",
        name,
        numbers.percent(smallest),
    )


def _harm_outside(metric: MetricResult | None, name: Words) -> Phrase:
    """What the interval excludes, where no smallest detectable harm can be computed."""
    comparison = metric.comparisons[0] if metric and metric.comparisons else None
    effect = effect_of(comparison, metric) if comparison and metric else None
    if comparison is None or effect is None or effect.low is None or effect.low >= 0:
        words = "no harm shown; how small a harm to {} would be detected is not clear yet"
        return phrase(words, name)
    return phrase(
        "no harm shown; the {} interval leaves room for a harm to {} of up to {}",
        numbers.stated_percent(comparison.level),
        name,
        effect.words(-effect.low),
    )


def _watching(experiment: Experiment, life: Life, analysis: Analysis | None) -> Phrase:
    if analysis is not None and analysis.decision.verdict == "rollback":
        return joined(
            [Strong("Roll back"), ": ", harm_sentence(analysis), _after(experiment, analysis)]
        )
    promoted = life.promoted
    lead: Words = "the change has been promoted"
    if promoted is not None:
        since = times.day(promoted.at)
        lead = phrase("{} is in use since {}", Code(promoted.arm), since)
    return joined([Strong("Watching"), ": ", lead, "; ", no_harm(analysis), "."])


def _promoted(life: Life, analysis: Analysis | None) -> Phrase:
    arm: Words = Code(life.promoted.arm) if life.promoted else "the change"
    return phrase(
        "{}: {} stays. The watch is over: {}.", Strong("Promoted"), arm, no_harm(analysis)
    )


def _rolled_back(experiment: Experiment, life: Life, analysis: Analysis | None) -> Phrase:
    ended, lead = life.ended, Strong("Rolled back")
    why = clip(escape.clean(ended.why).rstrip(".")) if ended else ""
    if getattr(ended, "manual", False):
        by = escape.clean(ended.by) if ended else "a person"
        return phrase("{} by {}: {}.", lead, by or "a person", why or "no reason given")
    if analysis is not None and analysis.decision.verdict == "rollback":
        return joined([lead, ": ", harm_sentence(analysis), _after(experiment, analysis)])
    return phrase("{}: {}.", lead, why or "no reason given")


def _expired(experiment: Experiment, life: Life, analysis: Analysis | None) -> Phrase:
    return joined([Strong("Expired"), ": ", _out_of_time(experiment, life, analysis)])


def _stopped(experiment: Experiment, life: Life, analysis: Analysis | None) -> Phrase:
    code = getattr(life.ended, "reason_code", "")
    if analysis is not None and code and analysis.decision.reason_code == code:
        return joined([Strong("Stopped"), ": ", _no_win(experiment, analysis)])
    by = escape.clean(life.ended.by) if life.ended else ""
    why = clip(escape.clean(life.ended.why).rstrip(".")) if life.ended else ""
    return phrase(
        "{}{}: {}.",
        Strong("Stopped"),
        f" by {by}" if by else "",
        why or escape.words(code) or "no reason given",
    )

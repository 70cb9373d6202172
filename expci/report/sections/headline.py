"""The verdict of every report: a mark, a word, and what follows from the state and the evidence."""

from __future__ import annotations

from dataclasses import dataclass

from expci.core.lifecycle.transitions import Life, State, awaits_merge, open_since
from expci.core.model.experiment import Experiment
from expci.core.model.results import Analysis, MetricResult
from expci.report.sections import records
from expci.report.sections.effects import effect_of
from expci.report.sections.sentences import (
    MetricChange,
    clip,
    harm_change,
    no_trials,
    primary_change,
    primary_of,
    reason_words,
    units_counted,
)
from expci.report.text import escape, numbers, times
from expci.report.text.phrases import (
    NOTHING,
    Code,
    Link,
    Phrase,
    Strong,
    Words,
    joined,
    phrase,
)


@dataclass(frozen=True)
class Headline:
    """`claim` ends the sentence that `verdict` begins; `evidence` is what it rests on, in
    brackets; `more` are further sentences; `by` is the person who decided, if one did."""

    mark: str
    verdict: str
    claim: Phrase = NOTHING
    evidence: str = ""
    more: Phrase = NOTHING
    by: str = ""

    @property
    def title(self) -> Phrase:
        """Short enough for a heading: the mark, the verdict and the claim."""
        return joined([f"{self.mark} {self.verdict}", *self._person, *self._claim])

    @property
    def sentence(self) -> Phrase:
        """All of it."""
        first = joined([Strong(self.verdict), *self._person, *self._claim, self.evidence, "."])
        return joined([first, self.more], " ") if self.more else first

    @property
    def _person(self) -> tuple[Words, ...]:
        return (" by ", self.by) if self.by else ()

    @property
    def _claim(self) -> tuple[Words, ...]:
        return (": ", self.claim) if self.claim else ()


MARKS = {
    State.DRAFT: "📝",
    State.RUNNING: "🧪",
    State.PAUSED: "⏸️",
    State.PROMOTING: "🚀",
    State.WATCHING: "👀",
    State.PROMOTED: "✅",
    State.ROLLED_BACK: "⏪",
    State.EXPIRED: "⌛",
    State.STOPPED: "⏹️",
}
_MARKS_OF_VERDICT = {
    "promote": "✅",
    "rollback": "🛑",
    "drop": "✂️",
    "invalid": "⚠️",
    "stop": "⏹️",
    "expire": "⌛",
}
_NO_DATA = "🔇"
_WAITING = "⏳"


def headline(experiment: Experiment, life: Life, analysis: Analysis | None) -> Headline:
    """The verdict for this state and evidence, and which treatments are out."""
    current = _of_state(experiment, life, analysis)
    dropped = _dropped(life)
    if not dropped:
        return current
    more = joined([current.more, *dropped] if current.more else dropped, " ")
    return Headline(current.mark, current.verdict, current.claim, current.evidence, more)


_OUT_BECAUSE = {
    "harm_primary": "it does harm",
    "harm_guardrail": "it harms a guardrail",
    "errors": "it fails more often",
    "harm_below_limit": "a small change for the worse",
}


def _dropped(life: Life) -> list[Phrase]:
    sentences = []
    for arm, event in life.dropped.items():
        why = _OUT_BECAUSE.get(event.reason_code, "it cannot win any more")
        day = times.day(event.at)
        sentences.append(phrase("{} was dropped on {}: {}.", Code(arm), day, why))
    return sentences


def _of_state(experiment: Experiment, life: Life, analysis: Analysis | None) -> Headline:
    mark = MARKS[life.state]
    match life.state:
        case State.DRAFT:
            return Headline(mark, "Draft", phrase("no trial counts before it is started"))
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
            return Headline(mark, "Expired", *_out_of_time(experiment, life, analysis))
        case State.STOPPED:
            return _stopped(experiment, life, analysis)
    return _running(experiment, life, analysis)


def _after(experiment: Experiment, analysis: Analysis) -> str:
    return f", after {units_counted(experiment, analysis, analysis.progress.per_arm)}"


def _running(experiment: Experiment, life: Life, analysis: Analysis | None) -> Headline:
    if analysis is None or no_trials(analysis):
        return _silent(experiment, life, analysis)
    verdict = analysis.decision.verdict
    mark = _MARKS_OF_VERDICT.get(verdict, MARKS[State.RUNNING])
    match verdict:
        case "promote":
            return _win(mark, "Promote", experiment, analysis)
        case "rollback":
            return _harm("Roll back", experiment, analysis)
        case "invalid":
            return _invalid(analysis)
        case "drop":
            return _dropping(analysis)
        case "stop":
            return Headline(mark, "Stop", *_no_win(experiment, analysis))
        case "expire":
            return Headline(mark, "Expired", *_out_of_time(experiment, life, analysis))
    more = _slot_waits(experiment) if awaits_merge(experiment, life) else NOTHING
    return Headline(mark, "Collecting", _collecting(experiment, analysis), more=more)


def _slot_waits(experiment: Experiment) -> Phrase:
    words = "Jobs with the slot {} take part once it is on the base branch."
    return phrase(words, Code(experiment.slot or ""))


def _silent(experiment: Experiment, life: Life, analysis: Analysis | None) -> Headline:
    since = open_since(experiment, life)
    lasted = times.age(since, analysis.at) if since and analysis else None
    running = f"running for {lasted}, and" if lasted else "it is running, but"
    excluded = records.excluded(analysis) if analysis else {}
    if not excluded and awaits_merge(experiment, life):
        claim = phrase("it is not on the base branch yet")
        return Headline(_WAITING, "Waiting", claim, more=_slot_waits(experiment))
    if not excluded:
        claim = phrase("{} no trial has arrived", running)
        more = phrase("There is no result, and there will be none until trials arrive.")
        return Headline(_NO_DATA, "No data", claim, more=more)
    more = phrase(
        "{} arrived and none was usable: {}.",
        numbers.count(sum(excluded.values())),
        records.reasons_with_counts(excluded),
    )
    return Headline(_NO_DATA, "No data", phrase("{} no trial counts", running), more=more)


def _of_change(
    mark: str, verdict: str, change: MetricChange | None, experiment: Experiment, analysis: Analysis
) -> Headline:
    after = _after(experiment, analysis)
    if change is None:
        decision = analysis.decision
        return Headline(mark, verdict, reason_words(decision.reasons, decision.reason_code), after)
    return Headline(mark, verdict, change.claim, f"{change.evidence}{after}")


def _win(mark: str, verdict: str, experiment: Experiment, analysis: Analysis) -> Headline:
    change = primary_change(analysis, analysis.decision.arm)
    return _of_change(mark, verdict, change, experiment, analysis)


def _harm(verdict: str, experiment: Experiment, analysis: Analysis) -> Headline:
    mark = _MARKS_OF_VERDICT["rollback"]
    return _of_change(mark, verdict, harm_change(analysis), experiment, analysis)


def promotion_headline(experiment: Experiment, analysis: Analysis | None) -> Headline:
    """The verdict of a promote pull request: on evidence, or against it, by hand."""
    if analysis is not None and analysis.decision.verdict == "promote":
        return _win(_MARKS_OF_VERDICT["promote"], "Promote", experiment, analysis)
    change = primary_change(analysis, analysis.decision.arm if analysis else None)
    more = phrase("Measured: {}.", change.sentence) if change else NOTHING
    claim = phrase("the evidence does not support it")
    return Headline("⚠️", "Promoted by hand", claim, more=more)


def _dropping(analysis: Analysis) -> Headline:
    decision = analysis.decision
    why = phrase("Reason: {}.", reason_words(decision.reasons, decision.reason_code))
    claim = phrase("{} is dropped, the others go on", Code(decision.arm or ""))
    return Headline(_MARKS_OF_VERDICT["drop"], "Drop", claim, more=why)


def _invalid(analysis: Analysis) -> Headline:
    decision = analysis.decision
    why = phrase("Reason: {}.", reason_words(decision.reasons, decision.reason_code))
    claim = phrase("these results cannot be trusted")
    return Headline(_MARKS_OF_VERDICT["invalid"], "Invalid", claim, more=why)


def _collecting(experiment: Experiment, analysis: Analysis) -> Phrase:
    return phrase("{}; nothing is decided yet", units_done(experiment, analysis))


def units_done(experiment: Experiment, analysis: Analysis) -> str:
    """`12 of 20 pairs`; without a target, or beyond it, `24 pairs`."""
    progress = analysis.progress
    if not progress.target or progress.per_arm >= progress.target:
        return units_counted(experiment, analysis, progress.per_arm)
    number, _, noun = units_counted(experiment, analysis, progress.target).partition(" ")
    return f"{numbers.count(progress.per_arm)} of {number} {noun}"


def _no_win(experiment: Experiment, analysis: Analysis) -> tuple[Phrase, str, Phrase]:
    """Why a stop is not a win, and the change with the interval that says so."""
    decision = analysis.decision
    words = {
        "effect_below_threshold": "the effect is smaller than promotion requires",
        "no_effect": "no effect was shown",
        "harm_below_limit": "a change for the worse, within its limit",
        "looks_harmful": "it looks harmful, and the planned trials do not prove it",
        "guardrail_unproven": "a guardrail was not shown to hold",
        "must_pass_broken": "a case that must pass is broken",
        "budget_spent": "its budget is used up before anything was shown",
        "win": "it won, and its plan says never to promote",
    }.get(decision.reason_code, escape.words(decision.reason_code))
    change = primary_change(analysis, decision.arm)
    sentence = phrase("Measured: {}.", change.sentence) if change else NOTHING
    return phrase("{}", words), _after(experiment, analysis), sentence


def _out_of_time(
    experiment: Experiment, life: Life, analysis: Analysis | None
) -> tuple[Phrase, str, Phrase]:
    limit = numbers.days(experiment.plan.max_days + life.extra_days)
    claim = phrase("{} passed without a decision", limit)
    if analysis is None:
        return claim, "", NOTHING
    done = units_counted(experiment, analysis, analysis.progress.per_arm)
    needed = analysis.progress.trials_needed
    if not needed:
        return claim, "", phrase("{} were counted.", done)
    words = "{} were counted, and about {} more would have been needed."
    return claim, "", phrase(words, done, numbers.count(needed))


def _paused(life: Life, analysis: Analysis | None) -> Headline:
    meanwhile = phrase("No trial counts until it is resumed.")
    if analysis is not None and analysis.decision.verdict == "invalid":
        invalid = _invalid(analysis)
        more = joined([invalid.more, "It is paused.", meanwhile], " ")
        return Headline(invalid.mark, invalid.verdict, invalid.claim, more=more)
    why = escape.clean(life.paused.why).rstrip(".") if life.paused else ""
    return Headline(MARKS[State.PAUSED], "Paused", phrase("{}", clip(why)), more=meanwhile)


def _promoting(experiment: Experiment, life: Life, analysis: Analysis | None) -> Headline:
    opened, mark = life.promote_opened, MARKS[State.PROMOTING]
    if analysis is None or analysis.decision.verdict != "promote":
        faded = phrase("The latest trials no longer support it.") if analysis else NOTHING
        claim = phrase("the pull request to promote is open")
        return Headline(mark, "Promote", claim, more=faded)
    won = _win(mark, "Promote", experiment, analysis)
    more = NOTHING
    if opened is not None and opened.pull is None and opened.compare:
        words = "This token may not open pull requests: open it by hand, {}"
        more = phrase(words, Link(opened.compare))
    return Headline(won.mark, won.verdict, won.claim, won.evidence, more)


def no_harm(analysis: Analysis | None) -> Phrase:
    """What "no harm shown" is worth: the smallest harm that would be detected."""
    if analysis is None or no_trials(analysis):
        return phrase("No trial has arrived since, so harm could not be detected.")
    metric = primary_of(analysis)
    name = Code(metric.name) if metric else "the primary metric"
    smallest = analysis.progress.minimum_detectable_harm
    if smallest is None:
        return _harm_outside(metric, name)
    return phrase(
        "No harm shown; a harm to {} of {} or more would probably be detected, "
        "a smaller one perhaps not.",
        name,
        numbers.percent(smallest),
    )


def _harm_outside(metric: MetricResult | None, name: Words) -> Phrase:
    """What the interval excludes, where no smallest detectable harm can be computed."""
    comparison = metric.comparisons[0] if metric and metric.comparisons else None
    effect = effect_of(comparison, metric) if comparison and metric else None
    if comparison is None or effect is None or effect.low is None or effect.low >= 0:
        words = "No harm shown; how small a harm to {} would be detected is not clear yet."
        return phrase(words, name)
    return phrase(
        "No harm shown; the {} interval leaves room for a harm to {} of up to {}.",
        numbers.stated_percent(comparison.level),
        name,
        effect.words(-effect.low),
    )


def _watching(experiment: Experiment, life: Life, analysis: Analysis | None) -> Headline:
    if analysis is not None and analysis.decision.verdict == "rollback":
        return _harm("Roll back", experiment, analysis)
    promoted = life.promoted
    claim = phrase("the change is promoted")
    if promoted is not None:
        claim = phrase("{} is in use since {}", Code(promoted.arm), times.day(promoted.at))
    return Headline(MARKS[State.WATCHING], "Watching", claim, more=no_harm(analysis))


def _promoted(life: Life, analysis: Analysis | None) -> Headline:
    arm: Words = Code(life.promoted.arm) if life.promoted else "the change"
    more = joined(["The watch is over.", no_harm(analysis)], " ")
    return Headline(MARKS[State.PROMOTED], "Promoted", phrase("{} stays", arm), more=more)


def _rolled_back(experiment: Experiment, life: Life, analysis: Analysis | None) -> Headline:
    """What real jobs used is rolled back; what only the lab ran is stopped."""
    ended, mark = life.ended, MARKS[State.ROLLED_BACK]
    verdict = "Rolled back" if records.was_exposed(life) else "Stopped for harm"
    why = clip(escape.clean(ended.why).rstrip(".")) if ended else ""
    reason = phrase("Reason: {}.", why or "none given")
    if getattr(ended, "manual", False):
        by = escape.clipped(ended.by, 40) if ended else ""
        verdict = "Rolled back" if records.was_exposed(life) else "Ended"
        return Headline(mark, verdict, more=reason, by=by or "a person")
    if analysis is not None and analysis.decision.verdict == "rollback":
        harm = _harm(verdict, experiment, analysis)
        return Headline(mark, harm.verdict, harm.claim, harm.evidence)
    return Headline(mark, verdict, more=reason)


def state_words(life: Life) -> str:
    """The state as people call it: what only the lab ran was not rolled back but stopped."""
    if life.state is State.ROLLED_BACK and not records.was_exposed(life):
        return "stopped"
    return escape.words(life.state)


def _stopped(experiment: Experiment, life: Life, analysis: Analysis | None) -> Headline:
    code, mark = getattr(life.ended, "reason_code", ""), MARKS[State.STOPPED]
    if analysis is not None and code and analysis.decision.reason_code == code:
        mark = "✅" if code == "win" else "⚠️" if code == "looks_harmful" else mark
        return Headline(mark, "Stopped", *_no_win(experiment, analysis))
    by = escape.clipped(life.ended.by, 40) if life.ended else ""
    why = clip(escape.clean(life.ended.why).rstrip(".")) if life.ended else ""
    why = why or ("none given" if code == "manual" else escape.words(code))
    return Headline(mark, "Stopped", more=phrase("Reason: {}.", why or "none given"), by=by)

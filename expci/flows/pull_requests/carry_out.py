"""Carry out one command of a comment: every act is what the verb of the same name does.

An act is recorded with the comment's number in its reason. So a pass that died after the
act and before the answer finds the act, and does it no second time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from expci.core.lifecycle.transitions import Life, State, awaits_merge, fold
from expci.core.model.events import Decided
from expci.core.model.results import Decision
from expci.core.model.trial import timestamp
from expci.core.slash_command import FORCE, Meant, Unclear, Verb, parse_extension
from expci.core.spec.yaml_document import printable
from expci.errors import ExpciError
from expci.flows.context import Context
from expci.flows.experiment.base import base_of
from expci.flows.experiment.gather import Gathered, gather
from expci.flows.lookup import require_started
from expci.flows.pull_requests import read
from expci.flows.verbs import lifecycle
from expci.flows.verbs.promote import promote
from expci.flows.verbs.rollback import rollback
from expci.flows.verbs.start import start_pull_request
from expci.forge.ports import Comment, PullRequest
from expci.report.text import escape, numbers
from expci.report.text.phrases import Code, Words, phrase
from expci.report.text.phrases import PullRequestNumber as Link
from expci.store.ledger.ledger import Ledger

REVERSIBLE = (State.RUNNING, State.PAUSED, State.PROMOTING, State.WATCHING, State.PROMOTED)


class VerdictChanged(ExpciError):
    """The verdict is another one than in the report that the comment answered."""


@dataclass(frozen=True)
class Instruction:
    """A command with who asked for it where. `app` acts as that person.

    `pull` is `None` where the comment stands below an issue.
    """

    app: Context
    remark: Comment
    pull: PullRequest | None
    meant: Meant

    @property
    def name(self) -> str:
        return self.meant.experiment

    @property
    def mark(self) -> str:
        """What the reason of every act for this comment starts with."""
        return f"asked for in #{self.remark.number} (comment {self.remark.id})"

    def why(self, words: tuple[str, ...] | None = None) -> str:
        reason = printable(" ".join(self.meant.words if words is None else words))[:400]
        return f"{self.mark}: {reason}" if reason else self.mark


def carry_out(instruction: Instruction) -> Words:
    """Do it, unless an earlier pass did; one sentence that says what is so now."""
    ledger = instruction.app.store.snapshot(inbox=False).ledger
    if instruction.meant.verb != "start":
        require_started(ledger, instruction.name)
    if not _is_done(ledger, instruction):
        answer = ACTS[instruction.meant.verb](instruction)
        if answer is not None:
            return answer
        ledger = instruction.app.store.snapshot(inbox=False).ledger
    return _done(instruction, ledger)


def _is_done(ledger: Ledger, instruction: Instruction) -> bool:
    events = ledger.events(instruction.name) if instruction.name in ledger.experiments else []
    return any(event.comment == str(instruction.remark.id) for event in events)


def _done(instruction: Instruction, ledger: Ledger) -> Words:
    """What was done, for whom."""
    life = ledger.life(instruction.name)
    name, by = Code(instruction.name), instruction.remark.author
    match instruction.meant.verb:
        case "start":
            return _started(instruction, ledger, life)
        case "extend":
            return phrase("{} was extended for {}.", name, by)
        case "promote":
            number = life.promote_opened.pull if life.promote_opened else None
            where: Words = Link(number) if number else "its branch is pushed"
            return phrase("The promotion of {} was opened for {}: {}.", name, by, where)
        case "rollback":
            return phrase("{} was rolled back for {}.", name, by)
    past = {"pause": "paused", "resume": "resumed", "stop": "stopped"}[instruction.meant.verb]
    return phrase("{} was {} for {}; it is {} now.", name, past, by, life.state)


def _started(instruction: Instruction, ledger: Ledger, life: Life) -> Words:
    """What was started, and what it waits for."""
    name, by, head = Code(instruction.name), instruction.remark.author, Code(life.head[:12])
    plan = ledger.plan(instruction.name)
    if plan is not None and awaits_merge(plan.experiment, life):
        words = (
            "{} was started for {}, pinned at {}, and waits for {}: jobs with the slot {} take "
            "part once it is merged, and its {} run from then."
        )
        base, slot = Code(base_of(instruction.app).branch), Code(plan.experiment.slot or "")
        days = numbers.days(plan.experiment.plan.max_days)
        return phrase(words, name, by, head, base, slot, days)
    mode = life.started.mode if life.started else "lab"
    return phrase("{} was started for {}, {}, pinned at {}.", name, by, mode, head)


# --- the verbs -----------------------------------------------------------------------


def _status(instruction: Instruction) -> Words:
    return phrase("{}, as asked for by {}:", Code(instruction.name), instruction.remark.author)


def _start(instruction: Instruction) -> Words | None:
    app, pull = instruction.app, instruction.pull
    if pull is None:
        raise ExpciError("an experiment is started in the pull request that proposes it")
    head = read.newest_commits(app, [pull]).get(pull.number)
    if head is None:
        raise ExpciError("the newest commit of this pull request cannot be fetched")
    result = start_pull_request(
        app, pull, head, instruction.name, base_of(app), why=instruction.why()
    )
    words = "{} runs already with this content ({}); nothing was changed."
    if result.awaits_merge:
        words = "{} is started already with this content and waits for {}; nothing was changed."
    where = Code(result.base_branch) if result.awaits_merge else result.mode
    return phrase(words, Code(instruction.name), where) if result.already else None


def _pause(instruction: Instruction) -> Words | None:
    return _nothing_new(lifecycle.pause(instruction.app, instruction.name, instruction.why()))


def _resume(instruction: Instruction) -> Words | None:
    return _nothing_new(lifecycle.resume(instruction.app, instruction.name, instruction.why()))


def _extend(instruction: Instruction) -> None:
    more = parse_extension(instruction.meant.words)
    if isinstance(more, Unclear):
        raise ExpciError(more.why)
    why = instruction.why(more.words)
    lifecycle.extend(instruction.app, instruction.name, days=more.days, trials=more.trials, why=why)


def _stop(instruction: Instruction) -> Words | None:
    learned = printable(instruction.meant.reason)[:400] or None
    return _nothing_new(
        lifecycle.stop(instruction.app, instruction.name, instruction.why(), learned)
    )


def _nothing_new(done: lifecycle.Transition) -> Words | None:
    """What to say of an experiment that is so already."""
    words = "{} is {} already; nothing was changed."
    name, state = Code(done.experiment), escape.words(done.after)
    return phrase(words, name, state) if done.event is None else None


def _promote(instruction: Instruction) -> Words | None:
    gathered = _gathered(instruction)
    if gathered.life.state is State.PROMOTING:
        pull = gathered.promotion
        where: Words = Link(pull.number) if pull else "its branch"
        return phrase(
            "{} is being promoted already: {} waits to be merged.", Code(instruction.name), where
        )
    if gathered.life.state is not State.RUNNING:
        raise ExpciError(
            f"{instruction.name} is {gathered.life.state}: only a running one is promoted"
        )
    _refuse_change(instruction, gathered)
    analysis = gathered.situation.analysis
    if analysis is None or analysis.decision.verdict != "promote":
        raise ExpciError(
            f"the evidence does not support a promotion of {instruction.name}. To "
            f"promote it anyway, run `expci promote {instruction.name} --force` at a terminal; "
            "this is recorded"
        )
    promote(instruction.app, instruction.name, on_behalf=instruction.why())
    return None


def _rollback(instruction: Instruction) -> None:
    gathered = _gathered(instruction)
    if gathered.life.state not in REVERSIBLE:
        raise ExpciError(
            f"{instruction.name} is {gathered.life.state}: there is nothing to roll back"
        )
    force = instruction.meant.words[:1] == (FORCE,)
    if not force:
        _refuse_change(instruction, gathered)
        analysis = gathered.situation.analysis
        if analysis is None or analysis.decision.verdict != "rollback":
            raise ExpciError(
                f"the evidence does not show that {instruction.name} does harm. To roll it "
                f"back anyway: `/expci rollback {instruction.name} {FORCE} REASON` (this is "
                "recorded), "
                f"or stop its exposure with `/expci pause {instruction.name}`"
            )
    why = instruction.why(instruction.meant.words[1:] if force else None)
    rollback(instruction.app, instruction.name, reason=why, force=force)


ACTS: Mapping[Verb, Callable[[Instruction], Words | None]] = {
    "status": _status,
    "start": _start,
    "pause": _pause,
    "resume": _resume,
    "extend": _extend,
    "stop": _stop,
    "promote": _promote,
    "rollback": _rollback,
}


# --- what the comment answered -------------------------------------------------------


def _gathered(instruction: Instruction) -> Gathered:
    app = instruction.app
    return gather(app, app.store.snapshot(inbox=False), instruction.name, base_of(app), app.clock())


def _refuse_change(instruction: Instruction, gathered: Gathered) -> None:
    """Who asks for a decision must have seen the verdict that it rests on."""
    answered = _answered_verdict(instruction, gathered)
    analysis = gathered.situation.analysis
    now = _verdict(analysis.decision if analysis else None)
    if answered != now:
        before = answered[0] if answered else "no report"
        raise VerdictChanged(
            f"the verdict has changed since the report that you answered (from {before} to "
            f"{now[0] if now else 'no report'}), so nothing was done. Read the new one below and "
            "ask again"
        )


def _answered_verdict(instruction: Instruction, gathered: Gathered) -> tuple[str, str, str] | None:
    """The verdict on record when the comment was written: that of the report at that time."""
    at = timestamp(instruction.remark.at)
    life = fold([event for event in gathered.life.events if event.at <= at])
    return _verdict(life.decided) if life.plan == gathered.plan.id else None


def _verdict(decision: Decision | Decided | None) -> tuple[str, str, str] | None:
    """Verdict, reason code and arm; an experiment that only collects has none yet."""
    if decision is None or decision.verdict == "continue":
        return None
    return decision.verdict, decision.reason_code, decision.arm or ""

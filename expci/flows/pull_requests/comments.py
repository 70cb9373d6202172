"""Answer what people ask for in comments and by label, each once.

Comments are read from where the last pass stopped (`answered.json` in the ledger). A
command that could not be carried out because somebody did not answer waits for the next
pass; whatever else keeps it from being done is its answer.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from expci.core.slash_command import Command, Meant, Unclear, parse, resolve
from expci.errors import (
    ExpciError,
    ForgeError,
    ForgeUnreachable,
    LedgerDamaged,
    LostRace,
    Unreachable,
)
from expci.flows.context import Context
from expci.flows.experiment.advance import Pass, isolated
from expci.flows.experiment.base import base_of
from expci.flows.experiment.gather import gather
from expci.flows.pull_requests import read
from expci.flows.pull_requests.carry_out import Instruction, VerdictChanged, carry_out
from expci.flows.verbs.start import start_pull_request
from expci.forge.ports import Comment, PullRequest, Reaction
from expci.report.documents import answer as words_of
from expci.report.documents.proposal import START_LABEL
from expci.report.text.phrases import Words
from expci.store.ledger import comment_cursor, paths
from expci.store.ledger.comment_cursor import CommentCursor
from expci.store.ledger.ledger import Ledger
from expci.store.ledger.transaction import LedgerChange

MOST_READ = 3000  # comments that one pass reads: 30 pages of what anybody may write
MOST = 10  # commands that one pass answers; the rest come with the next
LATER = (ForgeUnreachable, Unreachable, LostRace, LedgerDamaged)
MACHINES = ("[bot]", "ghost")
Due = tuple[Comment, Command]


@dataclass(frozen=True)
class Reply:
    """What is answered. `shows` is the experiment whose newest report stands below it."""

    sentence: Words
    reaction: Reaction = "+1"
    shows: str = ""


def answer_comments(app: Context, done: Pass, most_read: int = MOST_READ) -> None:
    """Start what was labelled, carry out and answer the commands in comments.

    At most `most_read` comments are read; the next pass goes on behind them.
    """
    if done.dry_run or not app.forge.social:
        return
    with isolated(done, "labels"):
        _labels(app, done)
    with isolated(done, "comments"):
        _comments(app, done, most_read)


def _labels(app: Context, done: Pass) -> None:
    for pull in app.forge.pull_requests.listed():
        if pull.is_open and START_LABEL in pull.labels:
            with isolated(done, f"pull request {pull.number}"):
                done.actions += _labelled(app, pull)


def _comments(app: Context, done: Pass, most_read: int) -> None:
    now = app.clock()
    cursor = comment_cursor.read_comment_cursor(app.store.snapshot(inbox=False).ledger)
    since = cursor.since(now)
    newest = list(islice(app.forge.comments.since(since), most_read))
    remarks = {remark.id: remark for remark in newest}
    read_to = now
    if len(newest) == most_read:
        read_to = min(now, newest[-1].changed or now)
        what = f"{most_read:,} new ones were read; the next pass reads the rest"
        done.actions.append(("comments", what))
    # One written before was read then; that it was edited since makes it no command.
    young = [r for r in remarks.values() if r.at >= since and r.id not in cursor.ids]
    due = [(remark, command) for remark in young if (command := _command(remark)) is not None]
    handled: list[int] = []
    for remark, command in _chosen(due):
        with isolated(done, f"comment {remark.id} in #{remark.number}"):
            _answer(app, remark, command, done)
            handled.append(remark.id)
    left = [remark.id for remark, _ in due if remark.id not in handled]
    times = {id: remark.at for id, remark in remarks.items()}
    _keep(app, cursor, comment_cursor.after(cursor, read_to, times, handled, left))


def _chosen(due: Sequence[Due]) -> list[Due]:
    """The commands of this pass, in the order in which they were written.

    Where there are too many, everybody's first goes before anybody's second, and what
    changes something before what only asks: a stranger must not keep others waiting.
    """
    turns: Counter[str] = Counter()
    ranked: list[tuple[bool, int, Due]] = []
    for item in due:
        ranked.append((item[1].verb == "status", turns[item[0].author], item))
        turns[item[0].author] += 1
    first = sorted(ranked, key=lambda row: row[:2])[:MOST]
    return sorted((item for _, _, item in first), key=lambda item: (item[0].at, item[0].id))


def _command(remark: Comment) -> Command | None:
    return None if remark.author.endswith(MACHINES) else parse(remark.body)


def _keep(app: Context, cursor: CommentCursor, new: CommentCursor) -> None:
    if new != cursor:
        change = LedgerChange.of(
            "Commands answered", {paths.ANSWERED: comment_cursor.dump_comment_cursor(new)}
        )
        app.store.transact(app.clock(), lambda _: change)


# --- one comment ---------------------------------------------------------------------


def _answer(app: Context, remark: Comment, command: Command, done: Pass) -> None:
    """Act, acknowledge, answer: in this order, so that an answer is never too early."""
    pull = app.forge.pull_requests.numbered(remark.number)
    reply, name = _reply(app, remark, command, pull)
    verb = command.verb or "a command"
    try:
        app.forge.comments.react(remark.id, reply.reaction)
        body = words_of.answer_comment(reply.sentence, str(remark.id), _standing(app, reply.shows))
        app.forge.comments.write(remark.number, words_of.mark(str(remark.id)), body)
    except ForgeUnreachable:
        raise
    except ForgeError as error:
        # Locked, or deleted meanwhile: the command is done, and nobody can be answered.
        done.problems.append((f"comment {remark.id}", str(error)))
    done.actions.append((name, f"answered {verb} of {remark.author} in #{remark.number}"))


def _reply(
    app: Context, remark: Comment, command: Command, pull: PullRequest | None
) -> tuple[Reply, str]:
    """What came of a command, and which experiment it was about."""
    may = app.forge.comments.can_write(remark.author)
    if command.verb not in ("", "status") and not may:
        refusal = _not_allowed(remark.author, f"/expci {command.verb}")
        return Reply(refusal, "-1"), f"#{remark.number}"
    # For a stranger nothing is fetched: what stands in a pull request may be of any size.
    meant = _resolved(app, command, pull, fetching=may)
    if isinstance(meant, Unclear):
        return Reply(f"Not understood: {meant.why}.", "confused"), f"#{remark.number}"
    return _carried_out(app, remark, pull, meant), meant.experiment


def _carried_out(app: Context, remark: Comment, pull: PullRequest | None, meant: Meant) -> Reply:
    try:
        person = replace(
            app, actor=remark.author, make_forge=lambda: app.forge, comment=str(remark.id)
        )
        sentence = carry_out(Instruction(person, remark, pull, meant))
    except LATER:
        raise
    except VerdictChanged as change:
        return Reply(_refused(meant, change), "confused", meant.experiment)
    except ExpciError as refusal:
        return Reply(_refused(meant, refusal), "-1")
    reads = meant.verb == "status"
    return Reply(sentence, "eyes" if reads else "+1", meant.experiment if reads else "")


def _refused(meant: Meant, refusal: ExpciError) -> str:
    return f"`/expci {meant.verb} {meant.experiment}` was refused: {str(refusal).rstrip('.')}."


def _not_allowed(who: str, what: str) -> str:
    return (
        f"`{what}` was refused: {who} may not write to this repository. Somebody with write "
        "access can give the same command; `/expci status` answers anybody."
    )


def _resolved(
    app: Context, command: Command, pull: PullRequest | None, *, fetching: bool
) -> Meant | Unclear:
    ledger = app.store.snapshot(inbox=False).ledger
    here = _of_pull_request(ledger, pull) if pull else []
    if pull and fetching and (command.verb == "start" or not here):
        here = [*here, *_proposed(app, pull)]
    return resolve(command, set(here), ledger.experiments)


def _of_pull_request(ledger: Ledger, pull: PullRequest) -> list[str]:
    """Experiments that were started from a pull request, or that it promotes or reverts."""
    return [name for name in ledger.experiments if _belongs(ledger, name, pull)]


def _belongs(ledger: Ledger, name: str, pull: PullRequest) -> bool:
    life = ledger.life(name)
    events = [life.started, life.promote_opened, life.reverted]
    if any(event is not None and event.pull == pull.number for event in events):
        return True
    branches = {event.branch for event in events if event is not None and event.branch}
    return not pull.fork and pull.head in branches


def _proposed(app: Context, pull: PullRequest) -> list[str]:
    """Experiments that an open pull request adds or changes."""
    head = read.newest_commits(app, [pull]).get(pull.number) if _is_open(pull) else None
    if head is None:
        return []
    directories = read.touched(app.git, base_of(app).tip, head, app.roots)
    return [directory.rpartition("/")[2] for directory in directories]


def _is_open(pull: PullRequest) -> bool:
    return pull.is_open


def _standing(app: Context, name: str) -> words_of.AnsweredExperiment | None:
    """The newest look at an experiment."""
    if not name:
        return None
    gathered = gather(app, app.store.snapshot(inbox=False), name, base_of(app), app.clock())
    return words_of.AnsweredExperiment(
        gathered.plan.experiment,
        gathered.life,
        gathered.situation.analysis,
        gathered.base.branch,
    )


# --- the label -----------------------------------------------------------------------


def _labelled(app: Context, pull: PullRequest) -> list[tuple[str, str]]:
    """Start what a pull request proposes, for whoever labelled it; a refused label goes."""
    who = app.forge.pull_requests.labelled_by(pull, START_LABEL)
    try:
        started = _start_all(app, pull, who)
        actions = [(name, f"started by {who}'s label on #{pull.number}") for name in started]
    except LATER:
        raise
    except ExpciError as refusal:
        sentence = f"The label `{START_LABEL}` was removed: {str(refusal).rstrip('.')}."
        mark = f"label-{pull.number}"
        app.forge.comments.write(
            pull.number, words_of.mark(mark), words_of.answer_comment(sentence, mark)
        )
        actions = [(f"pull request {pull.number}", f"refused the label {START_LABEL} of {who}")]
    ours = [label for label in pull.labels if label.startswith("expci:")]
    app.forge.pull_requests.label(pull, tuple(label for label in ours if label != START_LABEL))
    return actions


def _start_all(app: Context, pull: PullRequest, who: str | None) -> Sequence[str]:
    if who is None:
        raise ExpciError("nothing says who put it there; comment `/expci start` instead")
    if not app.forge.comments.can_write(who):
        raise ExpciError(f"{who} may not write to this repository; somebody who may can start it")
    names, base = _proposed(app, pull), base_of(app)
    if not names:
        raise ExpciError("this pull request neither adds nor changes an experiment")
    person = replace(app, actor=who, make_forge=lambda: app.forge)
    head = read.newest_commits(app, [pull])[pull.number]
    why = f"asked for in #{pull.number} (label {START_LABEL})"
    refused: Mapping[str, ExpciError]
    started, refused = [], {}
    for name in names:
        try:
            start_pull_request(person, pull, head, name, base, why=why)
            started.append(name)
        except LATER:
            raise
        except ExpciError as refusal:
            refused = {**refused, name: refusal}
    if refused:
        raise ExpciError("; ".join(f"{name}: {error}" for name, error in refused.items()))
    return started

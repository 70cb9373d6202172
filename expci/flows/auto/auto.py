"""`expci auto`: the pass. Fold what arrived, then gather, think and act for each experiment.

It derives what should be from the ledger and makes it so; running it twice changes
nothing, running it after a crash finishes what was begun.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import replace

from expci.core.lifecycle.transitions import LIVE, Life, State
from expci.core.model import events
from expci.core.model.events import Event
from expci.core.model.experiment import DEFAULTS_FILE
from expci.errors import ExpciError, LedgerDamaged, Overtaken, Unreachable
from expci.flows import freeze_plan
from expci.flows.arrivals import artifacts
from expci.flows.arrivals.fold_arrivals import fold_arrivals
from expci.flows.auto import notify
from expci.flows.auto.part import WHOLE, Part
from expci.flows.auto.rest import rest_of
from expci.flows.auto.settled import (
    SituationBasis,
    at_rest,
    record_settled,
    settled_experiments,
    touched_between,
)
from expci.flows.context import Context
from expci.flows.experiment.advance import ROUNDS, Pass, advance_as_far, isolated, sync_forge
from expci.flows.experiment.base import Base, base_of
from expci.flows.experiment.gather import started_from
from expci.flows.lookup import waiting_words
from expci.flows.pull_requests import comments, review
from expci.flows.pull_requests.designs import too_much
from expci.flows.verbs.plan import freeze_rules
from expci.flows.verbs.start import begin_experiment
from expci.store.git import refs
from expci.store.idle import mark_idle
from expci.store.ledger import artifact_cursor, plans
from expci.store.ledger.ledger import Ledger
from expci.store.ledger.transaction import Snapshot
from expci.store.local import spool

INBOX = "inbox"
# What protects users is on record at once: until then another writer's commit exposes it again.
AT_ONCE = (events.RolledBack, events.ArmDropped, events.Paused)


def auto(app: Context, *, dry_run: bool = False, part: Part = WHOLE) -> Pass:
    """One pass over everything. Problems of one experiment do not hold up the others.

    Parts may run at once: each event is written once, by compare and swap. A whole pass after
    them does what one of them did not.
    """
    done = Pass(dry_run=dry_run)
    _ = app.forge  # a missing token ends the pass before anything is done
    if not dry_run:
        done.sent = spool.flush(app.store.remote).sent
    with app.store.remote.listed_once():
        before = _listing(app)
        _look_after_everything(app, done, part)
        if (
            part == WHOLE
            and done.is_quiet
            and not _with_sources(app.store.snapshot(inbox=False).ledger)
        ):
            done.rest = rest_of(app, done, before)
    return done


def _listing(app: Context) -> tuple[str, ...]:
    """The refs that this pass begins with; none where the remote does not answer."""
    with suppress(Unreachable):  # whoever needs the remote says so
        return app.store.remote.listing()
    return ()


def _look_after_everything(app: Context, done: Pass, part: Part) -> None:
    _bring(app)
    at_first = app.store.snapshot(inbox=False)
    snapshot = _fold(app, done) if part.is_shared else at_first
    base = base_of(app)
    with isolated(done, "branches"):
        _bring_branches(app, snapshot)
    around = SituationBasis(app, snapshot, base, {})
    if not done.dry_run:
        around = _begin(app, base, at_first, done, part)
        snapshot = app.store.snapshot(inbox=False)
    chosen = _choose(snapshot, done, part)
    if done.dry_run:
        _advance_some(app, base, chosen, done)
    else:
        _act(around, chosen, done)
        notify.post(app, done)
        if part.is_shared:
            _conclude(app, base, done)


def _begin(app: Context, base: Base, at_first: Snapshot, done: Pass, part: Part) -> SituationBasis:
    """What comes before looks at experiments: answers, starts, readings, and what rests."""
    if part.is_shared:
        with isolated(done, "comments"):
            comments.answer_comments(app, done)
    around = _surroundings(app, base, done)
    _leave_out_settled(around, at_first, done, part)
    if part.is_shared:
        with isolated(done, "starts"), app.store.together(app.clock()):
            _start_merged(around, done)
        there = app.store.snapshot(inbox=False)  # whether or not they could be written
        done.started = [item for item in done.started if item[0] in there.ledger.experiments]
        _read_sources(app, base, there, done)
        _take_up_touched(around, app.store.snapshot(inbox=False), done)
    return around


def _choose(snapshot: Snapshot, done: Pass, part: Part) -> list[str]:
    """The experiments that this pass looks at."""
    done.experiments = snapshot.ledger.experiments
    done.left_out = {name for name in done.experiments if not part.holds(name)}
    others = done.not_looked_at
    return [name for name in done.experiments if name not in others]


def _act(around: SituationBasis, chosen: Sequence[str], done: Pass) -> None:
    """Decide, write it down, and have it said wherever people read it."""
    app, is_written = around.app, False
    with isolated(done, "ledger"):
        _advance_all(app, around.base, chosen, done)
        is_written = True
    with isolated(done, "reports"):
        sync_forge(app, done, lambda: _note_what_rests(around, done))
    # Late, because a stop that was begun and not recorded must not be exposed again.
    with isolated(done, "published"):
        if is_written and app.store.publish(app.store.snapshot(inbox=False), app.clock()):
            done.actions.append(("published", "agrees with the ledger again"))


def _advance_all(app: Context, base: Base, chosen: Sequence[str], done: Pass) -> None:
    """Bring every experiment to rest: what they decide is one commit and one push.

    Acts that must wait until what they rest on is written follow together, with another one, and
    so does everything that comes after an event that protects users.
    """
    waiting = chosen
    for _ in range(ROUNDS + len(chosen)):
        before = len(done.events)
        try:
            with app.store.together(app.clock()):
                waiting = _advance_some(app, base, waiting, done)
        except BaseException as error:
            done.gathered.clear()
            if not isinstance(error, Overtaken):
                del done.events[before:]
                raise
            done.events = _written(app.store.snapshot(inbox=False).ledger, done.events)
            waiting = chosen
        if not waiting:
            break
        base = base_of(app)
    else:
        names = ", ".join(waiting)
        raise ExpciError(f"{names} did not settle in {ROUNDS} steps; run `expci fsck`")
    done.gathered.sort(key=lambda gathered: gathered.name)


def _advance_some(app: Context, base: Base, names: Sequence[str], done: Pass) -> Sequence[str]:
    """Advance these experiments; those that wait for what is not written yet."""
    waiting: list[str] = []
    for place, name in enumerate(names, start=1):
        before = len(done.events)
        with isolated(done, name):
            gathered = advance_as_far(app, app.store.snapshot(inbox=False), name, base, done)
            if gathered is None:
                waiting.append(name)
            else:
                done.gathered.append(gathered)
        new = [event for _, event in done.events[before:]]
        if app.store.is_collecting and any(isinstance(event, AT_ONCE) for event in new):
            return [*waiting, *names[place:]]
    return waiting


def _written(ledger: Ledger, recorded: Iterable[tuple[str, Event]]) -> list[tuple[str, Event]]:
    """Those events that are on record, where another writer was first with some."""
    return [
        (name, event)
        for name, event in recorded
        if any(replace(event, forge=there.forge) == there for there in ledger.events(name))
    ]


def _conclude(app: Context, base: Base, done: Pass) -> None:
    """What comes after the decisions, because it takes its time."""
    # Refs by the thousand, and none is counted twice.
    with isolated(done, INBOX):
        _clear_inbox(app, done)
    with isolated(done, "pull requests"):
        if left_out := app.forge.pull_requests.left_out():
            done.actions.append(("pull requests", left_out))
    # Last, because a pull request may be of any size, and nothing waits for its review.
    review.review_open(app, done)
    _mark_idle(app, base, done)


def _bring(app: Context) -> None:
    """Fetch at once what every pass reads."""
    remote = app.store.remote
    base, inbox = refs.head(remote.default_branch()), f"{refs.INBOX}*"
    ours = (app.store.ledger_ref, refs.PUBLISHED, refs.DERIVED)
    with suppress(Unreachable):  # what is left is fetched where it is needed
        remote.fetch(*ours, base, *([inbox] if app.reads_inbox else []))


def _bring_branches(app: Context, snapshot: Snapshot) -> None:
    """The same for the branches of experiments that live."""
    branches: set[str] = set()
    for name in snapshot.ledger.experiments:
        with suppress(LedgerDamaged):  # its own step says so
            life = snapshot.ledger.life(name)
            if life.started and life.started.branch and life.state in LIVE:
                branches.add(refs.head(life.started.branch))
    if branches:
        app.store.remote.fetch(*sorted(branches))


def _mark_idle(app: Context, base: Base, done: Pass) -> None:
    """Let the next scheduled pass end at once, where nothing lives and nothing waits."""
    snapshot = app.store.snapshot(inbox=False)
    waits = artifact_cursor.read_artifact_cursor(snapshot.ledger).waiting
    if app.forge.ci is None or base.tip is None or done.problems or waits:
        return
    if not snapshot.published.experiments and not done.inbox:
        with isolated(done, "idle"):
            mark_idle(app.store.remote, base.tip)


def _fold(app: Context, done: Pass) -> Snapshot:
    """Put what arrived into the ledger, and note what came of it."""
    arrived = fold_arrivals(app, dry_run=done.dry_run)
    done.problems += arrived.collection.problems
    if crowd := arrived.collection.crowd:
        what = f"{crowd} artifacts of forks are more than a pass reads"
        done.actions.append((artifacts.SUBJECT, what))
    folded, snapshot = arrived.folded, arrived.snapshot
    done.folded |= folded.added
    done.refused += arrived.refused
    done.inbox = {r: oid for r, oid in arrived.pushed.items() if r not in folded.waiting}
    if ignored := len(snapshot.inbox) - len(arrived.pushed):
        what = f"pushed batches: {ignored}; none counts, {DEFAULTS_FILE} says `transport: artifact`"
        done.actions.append((INBOX, what))
    done.waiting = folded.waiting_by_arm
    done.actions += [
        (name, waiting_words(by_arm)) for name, by_arm in sorted(folded.waiting_by_arm.items())
    ]
    for name, records in sorted(folded.late.items()):
        what = f"{records} records not taken: `expci gc` removed the trials of their plan"
        done.actions.append((name, what))
    return snapshot


def _read_sources(app: Context, base: Base, snapshot: Snapshot, done: Pass) -> None:
    """Read what is due of metrics that live in databases, as one commit."""
    names = _with_sources(snapshot.ledger)
    if not names:
        return
    from expci.flows.arrivals.read_sources import Sources, read_sources  # numpy, which few need

    sources = Sources(app, base)
    with suppress(Overtaken), app.store.together(app.clock()):
        for name in names:
            with isolated(done, name):
                notes = read_sources(sources, snapshot.ledger, name)
                done.actions += [(name, what) for what in notes]


def _with_sources(ledger: Ledger) -> list[str]:
    """Experiments with a plan that has values in a database, found by one call of git."""
    plans = ledger.read_many(path for path in ledger.entries if path.endswith("/plan.json"))
    return sorted({path.split("/")[1] for path, data in plans.items() if b'"source": {' in data})


def _clear_inbox(app: Context, done: Pass) -> None:
    """Delete what is in the ledger. A server that refuses that holds up nothing."""
    deletion = app.store.delete_inbox(done.inbox)
    if deletion.why:
        what = f"{deletion.left} batches that are in the ledger stay in the inbox: {deletion.why}"
        done.actions.append((INBOX, what))
    for ref in deletion.symbolic:
        what = f"{ref} stands for another ref, so it is not deleted: remove it on the server"
        done.actions.append((INBOX, what))


def _surroundings(app: Context, base: Base, done: Pass) -> SituationBasis:
    drafts: dict[str, str] = {}
    with isolated(done, DEFAULTS_FILE):
        drafts = freeze_plan.drafts_at(app.git, base.tip) if base.tip else {}
    return SituationBasis(app, app.store.snapshot(inbox=False), base, drafts)


def _leave_out_settled(around: SituationBasis, at_first: Snapshot, done: Pass, part: Part) -> None:
    """Note what this pass need not look at, with what the last one came to."""
    touched = touched_between(replace(around, snapshot=at_first), around)
    with suppress(ExpciError):  # whatever it is, the steps that follow say so
        for name, item in settled_experiments(around, touched, around.app.clock()).items():
            if part.holds(name) or part.is_shared:
                done.settled[name] = around.ledger.life(name), item.verdict


def _take_up_touched(around: SituationBasis, snapshot: Snapshot, done: Pass) -> None:
    """Look at what this pass itself has just changed."""
    for name in touched_between(around, replace(around, snapshot=snapshot)):
        done.settled.pop(name, None)


def _note_what_rests(around: SituationBasis, done: Pass) -> None:
    """For the next pass, which may do without."""
    app = around.app
    with suppress(ExpciError):
        after = replace(around, snapshot=app.store.snapshot(inbox=False))
        if (base := base_of(app)) != around.base:  # by a promotion or a revert
            after = _surroundings(app, base, done)
        looked_at = {*done.experiments} - done.settled.keys() - done.left_out
        resting = at_rest(after, done)
        record_settled(app, resting, looked_at)
        done.at_rest = resting


def _start_merged(around: SituationBasis, done: Pass) -> None:
    """Experiments that were merged to the default branch start by themselves."""
    app, base, snapshot = around.app, around.base, around.snapshot
    for name, directory in around.drafts.items():
        if name not in done.settled:
            with isolated(done, name):
                if _may_start(app, base, snapshot, name):
                    _start(app, base, snapshot.ledger.life(name), name, directory, done)


def _may_start(app: Context, base: Base, snapshot: Snapshot, name: str) -> bool:
    """Whether what stands on the default branch may begin, or take over from what runs."""
    life, plan = snapshot.ledger.life(name), snapshot.ledger.plan(name)
    if life.started is None or plan is None or base.tip is None:
        return True
    if plans.content_id(app.git, base.tip, plan) in life.plans:
        return False
    # What runs from a branch, or from a commit that was not pushed, is not replaced.
    merged = not life.started.branch and started_from(app, life.started, base)
    return life.state not in LIVE or (life.state is State.RUNNING and merged)


def _start(app: Context, base: Base, life: Life, name: str, directory: str, done: Pass) -> None:
    draft = freeze_plan.draft_at(app.git, base.tip or "", name, directory)
    if draft.plan is None:
        problems = "; ".join(str(problem) for problem in draft.problems)
        done.problems.append((name, f"merged but not valid: {problems}"))
    elif draft.plan.id not in life.plans:
        why = f"merged to {base.branch}"
        brought = _brought_by(app, base, draft.plan.directory)
        plan, size = draft.plan, None
        if not too_much(plan.experiment):
            plan, size = freeze_rules(app, plan)
        begin_experiment(
            app, plan, base, branch="", by="expci", why=why, sample_size=size, pull=brought
        )
        done.started.append((name, why))


def _brought_by(app: Context, base: Base, directory: str) -> int | None:
    """The number of the pull request whose merge last changed `directory` on the base branch."""
    merged = {p.merge: p.number for p in app.forge.pull_requests.listed() if p.merge}
    if not merged:
        return None
    path = f":(literal,top){directory}"
    commit = app.git.text("rev-list", "-1", "--first-parent", base.tip or "", "--", path)
    return merged.get(commit)

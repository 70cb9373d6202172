"""`expci auto`: the pass. Fold what arrived, then gather, think and act for each experiment.

It derives what should be from the ledger and makes it so; running it twice changes
nothing, running it after a crash finishes what was begun.
"""

from __future__ import annotations

from expci.core.lifecycle import LIVE
from expci.flows import freeze
from expci.flows.advance import Pass, advance, isolated, settle
from expci.flows.context import Context
from expci.flows.situation import Base, base_of
from expci.flows.start import begin
from expci.store import spool
from expci.store.collect import collect
from expci.store.fold import Folded, fold
from expci.store.transaction import Change, Snapshot


def auto(app: Context, *, dry_run: bool = False) -> Pass:
    """One pass over everything. Problems of one experiment do not hold up the others."""
    done = Pass(dry_run=dry_run)
    _ = app.forge  # a missing token is said before anything is done
    if not dry_run:
        done.sent = spool.flush(app.store.remote).sent
    snapshot = _fold(app, done)
    base = base_of(app)
    if not dry_run:
        _start_merged(app, base, snapshot, done)
        snapshot = app.store.snapshot()
    for name in snapshot.ledger.experiments:
        with isolated(done, name):
            done.gathered.append(advance(app, snapshot, name, base, done))
    if not dry_run:
        settle(app, done)
    return done


def _fold(app: Context, done: Pass) -> Snapshot:
    """Put what arrived into the ledger, then delete what is in it from the inbox."""
    folded: list[Folded] = []

    def think(snapshot: Snapshot) -> Change | None:
        result = fold(snapshot.ledger, collect(app.git, snapshot.inbox), app.clock())
        folded[:] = [result]
        total = sum(result.added.values())
        message = f"Fold {total} record{'s' if total != 1 else ''}"
        return Change.of(message, result.changes) if result.changes else None

    if done.dry_run:
        snapshot = app.store.snapshot()
        change = think(snapshot)
        snapshot = app.store.preview(snapshot, change, app.clock()) if change else snapshot
    else:
        snapshot, _ = app.store.transact(app.clock(), think)
        app.store.delete_inbox(snapshot.inbox)
    done.folded |= folded[0].added
    done.refused += folded[0].refused
    return snapshot


def _start_merged(app: Context, base: Base, snapshot: Snapshot, done: Pass) -> None:
    """Experiments that were merged to the default branch start by themselves."""
    if base.tip is None:
        return
    for name, directory in freeze.drafts_at(app.git, base.tip).items():
        with isolated(done, name):
            life = snapshot.ledger.life(name)
            draft = freeze.draft_at(app.git, base.tip, name, directory)
            if draft.plan is None:
                problems = "; ".join(str(problem) for problem in draft.problems)
                done.problems.append((name, f"merged but not valid: {problems}"))
            elif draft.plan.id not in life.plans and life.state not in LIVE:
                branch = base.branch
                why = f"merged to {branch}"
                begin(app, draft.plan, base, branch="", by="expci", why=why)
                done.actions.append((name, f"started: {why}"))

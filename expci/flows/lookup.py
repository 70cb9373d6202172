"""Names that a user typed, compared with those that exist."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from expci.core.lifecycle.transitions import Life
from expci.core.spelling import suggestion
from expci.errors import ExpciError
from expci.flows.context import Context
from expci.runner.experiment_files import ids_on_disk
from expci.store import published
from expci.store.git.git import Git
from expci.store.git.remote import Remote
from expci.store.inbox.read_batches import collect
from expci.store.ledger.fold import fold_inbox
from expci.store.ledger.ledger import Ledger
from expci.store.ledger.plans import Plan
from expci.store.ledger.transaction import LedgerChange


def ledger_with_inbox(app: Context) -> Ledger:
    """The ledger with what waits in the inbox: it counts, though only the pass writes it down."""
    return ledger_and_waiting(app)[0]


def ledger_and_waiting(app: Context) -> tuple[Ledger, Mapping[str, Mapping[str, int]]]:
    """The same, and how many records stay in the inbox, by experiment and arm ("" unknown)."""
    snapshot = app.store.snapshot()
    pushed = snapshot.inbox if app.reads_inbox else {}
    folded = fold_inbox(snapshot.ledger, collect(app.git, pushed), app.clock())
    if not folded.changes:
        return snapshot.ledger, folded.waiting_by_arm
    change = LedgerChange.of("preview", folded.changes)
    after = app.store.preview(snapshot, change, app.clock())
    return after.ledger, folded.waiting_by_arm


def waiting_words(by_arm: Mapping[str, int]) -> str:
    """What to say of records that stay in the inbox."""
    arms = ", ".join(f"{arm or 'unknown arm'} {n}" for arm, n in sorted(by_arm.items()))
    total = sum(by_arm.values())
    wait = "record waits" if total == 1 else "records wait"
    return (
        f"{total} {wait} in the inbox ({arms}): this ledger does not hold their plan, or its "
        "newest event is later than this machine's clock"
    )


def ledger_at(app: Context, revision: str) -> Ledger:
    """The ledger at one of its commits; `ExpciError` where there is none of that name."""
    tip, commit = app.store.snapshot(inbox=False).ledger.commit, app.git.resolve(revision)
    if commit is None or tip is None:
        raise ExpciError(
            f"no such commit: {revision}. `git log {tip or ''}` lists the ledger's commits"
        )
    return Ledger(app.git, commit)


def missing_passes(git: Git, now: datetime) -> str:
    """What to say where no pass has looked after live experiments for days; "" elsewhere."""
    try:
        document = published.fetch_published(Remote.of(git))
    except ExpciError:
        return ""
    return published.without_passes(document[0], now) if document else ""


def not_started(ledger: Ledger, name: str) -> ExpciError:
    """What to say of an experiment that is not in the ledger: how to start it, or its name."""
    drafts = ids_on_disk(ledger.git)
    if name in drafts:
        return ExpciError(f"{name} has not started yet: `expci start {name}` starts it")
    there = {*ledger.experiments, *drafts}
    otherwise = "`expci status --all` lists what there is" if there else "`expci create` makes one"
    return ExpciError(f"no experiment {name!r} has started; {suggestion(name, there, otherwise)}")


def require_started(ledger: Ledger, name: str) -> Life:
    """The life of an experiment that started; `ExpciError` with the nearest name otherwise."""
    if name not in ledger.experiments:
        raise not_started(ledger, name)
    return ledger.life(name)


def require_plan(ledger: Ledger, name: str) -> Plan:
    plan = ledger.plan(name)
    if plan is None:
        raise not_started(ledger, name)
    return plan

"""`expci fsck --restore` and `--begin-anew`: the ways out when the ledger is gone or went back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from expci.core.lifecycle.transitions import State
from expci.core.model.events import Promoted
from expci.core.model.experiment import DEFAULTS_FILE
from expci.errors import ExpciError, LedgerDamaged
from expci.flows.context import Context
from expci.store import published
from expci.store.git import refs
from expci.store.git.remote import Update
from expci.store.inbox import send
from expci.store.ledger import paths
from expci.store.ledger.exposure import derive
from expci.store.ledger.ledger import Ledger
from expci.store.ledger.mirror import mirrored_ledger
from expci.store.ledger.transaction import LedgerChange, Snapshot
from expci.store.published import Published

_README = "# Experiments\n\nThis ledger was begun anew on purpose; an earlier one is gone.\n"


@dataclass(frozen=True)
class Restored:
    """The ledger as it is now. `set_aside` is the ref that holds what stood in its place.

    `sent` records of that one wait in the inbox again; `changed` is whether there was need.
    """

    ledger: str
    set_aside: str = ""
    sent: int = 0
    changed: bool = True

    def to_json(self) -> dict[str, object]:
        return {"schema": "expci.restore/1", **self.__dict__}


def restore(app: Context) -> Restored:
    """Put back the newest copy of the ledger that can be reached; nothing of either is lost."""
    store, git = app.store, app.git
    there = store.remote.fetch(store.ledger_ref, refs.PUBLISHED, refs.MIRROR_BRANCH)
    present, copy = there.get(store.ledger_ref), _newest_copy(app, there.get(refs.MIRROR_BRANCH))
    if copy is None:
        raise ExpciError(
            f"this clone keeps no copy of the ledger of {store.remote.name!r}. Run it in one that "
            "ran expci lately; to begin anew on purpose: `expci fsck --begin-anew`"
        )
    if present is not None and git.is_ancestor(copy, present):
        return Restored(present, changed=False)
    aside = ""
    updates = [Update(store.ledger_ref, copy, present or "")]
    if present is not None and not git.is_ancestor(present, copy):
        aside = refs.set_aside(present)
        updates.append(Update(aside, present))
    document = published.write_published(git, derive(Ledger(git, copy)))
    updates.append(Update(refs.PUBLISHED, document, there.get(refs.PUBLISHED, "")))
    store.remote.push(updates, atomic=True)
    store.remote.keep(refs.LEDGER, copy)
    _put_back_copies(app, Ledger(git, copy))
    sent = _send_again(app, Ledger(git, copy), Ledger(git, present)) if aside else 0
    return Restored(copy, aside, sent)


def begin_anew(app: Context) -> Restored:
    """An empty ledger where there is none, though there once was: a person's decision."""
    store = app.store
    there = store.remote.fetch(store.ledger_ref, refs.PUBLISHED)
    if store.ledger_ref in there:
        raise ExpciError(
            f"a ledger exists at {store.ledger_ref}: there is nothing to begin anew. "
            "`expci fsck` says what is wrong with it"
        )
    _require_no_reviewed_commit(app, None)
    old = Snapshot(Ledger(app.git), Published(), there.get(refs.PUBLISHED), {})
    why = f"Begin anew\n\nby {app.actor}, on purpose: an earlier ledger is gone"
    traces = store.continuity.traces.newer(old.ledger)
    accepted = "".join(f"{trace}\n" for trace in traces).encode()
    change = LedgerChange.of(why, {paths.README: _README.encode(), paths.ACCEPTED: accepted})
    store.continuity.forget()
    return Restored(store.commit(old, change, app.clock()).ledger.commit or "")


def _require_no_reviewed_commit(app: Context, commit: str | None) -> None:
    """What was reviewed is changed by a review: no option passes it over."""
    contains = app.store.continuity.contains
    if not app.store.continuity.goes_on_from(commit, contains or None):
        raise ExpciError(
            f"{DEFAULTS_FILE} names a commit that the ledger has to hold, {contains[:12]}, and "
            "this one does not. To go on all the same, remove the line `ledger_contains` there, "
            "commit it, and run this again"
        )


def accept_older(app: Context) -> Restored:
    """Go on from a ledger that is older than what it left behind: a person's decision."""
    store = app.store
    there = store.remote.fetch(store.ledger_ref, refs.PUBLISHED)
    ledger = Ledger(app.git, there.get(store.ledger_ref))
    traces = store.continuity.traces.newer(ledger) if ledger.commit else []
    _require_no_reviewed_commit(app, ledger.commit)
    if not traces:
        return Restored(ledger.commit or "", changed=False)
    before = ledger.read(paths.ACCEPTED) or b""
    why = f"Accept an older ledger\n\nby {app.actor}, on purpose: no newer copy is left"
    lines = "".join(f"{trace}\n" for trace in traces).encode()
    change = LedgerChange.of(why, {paths.ACCEPTED: before + lines})
    commit = there.get(refs.PUBLISHED)
    document = published.read_published(app.git, commit) if commit else Published()
    snapshot = store.commit(Snapshot(ledger, document, commit, {}), change, app.clock())
    return Restored(snapshot.ledger.commit or "")


def _put_back_copies(app: Context, ledger: Ledger) -> None:
    """What a revert needs of each promotion that is watched, where it is gone and is here."""
    there = app.store.remote.names(refs.backup("*"), refs.promoted("*"))
    updates = []
    for name in ledger.experiments:
        promoted = _watched(ledger, name)
        for ref, commit in (
            ((refs.promoted(name), promoted.merge), (refs.backup(name), promoted.parent))
            if promoted
            else ()
        ):
            if ref not in there and app.git.resolve(commit) is not None:
                updates.append(Update(ref, commit, ""))
    app.store.remote.push(updates)


def _watched(ledger: Ledger, name: str) -> Promoted | None:
    try:
        life = ledger.life(name)
    except LedgerDamaged:
        return None  # `expci fsck` names it
    return life.promoted if life.state is State.WATCHING else None


def _newest_copy(app: Context, mirror: str | None) -> str | None:
    """What this clone keeps, or the mirror branch where that is what became of it."""
    kept = app.store.continuity.kept
    if mirror is not None:
        mirrored = mirrored_ledger(app.git, mirror)
        mirror = mirrored if _is_ledger(app, mirrored) else None  # whatever somebody put there
    if kept is None or (mirror is not None and app.git.is_ancestor(kept, mirror)):
        return mirror or kept
    return kept


def _is_ledger(app: Context, commit: str) -> bool:
    ledger = Ledger(app.git, commit)
    return any(paths.events(name) in ledger.entries for name in ledger.experiments)


def _send_again(app: Context, ledger: Ledger, other: Ledger) -> int:
    """Records that only the other ledger holds go to the inbox; how many."""
    sent = 0
    for name in other.experiments:
        lines = [line.decode() for line in _missing(ledger, other, name)]
        sent += len(lines)
        for part in send.split(lines):
            send.send(app.store.remote, name, send.encode(part))
    return sent


def _missing(ledger: Ledger, other: Ledger, name: str) -> Iterator[bytes]:
    for directory in (paths.trials(name), paths.amendments(name)):
        present = set(ledger.lines(directory))
        yield from (line for line in other.lines(directory) if line not in present)

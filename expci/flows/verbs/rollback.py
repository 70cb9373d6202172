"""`expci rollback`: end an experiment as harmful by hand; undo its promotion if there was one."""

from __future__ import annotations

from dataclasses import dataclass

from expci.core.lifecycle.transitions import State
from expci.core.model.events import Learned, RolledBack
from expci.core.model.trial import timestamp
from expci.errors import ExpciError
from expci.flows.arrivals.fold_arrivals import fold_arrivals
from expci.flows.context import Context
from expci.flows.experiment.act import enact, record_event
from expci.flows.experiment.advance import Pass, advance, sync_forge
from expci.flows.experiment.base import base_of
from expci.flows.experiment.gather import gather
from expci.flows.lookup import require_started
from expci.report.sections.headline import state_words


@dataclass(frozen=True)
class RollbackResult:
    """`commit` undid the promotion on the base branch; `pull` waits to do so.

    `in_words` is the state for people: what only the lab ran was stopped.
    """

    experiment: str
    state: str
    commit: str
    pull: int | None
    in_words: str = ""

    def to_json(self) -> dict[str, object]:
        return {
            "schema": "expci.rollback/1",
            "experiment": self.experiment,
            "state": self.state,
            "commit": self.commit,
            "pull": self.pull,
        }


def rollback(
    app: Context, name: str, *, reason: str, force: bool = False, learned: str | None = None
) -> RollbackResult:
    """Stop the exposure, record the roll back, revert what was promoted."""
    _ = app.forge  # a missing token ends it before anything is done
    with app.store.remote.listed_once():
        return _rollback(app, name, reason, learned, force=force)


def _rollback(
    app: Context, name: str, reason: str, learned: str | None, *, force: bool
) -> RollbackResult:
    require_started(app.store.snapshot(inbox=False).ledger, name)
    if not force:  # who forces it waits for no download
        fold_arrivals(app)
    snapshot = app.store.snapshot(inbox=False)
    gathered = gather(app, snapshot, name, base_of(app), app.clock())
    if gathered.life.state is State.ROLLED_BACK:
        return _finish(app, gathered.name, learned)  # the command again, after a cut
    decision = gathered.situation.analysis.decision if gathered.situation.analysis else None
    proven = decision is not None and decision.verdict == "rollback"
    if not proven and not force:
        raise ExpciError(
            f"the evidence does not show that {name} does harm. To roll it back anyway: "
            f"--force (this is recorded), or end it with `expci stop {name}`"
        )
    why = reason if proven else f"{reason} (forced by hand, without evidence)"
    event = RolledBack(
        at=timestamp(app.clock()),
        by=app.actor,
        why=why,
        reason_code=decision.reason_code if decision and proven else "manual",
        arm=(decision.arm or "") if decision else "",
        comment=app.comment,
    )
    if enact(app, gathered, event) is None:
        raise ExpciError(f"{name} changed meanwhile; run the command again")
    return _finish(app, name, learned)


def _finish(app: Context, name: str, learned: str | None) -> RollbackResult:
    """Draw the consequences of a roll back that is on record: the revert, the reports."""
    done = Pass()
    ended = advance(app, app.store.snapshot(inbox=False), name, base_of(app), done)
    if learned:
        record_event(app, ended, Learned(at=timestamp(app.clock()), by=app.actor, text=learned))
    done.gathered.append(ended)
    sync_forge(app, done)
    reverted = ended.life.reverted
    return RollbackResult(
        name,
        ended.life.state,
        reverted.commit if reverted else "",
        reverted.pull if reverted else None,
        state_words(ended.life),
    )

"""`expci promote`: open, or merge, a promotion's pull request by hand."""

from __future__ import annotations

from dataclasses import dataclass, replace

from expci.core.lifecycle.next_event import HARM
from expci.core.lifecycle.transitions import ENDED, LIVE, State
from expci.core.model.events import PromoteOpened
from expci.core.model.results import Decision
from expci.core.model.trial import timestamp
from expci.errors import ExpciError
from expci.flows.arrivals.fold_arrivals import fold_arrivals
from expci.flows.context import Context
from expci.flows.experiment.act import enact
from expci.flows.experiment.advance import Pass, advance, sync_forge
from expci.flows.experiment.base import base_of
from expci.flows.experiment.gather import Gathered, gather
from expci.flows.experiment.open_promotion import merge_pull_request, why_not_to_merge
from expci.flows.lookup import require_started


@dataclass(frozen=True)
class PromoteResult:
    """Where the promotion stands. `merge` is set once it is on the base branch."""

    experiment: str
    state: str
    branch: str
    pull: int | None
    draft: bool
    merge: str | None

    def to_json(self) -> dict[str, object]:
        return {
            "schema": "expci.promote/1",
            "experiment": self.experiment,
            "state": self.state,
            "branch": self.branch,
            "pull": self.pull,
            "draft": self.draft,
            "merge": self.merge,
        }


def promote(
    app: Context,
    name: str,
    *,
    arm: str | None = None,
    merge: bool = False,
    force: bool = False,
    on_behalf: str = "",
) -> PromoteResult:
    """Open the pull request where there is none; `merge` it too.

    It rests on all that has arrived. `on_behalf` says for whom, and opens the recorded reason.
    """
    _ = app.forge  # a missing token ends it before anything is done
    with app.store.remote.listed_once():
        return _promote(app, name, arm, on_behalf, merge=merge, force=force)


def _promote(
    app: Context, name: str, arm: str | None, on_behalf: str, *, merge: bool, force: bool
) -> PromoteResult:
    require_started(app.store.snapshot(inbox=False).ledger, name)
    _fold(app, force)
    gathered = _gather(app, name)
    promoted = gathered.life.promoted
    if promoted is not None and gathered.life.state in (State.WATCHING, State.PROMOTED):
        if arm not in (None, promoted.arm):
            raise ExpciError(f"{name} is {gathered.life.state} with the arm {promoted.arm}")
        return _result(gathered)  # the command again, after one that was cut off
    _refuse_other_arm(gathered, arm)
    if (state := gathered.life.state) in ENDED:
        raise ExpciError(
            f"{name} is {state.replace('_', ' ')} and cannot be promoted: to try again, change the "
            "experiment and start it as a new plan"
        )
    if gathered.life.state is not State.PROMOTING:
        event = _event(app, gathered, arm, force)
        event = replace(event, why=f"{on_behalf}; {event.why}"[:1000]) if on_behalf else event
        if enact(app, gathered, event) is None:
            raise ExpciError(f"{name} changed meanwhile; run the command again")
        gathered = _gather(app, name)
    if merge and gathered.situation.promotion != "merged":
        _merge(app, gathered)
    done = Pass()
    # A merge has consequences that the pass would draw; a pull request alone has none.
    gathered = (
        advance(app, app.store.snapshot(inbox=False), name, base_of(app), done)
        if merge
        else _gather(app, name)
    )
    done.gathered.append(gathered)
    sync_forge(app, done)
    return _result(gathered)


def _refuse_other_arm(gathered: Gathered, arm: str | None) -> None:
    """One arm is promoted at a time; another one needs the experiment back in its run."""
    name, opened = gathered.name, gathered.life.promote_opened
    is_open = gathered.life.state is State.PROMOTING and opened is not None
    if is_open and opened is not None and arm not in (None, opened.arm):
        raise ExpciError(
            f"{name} is promoting the arm {opened.arm}. To promote {arm} instead: "
            f"`expci pause {name}`, `expci resume {name}`, then `expci promote {name} --arm {arm}`"
        )


def _fold(app: Context, force: bool) -> None:
    """Fold all that has arrived; refused where some of it cannot be read, unless forced."""
    problem = fold_arrivals(app).collection.incomplete
    if problem and not force:
        raise ExpciError(
            f"some arrived records could not be read: {problem.rstrip('.')}. Run it again; "
            "--force decides by what the ledger holds"
        )


def _gather(app: Context, name: str) -> Gathered:
    snapshot = app.store.snapshot(inbox=False)
    return gather(app, snapshot, name, base_of(app), app.clock())


def _event(app: Context, gathered: Gathered, arm: str | None, force: bool) -> PromoteOpened:
    """The event of a promotion by hand; refused without evidence unless forced, and against it."""
    analysis, experiment = gathered.situation.analysis, gathered.plan.experiment
    decision = analysis.decision if analysis else None
    proven = decision is not None and decision.verdict == "promote"
    _refuse_harm(gathered, decision, arm)
    if not proven and not force:
        reasons = " ".join(decision.reasons) if decision else "it has no analysis"
        raise ExpciError(
            f"the evidence does not support a promotion of {gathered.name}: {reasons} "
            "To promote it anyway: --force, which is recorded"
        )
    wanted = arm or (decision.arm if decision and proven else None)
    treatments = [item.name for item in experiment.treatments]
    if wanted is None and len(treatments) == 1:
        wanted = treatments[0]
    if wanted not in treatments:
        raise ExpciError(f"name the arm to promote: --arm {' or --arm '.join(treatments)}")
    why = " ".join(decision.reasons) if decision and proven else "forced by hand, without evidence"
    at = timestamp(app.clock())
    return PromoteOpened(at=at, by=app.actor, why=why, arm=wanted, comment=app.comment)


def _refuse_harm(gathered: Gathered, decision: Decision | None, arm: str | None) -> None:
    """Harm that is shown is not promoted, by no option: the next pass would undo it."""
    name = gathered.name
    dropped = gathered.life.dropped.get(arm or "")
    if dropped is not None and dropped.reason_code in HARM:
        raise ExpciError(
            f"{arm} of {name} was dropped because it does harm, so it cannot be promoted: "
            f"{dropped.why}"
        )
    harmful = decision is not None and (
        decision.verdict == "rollback"
        or (decision.verdict == "drop" and decision.reason_code in HARM and arm == decision.arm)
    )
    if decision is not None and harmful:
        end = f"End it: `expci rollback {name} --reason …`, or let the next pass do it. "
        raise ExpciError(
            f"{name} cannot be promoted, because harm is shown: {' '.join(decision.reasons)} "
            f"{end if gathered.life.state in LIVE else ''}"
            "To try the idea again, change the experiment and start it as a new plan"
        )


def _merge(app: Context, gathered: Gathered) -> None:
    pull = gathered.promotion
    if pull is None or not pull.is_open:
        raise ExpciError(f"there is no open pull request that promotes {gathered.name}")
    if pull.draft:
        raise ExpciError(
            f"pull request {pull.number} is a draft because {pull.head} conflicts with "
            f"{pull.base}: resolve it on the branch, or `git merge` it by hand"
        )
    if why := why_not_to_merge(app, gathered, pull):
        raise ExpciError(f"pull request {pull.number} is not merged: {why}. Merge it by hand")
    merge_pull_request(app, gathered, pull)


def _result(gathered: Gathered) -> PromoteResult:
    life = gathered.life
    opened = life.promote_opened
    return PromoteResult(
        gathered.name,
        life.state,
        opened.branch if opened else "",
        opened.pull if opened else None,
        bool(opened and opened.draft),
        life.promoted.merge if life.promoted else None,
    )

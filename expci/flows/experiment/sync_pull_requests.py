"""Keep an experiment's pull requests in step with the ledger: report, check, labels, state.

What the forge was last brought to say is on record (`flows/experiment/forge_state.py`), so an
experiment of which nothing is new costs no call. What people change by hand (a label, a
draft, a closed or reopened request) shows in the listing that the pass reads anyway.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, replace

from expci.core.lifecycle.transitions import ENDED, Life, State, fold
from expci.core.model.events import PromoteOpened
from expci.core.model.results import Analysis
from expci.flows.context import Context
from expci.flows.experiment.act import PROMOTE_LABEL, promote_body
from expci.flows.experiment.alert_issue import alert_text, sync_alert_issue
from expci.flows.experiment.forge_state import Shown, place, shown_of
from expci.flows.experiment.gather import Gathered, held_analysis, promotion_of, proposal_of
from expci.forge.ports import CheckRun, Conclusion, PullRequest
from expci.report.documents import render
from expci.store import promotion
from expci.store.git import refs
from expci.store.ledger import paths
from expci.store.ledger.ledger import Ledger

FADED = (State.RUNNING, State.PAUSED)
OVER = (*ENDED, State.WATCHING)  # its own request has nothing left to do


@dataclass(frozen=True)
class Wanted:
    """What the forge should say. `promotion` is title and body of the promote request."""

    report: str | None
    check: CheckRun | None
    promotion: tuple[str, str] | None
    alert: tuple[str, str] | None
    events: int

    @property
    def said(self) -> str:
        check = asdict(self.check) if self.check else None
        return _digest([self.report, check, self.promotion])


def settle(
    app: Context, ledger: Ledger, gathered: Gathered, listed: tuple[PullRequest, ...]
) -> tuple[list[str], Shown]:
    """Make the forge say what the ledger says: what was done, and what is said now."""
    held = shown_of(ledger, gathered.name)
    want = wanted(ledger, gathered, _conflicts(app, gathered), in_comments=app.forge.social)
    alert = sync_alert_issue(app, gathered, want.alert, held.alert)
    shown = replace(held, said=want.said, alert=alert.digest, told=want.events)
    done, life = list(alert.done), gathered.life
    if shown == held and (life.state in ENDED or held.merged) and not _open(listed, gathered):
        return done, held
    gathered = _with_requests(app, gathered)
    news = (held.said, held.place) != (want.said, place(gathered.proposal))
    # A request that was opened just now says all but that it was opened.
    fresh = any(isinstance(event, PromoteOpened) for event in life.events[held.told :])
    done += _settle_promotion(app, gathered, want if news and not fresh else None)
    if gathered.proposal is None:
        return done, replace(shown, request=None, at="")
    pull = gathered.proposal
    done += _report(app, gathered, pull, want) if news else []
    done += _tell(app, ledger, gathered, pull, held.told)
    pull, closed = _settle_proposal(app, ledger, gathered, pull)
    request, at = place(pull)
    return done + closed, replace(shown, request=request, at=at)


# --- think ---------------------------------------------------------------------------


def wanted(
    ledger: Ledger,
    gathered: Gathered,
    conflicts: tuple[str, ...] = (),
    *,
    in_comments: bool = False,
) -> Wanted:
    """From the analysis on record: a look that finds nothing new changes nothing.

    `conflicts` are the paths that keep the promote request from merging; `in_comments` is
    whether commands are read in comments.
    """
    held = held_analysis(ledger, paths.analysis(gathered.name))
    experiment, life = gathered.plan.experiment, gathered.life
    if held is None:
        return Wanted(None, None, None, alert_text(gathered, None), len(life.events))
    report = render.comment(
        experiment, life, held, base_branch=gathered.base.branch, in_comments=in_comments
    )
    request = None
    if life.state is State.PROMOTING:
        seen = replace(gathered, situation=replace(gathered.situation, analysis=held))
        request = render.promote_title(experiment, held), promote_body(seen, conflicts)
    return Wanted(
        report=report,
        check=_check(gathered, held, report),
        promotion=request,
        alert=alert_text(gathered, held),
        events=len(life.events),
    )


def _check(gathered: Gathered, analysis: Analysis, report: str) -> CheckRun:
    sentence = render.first_sentence(gathered.plan.experiment, gathered.life, analysis)
    return CheckRun(
        name=f"expci / {gathered.name}",
        conclusion=_conclusion(gathered.life, analysis),
        title=sentence[:250],
        summary=report,
    )


def _conclusion(life: Life, analysis: Analysis) -> Conclusion:
    if life.state is State.ROLLED_BACK or analysis.decision.verdict in ("rollback", "invalid"):
        return "failure"
    won = (State.PROMOTING, State.WATCHING, State.PROMOTED)
    return "success" if life.state in won else "neutral"


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def _open(listed: tuple[PullRequest, ...], gathered: Gathered) -> bool:
    """Whether a request of an experiment that has ended is open, or open again."""
    started = gathered.life.started
    branches = {refs.promote_branch(gathered.name), started.branch if started else ""} - {""}
    return any(pull.is_open and not pull.fork and pull.head in branches for pull in listed)


def _conflicts(app: Context, gathered: Gathered) -> tuple[str, ...]:
    pull, opened = gathered.promotion, gathered.life.promote_opened
    tip = gathered.base.tip
    if pull is None or not pull.draft or opened is None or tip is None:
        return ()
    return promotion.merge_promotion(app.git, tip, gathered.plan, opened.arm).conflicts


# --- act -----------------------------------------------------------------------------


def _with_requests(app: Context, gathered: Gathered) -> Gathered:
    """With those that gathering left out because nothing that is decided rests on them."""
    life, name = gathered.life, gathered.name
    seen = shown_of(gathered.snapshot.ledger, name)
    return replace(
        gathered,
        proposal=gathered.proposal or proposal_of(app, life, seen, again=True),
        promotion=gathered.promotion or promotion_of(app, life, name),
    )


def _settle_promotion(app: Context, gathered: Gathered, news: Wanted | None) -> list[str]:
    """Up to date while it is open; a draft when the evidence faded; closed at the end."""
    pull, life = gathered.promotion, gathered.life
    if pull is None or not pull.is_open:
        return []
    if life.state in ENDED:
        app.forge.pull_requests.close(pull, f"The experiment is {life.state}.")
        return [f"closed request {pull.number}"]
    app.forge.pull_requests.label(pull, (PROMOTE_LABEL,))
    if life.state in FADED and not pull.draft:
        # Nobody should merge it by accident.
        app.forge.pull_requests.open(pull.head, pull.base, pull.title, pull.body, draft=True)
        return [f"made request {pull.number} a draft: the evidence faded"]
    if news is not None and news.promotion is not None and life.state is State.PROMOTING:
        title, body = news.promotion
        if (pull.title, pull.body) != (title, body):
            app.forge.pull_requests.open(pull.head, pull.base, title, body, draft=pull.draft)
            return [f"updated request {pull.number}"]
    return []


def _report(app: Context, gathered: Gathered, pull: PullRequest, want: Wanted) -> list[str]:
    if want.report is None or want.check is None:
        return []
    if pull.is_open and app.forge.checks:
        app.forge.checks.set(pull.head_commit, want.check)
    if app.forge.comments.write(pull.number, render.marker("report", gathered.name), want.report):
        return [f"updated the report in request {pull.number}"]
    return []


def _settle_proposal(
    app: Context, ledger: Ledger, gathered: Gathered, pull: PullRequest
) -> tuple[PullRequest, list[str]]:
    """Label the experiment's own request; close it when all that it proposed is over."""
    states = _states_in(ledger, gathered.life)
    app.forge.pull_requests.label(pull, tuple(sorted(f"expci:{state}" for state in states)))
    if pull.is_open and states <= set(OVER):
        closed = app.forge.pull_requests.close(pull, _closing_word(gathered))
        return closed, [f"closed request {pull.number}"]
    return pull, []


def _tell(
    app: Context, ledger: Ledger, gathered: Gathered, pull: PullRequest, told: int
) -> list[str]:
    """One short comment for each change of state: an edited report notifies nobody."""
    experiment, events = gathered.plan.experiment, gathered.life.events
    done: list[str] = []
    for number in range(told + 1, len(events) + 1):
        before, after = fold(events[: number - 1]), fold(events[:number])
        if (before.state, before.reverted) == (after.state, after.reverted):
            continue
        newest = number == len(events)
        analysis = held_analysis(ledger, paths.analysis(gathered.name)) if newest else None
        body = render.state_comment(experiment, after, analysis)
        if app.forge.comments.write(
            pull.number, render.marker("state", f"{gathered.name}-{number}"), body
        ):
            done.append(f"said in request {pull.number} that it is {after.state}")
    return done


def _states_in(ledger: Ledger, life: Life) -> set[State]:
    """The states of all experiments that the same request proposes."""
    lives = [ledger.life(name) for name in ledger.experiments]
    return {life.state, *(other.state for other in lives if _proposed_in(other, life))}


def _proposed_in(one: Life, other: Life) -> bool:
    if one.started is None or other.started is None:
        return False
    if one.started.pull is not None:
        return one.started.pull == other.started.pull
    return bool(one.started.branch) and one.started.branch == other.started.branch


def _closing_word(gathered: Gathered) -> str:
    request, life = gathered.promotion, gathered.life
    if life.promoted is not None and request is not None:
        return f"Promoted by request {request.number}; the experiment's own branch is done."
    why = life.ended.why if life.ended else ""
    return f"The experiment is {life.state}: {why}".rstrip(": ")

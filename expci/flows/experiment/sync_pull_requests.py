"""Keep an experiment's pull requests in step with the ledger: report, check, labels, state.

What the forge says since the last pass is on record (`flows/experiment/forge_state.py`), so
an experiment of which nothing is new costs no call. What people change by hand (a label, a
draft, a closed or reopened pull request) shows in the listing that the pass reads anyway.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from expci.core.lifecycle.transitions import ENDED, Life, State, fold
from expci.core.model.events import PromoteOpened
from expci.flows.context import Context
from expci.flows.experiment.alert_issue import sync_alert_issue
from expci.flows.experiment.forge_state import (
    ForgeState,
    forge_state_of,
    proposal_record,
    report_place,
)
from expci.flows.experiment.forge_words import ForgeWords, forge_words
from expci.flows.experiment.gather import Gathered, promotion_of, proposal_of
from expci.flows.experiment.open_promotion import PROMOTE_LABEL, open_promotion
from expci.flows.experiment.stored_analysis import last_look
from expci.flows.lookup import waiting_words
from expci.forge.ports import PullRequest
from expci.report.documents import render
from expci.report.sections.headline import state_words
from expci.report.sections.links import WebPlace
from expci.store import promotion
from expci.store.git import refs
from expci.store.ledger.ledger import Ledger

FADED = (State.RUNNING, State.PAUSED)
OVER = (*ENDED, State.WATCHING)  # its own pull request has nothing left to do


def sync_pull_requests(
    app: Context,
    ledger: Ledger,
    gathered: Gathered,
    listed: tuple[PullRequest, ...],
    waiting: Mapping[str, int],
) -> tuple[list[str], ForgeState]:
    """Make the forge say what the ledger says: what was done, and what it says now.

    `waiting` are the records that stay in the inbox, by arm.
    """
    last = forge_state_of(ledger, gathered.name)
    words = forge_words(
        ledger,
        gathered,
        _conflicts(app, gathered),
        in_comments=app.forge.social,
        place=WebPlace(app.web, app.page, gathered.plan.directory),
        waiting=waiting_words(waiting) if waiting else "",
    )
    alert = sync_alert_issue(app, gathered, words.alert, last.alert)
    now = replace(last, said=words.digest, alert=alert.digest, told=words.events, problem="")
    done, life = list(alert.done), gathered.life
    if now == last and (life.state in ENDED or last.merged) and not _open(listed, gathered):
        return done, last
    gathered = _with_pull_requests(app, gathered)
    news = (last.said, last.report_place) != (words.digest, report_place(gathered.proposal))
    # A pull request that was opened just now says all but that it was opened.
    fresh = any(isinstance(event, PromoteOpened) for event in life.events[last.told :])
    done += _sync_promotion(app, gathered, words if news and not fresh else None)
    if gathered.proposal is None:
        return done, replace(now, request=None, at="")
    pull = gathered.proposal
    done += _report(app, gathered, pull, words) if news else []
    done += _announce(app, ledger, gathered, pull, last.told)
    pull, closed = _sync_proposal(app, ledger, gathered, pull)
    number, at = report_place(pull)
    return done + closed, replace(now, request=number, at=at, forge=app.forge_name)


# --- gather --------------------------------------------------------------------------


def _open(listed: tuple[PullRequest, ...], gathered: Gathered) -> bool:
    """Whether a pull request of an experiment that has ended is open, or open again."""
    started = gathered.life.started
    branches = {*refs.promote_branches(gathered.name), started.branch if started else ""} - {""}
    return any(pull.is_open and not pull.fork and pull.head in branches for pull in listed)


def _conflicts(app: Context, gathered: Gathered) -> tuple[str, ...]:
    pull, opened = gathered.promotion, gathered.life.promote_opened
    tip = gathered.base.tip
    if pull is None or not pull.draft or opened is None or tip is None:
        return ()
    return promotion.merge_promotion(app.git, tip, gathered.plan, opened.arm).conflicts


# --- act -----------------------------------------------------------------------------


def _with_pull_requests(app: Context, gathered: Gathered) -> Gathered:
    """With those that gathering left out because nothing that is decided rests on them."""
    life, name = gathered.life, gathered.name
    last = proposal_record(gathered.snapshot.ledger, name)
    return replace(
        gathered,
        proposal=gathered.proposal or proposal_of(app, life, last, again=True),
        promotion=gathered.promotion or promotion_of(app, life, name),
    )


def _sync_promotion(app: Context, gathered: Gathered, news: ForgeWords | None) -> list[str]:
    """Up to date while it is open; a draft when the evidence faded; closed at the end."""
    pull, life = gathered.promotion, gathered.life
    if pull is None and _stands_on_another_forge(app, gathered):
        return _open_here(app, gathered)
    if pull is None or not pull.is_open:
        return []
    if life.state in ENDED:
        app.forge.pull_requests.close(pull, f"The experiment is {state_words(life)}.")
        return [f"closed pull request {pull.number}"]
    app.forge.pull_requests.label(pull, (PROMOTE_LABEL,))
    if life.state in FADED and not pull.draft:
        # Nobody should merge it by accident.
        app.forge.pull_requests.open(pull.head, pull.base, pull.title, pull.body, draft=True)
        return [f"turned pull request {pull.number} into a draft: the evidence faded"]
    if news is not None and news.promotion is not None and life.state is State.PROMOTING:
        title, body = news.promotion
        if (pull.title, pull.body) != (title, body):
            app.forge.pull_requests.open(pull.head, pull.base, title, body, draft=pull.draft)
            return [f"updated pull request {pull.number}"]
    return []


def _stands_on_another_forge(app: Context, gathered: Gathered) -> bool:
    opened = gathered.life.promote_opened
    promoting = gathered.life.state is State.PROMOTING
    return promoting and opened is not None and opened.forge not in ("", app.forge_name)


def _open_here(app: Context, gathered: Gathered) -> list[str]:
    """The pull request of a promotion that was opened with `--forge local`, for example."""
    opened = gathered.life.promote_opened
    if opened is None:
        return []
    here = open_promotion(app, gathered, opened)
    return [f"opened pull request {here.pull}: that of {opened.forge} is not on {app.forge_name}"]


def _report(app: Context, gathered: Gathered, pull: PullRequest, words: ForgeWords) -> list[str]:
    if words.report is None or words.check is None:
        return []
    if pull.is_open and app.forge.checks:
        app.forge.checks.set(pull.head_commit, words.check)
    if app.forge.comments.write(pull.number, render.marker("report", gathered.name), words.report):
        return [f"updated the report in pull request {pull.number}"]
    return []


def _sync_proposal(
    app: Context, ledger: Ledger, gathered: Gathered, pull: PullRequest
) -> tuple[PullRequest, list[str]]:
    """Label the experiment's own pull request; close it when all that it proposed is over."""
    states = _states_in(ledger, gathered.life)
    app.forge.pull_requests.label(pull, tuple(sorted(f"expci:{state}" for state in states)))
    if pull.is_open and states <= set(OVER):
        closed = app.forge.pull_requests.close(pull, _closing_word(gathered))
        return closed, [f"closed pull request {pull.number}"]
    return pull, []


def _announce(
    app: Context, ledger: Ledger, gathered: Gathered, pull: PullRequest, announced: int
) -> list[str]:
    """One short comment for each change of state: an edited report notifies nobody."""
    experiment, events = gathered.plan.experiment, gathered.life.events
    done: list[str] = []
    for number in range(announced + 1, len(events) + 1):
        before, after = fold(events[: number - 1]), fold(events[:number])
        if (before.state, before.reverted) == (after.state, after.reverted):
            continue
        newest = number == len(events)
        analysis = last_look(ledger, gathered.name) if newest else None
        body = render.state_comment(experiment, after, analysis, gathered.base.branch)
        if app.forge.comments.write(
            pull.number, render.marker("state", f"{gathered.name}-{number}"), body
        ):
            done.append(f"announced in pull request {pull.number} that it is {state_words(after)}")
    return done


def _states_in(ledger: Ledger, life: Life) -> set[State]:
    """The states of all experiments that the same pull request proposes."""
    lives = [ledger.life(name) for name in ledger.experiments]
    return {life.state, *(other.state for other in lives if _proposed_in(other, life))}


def _proposed_in(one: Life, other: Life) -> bool:
    if one.started is None or other.started is None:
        return False
    if one.started.pull is not None:
        return one.started.pull == other.started.pull
    return bool(one.started.branch) and one.started.branch == other.started.branch


def _closing_word(gathered: Gathered) -> str:
    pull, life = gathered.promotion, gathered.life
    if life.promoted is not None and pull is not None:
        return f"Promoted by pull request {pull.number}; the experiment's own branch is done."
    why = life.ended.why if life.ended else ""
    return f"The experiment is {state_words(life)}: {why}".rstrip(": ")

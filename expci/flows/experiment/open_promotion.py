"""Open a promotion: push the branch with the winning content, and the pull request for it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace

from expci.core.model import events
from expci.core.model.trial import Trial
from expci.errors import ExpciError, NotMergeable, PullsForbidden
from expci.flows.context import Context
from expci.flows.experiment.branches import (
    free_branch,
    introduce,
    keep_backup,
    opener,
    push_branch,
)
from expci.flows.experiment.forge_state import proposal_record
from expci.flows.experiment.gather import Gathered, proposal_of
from expci.flows.experiment.promotion_merge import is_what_the_plan_makes
from expci.flows.experiment.signed_commits import open_rules
from expci.forge.ports import PullRequest, PullRequestState
from expci.report.documents import render
from expci.report.sections.links import WebPlace
from expci.store import promotion
from expci.store.git import refs
from expci.store.ledger import plans
from expci.store.ledger.traces import PROMOTE_TRAILER

PROMOTE_LABEL = "expci:promote"


def open_promotion(
    app: Context, gathered: Gathered, event: events.PromoteOpened
) -> events.PromoteOpened:
    """The event with the branch, its commit and the pull request's number."""
    tip = gathered.base.require_tip()
    branch = _branch(app, gathered)
    commit, conflicts = _promotion_commit(app, gathered, event, tip)
    ours = _continued_by_a_person(app, gathered, branch)
    stands = ours or push_branch(app, branch, commit, gathered.base.branch)
    rules = open_rules(app, gathered.base.branch, is_signed=stands != commit)
    keep_backup(app, gathered.name, tip)
    event = replace(
        event,
        branch=branch,
        commit=stands,
        draft=bool(conflicts),
        author=_author(app, gathered),
        opened_by=opener(app),
        rules=",".join(rules),
    )
    try:
        return replace(event, pull=_pull_request(app, gathered, event, conflicts).number)
    except PullsForbidden as refusal:
        # The branch is there; a person opens the pull request, which goes by its branch.
        return replace(event, compare=refusal.compare)


def _branch(app: Context, gathered: Gathered) -> str:
    """The branch of the promotion that was opened before, else one whose name is free."""
    usual, other = refs.promote_branches(gathered.name)
    opened = gathered.life.promote_opened
    if opened is not None and opened.branch in (usual, other):
        return opened.branch
    return free_branch(app, usual, other)


def _continued_by_a_person(app: Context, gathered: Gathered, branch: str) -> str | None:
    """Our earlier commit on the branch, where a person has gone on from it: theirs stays."""
    opened, ref = gathered.life.promote_opened, refs.head(branch)
    tip = app.store.remote.fetch(ref).get(ref)
    if opened is None or tip is None or tip == opened.commit:
        return None
    here = app.git.resolve(opened.commit) is not None
    return opened.commit if here and app.git.is_ancestor(opened.commit, tip) else None


def _promotion_commit(
    app: Context, gathered: Gathered, event: events.PromoteOpened, tip: str
) -> tuple[str, tuple[str, ...]]:
    """The commit for the branch, and the paths where it conflicts with `tip`."""
    plan, decided = gathered.plan, gathered.life.decided
    rested_on = decided.analysed if decided else ""
    merged = promotion.merge_promotion(app.git, tip, plan, event.arm)
    parent, tree = tip, merged.tree
    if merged.conflicts:
        parent = _require_base(app, plan.base)
        tree = promotion.variant_on_base(app.git, plan, event.arm)
    analysis = gathered.situation.analysis
    trailer = f"{PROMOTE_TRAILER}: {gathered.name} {rested_on}".rstrip()
    message = render.promote_message(plan.experiment, analysis, event.arm, event.why, trailer)
    # Dated by the decision, so that a pass that died makes the same commit again.
    at = decided.at if decided else event.at
    return app.git.commit_tree(tree, [parent], message, at=at), merged.conflicts


def _require_base(app: Context, commit: str) -> str:
    if app.git.resolve(commit) is None:
        raise ExpciError(
            f"the plan's base {commit[:12]} is not in this clone; `git fetch --unshallow` brings it"
        )
    return commit


def _pull_request(
    app: Context, gathered: Gathered, event: events.PromoteOpened, conflicts: tuple[str, ...]
) -> PullRequest:
    """The open pull request of the branch: the one that stands already, or a new one."""
    pulls = app.forge.pull_requests
    wanted = (PullRequestState.OPEN, event.commit, event.draft)
    pull = pulls.of_branch(event.branch)
    if pull is None or (pull.state, pull.head_commit, pull.draft) != wanted:
        life = replace(gathered.life, promote_opened=event)
        as_opened = replace(gathered, situation=replace(gathered.situation, life=life))
        place = WebPlace(app.web, app.page, gathered.plan.directory)
        body, title = promotion_body(as_opened, place, conflicts), _title(gathered)
        pull = pulls.open(event.branch, gathered.base.branch, title, body, draft=event.draft)
    return introduce(app, gathered, pull, PROMOTE_LABEL, event.author)


def _author(app: Context, gathered: Gathered) -> str:
    """Who proposed the experiment; "" where no pull request tells."""
    last = proposal_record(gathered.snapshot.ledger, gathered.name)
    proposal = gathered.proposal or proposal_of(app, gathered.life, last, again=True)
    return proposal.author if proposal and app.forge.social else ""


def _title(gathered: Gathered) -> str:
    return render.promote_title(gathered.plan.experiment, gathered.situation.analysis)


def promotion_body(gathered: Gathered, place: WebPlace, conflicts: tuple[str, ...] = ()) -> str:
    """The text of the promotion's pull request, in Markdown."""
    return render.promote_body(
        gathered.plan.experiment,
        gathered.life,
        gathered.situation.analysis,
        data_hash=data_hash(gathered),
        undo=f"expci rollback {gathered.name} --reason '…'",
        conflicts=conflicts,
        actors=_actors(gathered),
        place=place,
    )


def _actors(gathered: Gathered) -> Mapping[str, int]:
    """Whose jobs ran the trials of the plan that count."""
    counted = (trial for trial in _trials(gathered) if trial.excluded is None)
    return Counter(actor for trial in counted if (actor := trial.context.get("actor")))


def data_hash(gathered: Gathered) -> str:
    """SHA-256 of the trials that the report rests on, as the ledger holds them."""
    return plans.digest("".join(trial.line() + "\n" for trial in _trials(gathered)).encode())


def _trials(gathered: Gathered) -> Iterator[Trial]:
    trials = gathered.snapshot.ledger.trials(gathered.name)
    return (trial for trial in trials if trial.plan == gathered.plan.id)


# --- merging -------------------------------------------------------------------------


def merge_by_plan(app: Context, gathered: Gathered) -> PullRequest | None:
    """`decision.promote: merge` merges the open pull request; the merged one, or `None`.

    Only what the plan makes: what somebody else pushed there is for people to merge.
    """
    pull = gathered.promotion
    if pull is None or not merges_by_plan(gathered) or why_not_to_merge(app, gathered, pull):
        return None
    try:
        return merge_pull_request(app, gathered, pull)
    except NotMergeable:
        return None  # checks are running, or reviews are missing: the next pass tries again


def merges_by_plan(gathered: Gathered) -> bool:
    """Whether there is a pull request that the plan has merged without a person."""
    pull = gathered.promotion
    by_plan = gathered.plan.experiment.decision.promote == "merge"
    return by_plan and pull is not None and pull.is_open and not pull.draft


def merge_pull_request(app: Context, gathered: Gathered, pull: PullRequest) -> PullRequest:
    try:
        return app.forge.pull_requests.merge(pull, f"Promote {gathered.name}\n\n{pull.title}")
    finally:
        app.store.remote.list_again()  # the forge moved the branch, or nobody knows


def why_not_to_merge(app: Context, gathered: Gathered, pull: PullRequest) -> str:
    """Why expci leaves the merge to a person; "" where it need not."""
    opened, base = gathered.life.promote_opened, gathered.base
    if pull.base != base.branch:
        return f"it goes into {pull.base}, not into {base.branch}"
    ref = refs.head(pull.head)
    app.store.remote.list_again()  # nothing takes a merge back
    tip = app.store.remote.fetch(ref).get(ref)
    if opened is None or tip != pull.head_commit:
        return "its branch moved meanwhile: look at it again"
    if not is_what_the_plan_makes(app.git, gathered.plan, opened.arm, tip, base):
        return "its branch holds something else than what the plan makes"
    return ""

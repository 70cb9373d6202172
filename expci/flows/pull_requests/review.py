"""Review what open pull requests propose: a check on the newest commit and one comment.

What was written is on record (`reviewed.json` beside the ledger), so a pull request of which
nothing is new costs no call.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from expci.core.model.auto_inference import becoming
from expci.core.spec.yaml_document import Problem, printable
from expci.errors import ExpciError, NotPermitted, Unreachable
from expci.flows.context import Context
from expci.flows.experiment.advance import Pass, isolated
from expci.flows.experiment.base import Base, base_of
from expci.flows.pull_requests import read
from expci.flows.pull_requests.designs import (
    PLAN_LABEL,
    REVIEW_SECONDS,
    Designs,
    Document,
    awaits_a_writer,
)
from expci.flows.pull_requests.overlaps import (
    Surroundings,
    overlaps,
    relation_to_ledger,
    surroundings_digest,
)
from expci.flows.pull_requests.read import Proposed
from expci.forge.ports import Annotation, CheckRun, Conclusion, PullRequest
from expci.report.documents import proposal, render
from expci.report.documents.proposal import Proposal, ProposingPullRequest
from expci.store.ledger import paths, reviewed_pull_requests
from expci.store.ledger.reviewed_pull_requests import ReviewedExperiment, ReviewedPullRequest
from expci.store.ledger.transaction import LedgerChange, Snapshot

CHECK = "expci / plan"
MOST_REVIEWS = 10  # of one pass; the rest come with the next
MOST_FETCHED = 100
FORK_SECONDS = 30.0  # for the content of one fork's pull request
FORKS_FETCHED = 20  # of one pass
MOST_ANNOTATIONS = 100
UNFINISHED = "unfinished"  # stands where the head does, so the next pass takes it up again


@dataclass(frozen=True)
class Review:
    """What a pull request proposes. `reviewed` is what to keep on record of it, `untold` why
    nothing could be written there."""

    pull: ProposingPullRequest
    proposals: tuple[Proposal, ...]
    reviewed: ReviewedPullRequest
    untold: str = ""

    @property
    def conclusion(self) -> Conclusion:
        """Problems fail; advice and what it would collide with are for people to weigh."""
        if any(item.problems for item in self.proposals):
            return "failure"
        thoughts = any(item.all_advice or item.blocked for item in self.proposals)
        return "neutral" if thoughts else "success"

    @property
    def problems(self) -> tuple[Problem, ...]:
        return tuple(problem for item in self.proposals for problem in item.problems)


def review_numbered(app: Context, number: int) -> Review:
    """Review one pull request now, rather than in the next pass."""
    pull = app.forge.pull_requests.numbered(number) if app.forge.social else None
    if pull is None:
        raise ExpciError(
            f"there is no pull request {number} on {app.forge.name}; leave --pull-request out to "
            "check the working directory alone"
        )
    return review(app, pull, base_of(app))


def review(app: Context, pull: PullRequest, base: Base) -> Review:
    """Read the newest commit of a pull request, and write there what its experiments would do.

    A token that may not write (a fork's job gets none) leaves the writing to the pass.
    """
    around = Surroundings(app.store.snapshot(inbox=False).ledger)
    head = read.newest_commits(app, [pull]).get(pull.number)
    if head is None:
        raise ExpciError(f"the newest commit of pull request {pull.number} cannot be fetched")
    before = reviewed_pull_requests.read_reviewed(around.ledger).get(pull.number)
    designs = Designs(around.ledger, app.clock())
    outcome = review_commit(app, around, pull, head, base, before, designs)
    try:
        if outcome.proposals or (before and before.experiments):
            publish(app, pull, outcome)
    except NotPermitted as refusal:
        return replace(outcome, untold=str(refusal))
    return outcome


def review_open(app: Context, done: Pass, seconds: float = REVIEW_SECONDS) -> None:
    """Review every open pull request that is new or has moved, a fork's too; forget closed ones.

    After `seconds` no further design is begun. Each review is on record before the next, so
    that a pass that ends early is no loss.
    """
    if done.dry_run or not app.forge.social:
        return
    with isolated(done, "pull requests"):
        _review_open(app, done, seconds)


def _review_open(app: Context, done: Pass, seconds: float) -> None:
    around = Surroundings(app.store.snapshot(inbox=False).ledger)
    before = reviewed_pull_requests.read_reviewed(around.ledger)
    listed = [pull for pull in app.forge.pull_requests.listed() if pull.is_open]
    due = [pull for pull in listed if _is_due(app, around, pull, before.get(pull.number))]
    looked_at: dict[int, ReviewedPullRequest] = {}
    if due:
        looked_at = _review_all(app, around, due[:MOST_FETCHED], before, done, seconds)
    _record(app, looked_at, {pull.number for pull in listed})


def _record(
    app: Context,
    reviewed: Mapping[int, ReviewedPullRequest],
    open_ones: Collection[int] | None = None,
) -> None:
    """Keep what was reviewed; with `open_ones`, forget all others."""

    def think(snapshot: Snapshot) -> LedgerChange | None:
        before = reviewed_pull_requests.read_reviewed(snapshot.ledger)
        after = {**before, **reviewed}
        if open_ones is not None:
            after = {number: item for number, item in after.items() if number in open_ones}
        if after == before:
            return None
        data = reviewed_pull_requests.dump_reviewed(after)
        return LedgerChange.of("Pull requests reviewed", {}, derived={paths.REVIEWED: data})

    app.store.transact(app.clock(), think)


def _is_due(
    app: Context, around: Surroundings, pull: PullRequest, before: ReviewedPullRequest | None
) -> bool:
    if before is None or before.head != pull.head_commit:
        return True
    waits = any(awaits_a_writer(item.document) for item in before.experiments.values())
    if waits and _who(app, pull) == "writer":
        return True
    now = surroundings_digest(around, before.experiments)
    return bool(before.experiments) and before.said != now


def _who(app: Context, pull: PullRequest) -> str:
    """Whether a writer stands behind the content of a pull request, or asked for its design."""
    if not pull.fork:
        return "writer"
    if PLAN_LABEL not in pull.labels:
        return "stranger"
    login = app.forge.pull_requests.labelled_by(pull, PLAN_LABEL)
    return "writer" if login and app.forge.comments.can_write(login) else "stranger"


def _review_all(
    app: Context,
    around: Surroundings,
    due: Sequence[PullRequest],
    before: Mapping[int, ReviewedPullRequest],
    done: Pass,
    seconds: float,
) -> dict[int, ReviewedPullRequest]:
    """What to keep on record of those that propose nothing; of the others it is kept."""
    read.require_history(app.git)
    base = base_of(app)
    heads = read.newest_commits(app, [pull for pull in due if not pull.fork])
    forks = [pull for pull in due if pull.fork]
    nothing: dict[int, ReviewedPullRequest] = {}
    designs, reviews = Designs(around.ledger, app.clock(), seconds), 0
    for pull in [*(pull for pull in due if not pull.fork), *forks[:FORKS_FETCHED]]:
        last = before.get(pull.number)
        if reviews >= MOST_REVIEWS or designs.spent:
            continue
        with isolated(done, f"pull request {pull.number}"):
            head = _head_of_fork(app, pull) if pull.fork else heads.get(pull.number)
            if head is None:
                continue
            outcome = review_commit(app, around, pull, head, base, last, designs)
            if not outcome.proposals and not (last and last.experiments):
                nothing[pull.number] = outcome.reviewed
                continue
            reviews += 1
            if not designs.postponed:
                publish(app, pull, outcome)
                words = f"commented on pull request {pull.number} what it proposes"
                done.actions += [(printable(item.id), words) for item in outcome.proposals]
            _record(app, {pull.number: outcome.reviewed})
    return nothing


def _head_of_fork(app: Context, pull: PullRequest) -> str | None:
    """Its newest commit. One that cannot be had in its time is not tried again until it moves."""
    try:
        return read.newest_commits(app, [pull], FORK_SECONDS).get(pull.number)
    except Unreachable:
        _record(app, {pull.number: ReviewedPullRequest(pull.head_commit, "", {})})
        raise


# --- think ---------------------------------------------------------------------------


def review_commit(
    app: Context,
    around: Surroundings,
    pull: PullRequest,
    head: str,
    base: Base,
    before: ReviewedPullRequest | None,
    designs: Designs,
) -> Review:
    """What the pull request proposes; designs that are on record are not simulated again.

    Where the time for designs ends on the way, those that are there are kept for the next pass.
    """
    directories = read.touched(app.git, base.tip, head, app.roots)
    read_now = read.read_proposals(app.git, head, directories)
    last = before.experiments.values() if before else ()
    earlier = {item.plan: item.document for item in last if item.document}
    who = _who(app, pull) if read_now else "stranger"
    designs.postponed = False
    experiments = {item.id: _reviewed(item, designs.of(item, earlier, who)) for item in read_now}
    proposals = tuple(_proposal(app, around, item, experiments[item.id]) for item in read_now)
    digest = surroundings_digest(around, experiments) if read_now else ""
    reviewed = ReviewedPullRequest(UNFINISHED if designs.postponed else head, digest, experiments)
    return Review(ProposingPullRequest(pull.number, head, pull.fork), proposals, reviewed)


def _reviewed(proposed: Proposed, document: Document) -> ReviewedExperiment:
    plan = proposed.plan
    if plan is None:
        return ReviewedExperiment()
    return ReviewedExperiment(plan.id, plan.experiment.slot, plan.varied, document)


def _proposal(
    app: Context, around: Surroundings, proposed: Proposed, reviewed: ReviewedExperiment
) -> Proposal:
    if proposed.plan is None:
        return Proposal(proposed.id, None, proposed.problems)
    shared, experiment = overlaps(around, proposed.id, reviewed), proposed.plan.experiment
    rules = becoming(experiment.plan, reviewed.document.get("inference_basis"))
    return Proposal(
        proposed.id,
        replace(experiment, plan=rules),
        document=reviewed.document,
        changes=read.variant_differences(app.git, proposed.plan),
        advice=proposed.advice,
        overlaps=tuple(words for words, _ in shared),
        blocked=any(blocks for _, blocks in shared),
        standing=relation_to_ledger(around.ledger, proposed.id, reviewed.plan or ""),
    )


# --- act -----------------------------------------------------------------------------


def publish(app: Context, pull: PullRequest, outcome: Review) -> None:
    """The check on the newest commit, then the one comment."""
    if outcome.proposals and app.forge.checks:
        app.forge.checks.set(outcome.pull.head, check_run(outcome))
    mark = render.marker("design", str(pull.number))
    app.forge.comments.write(
        pull.number, mark, proposal.design_comment(outcome.pull, outcome.proposals)
    )


def check_run(outcome: Review) -> CheckRun:
    return CheckRun(
        name=CHECK,
        conclusion=outcome.conclusion,
        title=proposal.design_title(outcome.proposals),
        summary=proposal.design_summary(outcome.pull, outcome.proposals),
        annotations=tuple(map(annotation, outcome.problems[:MOST_ANNOTATIONS])),
    )


def annotation(problem: Problem) -> Annotation:
    """A problem as a remark on its line; a file as a whole is remarked on at its top."""
    message = printable(f"{problem.message} — {problem.fix}")[:1000]
    title = printable(problem.path)[:200]
    return Annotation(printable(problem.file), problem.line or 1, message, title=title)

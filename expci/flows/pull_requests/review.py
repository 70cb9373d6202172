"""Review what open requests propose: a check on the newest commit and one comment.

What was said is on record (`reviewed.json` in the ledger), so a request of which nothing is
new costs no call, and a design is simulated once for the same content.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from expci.core.analysis.analyze import measured_rate
from expci.core.model.experiment import Experiment, to_json
from expci.core.planning.design_report import plan_report
from expci.core.spec.yaml_document import Problem, printable
from expci.errors import ExpciError, NotPermitted
from expci.flows.context import Context
from expci.flows.experiment.advance import Pass, isolated
from expci.flows.experiment.base import Base, base_of
from expci.flows.pull_requests import read
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
from expci.store.ledger.ledger import Ledger
from expci.store.ledger.reviewed_pull_requests import ReviewedExperiment, ReviewedPullRequest
from expci.store.ledger.transaction import LedgerChange

CHECK = "expci / plan"
MOST_REVIEWS = 10  # of one pass; the rest come with the next
MOST_DESIGNS = 10  # that one pass simulates before it leaves the rest; each takes seconds
MOST_COMPARED = 20  # arms times metrics of such a design; each pair of them takes a second
MOST_FETCHED = 100
MOST_ANNOTATIONS = 100


@dataclass(frozen=True)
class Review:
    """What a request proposes. `seen` is what to keep on record of it, `untold` why it could
    not be told."""

    request: ProposingPullRequest
    proposals: tuple[Proposal, ...]
    seen: ReviewedPullRequest
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
    """Review one request now, rather than in the next pass."""
    pull = app.forge.pull_requests.numbered(number) if app.forge.social else None
    if pull is None:
        raise ExpciError(
            f"there is no request {number} on {app.forge.name}; leave --request out to check the "
            "working directory alone"
        )
    return review(app, pull, base_of(app))


def review(app: Context, pull: PullRequest, base: Base) -> Review:
    """Read a request's newest commit, and tell it what its experiments would do.

    A token that may not write (a fork's request gets none) leaves the telling to the pass.
    """
    known = Surroundings(app.store.snapshot(inbox=False).ledger)
    head = read.newest_commits(app, [pull]).get(pull.number)
    if head is None:
        raise ExpciError(f"the newest commit of request {pull.number} cannot be fetched")
    held = reviewed_pull_requests.read_reviewed(known.ledger).get(pull.number)
    made = review_commit(app, known, pull, head, base, held)
    try:
        if made.proposals or (held and held.experiments):
            tell(app, pull, made)
    except NotPermitted as refusal:
        return replace(made, untold=str(refusal))
    return made


def review_open(app: Context, done: Pass) -> None:
    """Review every open request that is new or has moved, a fork's too; forget closed ones."""
    if done.dry_run or not app.forge.social:
        return
    with isolated(done, "requests"):
        _review_open(app, done)


def _review_open(app: Context, done: Pass) -> None:
    known = Surroundings(app.store.snapshot(inbox=False).ledger)
    held = reviewed_pull_requests.read_reviewed(known.ledger)
    listed = [pull for pull in app.forge.pull_requests.listed() if pull.is_open]
    seen = {pull.number: held[pull.number] for pull in listed if pull.number in held}
    due = [pull for pull in listed if _is_due(known, pull, held.get(pull.number))]
    if due:
        seen |= _review_all(app, known, due[:MOST_FETCHED], seen, done)
    if seen != held:
        change = LedgerChange.of(
            "What requests were told", {paths.REVIEWED: reviewed_pull_requests.dump_reviewed(seen)}
        )
        app.store.transact(app.clock(), lambda _: change)


def _is_due(known: Surroundings, pull: PullRequest, held: ReviewedPullRequest | None) -> bool:
    return (
        held is None
        or held.head != pull.head_commit
        or (bool(held.experiments) and held.said != surroundings_digest(known, held.experiments))
    )


def _review_all(
    app: Context,
    known: Surroundings,
    due: Sequence[PullRequest],
    seen: Mapping[int, ReviewedPullRequest],
    done: Pass,
) -> dict[int, ReviewedPullRequest]:
    """What to keep on record of each that was looked at."""
    read.require_history(app.git)
    base, heads = base_of(app), read.newest_commits(app, due)
    kept: dict[int, ReviewedPullRequest] = {}
    reviews = designs = 0
    for pull in due:
        head = heads.get(pull.number)
        if head is None or reviews >= MOST_REVIEWS or designs >= MOST_DESIGNS:
            continue
        with isolated(done, f"request {pull.number}"):
            before = seen.get(pull.number)
            made = review_commit(app, known, pull, head, base, before)
            if made.proposals or (before and before.experiments):
                reviews += 1
                designs += _simulated(made.seen, before)
                tell(app, pull, made)
                words = f"said in request {pull.number} what it proposes"
                done.actions += [(printable(item.id), words) for item in made.proposals]
            kept[pull.number] = made.seen
    return kept


def _simulated(now: ReviewedPullRequest, before: ReviewedPullRequest | None) -> int:
    """How many designs had to be simulated."""
    known = {held.plan for held in before.experiments.values()} if before else set()
    return sum(bool(h.document) and h.plan not in known for h in now.experiments.values())


# --- think ---------------------------------------------------------------------------


def review_commit(
    app: Context,
    known: Surroundings,
    pull: PullRequest,
    head: str,
    base: Base,
    held: ReviewedPullRequest | None,
) -> Review:
    """What the request proposes; designs that are on record are not simulated again."""
    directories = read.touched(app.git, base.tip, head, app.roots)
    found = read.read_proposals(app.git, head, directories)
    designs = {item.plan: item.document for item in (held.experiments if held else {}).values()}
    experiments = {item.id: _held(known.ledger, item, designs) for item in found}
    proposals = tuple(_proposal(app, known, item, experiments[item.id]) for item in found)
    seen = ReviewedPullRequest(
        head, surroundings_digest(known, experiments) if found else "", experiments
    )
    return Review(ProposingPullRequest(pull.number, head, pull.fork), proposals, seen)


def _held(
    ledger: Ledger, found: Proposed, designs: Mapping[str | None, Mapping[str, object]]
) -> ReviewedExperiment:
    plan = found.plan
    if plan is None:
        return ReviewedExperiment()
    document = designs.get(plan.id) or _document(ledger, found)
    return ReviewedExperiment(plan.id, plan.experiment.slot, plan.varied, document)


def _document(ledger: Ledger, found: Proposed) -> Mapping[str, object]:
    """The design report, from earlier trials of the experiment where there are some.

    What runs already has a report of its own.
    """
    if found.plan is None or relation_to_ledger(ledger, found.id, found.plan.id) == "running":
        return {}
    if refusal := _too_much(found.plan.experiment):
        return {"advice": [refusal]}
    history = ledger.trials(found.id) if found.id in ledger.experiments else []
    try:
        document = to_json(plan_report(found.plan.experiment, history, measured_rate(history)))
    except Exception as error:
        # Numbers that a stranger wrote must not end the pass that looks after everybody's.
        return {"advice": [f"The plan could not be simulated ({type(error).__name__})."]}
    return dict(document) if isinstance(document, dict) else {}


def _too_much(experiment: Experiment) -> str:
    """A stranger's fifty arms and fifty metrics would keep a pass busy for an hour."""
    deciding = sum(metric.role != "secondary" for metric in experiment.metrics)
    compared = len(experiment.treatments) * deciding
    if compared <= MOST_COMPARED:
        return ""
    return (
        f"{compared} comparisons (treatments times metrics that decide) are more than a pass "
        f"simulates, {MOST_COMPARED}: see `expci plan {experiment.id}` before you start it."
    )


def _proposal(
    app: Context, known: Surroundings, found: Proposed, held: ReviewedExperiment
) -> Proposal:
    if found.plan is None:
        return Proposal(found.id, None, found.problems)
    around = overlaps(known, found.id, held)
    return Proposal(
        found.id,
        found.plan.experiment,
        document=held.document,
        changes=read.variant_differences(app.git, found.plan),
        advice=found.advice,
        overlaps=tuple(words for words, _ in around),
        blocked=any(blocks for _, blocks in around),
        standing=relation_to_ledger(known.ledger, found.id, held.plan or ""),
    )


# --- act -----------------------------------------------------------------------------


def tell(app: Context, pull: PullRequest, made: Review) -> None:
    """The check on the newest commit, then the one comment."""
    if made.proposals and app.forge.checks:
        app.forge.checks.set(made.request.head, check_run(made))
    mark = render.marker("design", str(pull.number))
    app.forge.comments.write(
        pull.number, mark, proposal.design_comment(made.request, made.proposals)
    )


def check_run(made: Review) -> CheckRun:
    return CheckRun(
        name=CHECK,
        conclusion=made.conclusion,
        title=proposal.design_title(made.proposals),
        summary=proposal.design_summary(made.request, made.proposals),
        annotations=tuple(map(annotation, made.problems[:MOST_ANNOTATIONS])),
    )


def annotation(problem: Problem) -> Annotation:
    """A problem as a remark on its line; a file as a whole is remarked on at its top."""
    message = printable(f"{problem.message} — {problem.fix}")[:1000]
    title = printable(problem.path)[:200]
    return Annotation(printable(problem.file), problem.line or 1, message, title=title)

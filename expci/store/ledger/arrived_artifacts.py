"""Reading CI artifacts: whose trials they are, and what of them may be counted.

A stranger may have written every byte. So the CI's own records of the run, never the
trial's, say where it ran; what a fork's run left is kept and not counted, unless the
frozen plan says otherwise.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from expci.core.model import limits
from expci.core.model.experiment import Experiment
from expci.core.model.trial import (
    Amendment,
    Trial,
    derived_trial_id,
    load_line,
    parse_timestamp,
    timestamp,
)
from expci.core.model.trial_reader import parse_line
from expci.errors import InvalidRecord
from expci.store.inbox.read_batches import (
    LINES_PER_BATCH,
    Arrived,
    RefusedRecord,
    in_order,
    refuse,
    stated_arm,
)
from expci.store.ledger.late_values import require_addition
from expci.store.ledger.ledger import Ledger
from expci.store.ledger.run_quotas import RunQuotas, within_quotas
from expci.store.ledger.uncounted import UNTRUSTED, ForkArtifact
from expci.store.ledger.vouching import UNVERIFIED, is_vouched_for

PREFIX = "expci-"
# A clock that is wrong by more than this makes rates and the watch meaningless.
CLOCK_TOLERANCE = timedelta(hours=24)
CLOCK_MINUTES = timedelta(minutes=limits.FUTURE_MINUTES)  # beyond, the CI's records correct it
BYTES = 1_000_000
FORK_LINES = 200  # what one artifact of a stranger's may add to the ledger
NAMED_LINES = 20  # refused lines of one artifact that are kept each by itself
# What the CI tells of a run, and what is therefore never taken from a record.
FROM_CI = frozenset(
    [
        "sha",
        "repository",
        "head_repository",
        "run_number",
        "event",
        "actor",
        "workflow_path",
        "conclusion",
        "artifact",
        "clock",
        "recorded_as",
        "source",
    ]
)
_LIMIT = 300  # characters of one context value, as in every record


@dataclass(frozen=True)
class Origin:
    """A run by the CI's own records. `own`: its commit came from this repository.

    `workflow` is the path of its file; `conclusion` is "" while it runs. `took_part`: a step of
    expci's is in it. `jobs` is how many it had, `None` where nothing depends on it. `pulls` are the
    pull requests that it may be of.
    """

    run: int
    repository: str
    head_repository: str
    event: str
    head_commit: str
    actor: str
    workflow: str
    number: int
    conclusion: str
    created: datetime
    own: bool
    took_part: bool = True
    jobs: int | None = None
    pulls: frozenset[int] = frozenset()

    def context(self) -> dict[str, str]:
        """What a record of this run says of it."""
        facts = {
            "run_id": str(self.run),
            "run_number": str(self.number or ""),
            "repository": self.repository,
            "head_repository": "" if self.own else self.head_repository,
            "event": self.event,
            "sha": self.head_commit,
            "actor": self.actor,
            "workflow_path": self.workflow,
            "conclusion": self.conclusion,
        }
        cleaned = {
            key: "".join(char for char in text if char.isprintable())[:_LIMIT]
            for key, text in facts.items()
        }
        return {key: text for key, text in cleaned.items() if text}


@dataclass(frozen=True)
class ArtifactBatch:
    """One artifact that was dealt with: its bytes, or why it is refused.

    `own`: its run's commit came from this repository.
    """

    id: int
    name: str
    created: datetime
    run: int
    data: bytes = b""
    origin: Origin | None = None
    refusal: str = ""
    own: bool = True

    @property
    def is_own(self) -> bool:
        """Whether this repository's own content ran, by all that the CI says of it."""
        return self.own if self.origin is None else self.origin.own

    @property
    def subject(self) -> str:
        return f"artifact {self.name} ({self.id}) of run {self.run}"


def read_artifact(
    ledger: Ledger, batch: ArtifactBatch, quotas: RunQuotas
) -> tuple[list[Arrived], list[RefusedRecord]]:
    """The records of one artifact with their origin set, and what is wrong with the others."""
    origin = batch.origin
    if batch.refusal or origin is None:
        unread = f"artifact {batch.id}".encode()
        return [], [refuse(batch.subject, batch.refusal, batch.data or unread)]
    lines = [(n, line) for n, line in enumerate(batch.data.splitlines(), 1) if line.strip()]
    most = LINES_PER_BATCH if origin.own else FORK_LINES
    if len(lines) > most:
        whose = "" if origin.own else " of a fork"
        why = f"{len(lines)} lines in one artifact{whose}; at most {most}"
        return [], [refuse(batch.subject, why, batch.data)]
    arrived: list[Arrived] = []
    refused: list[RefusedRecord] = []
    for number, line in lines:
        subject = f"{batch.subject}:{number}"
        try:
            arrived.append(_arrived(ledger, batch, origin, line))
        except InvalidRecord as error:
            refused.append(refuse(subject, str(error), line, arm=stated_arm(line)))
    return in_order(within_quotas(quotas, origin.run, origin.jobs, arrived)), _shortened(
        batch, refused
    )


def _shortened(batch: ArtifactBatch, refused: list[RefusedRecord]) -> list[RefusedRecord]:
    """A file for each of many thousand bad lines would fill the ledger."""
    more = len(refused) - NAMED_LINES
    if more <= 0:
        return refused
    why = f"{more} more lines of it are no records either"
    return [*refused[:NAMED_LINES], refuse(batch.subject, why, batch.data)]


def _arrived(ledger: Ledger, batch: ArtifactBatch, origin: Origin, line: bytes) -> Arrived:
    record = parse_line(line)
    if isinstance(record, Amendment):
        if not origin.own:
            raise InvalidRecord("a late metric from a fork's run: it could change any trial")
        if not origin.took_part:
            raise InvalidRecord("a late metric of a run without a step of expci's")
        require_addition(ledger, record, origin.run)
        return Arrived(record, record.line().encode(), batch.subject)
    _require_of_run(record, batch, origin)
    placed = _placed(record, batch, origin)
    placed = (
        _of_own_run(ledger, placed, origin) if origin.own else _from_fork(ledger, placed, origin)
    )
    # With what was added it may have become too large for the ledger's own reader.
    written = placed.line().encode()
    return Arrived(parse_line(written), written, batch.subject)


def _require_of_run(record: Trial, batch: ArtifactBatch, origin: Origin) -> None:
    """`InvalidRecord` for a trial that cannot be of this run."""
    if record.status == "lost":
        raise InvalidRecord("a lost trial reports nothing: only the CI's records make it")
    named = record.context.get("run_id", str(origin.run))
    if named != str(origin.run):
        raise InvalidRecord(f"it says that it is of run {named}, but it is of run {origin.run}")
    if origin.own and record.context.get("assignment") == "import":
        return
    started = parse_timestamp(record.started)
    if not origin.created - CLOCK_TOLERANCE <= started <= batch.created + CLOCK_TOLERANCE:
        raise InvalidRecord(
            f"started {record.started}, not while run {origin.run} ran "
            f"({origin.created:%Y-%m-%d %H:%M} to {batch.created:%Y-%m-%d %H:%M} UTC)"
        )


def _placed(record: Trial, batch: ArtifactBatch, origin: Origin) -> Trial:
    """The trial with what the CI says of its run in place of what it says itself."""
    kept = {key: text for key, text in record.context.items() if key not in FROM_CI}
    context = {**kept, **origin.context(), "artifact": str(batch.id)}
    started = parse_timestamp(record.started)
    within = min(max(started, origin.created), batch.created)
    if abs(started - within) <= CLOCK_MINUTES or record.context.get("assignment") == "import":
        return replace(record, context=context)
    # A clock that is hours wrong would move the trial to the other side of the promotion.
    context["clock"] = f"the machine said {record.started}"
    return replace(record, started=timestamp(within), context=context)


def _of_own_run(ledger: Ledger, record: Trial, origin: Origin) -> Trial:
    """Believed as far as the CI's records of the run carry it."""
    name = record.experiment
    plan = ledger.plan(name, record.plan) if plan_of(ledger, record) else None
    if plan is None or record.excluded is not None:
        return record
    vouched = origin.took_part and is_vouched_for(
        plan,
        ledger.life(name),
        record,
        run=origin.run,
        number=origin.number,
        actor=origin.actor,
        event=origin.event,
        pulls=origin.pulls,
    )
    return record if vouched else replace(record, excluded=UNVERIFIED)


def _from_fork(ledger: Ledger, record: Trial, origin: Origin) -> Trial:
    """Under an id of its own: whoever reads a running job's log could take that job's id.

    And in blocks of its own, so that it is no partner of anybody else's run.
    """
    plan = plan_of(ledger, record)
    counts = plan is not None and plan.plan.count_forks
    if plan is not None and counts:
        _require_own_unit(record, plan, origin)
    # The workflow's name is the fork's own word; its file's path is not.
    context = {**record.context, "recorded_as": record.id, "workflow": origin.workflow}
    return replace(
        record,
        id=derived_trial_id("fork", str(origin.run), record.id),
        block=None if record.block is None else f"fork-{origin.run}-{record.block}"[:_LIMIT],
        excluded=record.excluded if counts else UNTRUSTED,
        context={key: text for key, text in context.items() if text},
    )


def _require_own_unit(record: Trial, experiment: Experiment, origin: Origin) -> None:
    """A counted stranger reports for its own unit only."""
    run = f"run-{origin.run}"
    allowed = {
        "run": record.unit == run,
        "job": record.unit.startswith(f"job-{origin.run}-"),
        "actor": record.unit == f"actor-{origin.actor}",
        "pr": record.unit in {f"pr-{number}" for number in origin.pulls},
    }
    if not allowed.get(experiment.assignment.unit, True):
        raise InvalidRecord(f"a fork's run {origin.run} cannot speak for the unit {record.unit!r}")


def plan_of(ledger: Ledger, record: Trial) -> Experiment | None:
    """The experiment as the plan that the trial names froze it; `None` where there is none."""
    if record.experiment not in ledger.experiments:
        return None
    if record.plan not in ledger.life(record.experiment).plans:
        return None
    plan = ledger.plan(record.experiment, record.plan)
    return None if plan is None else plan.experiment


def is_untrusted(item: Arrived) -> bool:
    """Whether a fork's record does not count, so that its number alone is kept."""
    return isinstance(item.record, Trial) and item.record.excluded == UNTRUSTED


def of_fork(
    ledger: Ledger, batch: ArtifactBatch, taken: Iterable[Arrived], bad: Sequence[RefusedRecord]
) -> ForkArtifact:
    """What a fork's artifact adds to the counters: names of our own plans alone."""
    records = [item.record for item in taken if is_untrusted(item)]
    trials = [record for record in records if isinstance(record, Trial)]
    return ForkArtifact(
        batch.origin.head_repository if batch.origin else "",
        tuple(
            (trial.experiment, trial.plan, trial.arm)
            for trial in trials
            if (plan := plan_of(ledger, trial)) is not None
            and trial.arm in {arm.name for arm in plan.arms}
        ),
        lines=len(trials),
        refused=len(bad),
    )


def same_record(present: bytes, arrived: bytes) -> bool:
    """Whether two lines with one id are one record that came twice.

    An artifact's record has its origin set, a pushed one has not, and the same one may
    have been uploaded again: what the CI tells is not compared.
    """
    if present == arrived:
        return True
    both = [load_line(present), load_line(arrived)]
    if all(_is_import(record) for record in both):
        # A line that names no time has its place in the file, which may have moved.
        return _untimed(both[0]) == _untimed(both[1])
    if not any("artifact" in (record.get("context") or {}) for record in both):
        return False
    first, second = (_own_words(record) for record in both)
    if any("clock" in (record.get("context") or {}) for record in both):
        first.pop("started", None)
        second.pop("started", None)
    return first == second


def _is_import(record: Mapping[str, object]) -> bool:
    context = record.get("context")
    return isinstance(context, Mapping) and context.get("assignment") == "import"


def _untimed(record: Mapping[str, object]) -> dict[str, object]:
    return {key: value for key, value in record.items() if key != "started"}


def _own_words(record: Mapping[str, object]) -> dict[str, object]:
    context = record.get("context")
    fields = context if isinstance(context, Mapping) else {}
    return {**record, "context": {key: fields[key] for key in fields if key not in FROM_CI}}

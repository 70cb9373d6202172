"""Values of metrics that live in a database: what is due is read, and stands in the ledger then.

Nothing connects anywhere but for an experiment that stands on the default branch, word for word,
and to an address that `experiments/expci.yml` has there.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from expci.core.dataset.due_units import Due, due_units
from expci.core.dataset.selection import Selection, select
from expci.core.dataset.source_values import ReadValues, read_values, without_answer
from expci.core.lifecycle.transitions import COLLECTING, Life
from expci.core.model.content import SPEC_NAME
from expci.core.model.experiment import DEFAULTS_FILE, Experiment, Metric
from expci.core.model.source import MetricSource, SourceAnswer, SourceReading
from expci.core.model.trial import Amendment, derived_trial_id, parse_timestamp, timestamp
from expci.core.spec.parse import Defaults, Problem, read_experiment
from expci.core.spec.yaml_document import decode_spec
from expci.flows.context import Context
from expci.flows.experiment.base import Base
from expci.flows.experiment.promotion_merge import doubts
from expci.flows.freeze_plan import reviewed_defaults
from expci.store.git.git import Git
from expci.store.inbox.read_batches import Arrived, Inbox
from expci.store.ledger import paths, plans
from expci.store.ledger.fold import FROM_SOURCE, fold_inbox
from expci.store.ledger.ledger import Ledger
from expci.store.ledger.plans import Plan
from expci.store.ledger.source_readings import dump_source_readings, read_source_readings
from expci.store.ledger.transaction import LedgerChange, Snapshot
from expci.store.warehouse.process import ask_source
from expci.store.warehouse.request import SourceReply, SourceRequest, Wanted


@dataclass(frozen=True)
class Sources:
    """The databases of one pass: one that is down is asked once, not by every experiment."""

    app: Context
    base: Base
    down: dict[str, SourceReply] = field(default_factory=dict)

    @cached_property
    def addresses(self) -> Mapping[str, str]:
        return reviewed_defaults(self.app.git, self.base.tip).sources if self.base.tip else {}

    def ask(self, name: str, wanted: Mapping[str, Wanted]) -> SourceReply:
        """The answer of one database."""
        if name not in self.addresses:
            where = f"{DEFAULTS_FILE} on {self.base.branch}"
            return SourceReply("refused", f"{where} has no source {name}")
        if name in self.down:
            return self.down[name]
        now = int(self.app.clock().timestamp())
        root = str(self.app.root)
        reply = ask_source(SourceRequest(self.addresses[name], root, now, wanted))
        if reply.status == "down":
            self.down[name] = reply
        return reply


def read_sources(sources: Sources, ledger: Ledger, name: str) -> list[str]:
    """Put what is due of one experiment's metrics into the ledger, and say what came of it."""
    life, plan = ledger.life(name), ledger.plan(name)
    if plan is None or life.state not in COLLECTING:
        return []
    metrics = [metric for metric in plan.experiment.metrics if metric.source is not None]
    if not metrics:
        return []
    trials, now = ledger.columns(name), int(sources.app.clock().timestamp())
    since = parse_timestamp(life.promoted.at) if life.promoted else None
    arms = tuple(arm.name for arm in plan.experiment.arms)
    selection = select(trials, plan.id, arms, since)
    readings = read_source_readings(ledger, name, plan.id)
    due = {
        metric.name: due_units(metric, selection, now, readings.get(metric.name, SourceReading()))
        for metric in metrics
    }
    wanted = [metric for metric in metrics if due[metric.name].units]
    if not wanted:
        return []
    if _is_reviewed(sources, life, plan):
        read = _read(sources, wanted, due, readings, selection, now)
    else:
        read = dict(_unmerged(sources, wanted, due, readings))
    return _record(sources.app, ledger, plan, dict(readings), read)


def _is_reviewed(sources: Sources, life: Life, plan: Plan) -> bool:
    """Whether the default branch has, or had when it was promoted, exactly this experiment.

    The ledger alone is no proof: whoever may push refs can write it.
    """
    git, commits = sources.app.git, [sources.base.tip]
    if life.promoted is not None and not doubts(git, plan, life, sources.base):
        commits.append(life.promoted.parent)
    for commit in filter(None, commits):
        if plans.content_id(git, commit, plan) == plan.id:
            return _stated(git, commit, plan) == _of(plan.experiment)
    return False


def _stated(git: Git, commit: str, plan: Plan) -> dict[str, MetricSource]:
    """The sources by metric that the experiment's file has at a commit."""
    tree = git.read_files(commit, plan.directory)
    text = decode_spec(tree[SPEC_NAME].data, SPEC_NAME)
    if isinstance(text, Problem):
        return {}
    legible = read_experiment(plan.experiment.id, text, tree, Defaults()).legible
    return {} if legible is None else _of(legible)


def _of(experiment: Experiment) -> dict[str, MetricSource]:
    return {metric.name: metric.source for metric in experiment.metrics if metric.source}


def _unmerged(
    sources: Sources,
    metrics: list[Metric],
    due: Mapping[str, Due],
    readings: Mapping[str, SourceReading],
) -> Iterator[tuple[str, ReadValues]]:
    detail = f"values are read once the experiment is merged to {sources.base.branch}"
    for metric in metrics:
        before = readings.get(metric.name, SourceReading())
        after = without_answer(before, due[metric.name], "unmerged", detail)
        yield metric.name, ReadValues({}, after)


def _read(
    sources: Sources,
    metrics: list[Metric],
    due: Mapping[str, Due],
    readings: Mapping[str, SourceReading],
    selection: Selection,
    now: int,
) -> dict[str, ReadValues]:
    """One question to each database that has some of the metrics."""
    by_source: dict[str, dict[str, Wanted]] = defaultdict(dict)
    for metric in metrics:
        if metric.source is not None:
            by_source[metric.source.name][metric.name] = Wanted(
                metric.source, due[metric.name].units
            )
    last = int(selection.trials.position.max(initial=0))
    read: dict[str, ReadValues] = {}
    for source, wanted in by_source.items():
        reply = sources.ask(source, wanted)
        for name, one in wanted.items():
            before = readings.get(name, SourceReading())
            if reply.status == "ok":
                answer = reply.metrics.get(name, SourceAnswer())
                read[name] = read_values(one.source, due[name], answer, before, now, last)
            else:
                after = without_answer(before, due[name], reply.status, reply.detail)
                read[name] = ReadValues({}, after)
    return read


def _record(
    app: Context,
    ledger: Ledger,
    plan: Plan,
    readings: dict[str, SourceReading],
    read: Mapping[str, ReadValues],
) -> list[str]:
    """One change of the ledger; none where another pass was faster, or nothing is new."""
    name, path = plan.experiment.id, paths.sources(plan.experiment.id)
    before = dict(readings)
    readings |= {metric: values.reading for metric, values in read.items()}
    arrived = tuple(_amendments(app, plan, read))
    if readings == before and not arrived:
        return []

    def think(snapshot: Snapshot) -> LedgerChange | None:
        if snapshot.ledger.read(path) != ledger.read(path):
            return None
        folded = fold_inbox(snapshot.ledger, Inbox(arrived, (), {}), app.clock())
        changes = folded.changes | {path: dump_source_readings(plan.id, readings)}
        return LedgerChange.of(f"Read the sources of {name}", changes)

    _, written = app.store.transact(app.clock(), think)
    return list(_notes(read)) if written else []


def _amendments(app: Context, plan: Plan, read: Mapping[str, ReadValues]) -> Iterator[Arrived]:
    """The values as records, one a trial, those that were due first before the others."""
    by_trial: dict[str, dict[str, float]] = defaultdict(dict)
    for metric, values in read.items():
        for trial, value in values.values.items():
            by_trial[trial][metric] = value
    at = timestamp(app.clock())
    for trial, metrics in by_trial.items():
        id = derived_trial_id(FROM_SOURCE, plan.experiment.id, plan.id, trial, *sorted(metrics))
        amendment = Amendment(id, trial, plan.experiment.id, at, metrics)
        yield Arrived(amendment, amendment.line().encode(), FROM_SOURCE)


def _notes(read: Mapping[str, ReadValues]) -> Iterator[str]:
    for metric, values in read.items():
        if values.reading.status == "ok":
            count = len(values.values)
            yield f"read {count} value{'s' * (count != 1)} of {metric} from its source"
        else:
            yield f"read nothing of {metric}: {values.reading.detail}"

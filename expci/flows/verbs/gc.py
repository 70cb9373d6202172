"""`expci gc`: retention. Remove the trials of experiments that ended long enough ago.

Plan, events, the analysis with which each plan ended and its report stay. What goes is one commit
on the ledger, by compare-and-swap: a living experiment, or one that is started meanwhile, is never
touched, and repeated it finds nothing to remove.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from expci.core.analysis.document import dump_analysis
from expci.core.lifecycle.transitions import ENDED, Life
from expci.core.model.content import Blob
from expci.core.model.experiment import DEFAULTS_FILE
from expci.core.model.results import Analysis
from expci.core.model.trial import parse_timestamp, timestamp
from expci.errors import ExpciError, LedgerDamaged
from expci.flows.context import Context
from expci.flows.experiment.stored_analysis import current_analysis, earlier_lives, final_look
from expci.flows.verbs.fsck import fsck
from expci.report.documents import render
from expci.store.ledger import paths
from expci.store.ledger.fold import Changes
from expci.store.ledger.ledger import Ledger
from expci.store.ledger.plans import Plan
from expci.store.ledger.removals import Removal
from expci.store.ledger.transaction import LedgerChange, Snapshot


@dataclass(frozen=True)
class Removable:
    """An experiment that ended at `ended`, with the files that may go (path → blob)."""

    experiment: str
    state: str
    ended: str
    trials: int
    amendments: int
    bytes: int
    files: Mapping[str, Blob]

    def to_json(self) -> dict[str, object]:
        return {key: value for key, value in self.__dict__.items() if key != "files"}


@dataclass(frozen=True)
class GcResult:
    """What was removed, or with `dry_run` would be. `ledger` is the commit that still has it.

    `ended_before` is "" where nobody has said what may go.
    """

    dry_run: bool
    ended_before: str
    removed: tuple[Removable, ...] = ()
    ledger: str = ""

    def to_json(self) -> dict[str, object]:
        return {
            "schema": "expci.gc/1",
            "dry_run": self.dry_run,
            "ended_before": self.ended_before or None,
            "experiments": [item.to_json() for item in self.removed],
            "trials": sum(item.trials for item in self.removed),
            "bytes": sum(item.bytes for item in self.removed),
            "ledger": self.ledger or None,
        }


def gc(app: Context, *, ended_before: datetime | None = None, dry_run: bool = False) -> GcResult:
    """Remove the trials of what ended before a time, by default what the repository retains."""
    before = ended_before or _retained_since(app)
    if before is None:
        return GcResult(dry_run, "")
    snapshot = app.store.snapshot(inbox=False)
    result = GcResult(dry_run, timestamp(before), tuple(_removable(snapshot.ledger, before)))
    if not result.removed:
        return result
    _require_sound(app)
    if dry_run:
        return replace(result, ledger=snapshot.ledger.commit or "")
    done = [result]

    def think(snapshot: Snapshot) -> LedgerChange | None:
        ledger = snapshot.ledger
        items = tuple(_removable(ledger, before))
        done[0] = replace(result, removed=items, ledger=ledger.commit or "")
        changes: Changes = {}
        for item in items:
            changes |= _without_trials(app, ledger, item)
        return LedgerChange.of(_message(app, items), changes) if changes else None

    app.store.transact(app.clock(), think)
    return done[0]


def parse_day(text: str) -> datetime:
    """The beginning of a day in UTC, or a time; `ExpciError` for anything else."""
    try:
        return parse_timestamp(f"{text}T00:00:00Z" if len(text) == 10 else text)
    except ExpciError as error:
        raise ExpciError(f"--ended-before {text}: write a day, such as 2026-01-31") from error


def _retained_since(app: Context) -> datetime | None:
    days = app.retention_days
    return None if days is None else app.clock() - timedelta(days=days)


def _require_sound(app: Context) -> None:
    """`LedgerDamaged` where something is wrong: what is removed could not be examined again."""
    if problems := fsck(app).problems:
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise LedgerDamaged(
            f"nothing was removed, because the ledger is damaged: {problems[0]}{more}; "
            "`expci fsck` lists everything"
        )


def _removable(ledger: Ledger, before: datetime) -> Iterator[Removable]:
    for name in ledger.experiments:
        life = ledger.life(name)
        ended = life.ended
        if life.state not in ENDED or ended is None or parse_timestamp(ended.at) >= before:
            continue
        files = _records(ledger, name)
        if files:
            sizes = ledger.git.sizes(blob.oid for blob in files.values())
            yield Removable(
                name,
                life.state,
                ended.at,
                ledger.count(paths.trials(name)),
                ledger.count(paths.amendments(name)),
                sum(size[1] for size in sizes.values() if size is not None),
                files,
            )


def _records(ledger: Ledger, name: str) -> dict[str, Blob]:
    """The files that hold records, and the note of when late ones came."""
    roots = (f"{paths.trials(name)}/", f"{paths.amendments(name)}/", paths.arrivals(name))
    return {path: blob for path, blob in ledger.entries.items() if path.startswith(roots)}


def _without_trials(app: Context, ledger: Ledger, item: Removable) -> Changes:
    name, life = item.experiment, ledger.life(item.experiment)
    own = paths.experiment(name) + "/"
    removal = Removal(
        at=timestamp(app.clock()),
        by=app.actor,
        ledger=ledger.commit or "",
        plans=life.plans,
        trials=item.trials,
        amendments=item.amendments,
        size=item.bytes,
        files={path.removeprefix(own): blob.oid for path, blob in item.files.items()},
    )
    changes: Changes = dict.fromkeys(item.files)
    changes[paths.removed(name)] = (ledger.read(paths.removed(name)) or b"") + removal.line()
    return changes | _kept(app, ledger, life, name)


def _kept(app: Context, ledger: Ledger, life: Life, name: str) -> Changes:
    """The analysis of every plan that ended, and the report of the last one."""
    changes: Changes = {}
    for plan, past, analysis in _final_looks(app, ledger, life, name):
        path = paths.final(name, plan.id)
        if path not in ledger.entries:
            changes[path] = dump_analysis(analysis)
        if past is life:
            report = render.analysis_report(plan.experiment, life, analysis, "markdown")
            changes |= {paths.analysis(name): dump_analysis(analysis)}
            changes |= {paths.report(name): report.encode()}
    return changes


def _final_looks(
    app: Context, ledger: Ledger, life: Life, name: str
) -> Iterator[tuple[Plan, Life, Analysis]]:
    for past in (*earlier_lives(life.events), life):
        plan = ledger.plan(name, past.plan)
        if plan is None:
            continue
        if past is life:
            look = current_analysis(ledger, plan, life, ledger.columns(name), app.clock())
        else:
            look = final_look(ledger, plan, past)
        if look is not None:
            yield plan, past, look


def _message(app: Context, items: Sequence[Removable]) -> str:
    trials = sum(item.trials for item in items)
    names = "\n".join(f"{item.experiment}: {item.trials} trials, {item.state}" for item in items)
    return f"Remove {trials} trials of ended experiments\n\nby {app.actor}\n\n{names}"


def nothing_to_remove(result: GcResult) -> str:
    """Why nothing goes."""
    if not result.ended_before:
        return (
            f"nothing to remove: trials are kept for ever. Set `retention_days` in {DEFAULTS_FILE} "
            "or give --ended-before DAY"
        )
    return f"nothing to remove: no trials of an experiment that ended before {result.ended_before}"

"""The sources of the page, read from the ledger: rows of the portfolio, looks, trials, changes."""

from __future__ import annotations

import difflib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

from expci.core.analysis.document import load_analysis
from expci.core.dataset.recorded import trial_columns
from expci.core.dataset.selection import select
from expci.core.lifecycle.transitions import ENDED, State
from expci.core.model.content import Blob
from expci.core.model.experiment import CONTROL
from expci.core.model.results import Analysis
from expci.errors import ExpciError, LedgerDamaged
from expci.flows.context import Context
from expci.flows.experiment.stored_analysis import analyse_ledger, stored_analysis
from expci.report.sections.portfolio_row import PortfolioRow
from expci.report.sections.removal import removal_words
from expci.report.site.source import ExperimentSource
from expci.store.git.git import Git
from expci.store.ledger import paths
from expci.store.ledger.history import commits_with_edits
from expci.store.ledger.ledger import Ledger
from expci.store.ledger.plans import Plan
from expci.store.ledger.removals import removal_of

MOST_LOOKS = 200  # of one experiment that its picture draws
_MOST_FILE = 100_000  # bytes of a varied file whose difference is drawn
_AFTER = (State.WATCHING, State.PROMOTED)  # looks at the trials since the promotion
_READ_AHEAD = ("/events.jsonl", "/analysis.json", "/promotion.json", "/plan.json")
Entries = Mapping[str, list[tuple[str, str]]]  # (path, content) of each experiment's files


def own_entries(ledger: Ledger) -> Entries:
    """Each experiment's files in the ledger, without the record of what the forge shows."""
    by_name: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for path, blob in ledger.entries.items():
        parts = path.split("/")
        if parts[0] == paths.EXPERIMENTS and len(parts) > 2 and parts[2] != "shown.json":
            by_name[parts[1]].append((path, blob.oid))
    return by_name


def portfolio_rows_on_record(
    app: Context, ledger: Ledger, own: Entries
) -> tuple[list[PortfolioRow], list[str]]:
    """The portfolio from the analyses on record; an experiment that cannot be read is a problem."""
    rows, problems = list[PortfolioRow](), list[str]()
    every = (path for entries in own.values() for path, _ in entries)
    ledger.read_many(path for path in every if path.endswith(_READ_AHEAD))  # in one call of git
    for name in ledger.experiments:
        try:
            row = _row(app, ledger, name)
        except (ExpciError, LookupError) as error:
            problems.append(f"{name}: {error}")
            continue
        rows += [row] if row is not None else []
    return rows, problems


def _row(app: Context, ledger: Ledger, name: str) -> PortfolioRow | None:
    life = ledger.life(name)
    plan = ledger.plan(name, life.plan) if life.plan else None
    if plan is None:
        return None
    analysis = stored_analysis(ledger, paths.analysis(name))
    if analysis is None or analysis.plan != plan.id:
        trials = ledger.columns(name)
        analysis = analyse_ledger(ledger, plan, life, trials, app.clock()) if trials else None
    promotion = stored_analysis(ledger, paths.promotion(name)) if life.promoted else None
    problem = "; ".join(alert.why.rstrip(".") for alert in life.alerts.values()) or None
    ended = problem if life.state not in ENDED else None
    return PortfolioRow(name, plan.experiment, life, analysis, ended, promotion)


def looks_on_record(
    git: Git, ledger: Ledger, names: set[str]
) -> Mapping[str, tuple[Analysis, ...]]:
    """The analyses on record of each experiment, oldest first, at most 200 of each."""
    if ledger.commit is None or not names:
        return {}
    oids: dict[str, list[str]] = defaultdict(list)
    wanted = {paths.analysis(name): name for name in names}
    for _, edits in commits_with_edits(git, ledger.commit):
        for edit in edits:
            if edit.path in wanted and edit.after is not None:
                oids[wanted[edit.path]].append(edit.after)
    kept = {name: _spread(list(dict.fromkeys(ids))) for name, ids in oids.items()}
    data = git.cat(list({oid for some in kept.values() for oid in some}))
    return {name: tuple(_readable(data[oid] for oid in some)) for name, some in kept.items()}


def _spread(oids: list[str]) -> list[str]:
    """At most 200, evenly spread, the last always among them."""
    if len(oids) <= MOST_LOOKS:
        return oids
    step = (len(oids) - 1) / (MOST_LOOKS - 1)
    return [oids[round(step * index)] for index in range(MOST_LOOKS)]


def _readable(documents: Iterable[bytes]) -> Iterable[Analysis]:
    for data in documents:
        try:
            yield load_analysis(data)
        except LedgerDamaged:
            continue


def sources(
    git: Git, ledger: Ledger, rows: Sequence[PortfolioRow], own: Entries
) -> Iterator[tuple[ExperimentSource, Plan]]:
    """Each experiment with its looks, trials and changes, and its plan.

    All files are read with a few calls of git, however many experiments there are.
    """
    names = [row.id for row in rows]
    wanted = [(row.id, row.life.plan) for row in rows if row.life.plan]
    looks = looks_on_record(git, ledger, set(names))
    segments = (path for name in names for path, _ in own.get(name, ()))
    ledger.read_many(path for path in segments if _is_segment(path))
    plans = {name: plan for name, id in wanted if (plan := ledger.plan(name, id)) is not None}
    varied = {name: _varied(plan) for name, plan in plans.items()}
    blobs = [b for pairs in varied.values() for pair in pairs.values() for b in pair if b]
    data = git.cat(list({blob.oid for blob in blobs}))
    for row in rows:
        if (plan := plans.get(row.id)) is not None:
            changes = {key: _diff(data, *pair) for key, pair in varied[row.id].items()}
            yield _source(ledger, row, plan, looks.get(row.id, ()), changes), plan


def _is_segment(path: str) -> bool:
    return path.rpartition("/")[0].endswith(("/trials", "/amendments"))


def _source(
    ledger: Ledger,
    row: PortfolioRow,
    plan: Plan,
    looks: tuple[Analysis, ...],
    changes: Mapping[tuple[str, str], tuple[str, ...]],
) -> ExperimentSource:
    own = (look for look in looks if look.plan == plan.id and look.state not in _AFTER)
    trials = [trial for trial in ledger.trials(row.id) if trial.plan == plan.id]
    arms = tuple(arm.name for arm in plan.experiment.arms)
    counted = set(select(trial_columns(trials), plan.id, arms).counted.tolist())
    return ExperimentSource(
        experiment=plan.experiment,
        life=row.life,
        analysis=row.analysis,
        row=row,
        looks=tuple(own),
        counted=tuple(trial for row, trial in enumerate(trials) if row in counted),
        excluded=tuple(trial for row, trial in enumerate(trials) if row not in counted),
        changes=changes,
        removed=_removed(ledger, row.id, plan.id),
    )


def _removed(ledger: Ledger, name: str, plan: str) -> str:
    removal = removal_of(ledger.removals(name), plan)
    if removal is None:
        return ""
    is_here = ledger.git.resolve(removal.ledger) is not None
    return removal_words(name, removal, is_here=is_here)


def _varied(plan: Plan) -> dict[tuple[str, str], tuple[Blob | None, Blob | None]]:
    """Each varied file by (arm, path): control's content and the arm's."""
    control = plan.arms[CONTROL]
    return {
        (arm, path): (control.get(path), blob)
        for arm, content in sorted(plan.arms.items())
        if arm != CONTROL
        for path, blob in sorted(content.items())
        if blob != control.get(path)
    }


def _diff(data: Mapping[str, bytes], before: Blob | None, after: Blob | None) -> tuple[str, ...]:
    old, new = (data[blob.oid] if blob is not None else b"" for blob in (before, after))
    if max(len(old), len(new)) > _MOST_FILE or b"\0" in old + new:
        return ("@@ a binary or large file @@",)
    first, second = (text.decode("utf-8", "replace").splitlines() for text in (old, new))
    return tuple(difflib.unified_diff(first, second, lineterm=""))[2:]

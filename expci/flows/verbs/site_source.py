"""The sources of the page, read from the ledger: rows of the portfolio, looks, trials, changes."""

from __future__ import annotations

import difflib
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from expci.core.dataset.recorded import trial_columns
from expci.core.dataset.selection import select
from expci.core.lifecycle.transitions import ENDED
from expci.core.model.content import Blob
from expci.core.model.experiment import CONTROL
from expci.errors import ExpciError
from expci.flows.context import Context
from expci.flows.experiment.look_history import looks_of
from expci.flows.experiment.stored_analysis import analyse_ledger, last_look, stored_analysis
from expci.report.sections.portfolio_row import PortfolioRow
from expci.report.sections.removal import removal_words
from expci.report.site.look_points import LookPoint
from expci.report.site.source import ExperimentSource
from expci.store.git.git import Git
from expci.store.ledger import paths
from expci.store.ledger.ledger import Ledger
from expci.store.ledger.plans import Plan
from expci.store.ledger.removals import removal_of

_MOST_FILE = 100_000  # bytes of a varied file whose difference is drawn
_READ_AHEAD = ("/events.jsonl", "/analysis.json", "/promotion.json", "/plan.json")
Entries = Mapping[str, list[tuple[str, str]]]  # (path, content) of each experiment's files


def own_entries(ledger: Ledger) -> Entries:
    """Each experiment's files in the ledger and beside it, without those for the forge."""
    by_name: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for path, blob in [*ledger.entries.items(), *ledger.derived.entries.items()]:
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
    analysis = last_look(ledger, name)
    if analysis is None or analysis.plan != plan.id:
        trials = ledger.columns(name)
        analysis = analyse_ledger(ledger, plan, life, trials, app.clock()) if trials else None
    promotion = stored_analysis(ledger, paths.promotion(name)) if life.promoted else None
    problem = "; ".join(alert.why.rstrip(".") for alert in life.alerts.values()) or None
    ended = problem if life.state not in ENDED else None
    return PortfolioRow(name, plan.experiment, life, analysis, ended, promotion)


def sources(
    git: Git, ledger: Ledger, rows: Sequence[PortfolioRow], own: Entries
) -> Iterator[tuple[ExperimentSource, Plan]]:
    """Each experiment with its looks, trials and changes, and its plan.

    All files are read with a few calls of git, however many experiments there are.
    """
    names = [row.id for row in rows]
    wanted = [(row.id, row.life.plan) for row in rows if row.life.plan]
    looks = looks_of(ledger, names)
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
    looks: tuple[LookPoint, ...],
    changes: Mapping[tuple[str, str], tuple[str, ...]],
) -> ExperimentSource:
    own = (look for look in looks if look.plan == plan.id)
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

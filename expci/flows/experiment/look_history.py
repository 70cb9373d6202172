"""The looks at an experiment as points: kept beside the ledger, or made from it again."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TypeVar

from expci.core.lifecycle.transitions import State
from expci.core.model.results import Analysis
from expci.core.model.trial import parse_timestamp
from expci.errors import ExpciError
from expci.flows.experiment.stored_analysis import analyse_ledger, readable_analysis
from expci.report.site.look_points import LookPoint, parse_points, point_of
from expci.store.ledger import paths
from expci.store.ledger.history import commits_with_edits
from expci.store.ledger.ledger import Ledger

MOST_LOOKS = 100  # of one experiment that are kept
MOST_RECOMPUTED = 40  # of one experiment, each of which is an analysis
_AFTER = (State.WATCHING, State.PROMOTED)  # looks at the trials since the promotion
Item = TypeVar("Item")


def with_look(points: Sequence[LookPoint], look: Analysis) -> bytes:
    """The file of an experiment's looks with a new one, which replaces one at the same units."""
    if look.state not in _AFTER:
        new = point_of(look)
        points = [p for p in points if (p.plan, p.units) != (new.plan, new.units)]
        points = evenly_chosen([*points, new], MOST_LOOKS)
    return b"".join(point.line() for point in points)


def looks_of(ledger: Ledger, names: Collection[str]) -> Mapping[str, tuple[LookPoint, ...]]:
    """The looks at each experiment, oldest first; those that are kept nowhere are made again."""
    kept = {name: ledger.read_derived(paths.looks(name)) for name in names}
    points = {name: parse_points(data) for name, data in kept.items() if data is not None}
    missing = [name for name in names if name not in points and _was_looked_at(ledger, name)]
    return {**dict.fromkeys(names, ()), **points, **_recomputed(ledger, missing)}


def _was_looked_at(ledger: Ledger, name: str) -> bool:
    return ledger.life(name).decided is not None


def _recomputed(ledger: Ledger, names: Collection[str]) -> dict[str, tuple[LookPoint, ...]]:
    """From the analyses in the ledger's history; where these are too few, from its trials then."""
    if not names or ledger.commit is None:
        return {}
    analyses, folds = _in_history(ledger, names)
    chosen = {name: evenly_chosen(analyses[name], MOST_LOOKS) for name in names}
    data = ledger.git.cat({oid for oids in chosen.values() for oid in oids})
    looks: dict[str, Iterable[Analysis | None]] = {}
    for name, oids in chosen.items():
        looks[name] = (readable_analysis(data[oid]) for oid in oids)
        if 2 * len(oids) < len(folds[name]):
            commits = evenly_chosen(folds[name], MOST_RECOMPUTED)
            looks[name] = [_look_at(ledger, name, commit) for commit in commits]
    return {name: _points(items) for name, items in looks.items()}


def _in_history(
    ledger: Ledger, names: Collection[str]
) -> tuple[Mapping[str, list[str]], Mapping[str, list[str]]]:
    """By experiment, oldest first: the files of its analyses, and the commits with new trials."""
    files = {paths.analysis(name): name for name in names}
    directories = {paths.trials(name): name for name in names}
    analyses, folds = defaultdict[str, list[str]](list), defaultdict[str, list[str]](list)
    for commit, edits in commits_with_edits(ledger.git, ledger.commit or ""):
        for edit in edits:
            if edit.path in files and edit.after is not None:
                analyses[files[edit.path]].append(edit.after)
        touched = {edit.path.rpartition("/")[0] for edit in edits}
        for directory in touched & directories.keys():
            folds[directories[directory]].append(commit)
    return defaultdict(list, {n: list(dict.fromkeys(oids)) for n, oids in analyses.items()}), folds


def _points(looks: Iterable[Analysis | None]) -> tuple[LookPoint, ...]:
    return tuple(point_of(look) for look in looks if look and look.state not in _AFTER)


def _look_at(ledger: Ledger, name: str, commit: str) -> Analysis | None:
    """The look at the trials that the ledger held at one of its commits."""
    then = ledger.at(commit)
    try:
        life, plan = then.life(name), then.plan(name)
        at = parse_timestamp(ledger.git.text("show", "--no-patch", "--format=%cI", commit))
        return analyse_ledger(then, plan, life, then.columns(name), at) if plan else None
    except (ExpciError, LookupError):
        return None


def evenly_chosen(items: Sequence[Item], most: int) -> list[Item]:
    """At most so many of them, evenly spread, the last always among them."""
    if len(items) <= most:
        return list(items)
    step = (len(items) - 1) / (most - 1)
    return [items[round(step * index)] for index in range(most)]

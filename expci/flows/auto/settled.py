"""Experiments of which nothing is new are not looked at again.

What follows for an experiment is a function of its files in the ledger and beside it, of its
content on the default branch and the tip of its own branch, of its pull requests, of what is
published of it, of expci's version and choices, and of the time. All but the time are digested to
a key; a look that came to rest is tried at a later time, too, and holds until then. Whose key is
the same and whose time has not come is left out of the pass.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta
from functools import cached_property

from expci import __version__
from expci.core.lifecycle.next_event import next_event
from expci.core.lifecycle.transitions import LIVE, Life, State
from expci.core.model.content import Blob
from expci.core.model.experiment import DEFAULTS_FILE
from expci.core.model.trial import parse_timestamp, timestamp
from expci.errors import ExpciError
from expci.flows.context import Context
from expci.flows.experiment.advance import Pass
from expci.flows.experiment.base import Base
from expci.flows.experiment.gather import Gathered
from expci.flows.experiment.ledger_reports import is_same_look
from expci.flows.experiment.stored_analysis import last_look
from expci.store.git import refs
from expci.store.ledger import paths
from expci.store.ledger.ledger import Ledger
from expci.store.ledger.settled_experiments import (
    SettledExperiment,
    dump_settled,
    is_in_turn,
    read_settled,
)
from expci.store.ledger.transaction import LedgerChange, Snapshot
from expci.store.ledger.uncounted import Uncounted, read_uncounted
from expci.store.published import days_without_passes, is_beat_due

# What a pass writes about an experiment after it looked at it.
_WRITTEN = (paths.proposal, paths.analysis, paths.report, paths.looks)
_GAIN = timedelta(hours=2)  # of rest, for which the record is written anew


@dataclass(frozen=True)
class SituationBasis:
    """All that situations rest on, but for the time, as it stands at one moment."""

    app: Context
    snapshot: Snapshot
    base: Base
    drafts: Mapping[str, str]
    _lives: dict[str, Life] = field(default_factory=dict, init=False, repr=False, compare=False)

    @property
    def ledger(self) -> Ledger:
        return self.snapshot.ledger

    def key(self, name: str, *, anywhere: bool) -> str:
        """The digest for one experiment; `LedgerDamaged` where its events do not add up."""
        derived = self._beside.get(name, [])
        exposure = self.snapshot.published.experiments.get(name)
        outside = self.outside(name, anywhere=anywhere)
        published = asdict(exposure) if exposure else None
        return _digest([outside, self.files(name), derived, published])

    def outside(self, name: str, *, anywhere: bool) -> str:
        """The digest of what other people and programs change, and a pass seldom."""
        life = self._life(name)
        tip = self.base.tip if anywhere else ""
        own = self._content.get(self.drafts.get(name, ""), [])
        pulls = [self._pulls[key] for key in _pull_keys(name, life) if key in self._pulls]
        refused = [item.digest for item in self.ledger.quarantine.get(name, ())]
        forks = self._uncounted.of(name)
        return _digest([self._shared, name, tip, own, self.tip_of(life), pulls, refused, forks])

    def tip_of(self, life: Life) -> str:
        """The newest commit of an experiment's own branch; "" where it has none."""
        return self._heads.get(life.started.branch, "") if life.started else ""

    def _life(self, name: str) -> Life:
        if not self._lives:
            self.ledger.read_many(paths.events(one) for one in self.ledger.experiments)
        if name not in self._lives:
            self._lives[name] = self.ledger.life(name)
        return self._lives[name]

    def files(self, name: str) -> list[str]:
        """An experiment's files in the ledger."""
        return self._inside.get(name, [])

    @cached_property
    def _shared(self) -> list[object]:
        app = self.app
        tip = self.base.tip
        defaults = app.git.read_paths(tip, [DEFAULTS_FILE])[DEFAULTS_FILE] if tip else None
        choices = [app.forge_name, app.web, app.page, app.reads_inbox, app.roots, self.base.branch]
        return [__version__, choices, repr(defaults), app.forge.pull_requests.left_out()]

    @cached_property
    def _uncounted(self) -> Uncounted:
        return read_uncounted(self.ledger.read(paths.UNCOUNTED))

    @cached_property
    def _inside(self) -> Mapping[str, list[str]]:
        return _by_experiment(self.ledger.entries)

    @cached_property
    def _beside(self) -> Mapping[str, list[str]]:
        return _by_experiment(self.ledger.derived.entries)

    @cached_property
    def _content(self) -> Mapping[str, list[str]]:
        """The files of each experiment's directory on the default branch."""
        content: dict[str, list[str]] = defaultdict(list)
        for root in {directory.rpartition("/")[0] for directory in self.drafts.values()}:
            for path, blob in sorted(self.app.git.read_tree(self.base.tip or "", root).items()):
                directory = f"{root}/{path.partition('/')[0]}"
                content[directory].append(f"{blob.mode} {blob.oid} {path}")
        return content

    @cached_property
    def _heads(self) -> Mapping[str, str]:
        listed = self.app.store.remote.names(refs.head("*"))
        return {ref.removeprefix(refs.head("")): oid for ref, oid in listed.items()}

    @cached_property
    def _pulls(self) -> Mapping[str | int, list[object]]:
        """Pull requests by their number, and by their branch."""
        pulls: dict[str | int, list[object]] = defaultdict(list)
        for pull in self.app.forge.pull_requests.listed():
            for key in (pull.number, pull.head):
                pulls[key].append(asdict(pull))
        return pulls


def _digest(parts: object) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _by_experiment(entries: Mapping[str, Blob]) -> Mapping[str, list[str]]:
    """`oid path` of the files of each experiment, in order."""
    files: dict[str, list[str]] = defaultdict(list)
    for path, blob in sorted(entries.items()):
        if path.startswith(f"{paths.EXPERIMENTS}/"):
            files[path.split("/", 2)[1]].append(f"{blob.oid} {path}")
    return files


def _pull_keys(name: str, life: Life) -> list[str | int]:
    """Numbers and branches of the pull requests that propose an experiment, or promote it."""
    started, opened = life.started, life.promote_opened
    numbers = [event.pull for event in (started, opened) if event and event.pull]
    return [*refs.promote_branches(name), *numbers, *([started.branch] if started else [])]


# --- think ---------------------------------------------------------------------------


def settled_experiments(
    around: SituationBasis, touched: Collection[str], now: datetime
) -> dict[str, SettledExperiment]:
    """The experiments that this pass need not look at: id → what is on record of it.

    Never one that this pass has `touched` already, so that nobody can put on record beforehand
    what a look at news would come to.
    """
    if around.app.forge.pull_requests.left_out():
        return {}
    beat = is_beat_due(around.snapshot.published, now)
    settled, there = {}, {*around.ledger.experiments}
    for name, item in read_settled(around.ledger).items():
        if name in touched or is_in_turn(name, now) or not item.rests_at(now):
            continue
        asks = item.asks and beat
        if name in there and not asks and _key(around, name, item) == item.key:
            settled[name] = item
    return settled


def _key(around: SituationBasis, name: str, item: SettledExperiment) -> str | None:
    try:
        return around.key(name, anywhere=item.anywhere)
    except ExpciError:  # its own step says so
        return None


def touched_between(before: SituationBasis, after: SituationBasis) -> set[str]:
    """The experiments whose files in the ledger differ."""
    return {name for name in after.ledger.experiments if before.files(name) != after.files(name)}


def at_rest(after: SituationBasis, done: Pass) -> dict[str, SettledExperiment]:
    """What to put on record of the experiments that this pass looked at, when all is written.

    Only where nothing that the look rests on has been moved by others since.
    """
    if "branches" in done.unfinished:
        return {}
    troubled = {name for name, _ in done.problems} | done.unfinished
    return {
        gathered.name: SettledExperiment(
            key=after.key(gathered.name, anywhere=_rests_on_branch(gathered)),
            until=timestamp(gathered.later.now if gathered.later else gathered.situation.now),
            anywhere=_rests_on_branch(gathered),
            asks=_asks(after.app, gathered),
            verdict=_verdict(gathered),
        )
        for gathered in done.gathered
        if gathered.name not in troubled
        and _is_at_rest(gathered, after.ledger)
        and _is_unmoved(after, gathered)
    }


def _is_at_rest(gathered: Gathered, ledger: Ledger) -> bool:
    """Whether time alone changes nothing about it for as long as it may rest.

    Each thing that time changes, it changes once, so what is the same at both ends is so between.
    """
    later = gathered.later
    if later is None or gathered.life.state is State.PROMOTING or next_event(later) is not None:
        return False  # whether a promotion can be merged by itself is seen in no key
    if days_without_passes(gathered.snapshot.published, gathered.situation.now):
        return False  # its comment says so, and the next pass takes that back
    if gathered.life.state not in LIVE:
        return True
    return later.analysis is not None and is_same_look(
        last_look(ledger, gathered.name), later.analysis
    )


def _is_unmoved(after: SituationBasis, gathered: Gathered) -> bool:
    """Pull requests are listed once in a pass, so of those nothing but its own acts is new."""
    name, looked_at = gathered.name, gathered.snapshot.ledger
    return (
        gathered.base == after.base
        and gathered.tip == after.tip_of(gathered.life)
        and _evidence(looked_at, name) == _evidence(after.ledger, name)
    )


def _evidence(ledger: Ledger, name: str) -> dict[str, str]:
    """An experiment's files in the ledger but those that a pass writes after its look."""
    later = {path(name) for path in _WRITTEN}
    places = (paths.experiment(name), paths.trials(name), paths.amendments(name))
    files = (f"{place}/{file}" for place in places for file in ledger.files(place))
    return {path: ledger.entries[path].oid for path in files if path not in later}


def _rests_on_branch(gathered: Gathered) -> bool:
    """Whether any commit to the default branch may change its situation."""
    if gathered.plan.experiment.cases is not None:
        return True  # which may be anywhere
    return gathered.life.state in LIVE and not gathered.situation.on_base


def _asks(app: Context, gathered: Gathered) -> bool:
    """Whether a look reads the CI's records (`flows/experiment/ci_rate.py`)."""
    experiment = gathered.plan.experiment
    unknown = experiment.rate is None and experiment.slot is None
    return gathered.life.state in LIVE and unknown and app.forge.ci is not None


def _verdict(gathered: Gathered) -> str:
    analysis = gathered.situation.analysis
    return analysis.decision.verdict if analysis else ""


# --- act -----------------------------------------------------------------------------


def record_settled(
    app: Context, settled: Mapping[str, SettledExperiment], looked_at: Iterable[str]
) -> None:
    """Keep what is at rest; of the other experiments that were looked at nothing."""
    forgotten = set(looked_at)

    def think(snapshot: Snapshot) -> LedgerChange | None:
        before = read_settled(snapshot.ledger)
        there = snapshot.ledger.experiments
        kept = {n: item for n, item in before.items() if n in there and n not in forgotten}
        after = {**kept, **{n: _renewed(before.get(n), item) for n, item in settled.items()}}
        if after == before:
            return None
        return LedgerChange.of("At rest", {}, derived={paths.SETTLED: dump_settled(after)})

    app.store.transact(app.clock(), think)


def _renewed(before: SettledExperiment | None, item: SettledExperiment) -> SettledExperiment:
    """What is on record, where that says nearly the same: each pass would write a new time."""
    if before is None or replace(before, until=item.until) != item:
        return item
    gained = parse_timestamp(item.until) - parse_timestamp(before.until)
    return before if timedelta(0) <= gained < _GAIN else item

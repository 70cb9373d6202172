"""The events of an experiment: data, validation and JSON form of each in one place.

Every event says when (`at`, UTC), who (`by`) and `why`, and its own fields as words, so
that `git show` of the ledger reads as a history. What an event does to the state stands
in `core/lifecycle/transitions.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from functools import cache
from typing import Any, ClassVar, get_type_hints

from expci.core.model.older_events import with_codes
from expci.core.model.trial import dump_line, finite, load_line, parse_timestamp
from expci.errors import InvalidRecord

FORMAT = 1
_LATER = {"omitted": ""}  # what older readers refuse is only written where it says something


@dataclass(frozen=True, kw_only=True)
class Event:
    """What every event has. `word` is its name in the ledger.

    `comment` is the id of the comment behind it, where there is one.
    `forge` is the place whose pull requests its numbers count: "local", or
    "github.com/OWNER/NAME"; "" in a ledger of before forges had names.
    """

    word: ClassVar[str]
    at: str
    by: str
    why: str = ""
    comment: str = field(default="", metadata=_LATER)
    forge: str = field(default="", metadata=_LATER)

    def line(self) -> str:
        data = {f.name: getattr(self, f.name) for f in fields(self)}
        for late in (f for f in fields(self) if f.metadata and not data[f.name]):
            del data[late.name]
        return dump_line({"v": FORMAT, "event": self.word, **data})


@dataclass(frozen=True, kw_only=True)
class Started(Event):
    """Trials count from here. `base` is the commit the variant was written against.

    `pull` is the pull request that proposed it, where it was started from one or by merging it.
    """

    word: ClassVar[str] = "started"
    plan: str
    base: str
    mode: str
    salt: str
    head: str = ""
    branch: str = ""
    pull: int | None = None
    sample_size: int | None = None


@dataclass(frozen=True, kw_only=True)
class Paused(Event):
    """No more trials count until it goes on. `reason_code` is why: `manual`, the trust check's
    code, or what happened to its content or pull request."""

    word: ClassVar[str] = "paused"
    reason_code: str = "manual"


@dataclass(frozen=True, kw_only=True)
class Resumed(Event):
    """`mode` is set where trials go on in another mode: a lab experiment that was merged.

    `head` is set where a person started a running one again: the commit that runs from here.
    """

    word: ClassVar[str] = "resumed"
    mode: str = ""
    head: str = field(default="", metadata=_LATER)


@dataclass(frozen=True, kw_only=True)
class Extended(Event):
    """`trials` are per arm."""

    word: ClassVar[str] = "extended"
    days: float = 0.0
    trials: int = 0


@dataclass(frozen=True, kw_only=True)
class Decided(Event):
    """The verdict changed. `analysed` is the ledger commit whose trials were analysed."""

    word: ClassVar[str] = "decided"
    verdict: str
    reason_code: str
    arm: str = ""
    analysed: str = ""


@dataclass(frozen=True, kw_only=True)
class ArmDropped(Event):
    """One treatment of several is out: no unit gets it any more, the others go on.

    `reason_code` is the verdict's: it does harm, or cannot win any more.
    """

    word: ClassVar[str] = "arm_dropped"
    arm: str
    reason_code: str


@dataclass(frozen=True, kw_only=True)
class PromoteOpened(Event):
    """The pull request stands on `branch`; `draft` when it conflicts or the evidence faded.

    `compare` is the page on which a person opens it, where the token may not. `author` proposed the
    experiment, `opened_by` is the account of the token, `rules` what the base branch required,
    separated by commas.
    """

    word: ClassVar[str] = "promote_opened"
    arm: str
    branch: str = ""
    commit: str = ""
    pull: int | None = None
    draft: bool = False
    compare: str = ""
    author: str = field(default="", metadata=_LATER)
    opened_by: str = field(default="", metadata=_LATER)
    rules: str = field(default="", metadata=_LATER)


@dataclass(frozen=True, kw_only=True)
class Promoted(Event):
    """The change is on the base branch as `merge`; `parent` is the commit before it.

    `holdback` is the share of units that keep the old content while it is watched.
    """

    word: ClassVar[str] = "promoted"
    arm: str
    branch: str
    merge: str
    parent: str
    holdback: float = 0.5


@dataclass(frozen=True, kw_only=True)
class RolledBack(Event):
    """`manual` when a person undid it. `reason_code` is the verdict's."""

    word: ClassVar[str] = "rolled_back"
    reason_code: str = ""
    arm: str = ""
    manual: bool = False


@dataclass(frozen=True, kw_only=True)
class Reverted(Event):
    """The promotion was undone by `commit` on the base branch, or waits in pull request `pull`.

    `compare` is the page on which a person opens that pull request, where the token may not.
    """

    word: ClassVar[str] = "reverted"
    commit: str = ""
    pull: int | None = None
    branch: str = ""
    compare: str = ""


@dataclass(frozen=True, kw_only=True)
class Expired(Event):
    """`max_days` are over without a decision."""

    word: ClassVar[str] = "expired"
    reason_code: str = "expired"


@dataclass(frozen=True, kw_only=True)
class Stopped(Event):
    """It ended without a promotion, or its watch ended. `reason_code` is as in `rolled_back`."""

    word: ClassVar[str] = "stopped"
    reason_code: str = ""


@dataclass(frozen=True, kw_only=True)
class AlertRaised(Event):
    """`alert` names what is wrong; the same alert is raised once until it is cleared."""

    word: ClassVar[str] = "alert_raised"
    alert: str


@dataclass(frozen=True, kw_only=True)
class AlertCleared(Event):
    """What `alert` names is no longer wrong."""

    word: ClassVar[str] = "alert_cleared"
    alert: str


@dataclass(frozen=True, kw_only=True)
class Learned(Event):
    """What people take away, in their words."""

    word: ClassVar[str] = "learned"
    text: str


EVENTS: Mapping[str, type[Event]] = {
    event.word: event
    for event in (
        Started,
        Paused,
        Resumed,
        Extended,
        Decided,
        ArmDropped,
        PromoteOpened,
        Promoted,
        RolledBack,
        Reverted,
        Expired,
        Stopped,
        AlertRaised,
        AlertCleared,
        Learned,
    )
}


def parse_event(line: str | bytes) -> Event:
    """Return the event on one line of `events.jsonl`; `InvalidRecord` says what is wrong with it.

    >>> line = '{"v": 1, "event": "paused", "at": "2026-11-22T10:00:00Z", "by": "ada"}'
    >>> parse_event(line).reason_code
    'manual'
    >>> parse_event('{"v": 2}')
    Traceback (most recent call last):
    expci.errors.InvalidRecord: an event of another format version than 1; update expci
    """
    data = load_line(line)
    if data.pop("v", None) != FORMAT:
        raise InvalidRecord(f"an event of another format version than {FORMAT}; update expci")
    word = str(data.pop("event", None))
    kind = EVENTS.get(word)
    if kind is None:
        raise InvalidRecord("an event that this expci does not know; update expci")
    declared = {f.name: f for f in fields(kind)}
    if unknown := sorted(data.keys() - declared.keys()):
        raise InvalidRecord(f"unknown keys in a {kind.word} event: {', '.join(unknown[:5])}")
    missing = [n for n, f in declared.items() if f.default is MISSING and n not in data]
    if missing:
        raise InvalidRecord(f"a {kind.word} event without {', '.join(missing)}")
    hints = _hints(word)
    for name, value in data.items():
        data[name] = _typed(value, hints[name], f"{kind.word}.{name}")
    parse_timestamp(data["at"])
    return kind(**with_codes(word, data))


@cache
def _hints(word: str) -> dict[str, Any]:
    return get_type_hints(EVENTS[word])


def _typed(value: Any, kind: Any, what: str) -> Any:
    if kind is float:
        return finite(value, what)
    if kind is int and isinstance(value, bool):
        raise InvalidRecord(f"{what} must be a whole number")
    if not isinstance(value, kind):
        raise InvalidRecord(f"{what} has the wrong type: {type(value).__name__}")
    return value

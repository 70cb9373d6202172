"""What the ledger holds, as tables: trials, checks and the log of events."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

from expci.core.lifecycle.transitions import Life
from expci.core.model.events import Event, Learned, RolledBack
from expci.core.model.experiment import Experiment
from expci.core.model.results import Analysis, Check
from expci.report.text import escape, numbers, times
from expci.report.text.phrases import Code, Phrase, Words, joined, phrase
from expci.report.text.tables import Cell, Table

_OWN_FIELDS = frozenset(
    {"at", "by", "why", "salt", "text", "compare", "comment", "forge", "opened_by", "rules"}
    | {"analysed"}
)
_BARE = frozenset({"verdict", "reason_code", "alert"})  # the value says what it is
_HASHES = frozenset({"plan", "base", "head", "commit", "merge", "parent"})


def check_table(analysis: Analysis) -> Table:
    """Every trust check, those that need attention first."""
    return Table(
        "lllr",
        ("check", "status", "detail", "p"),
        tuple(
            (
                escape.words(check.name),
                check.status if check.status == "ok" else phrase("{}", check.status.upper()),
                escape.clean(check.detail),
                "" if check.p_value is None else numbers.bare_p_value(check.p_value),
            )
            for check in by_urgency(analysis)
        ),
    )


def check_lines(analysis: Analysis) -> tuple[tuple[str, Phrase], ...]:
    """(status, sentence) of each check, for a terminal."""
    return tuple(
        (
            check.status if check.status == "ok" else check.status.upper(),
            phrase(
                "{}{}{}",
                escape.words(check.name),
                f": {escape.clean(check.detail)}" if check.detail else "",
                "" if check.p_value is None else f" ({numbers.p_value(check.p_value)})",
            ),
        )
        for check in by_urgency(analysis)
    )


def by_urgency(analysis: Analysis) -> list[Check]:
    """The checks, those that need attention first."""
    order = {"failed": 0, "warning": 1, "unknown": 2, "ok": 3}
    return sorted(analysis.checks, key=lambda check: order[check.status])


def trial_table(experiment: Experiment, analysis: Analysis) -> Table:
    """Counted trials by arm, then those that are kept and not counted, by reason."""
    rows: list[tuple[Cell, ...]] = [
        (Code(arm.name), "counted", numbers.count(analysis.trials.arms.get(arm.name)))
        for arm in experiment.arms
    ]
    for reason, value in excluded(analysis).items():
        rows.append(("", phrase("not counted: {}", escape.words(reason)), numbers.count(value)))
    return Table("llr", ("arm", "trials", "number"), tuple(rows))


def reasons_with_counts(reasons: Mapping[str, int]) -> str:
    """`file changed 2, not exposed 1`."""
    return ", ".join(f"{escape.words(reason)} {numbers.count(n)}" for reason, n in reasons.items())


def excluded(analysis: Analysis) -> dict[str, int]:
    """Trials that are kept and not counted, by reason; the commonest first."""
    tally = {reason: count for reason, count in analysis.trials.excluded.items() if count}
    return dict(sorted(tally.items(), key=lambda item: (-item[1], item[0])))


@dataclass(frozen=True)
class EventView:
    """One line of the log."""

    when: str
    what: Phrase
    why: str


def event_views(life: Life, most: int | None = None) -> tuple[EventView, ...]:
    """The log, oldest first; with `most`, the latest only.

    A reason stands once: what follows from a decision repeats it.
    """
    events = life.events[hidden_events(life, most) :]
    reasons = [_why(event) for event in events]
    return tuple(
        EventView(
            times.minute(event.at),
            joined([event_words(event, life), *_by(event)]),
            "" if why == before else why,
        )
        for event, why, before in zip(events, reasons, ["", *reasons], strict=False)
    )


def _by(event: Event) -> list[str]:
    return [" · ", escape.clean(event.by)] if event.by else []


def event_table(life: Life, most: int | None = None) -> Table:
    """What happened, when, by whom and why; with `most`, the latest only."""
    rows = tuple((item.when, item.what, item.why) for item in event_views(life, most))
    return Table("lll", ("when", "what, by whom", "why"), rows)


def hidden_events(life: Life, most: int | None) -> int:
    """How many events a log of the latest `most` leaves out."""
    return max(0, len(life.events) - (most or len(life.events)))


def _why(event: Event) -> str:
    text = event.text if isinstance(event, Learned) else event.why
    return escape.clean(text)[:500]


def was_exposed(life: Life) -> bool:
    """Whether anything but the lab has run a treatment."""
    return life.promoted is not None or life.mode == "live"


def event_word(event: Event, life: Life | None) -> str:
    """What happened, as people say it: what only the lab ran was not rolled back but stopped."""
    if isinstance(event, RolledBack) and life is not None and not was_exposed(life):
        return "stopped for harm"
    return escape.words(event.word)


def event_words(event: Event, life: Life) -> Words:
    """The event with its own fields: `decided: promote, win, arm treatment`."""
    details = [
        _field(item.name, getattr(event, item.name))
        for item in fields(event)
        if item.name not in _OWN_FIELDS
        and getattr(event, item.name) not in ("", None, 0, False, event.word, "manual")
    ]
    return joined([event_word(event, life), *([": ", ", ".join(details)] if details else [])])


def _field(name: str, value: object) -> str:
    if name in _BARE:
        return escape.words(str(value))
    if name == "days" and isinstance(value, float):
        return numbers.days(value)
    if name == "trials" and isinstance(value, int):
        return numbers.count(value, "trial per arm", "trials per arm")
    if value is True:
        return escape.words(name)
    text = escape.short(str(value)) if name in _HASHES else escape.clean(value)
    return f"pull request {text}" if name == "pull" else f"{escape.words(name)} {text}"

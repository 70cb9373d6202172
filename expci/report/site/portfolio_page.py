"""The front page, and the same for machines: portfolio.json, a feed of decisions, a badge."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import quote

from markupsafe import Markup

from expci import __version__
from expci.core.lifecycle.transitions import ENDED, State
from expci.core.model.events import Event
from expci.core.model.experiment import ID_PATTERN
from expci.report.sections import portfolio, records
from expci.report.sections.effects import effect_of
from expci.report.sections.headline import headline, state_words
from expci.report.sections.outlook import ANY_BASE
from expci.report.sections.portfolio_row import PortfolioRow
from expci.report.sections.progress import progress_share
from expci.report.sections.savings import Savings, hours_saved, money_saved, unknown_hours
from expci.report.sections.sentences import primary_of
from expci.report.sections.whose_move import mover, the_move
from expci.report.site.environment import as_html
from expci.report.site.source import SiteSource
from expci.report.text import escape, numbers, times
from expci.report.text.phrases import in_text

SCHEMA = "expci.portfolio/1"
MOST_ENTRIES = 100
MOST_ENDED = 50  # that stand open; the others are folded
_QUIET = ("alert_cleared", "learned", "decided", "extended")
_ID = re.compile(ID_PATTERN)


@dataclass(frozen=True)
class PortfolioItem:
    """One experiment of `expci.portfolio/1`. `effect` and `interval` are of the primary metric on
    its own scale (`form`: percent, points or unit), positive is better."""

    id: str
    name: str
    state: str
    verdict: str | None
    reason_code: str | None
    arm: str | None
    effect: float | None
    interval: tuple[float | None, float | None] | None
    form: str | None
    units: int | None
    target: int | None
    needs_you: bool
    ended: str | None
    learned: tuple[str, ...]
    page: str


def page_of(id: str) -> str:
    """The file of an experiment's page; "" for an id that no experiment can have."""
    return f"{id}.html" if _ID.fullmatch(id) else ""


def portfolio_page(source: SiteSource) -> str:
    """index.html."""
    latest = _latest(source.rows)
    live = [row for row in latest if row.life.state not in ENDED]
    running = [row for row in live if row.life.state is not State.DRAFT]
    yours = [row for row in live if needs_a_person(row)]
    names = Counter(_name(row) for row in latest)
    ended = [row for row in latest if row.life.state in ENDED]
    ended.sort(key=_ended_at, reverse=True)
    cards = [_card(row, names) for row in ended]
    return as_html(
        "index.html.jinja",
        title=source.title,
        at=times.minute(source.health.at),
        summary=_summary(running, yours),
        unwatched=numbers.count(source.health.unwatched, "day") if source.health.unwatched else "",
        tiles=_tiles(source, running),
        yours=[_card(row, names) for row in yours],
        running=[_card(row, names) for row in live if row not in yours],
        ended=cards[:MOST_ENDED],
        ended_before=cards[MOST_ENDED:],
        version=__version__,
    )


def _latest(rows: Iterable[PortfolioRow]) -> list[PortfolioRow]:
    """One row of each experiment: its present plan."""
    first: dict[str, PortfolioRow] = {}
    for row in rows:
        first.setdefault(row.id, row)
    return list(first.values())


def needs_a_person(row: PortfolioRow) -> bool:
    if row.experiment is None or portfolio.problem(row) or row.life.alerts:
        return True
    return mover(row.experiment, row.life, row.analysis) == "a person"


def _ended_at(row: PortfolioRow) -> str:
    return row.life.ended.at if row.life.ended else ""


def _summary(running: Sequence[PortfolioRow], yours: Sequence[PortfolioRow]) -> str:
    if not running and not yours:
        return "No experiment runs"
    words = numbers.count(len(running), "experiment runs", "experiments run")
    needs = "none needs you" if not yours else f"{len(yours)} need{'s' * (len(yours) == 1)} you"
    return f"{words}, {needs}"


def _tiles(source: SiteSource, running: Sequence[PortfolioRow]) -> list[dict[str, str]]:
    won, _, of_ended = portfolio.success_rate(source.rows).partition(" (")
    ended = f"{numbers.count(sum(row.life.state in ENDED for row in source.rows))} ended"
    tiles = [
        _tile("Running", numbers.count(len(running)), ended),
        _tile("Share that won", won, of_ended),
        _saved_tile("Hours", hours_saved(source.rows), numbers.hours, unknown_hours(source.rows)),
    ]
    money = money_saved(source.rows)
    tiles += [_saved_tile(unit, total, numbers.number) for unit, total in money.items()]
    return [*tiles, _pass_tile(source)]


def _saved_tile(
    unit: str, total: Savings, words: Callable[[float], str], unknown: int = 0
) -> dict[str, str]:
    """The cautious sum; the estimate, corrected where it can be, stands below it."""
    label, open_rate = f"{unit} saved a month", f"{unknown} without a rate of runs"
    if not total.changes:
        return _tile(label, open_rate if unknown else "no promoted change saves any yet", "")
    changes = numbers.count(total.changes, "change")
    more = f"at least, by {changes}; estimate {words(total.value)}"
    more += f"; {open_rate}" if unknown else ""
    return _tile(label, words(total.low), more)


def _tile(label: str, value: str, more: str) -> dict[str, str]:
    """A number with what it rests on; where there is no number, why."""
    if not more:
        return {"label": label, "value": numbers.MISSING, "more": value}
    return {"label": label, "value": value, "more": more.removesuffix(")")}


def _pass_tile(source: SiteSource) -> dict[str, str]:
    health = source.health
    lag = times.age(health.passed, health.at) if health.passed else None
    waiting = f"{numbers.count(health.waiting, 'batch', 'batches')} of records in the inbox"
    value = f"{lag} ago" if lag else "never" if not health.passed else "now"
    return {"label": "Last pass", "value": value, "more": waiting}


def _name(row: PortfolioRow) -> str:
    name = escape.clipped(row.experiment.name, 120) if row.experiment else ""
    return name or escape.clipped(row.id, 80)


def _card(row: PortfolioRow, names: Mapping[str, int]) -> dict[str, Any]:
    """What the front page says of one; its id too where `names` has its name several times."""
    experiment, life, analysis = row.experiment, row.life, row.analysis
    card: dict[str, Any] = {"page": page_of(row.id), "name": _name(row)}
    card |= {"state": state_words(life), "problem": portfolio.problem(row), "share": None}
    card |= {"ended": times.day(_ended_at(row)), "title": "", "move": ""}
    card |= {"learned": [escape.clipped(text, 300) for text in life.learned]}
    if names[card["name"]] > 1:
        card["name"] += f" · {escape.clipped(row.id, 80)}"
    if experiment is None:
        return card
    card["title"] = headline(experiment, life, analysis).title
    if life.state not in ENDED:
        card["move"] = the_move(experiment, life, analysis, ANY_BASE)
    share = progress_share(experiment, life, analysis)
    card["share"] = None if share is None else int(100 * share)
    return card


# --- for machines ------------------------------------------------------------------------


def portfolio_document(source: SiteSource) -> dict[str, Any]:
    """The `expci.portfolio/1` document."""
    items = [asdict(_item(row)) for row in _latest(source.rows)]
    return {"schema": SCHEMA, "at": source.health.at, "experiments": items}


def _item(row: PortfolioRow) -> PortfolioItem:
    analysis = row.analysis
    metric = primary_of(analysis) if analysis else None
    wanted = analysis.decision.arm if analysis else None
    comparisons = metric.comparisons if metric else ()
    named = [item for item in comparisons if item.arm == wanted] or list(comparisons)
    effect = effect_of(named[0], metric) if named and metric else None
    live = row.life.state not in ENDED
    return PortfolioItem(
        id=row.id,
        name=row.experiment.name if row.experiment else row.id,
        state=str(row.life.state),
        verdict=analysis.decision.verdict if analysis else None,
        reason_code=analysis.decision.reason_code if analysis else None,
        arm=named[0].arm if named else None,
        effect=effect.value if effect else None,
        interval=effect.interval if effect else None,
        form=effect.form if effect else None,
        units=analysis.progress.per_arm if analysis else None,
        target=analysis.progress.target if analysis else None,
        needs_you=live and needs_a_person(row),
        ended=_ended_at(row) or None,
        learned=tuple(row.life.learned),
        page=page_of(row.id),
    )


def feed(source: SiteSource) -> str:
    """feed.xml: the latest decisions of all experiments as Atom (RFC 4287).

    Its ids are tags (RFC 4151). Where the page has no address of its own, links are relative.
    """
    id = f"tag:expci,2026:{quote(escape.clean(source.title), safe='')}"
    events = [
        (event, row)
        for row in _latest(source.rows)
        for event in row.life.events
        if event.word not in _QUIET and times.parsed(event.at)
    ]
    events.sort(key=lambda pair: pair[0].at, reverse=True)
    entries = [_entry(event, row, id) for event, row in events[:MOST_ENTRIES]]
    return as_html(
        "feed.xml.jinja",
        title=source.title,
        id=id,
        updated=entries[0]["updated"] if entries else source.health.at,
        base=f"{source.place.page.rstrip('/')}/" if source.place.page else "",
        entries=entries,
    )


def _entry(event: Event, row: PortfolioRow, feed_id: str) -> dict[str, str]:
    name = row.experiment.name if row.experiment else row.id
    return {
        "title": f"{escape.clipped(name, 120)}: {records.event_word(event, row.life)}",
        "id": f"{feed_id}/{quote(row.id, safe='')}/{row.life.events.index(event)}",
        "updated": event.at,
        "page": page_of(row.id),
        "content": f"{in_text(records.event_words(event, row.life))}. "
        f"{escape.clipped(event.why, 300)}",
    }


def badge(source: SiteSource) -> str:
    """badge.svg: how many run, and the share that won."""
    latest = _latest(source.rows)
    live = sum(row.life.state not in ENDED for row in latest)
    rate = portfolio.success_rate(source.rows).partition(" (")
    words = f"{live} running" + (f" · {rate[0]} won" if rate[1] else "")
    left, right = 82, 14 + round(6.4 * len(words))
    return Markup(
        '<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="20" role="img" '
        'aria-label="experiments: {words}"><title>experiments: {words}</title>'
        '<rect width="{width}" height="20" rx="4" fill="#3b434b"/>'
        '<rect x="{left}" width="{right}" height="20" rx="4" fill="#0969da"/>'
        '<rect x="{left}" width="6" height="20" fill="#0969da"/>'
        '<g fill="#fff" font-family="Verdana,DejaVu Sans,sans-serif" font-size="11">'
        '<text x="8" y="14">experiments</text><text x="{text}" y="14">{words}</text></g></svg>\n'
    ).format(width=left + right, left=left, right=right, text=left + 8, words=words)

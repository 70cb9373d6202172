"""The templates of the page. Jinja escapes all that they put out; phrases become HTML here."""

from __future__ import annotations

import hashlib
import re
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from expci.report.text import numbers
from expci.report.text.escape import clean
from expci.report.text.phrases import Code, Link, Phrase, PullRequestNumber, Strong, Words
from expci.report.text.tables import Bar, Cell, Table

TEMPLATES = Path(__file__).parent / "templates"
_SIGNS = re.compile("[&<>'\"]")  # most texts have none of what must be escaped
_WEB = re.compile(r"https?://[^\s\"'<>\\]{1,1000}")


@cache
def _environment() -> Environment:
    return Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        auto_reload=False,
        undefined=StrictUndefined,
        finalize=_finalize,
        trim_blocks=True,
        lstrip_blocks=True,
    )


@cache
def style() -> Markup:
    return Markup((TEMPLATES / "style.css").read_text(encoding="utf-8"))  # noqa: S704


@cache
def templates_digest() -> str:
    """A hash of everything that shapes a page, so that a new version writes all again."""
    files = sorted([*TEMPLATES.iterdir(), *Path(__file__).parent.glob("*.py")])
    return hashlib.sha256(b"\0".join(path.read_bytes() for path in files)).hexdigest()


def as_html(template: str, **context: Any) -> str:
    return _environment().get_template(template).render(**context, style=style())


def _finalize(value: object) -> object:
    if value is None:
        return numbers.MISSING
    if isinstance(value, Table):
        return html_table(value)
    if isinstance(value, (Phrase, Code, Strong, PullRequestNumber, Link)):
        return in_html(value)
    return clean(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def in_html(words: Words, repository: str = "") -> Markup:
    """Words as HTML; a pull request's number leads to it where the repository has an address."""
    match words:
        case Phrase(parts):
            return Markup("".join([_spaced(part, repository) for part in parts]))  # noqa: S704
        case Code(text):
            return Markup(f"<code>{escaped(text)}</code>")  # noqa: S704
        case Strong(text):
            return Markup(f"<strong>{escaped(text)}</strong>")  # noqa: S704
        case PullRequestNumber(number) if web(repository):
            return Markup('<a href="{}/pull/{}">#{}</a>').format(repository, number, number)
        case PullRequestNumber(number):
            return Markup("#{}").format(number)
        case Link(url, label) if web(url):
            return Markup('<a href="{}">{}</a>').format(url, label or url)
        case Link(url, label):
            return escape(label or clean(url))
    return Markup(escaped(words))  # noqa: S704


@lru_cache(maxsize=4096)  # a table says the same arms, units and states many times over
def escaped(text: str) -> str:
    """Text that is neither markup nor invisible."""
    line = clean(text)
    return line if _SIGNS.search(line) is None else str(escape(line))


def _spaced(part: Words, repository: str) -> str:
    """A part with the spaces at its ends, which cleaning strips."""
    if not isinstance(part, str):
        return in_html(part, repository)
    before, after = " " * part[:1].isspace(), " " * part[-1:].isspace()
    return f"{before}{escaped(part)}{after}"


def web(address: str) -> bool:
    """Whether an address may be linked: of the web, and nothing in it can end an attribute."""
    return _WEB.fullmatch(address) is not None


def html_table(table: Table) -> Markup:
    """A table whose numbers are flush right; a chart of characters is omitted."""
    keep = [
        index
        for index in range(len(table.header))
        if not any(isinstance(row[index], Bar) for row in table.rows)
    ]
    head = "".join([_cell("th", table.header[i], table.align[i]) for i in keep])
    rows = "".join(
        f"<tr>{''.join([_cell('td', row[i], table.align[i]) for i in keep])}</tr>"
        for row in table.rows
    )
    whole = f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
    return Markup(whole)  # noqa: S704 - of cells whose every text is escaped


def _cell(tag: str, cell: Cell, side: str) -> str:
    kind = ' class="number"' if side == "r" else ""
    scope = ' scope="col"' if tag == "th" else ""
    text = "" if isinstance(cell, Bar) else in_html(cell)
    return f"<{tag}{kind}{scope}>{text}</{tag}>"

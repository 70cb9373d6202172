"""The sandbox that the templates run in.

A template decides only what stands where. Whatever it puts out is escaped for its format by
`finalize`, whoever wrote it; nothing but `safe` gets past that.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable
from contextvars import ContextVar
from functools import cache, partial
from pathlib import Path
from typing import Any, Literal

from jinja2 import FileSystemLoader, StrictUndefined, pass_context
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment
from markupsafe import Markup

from expci.report.text import escape, numbers
from expci.report.text.phrases import (
    Code,
    Link,
    Phrase,
    PullRequestNumber,
    Strong,
    in_markdown,
    in_text,
)
from expci.report.text.tables import Bar, Table, markdown_table, text_table

Format = Literal["text", "markdown"]

_USUAL = 92
_columns = ContextVar("columns", default=_USUAL)  # of the terminal that reads a report
_UNIT = re.compile(r"(?<=\d) (?=(?:%|s|ms|h|points|MB)(?!\w))")


def safe(text: str) -> Markup:
    """Text that has been escaped for its format, or is our own."""
    return Markup(text)  # noqa: S704


def as_markdown(template: str, **context: Any) -> str:
    return _tidy(environment("markdown").get_template(template).render(**context))


def as_text(template: str, **context: Any) -> str:
    return _tidy(environment("text").get_template(template).render(**context))


def set_columns(columns: int) -> None:
    """Set the width of reports for a terminal; a table too wide for it loses its last columns."""
    _columns.set(columns)


def _tidy(text: str) -> str:
    """No trailing spaces, never two blank lines, one newline at the end."""
    lines = "\n".join(line.rstrip() for line in text.splitlines())
    return re.sub(r"\n{3,}", "\n\n", lines).strip("\n") + "\n"


@cache
def environment(format: Format) -> ImmutableSandboxedEnvironment:
    """The sandbox of one format. `finalize` escapes all that a template puts out.

    Filters that would join or format text are taken away: they escape for HTML only.
    """
    sandbox = ImmutableSandboxedEnvironment(
        loader=FileSystemLoader(Path(__file__).parents[1] / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_finalize_markdown if format == "markdown" else _finalize_text,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    sandbox.filters = {"wrap": _wrap, "label": _label, "pad": _pad, "length": len}
    sandbox.globals = {}
    return sandbox


def _finalize(value: object, words: Callable[[Any], str], table: Callable[[Table], str]) -> Markup:
    if isinstance(value, Markup):
        return value
    if value is None:
        return safe(numbers.MISSING)
    if isinstance(value, Table):
        return safe(table(value))
    if isinstance(value, Bar):
        return safe(value.text)
    is_phrase = isinstance(value, (Phrase, Code, Strong, PullRequestNumber, Link))
    return safe(words(value if is_phrase else str(value)))


_finalize_markdown = partial(_finalize, words=in_markdown, table=markdown_table)


def _table_of_width(table: Table) -> str:
    columns = _columns.get()
    return text_table(table, most=None if columns == _USUAL else columns)


_finalize_text = partial(_finalize, words=in_text, table=_table_of_width)


@pass_context  # or Jinja would wrap a constant once, for the width of the first reader
def _wrap(_: Context, value: object, indent: int = 2, first: str = "") -> Markup:
    """Words broken into lines for a terminal; `first` stands before the first one."""
    text = str(_finalize_text(value))
    return safe(wrapped(text, _columns.get(), " " * indent, first or " " * indent))


def _pad(value: object, columns: int) -> Markup:
    text = str(_finalize_text(value))
    return safe(text + " " * max(0, columns - escape.width(text)))


def _label(word: object, value: object, columns: int = 14) -> Markup:
    """`word` in a column of its own, then the words of `value`."""
    name, text = str(_finalize_text(word)), str(_finalize_text(value))
    first = "  " + name + " " * max(1, columns - escape.width(name))
    return safe(wrapped(text, _columns.get(), " " * (columns + 2), first))


def wrapped(text: str, columns: int, indent: str = "  ", first: str = "") -> str:
    """Lines of at most `columns`; a number and its unit stay together."""
    lines = textwrap.wrap(
        _UNIT.sub("\N{NO-BREAK SPACE}", text),
        columns,
        initial_indent=first,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return "\n".join(lines).replace("\N{NO-BREAK SPACE}", " ")

"""Reports on a terminal: as wide as it is, in colour where it shows colours.

https://no-color.org: with NO_COLOR there is none, and none goes into a file or a pipe.
"""

from __future__ import annotations

import re
import shutil
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager

import click

from expci.runner.ci.messages import plain

NARROWEST, WIDEST = 80, 160

# The words at the start of a report, by what they mean.
_STYLES = {
    "bold green": r"\A(?:PROMOTE|PROMOTED)\b",
    "bold red": r"\A(?:ROLL BACK|ROLLED BACK|STOPPED FOR HARM|INVALID|NO DATA)\b",
    "bold cyan": r"\A(?:COLLECTING|WATCHING|PLAN|DRAFT|PAUSED|STOPPED|STOP|EXPIRED)\b",
    "bold": r"(?m)^(?:[A-Z][A-Z ,'-]+[A-Z])(?= \(|$)",
    "red": r"(?m)^ *(?:!! .*|FAILED\b)|not met\b",
    "yellow": r"(?m)^ *WARNING\b|Your move",
    "green": r"(?m)^  met\b",
    "cyan": r"\bexpci (?:[a-z]+)(?: [a-z0-9-]+)?(?: --[a-z-]+)*",
}


def fit() -> None:
    """Set reports to the width of the terminal; what no person reads keeps the usual one."""
    if sys.stdout.isatty():
        from expci.report.documents.environment import set_columns

        columns = shutil.get_terminal_size((92, 24)).columns
        set_columns(min(max(columns, NARROWEST), WIDEST))


@contextmanager
def busy(text: str) -> Iterator[None]:
    """Show on a terminal that something goes on, and for how long; nothing of it stays."""
    if not sys.stderr.isatty():
        yield
        return
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn()
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        progress.add_task(text, total=None)
        yield


def show(text: str) -> None:
    """Print a report; in the log of a CI what strangers wrote in it is text, and no command."""
    if not sys.stdout.isatty():
        return click.echo(plain(text) + "\n" * text.endswith("\n"), nl=False)
    from rich.console import Console
    from rich.text import Text

    coloured = Text(text.rstrip("\n"))
    for style, words in _STYLES.items():
        coloured.highlight_regex(re.compile(words), style)
    return Console(highlight=False).print(coloured, soft_wrap=True)


def show_item(
    mark: str, text: str, colour: str | None = None, *, indent: int | None = None
) -> None:
    """Print one item of a list: on a terminal wrapped below its mark, else as one line.

    `indent` is of further lines where they do not stand below the mark's end.
    """
    if not sys.stdout.isatty():
        return click.echo(plain(f"{mark}{text}"))
    wide = min(max(shutil.get_terminal_size((92, 24)).columns, NARROWEST), WIDEST)
    margin = " " * (len(mark) if indent is None else indent)
    lines = textwrap.wrap(
        f"{mark}{text}",
        wide,
        subsequent_indent=margin,
        break_long_words=False,
        break_on_hyphens=False,
        replace_whitespace=False,
    )
    first = (lines or [mark])[0].removeprefix(mark)
    click.echo("\n".join([click.style(mark, fg=colour) + first, *lines[1:]]))
    return None

"""Options that every verb shares, and how a verb gets its context."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from expci.flows.context import Context


F = TypeVar("F", bound=Callable[..., Any])


@dataclass
class Where:
    """`-C` before the verb, kept for the verb."""

    directory: str | None = None


directory_option = click.option(
    "-C",
    "directory",
    metavar="DIR",
    type=click.Path(file_okay=False),
    help="Work in the repository around DIR.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


class PrintableText(click.types.StringParamType):
    """A text that may come to stand in a record; files and commands are any bytes."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        from expci.core.writable_text import writable_text  # no help waits for it

        return writable_text(super().convert(value, param, ctx))


def printable_texts(command: click.Command) -> None:
    """Have every text of a verb be one that can be written down."""
    for option in command.params:
        is_text = type(option.type) is click.types.StringParamType
        if is_text and option.metavar not in ("FILE", "PATH", "PATH…", "DIR"):
            option.type = PrintableText()


def common(function: F) -> F:
    """`-C`, `--remote` and `--forge`; the verb gets an open `Context` as `app`.

    Trials that waited on this machine go with it.
    """
    return _with_options(function, _open_and_send)


@dataclass(frozen=True)
class TrialPlace:
    """Where a trial verb works: a directory, and the remote that was named."""

    directory: Path
    remote: str | None = None


def common_to_trials(function: F) -> F:
    """The same options for the verbs of the trial path, which open what they need themselves.

    The verb gets a `TrialPlace` as `place`.
    """
    return _with_options(
        function, lambda directory, remote, _: TrialPlace(place(directory), remote)
    )


def _with_options(function: F, opened: Callable[[str | None, str | None, str | None], object]) -> F:

    @directory_option
    @click.option("--remote", metavar="NAME", help="The remote with expci's refs [origin].")
    @click.option(
        "--forge",
        type=click.Choice(["github", "local"]),
        help="Where pull requests live [by the remote].",
    )
    @functools.wraps(function)
    def verb(
        *arguments: Any,
        directory: str | None,
        remote: str | None,
        forge: str | None,
        **options: Any,
    ) -> Any:
        return function(opened(directory, remote, forge), *arguments, **options)

    return verb  # type: ignore[return-value]


def _open_and_send(directory: str | None, remote: str | None, forge: str | None) -> Context:
    opened = open_here(directory, remote, forge)
    _send_waiting(opened)
    return opened


def _send_waiting(opened: Context) -> None:
    from expci.store.local import spool

    if spool.waiting(opened.git):
        flushed = spool.flush(opened.store.remote)
        if flushed.sent:
            trials = "1 trial" if flushed.sent == 1 else f"{flushed.sent} trials"
            click.echo(f"sent {trials} that waited on this machine", err=True)


def located(function: F) -> F:
    """`-C` only, for verbs that need no repository state; the verb gets a `Path`."""

    @directory_option
    @functools.wraps(function)
    def verb(*arguments: Any, directory: str | None, **options: Any) -> Any:
        return function(place(directory), *arguments, **options)

    return verb  # type: ignore[return-value]


def place(directory: str | None) -> Path:
    """The directory after the verb, else the one before it, else here."""
    where = click.get_current_context().find_object(Where)
    return Path(directory or (where and where.directory) or ".")


def open_here(
    directory: str | None, remote: str | None = None, forge: str | None = None
) -> Context:
    from expci import app, settings

    return app.open_context(place(directory), settings.read(), remote=remote, forge=forge)


def print_json(document: object) -> None:
    click.echo(json_text(document), nl=False)


def json_text(document: object) -> str:
    """The document as `--json` prints it."""
    # `##[` begins a command to the runner of GitHub Actions anywhere in a line.
    text = json.dumps(document, indent=2, ensure_ascii=False).replace("##[", "##\\u005b")
    return f"{text}\n"

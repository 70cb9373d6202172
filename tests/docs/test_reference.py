"""docs/cli.md and docs/json.md are the code's; EXPCI_GOLDEN=1 writes the list of verbs anew."""

from __future__ import annotations

import inspect
import os
import re
from collections.abc import Iterator

import click

from expci.cli import MODULES, cli
from support.shell_pages import DOCS

PACKAGE = DOCS.parent / "expci"
REWRITE = bool(os.environ.get("EXPCI_GOLDEN"))  # now: a session fixture clears the environment
COMMON = {"directory", "remote", "forge", "as_json", "help"}
STORED = {  # formats in git, not of verbs
    "harvest", "plan-content", "published", "settled", "uncounted",
}  # fmt: skip


def verbs() -> Iterator[str]:
    """The generated part of docs/cli.md."""
    with click.Context(cli, info_name="expci") as context:
        for name in (verb for verbs in MODULES.values() for verb in verbs):
            command = cli.get_command(context, name)
            assert command is not None
            yield section(command, click.Context(command, info_name=name, parent=context))


def section(command: click.Command, context: click.Context) -> str:
    first, _, listing = (command.help or "").partition("\b")
    about = " ".join(first.split())
    if listing:
        about += f"\n\n```text\n{inspect.cleandoc(listing)}\n```"
    usage = " ".join(command.collect_usage_pieces(context)).replace("[OPTIONS]", "").strip()
    lines = [f"## `expci {' '.join([command.name or '', usage]).strip()}`", "", about]
    rows = [row for p in command.params if p.name not in COMMON and (row := option(p, context))]
    if rows:
        lines += ["", "| option | meaning |", "|---|---|", *rows]
    return "\n".join(lines) + "\n"


def option(parameter: click.Parameter, context: click.Context) -> str | None:
    record = parameter.get_help_record(context)
    if not isinstance(parameter, click.Option) or record is None:
        return None
    name, meaning = (part.replace("|", "&#124;") for part in record)
    return f"| <code>{name}</code> | {meaning} |"


def test_the_command_line_is_the_code() -> None:
    path = DOCS / "cli.md"
    begin, end = "<!-- verbs: generated -->", "<!-- /verbs -->"
    before, _, rest = path.read_text().partition(begin)
    held, _, after = rest.partition(end)
    wanted = "\n" + "\n".join(verbs())
    if REWRITE:
        path.write_text(before + begin + wanted + end + after)
    else:
        assert held == wanted, "run EXPCI_GOLDEN=1 python -m pytest tests/docs/test_reference.py"


def test_every_document_of_a_verb_is_listed_and_none_else() -> None:
    listed = set(re.findall(r"`expci\.([a-z-]+)/\d`", (DOCS / "json.md").read_text()))
    files = PACKAGE.rglob("*.py")
    printed = {
        name for file in files for name in re.findall(r'"expci\.([a-z-]+)/\d"', file.read_text())
    }
    assert listed == printed - STORED

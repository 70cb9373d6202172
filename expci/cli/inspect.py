"""status, analyze, fsck, export: what only reads."""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Literal

import click

from expci.cli import terminal
from expci.cli.completion import experiment_ids
from expci.cli.options import common, json_option, print_json
from expci.runner.ci.messages import plain

if TYPE_CHECKING:
    from expci.flows.context import Context
    from expci.flows.verbs import restore as restore_flow

NEGATIVE_VERDICT = 3
Form = Literal["text", "markdown", "json"]


@click.command()
@click.argument("experiment", metavar="[ID]", required=False, shell_complete=experiment_ids)
@click.option("--all", "everything", is_flag=True, help="Ended experiments too.")
@click.option("--tag", "tags", metavar="TAG", multiple=True, help="Only those with this tag.")
@json_option
@common
def status(
    app: Context, experiment: str | None, everything: bool, tags: tuple[str, ...], as_json: bool
) -> None:
    """Show the portfolio, or one experiment in detail."""
    from expci.flows.verbs import status as status_flow
    from expci.report.documents import render

    if experiment is not None and tags:
        raise click.UsageError("name an experiment or a tag, not both")
    if experiment is not None:
        if as_json:
            return print_json(status_flow.one_json(app, experiment))
        terminal.fit()
        return terminal.show(status_flow.one(app, experiment))
    rows = status_flow.portfolio_rows(app, tags)
    if as_json:
        return print_json(status_flow.portfolio_json(rows, everything=everything))
    terminal.fit()
    return terminal.show(render.status_report(rows, all=everything))


@click.command()
@click.argument("experiment", metavar="ID", shell_complete=experiment_ids)
@click.option("--at", metavar="REV", help="Replay the report of this ledger commit.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "markdown", "json"]),
    default="text",
    help="What to print [text].",
)
@click.option("--json", "as_json", is_flag=True, help="The same as --format json.")
@click.option("--full", is_flag=True, help="All criteria, numbers and checks, not one screen.")
@click.option("--check", is_flag=True, help="Exit with 3 on a negative verdict.")
@common
def analyze(
    app: Context,
    experiment: str,
    at: str | None,
    form: Form,
    as_json: bool,
    full: bool,
    check: bool,
) -> int:
    """Report on all trials that have arrived: one screen, or --full."""
    from expci.flows.verbs import analyze as analyze_flow

    report = analyze_flow.analyze(app, experiment, at=at)
    terminal.fit()
    chosen: Form = "json" if as_json else form
    text = report.render(chosen, full=full)
    if chosen == "text":
        terminal.show(text)
    else:  # `##[` begins a command to the runner of GitHub Actions anywhere in a line
        click.echo(text.replace("##[", "##\\u005b" if chosen == "json" else "## ["), nl=False)
    return NEGATIVE_VERDICT if check and report.negative else 0


@click.command()
@click.option("--repair", is_flag=True, help="Derive again what can be derived.")
@click.option("--restore", is_flag=True, help="Put back the copy that this clone keeps.")
@click.option("--begin-anew", is_flag=True, help="Start anew where the ledger is lost; recorded.")
@click.option(
    "--accept-older", is_flag=True, help="Continue from an old backup, where no newer copy is left."
)
@json_option
@common
def fsck(
    app: Context,
    repair: bool,
    restore: bool,
    begin_anew: bool,
    accept_older: bool,
    as_json: bool,
) -> int:
    """Verify the whole ledger."""
    from expci.flows.verbs import fsck as fsck_flow
    from expci.flows.verbs import restore as restore_flow

    ways = [(restore, restore_flow.restore), (begin_anew, restore_flow.begin_anew)]
    ways.append((accept_older, restore_flow.accept_older))
    if chosen := [way for is_asked, way in ways if is_asked]:
        restored = chosen[0](app)
        print_json(restored.to_json()) if as_json else _print_restored(restored)
        return 0
    checked = fsck_flow.fsck(app, repair=repair)
    if as_json:
        print_json(checked.to_json())
    else:
        click.echo(
            f"experiments: {checked.experiments} · plans: {checked.plans} · "
            f"events: {checked.events} · trials: {checked.trials}"
        )
        for problem in checked.problems:
            click.echo(f"problem: {problem}")
        for note in checked.notes:
            click.echo(f"note: {note}")
        for repaired in checked.repaired:
            click.echo(f"repaired: {repaired}")
        if not checked.problems:
            click.echo("everything is in order")
    return 1 if checked.problems and not checked.repaired else 0


def _print_restored(restored: restore_flow.Restored) -> None:
    if not restored.changed:
        return click.echo(f"the ledger is unchanged, at {restored.ledger[:12]}")
    click.echo(
        f"the ledger is at {restored.ledger[:12]} now, and the published document agrees with it"
    )
    if restored.set_aside:
        click.echo(f"the ledger that it replaced is kept at {restored.set_aside}")
        click.echo(f"{restored.sent} records of it wait in the inbox for the next pass")
    return None


@click.command()
@click.argument("experiment", metavar="ID", shell_complete=experiment_ids)
@click.option(
    "--format",
    "form",
    type=click.Choice(["csv", "jsonl", "parquet"]),
    default="csv",
    help="What to write [csv].",
)
@click.option("--at", metavar="REV", help="The trials of this ledger commit.")
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write there [standard output].",
)
@common
def export(app: Context, experiment: str, form: str, at: str | None, output: Path | None) -> None:
    """Print every trial of an experiment."""
    from expci.flows.verbs import export as export_flow
    from expci.store.git import durable

    screen = sys.stdout.buffer
    if form == "parquet" and output is None and screen.isatty():
        raise click.UsageError("Parquet is not for the screen: name a file with --output")
    place: AbstractContextManager[BinaryIO] = nullcontext(screen)
    if output is not None:
        place = durable.replacing(output)
    exported = export_flow.export(app, experiment, at)
    with place as target:
        if form == "parquet":
            exported.write_parquet(target)
        else:
            target.writelines(map(str.encode, exported.lines(form)))
    for what in exported.missing:
        click.echo(f"note: {plain(what)}", err=True)


@click.command()
@click.argument("target", metavar="DIR", type=click.Path(file_okay=False, path_type=Path))
@json_option
@common
def site(app: Context, target: Path, as_json: bool) -> int:
    """Write the page of all experiments as static files."""
    from expci.core.model.experiment import to_json
    from expci.flows.verbs import site as site_flow

    result = site_flow.site(app, target)
    if as_json:
        print_json({"schema": "expci.site/1", **to_json(result)})
    else:
        click.echo(f"wrote {len(result.written)} files to {target}; open {target}/index.html")
        for problem in result.problems:
            click.echo(f"problem: {problem}", err=True)
    return 1 if result.problems else 0

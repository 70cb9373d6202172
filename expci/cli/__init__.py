"""The command line: thin. Each verb parses, calls one flow, prints what it answers."""

from __future__ import annotations

import sys

import click

from expci import __version__
from expci.cli import acting, lifecycle, reading, setting_up, trials
from expci.cli.options import Where, directory_option
from expci.errors import ExpciError


@click.group(
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="expci")
@directory_option
@click.option("--auto", "run_pass", is_flag=True, help="The same as `expci auto`.")
@click.pass_context
def cli(context: click.Context, directory: str | None, run_pass: bool) -> None:
    """A/B experiments for anything that lives in a git repository.

    Propose one with `expci create`, start it with `expci start ID`, run trials with
    `expci trial ID`, and let `expci auto` decide. `expci demo` shows the whole story.
    """
    context.obj = Where(directory)
    if run_pass:
        context.invoke(acting.auto)
    elif context.invoked_subcommand is None:
        click.echo(context.get_help())


for group in (setting_up, lifecycle, trials, reading, acting):
    for verb in group.VERBS:
        cli.add_command(verb)


def main() -> None:
    """The `expci` command. Errors become one message and an exit code."""
    try:
        code = cli.main(standalone_mode=False)
    except ExpciError as error:
        click.secho("error: ", fg="red", bold=True, err=True, nl=False)
        click.echo(str(error), err=True)
        sys.exit(error.exit_code)
    except click.Abort:
        click.echo("interrupted", err=True)
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except BrokenPipeError:
        sys.exit(1)
    sys.exit(code if isinstance(code, int) else 0)

"""The command line: thin. Each verb parses, calls one flow, prints what it answers."""

from __future__ import annotations

import os
import signal
import sys
from importlib import import_module

import click

from expci import __version__
from expci.cli import failures, help
from expci.cli.options import Where, directory_option, printable_texts
from expci.errors import ExpciError
from expci.runner.ci.streams import flush_streams, is_of_output
from expci.runner.measure.interrupts import Interrupted, caught

# A verb imports its flow when it runs, so that `--help` waits for none, and `trial` and `start`
# do not wait for the statistics.
MODULES = {
    "setup": ("init", "create", "validate", "plan", "doctor", "demo"),
    "lifecycle": ("start", "pause", "resume", "stop", "extend"),
    "trials": ("assign", "trial", "record"),
    "inspect": ("status", "analyze", "site", "fsck", "export"),
    "act": ("auto", "promote", "rollback", "gc"),
    "completion": ("completion",),
}


class Verbs(click.Group):
    """The verbs in the order in which one meets them."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return [verb for verbs in MODULES.values() for verb in verbs]

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        return super().parse_args(ctx, with_the_pass(args))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        verbs = self.list_commands(ctx)
        begun = [verb for verb in verbs if len(args[0]) > 1 and verb.startswith(args[0])]
        close = begun or _alike(args[0], verbs)
        if close and close[0] != args[0]:
            ctx.fail(f"no verb {args[0]!r}; did you mean `expci {close[0]}`?")
        return super().resolve_command(ctx, args)

    def get_command(
        self,
        ctx: click.Context,  # noqa: ARG002
        cmd_name: str,
    ) -> click.Command | None:
        for module, verbs in MODULES.items():
            if cmd_name in verbs:
                command = getattr(import_module(f"expci.cli.{module}"), cmd_name)
                if not isinstance(command, click.Command):
                    return None
                printable_texts(command)
                command.short_help = help.summary_line(command)
                command.epilog = command.epilog or help.example(cmd_name)
                return command
        return None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The verbs in groups, with whole summaries."""
        every = ((verb, self.get_command(ctx, verb)) for verb in self.list_commands(ctx))
        verbs = {verb: command for verb, command in every if command is not None}
        for title, rows in help.groups(verbs):
            with formatter.section(title):
                formatter.write_dl(rows)


def _alike(word: str, verbs: list[str]) -> list[str]:
    import difflib  # only where a verb is misspelt

    return difflib.get_close_matches(word, verbs, 1)


def with_the_pass(args: list[str]) -> list[str]:
    """`--auto` before any verb as the verb `auto`, so that its options can follow."""
    for place, word in enumerate(args):
        if word == "--auto":
            return [*args[:place], "auto", *args[place + 1 :]]
        is_directory = place > 0 and args[place - 1] == "-C"
        if not word.startswith("-") and not is_directory:
            break
    return args


@click.group(
    cls=Verbs,
    epilog=f"Each verb has an example in its own --help. Documentation: {help.DOCS}",
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="expci")
@directory_option
@click.option("--auto", "_", is_flag=True, expose_value=False, help="The same as `expci auto`.")
@click.pass_context
def cli(context: click.Context, directory: str | None) -> int:
    """A/B experiments for anything that lives in a git repository.

    Propose one with `expci create`, start it with `expci start ID`, run trials with
    `expci trial ID`, and let `expci auto` decide. `expci demo` shows the whole story.
    """
    context.obj = Where(directory)
    if os.environ.get("NO_COLOR"):  # https://no-color.org; click itself goes by the terminal alone
        context.color = False
    if context.invoked_subcommand is None:
        click.echo(context.get_help())
    return 0


def main() -> None:
    """The `expci` command. Errors become one message and an exit code."""
    failures.printable_streams()
    code = _exit_code()
    lost = flush_streams()
    if lost is not None and not isinstance(lost, BrokenPipeError) and code != 1:
        failures.print_error(failures.of_output(lost))
        code = code or 1
    sys.exit(code)


def _exit_code() -> int:
    """What the shell sees of one run of the command line."""
    try:
        with caught(signal.SIGTERM, signal.SIGHUP):  # what a verb has started ends with it
            code = cli.main(standalone_mode=False)
    except ExpciError as error:
        failures.print_error(str(error))
        return error.exit_code
    except click.Abort:
        click.echo("interrupted", err=True)
        return 130
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except Interrupted as stop:
        click.echo(str(stop), err=True)
        return stop.exit_code
    except BrokenPipeError:
        return 1
    except OSError as error:
        failures.print_error(
            failures.of_output(error)
            if is_of_output(error)
            else failures.of_system(error) + failures.log(error)
        )
        return 1
    except Exception as error:
        failures.print_error(failures.of_defect(error) + failures.log(error))
        return 1
    return code if isinstance(code, int) else 0

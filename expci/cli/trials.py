"""assign, trial, record: the trial path, for people.

`python3 -m expci.runner` is the same three verbs with nothing installed.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

import click

from expci.cli.completion import arms, experiment_ids, slots
from expci.cli.options import TrialPlace, common_to_trials, json_option, print_json
from expci.runner.ci.messages import plain
from expci.store.git.job_token import stated_token

if TYPE_CHECKING:
    from expci.runner.lab.trial_settings import TrialOptions

_unit = click.option("--unit", metavar="TEXT", help="What is randomised [from CI].")
_counter = click.option("--counter", type=int, metavar="N", help="The run's number [from CI].")
_leg = click.option("--leg", metavar="TEXT", help="The matrix leg of this job.")
_to = click.option("--to", metavar="FILE", help="Write the records there, send nothing.")
_metric = click.option(
    "--metric", "metrics", multiple=True, metavar="NAME=VALUE", help="A value that was measured."
)


@click.command()
@click.argument("experiment", metavar="[ID]", required=False, shell_complete=experiment_ids)
@click.option(
    "--slot", shell_complete=slots, metavar="NAME", help="All live experiments of this slot."
)
@_unit
@_counter
@_leg
@click.option("--apply", is_flag=True, help="Put the arm's files in place.")
@click.option("--explain", is_flag=True, help="How the arm was drawn.")
@json_option
@common_to_trials
def assign(
    place: TrialPlace,
    experiment: str | None,
    slot: str | None,
    explain: bool,
    as_json: bool,
    **options: object,
) -> int:
    """Print the arm that a job gets."""
    from expci.runner.live import assign as assign_run

    result = assign_run.assign_job(
        assign_run.AssignOptions(
            directory=place.directory,
            environment=dict(os.environ),
            token=stated_token(os.environ),
            experiment=experiment,
            slot=slot,
            remote=place.remote,
            **options,  # type: ignore[arg-type]
        )
    )
    _warn(result.warnings)
    if as_json:
        print_json(result.to_json())
    for outcome in result.outcomes if not as_json else ():
        arm = outcome.arm or ""
        click.echo(arm if slot is None else f"{outcome.experiment} {arm}".rstrip())
        click.echo(f"{outcome.experiment}: {arm or 'no arm'} ({outcome.reason})", err=True)
        for line in outcome.explanation if explain else ():
            click.echo(f"  {line}", err=True)
    if not result.outcomes:
        click.echo(f"slot {slot}: no experiment is live", err=True)
    for sentence in result.waiting:
        click.echo(sentence, err=True)
    return result.exit_code


@click.command()
@click.argument("experiment", metavar="ID", shell_complete=experiment_ids)
@click.option("--pairs", type=click.IntRange(min=1), default=1, help="Rounds, or visits of cases.")
@click.option("--arm", shell_complete=arms, metavar="ARM", help="Run this arm only.")
@click.option("--case", "cases", multiple=True, metavar="NAME", help="Only this case.")
@click.option("--part", metavar="I/N", help="Part i of n of the cases.")
@click.option("--pilot", is_flag=True, help="Before the start; stays on this machine.")
@click.option("--in-place", is_flag=True, help="Run in this checkout; restore it after.")
@click.option("--prove", is_flag=True, help="Break each treatment; compare the runs.")
@_unit
@_counter
@_leg
@_metric
@click.option(
    "--no-propagate",
    "propagate",
    is_flag=True,
    default=True,
    flag_value=False,
    help="Exit with 0 even if the command failed.",
)
@_to
@click.argument("command", metavar="[-- CMD…]", nargs=-1, type=click.UNPROCESSED)
@json_option
@common_to_trials
def trial(
    place: TrialPlace,
    experiment: str,
    as_json: bool,
    pairs: int,
    arm: str | None,
    prove: bool,
    **options: object,
) -> int:
    """Put an arm in place, run, measure, record. Exits as the command did."""
    from expci.cli.trial_lines import trial_lines
    from expci.runner.lab import trial as trial_run
    from expci.runner.lab import trial_settings

    session = trial_settings.TrialOptions(
        experiment=experiment,
        directory=place.directory,
        environment=dict(os.environ),
        token=stated_token(os.environ),
        pairs=pairs,
        arm=arm,
        remote=place.remote,
        quiet_output=as_json,
        **options,  # type: ignore[arg-type]
    )
    if prove:
        return _prove(session, as_json)
    result = trial_run.run_trials(session, trial_lines())
    _warn(result.unread)
    if as_json:
        print_json(result.to_json())
    elif result.absent is not None:
        click.echo(f"no trial was run: {result.absent.reason}", err=True)
    elif session.pilot and result.kept_in is not None:
        _done(f"{_trials(result.trials, 'pilot ')} kept; next: expci plan {experiment}")
    elif result.kept_in is not None:
        _done(f"{_trials(result.trials)} written to {result.kept_in}")
    else:
        waiting = f", {result.waiting} waiting on this machine" if result.waiting else ""
        _done(f"{_trials(result.trials)} recorded, {result.sent} sent{waiting}")
    return result.exit_code


def _prove(options: TrialOptions, as_json: bool) -> int:
    from expci.cli.trial_lines import trial_lines
    from expci.runner.lab.prove import prove

    proof = prove(options, trial_lines())
    _warn(proof.warnings)
    if as_json:
        print_json(proof.to_json())
    for arm in () if as_json else proof.arms:
        click.echo(plain(str(arm)))
    return proof.exit_code


@click.command()
@click.argument("experiment", metavar="[ID]", required=False, shell_complete=experiment_ids)
@click.option("--slot", shell_complete=slots, metavar="NAME", help="The slot of `assign --slot`.")
@click.option(
    "--arm", shell_complete=arms, metavar="ARM", help="The arm of work that expci did not run."
)
@click.option("--status", metavar="WORD", help="How it ended, in your CI's words.")
@_unit
@_leg
@_metric
@click.option("--metrics", "metrics_file", metavar="FILE", help="name=value lines, or JSON.")
@click.option(
    "--from", "source", metavar="FILE", help="Import JSON lines, CSV, Parquet; - for stdin."
)
@click.option("--format", metavar="NAME", help="The tool that wrote it, e.g. hyperfine.")
@click.option("--trial", metavar="ID", help="The trial that gets late metrics.")
@_to
@click.option("--flush", is_flag=True, help="Send what is still unsent here.")
@json_option
@common_to_trials
def record(place: TrialPlace, experiment: str | None, as_json: bool, **options: object) -> int:
    """Record results from elsewhere, late metrics, or offline work."""
    from expci.runner.record import record as record_run
    from expci.runner.record.by_arm import lines_by_arm
    from expci.store import parquet

    result = record_run.record_trials(
        record_run.RecordOptions(
            directory=place.directory,
            environment=dict(os.environ),
            token=stated_token(os.environ),
            experiment=experiment,
            remote=place.remote,
            parquet=parquet.json_lines,
            **options,  # type: ignore[arg-type]
        )
    )
    _warn(result.warnings)
    if as_json:
        print_json(result.to_json())
    else:
        recorded = len(result.trials) + len(result.amendments)
        waiting = f", {result.waiting} waiting on this machine" if result.waiting else ""
        _done(f"{recorded} recorded, {result.sent} sent{waiting}", *lines_by_arm(result.arms))
    return result.exit_code


def _done(*lines: str) -> None:
    """What was done. That nobody reads it (`| head`) is no failure of the work."""
    with suppress(BrokenPipeError):
        for line in lines:
            click.echo(plain(line))


def _trials(recorded: Sequence[object], which: str = "") -> str:
    return f"{len(recorded)} {which}trial{'' if len(recorded) == 1 else 's'}"


def _warn(warnings: Sequence[str]) -> None:
    for warning in warnings:
        click.secho(plain(f"warning: {warning}"), fg="yellow", err=True)

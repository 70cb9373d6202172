"""start, pause, resume, stop, extend."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from expci.cli.completion import experiment_ids
from expci.cli.options import common, json_option, print_json

if TYPE_CHECKING:
    from expci.flows.context import Context
    from expci.flows.verbs import lifecycle
    from expci.flows.verbs.start import StartResult

_why = click.option("--why", default="", metavar="TEXT", help="Recorded with the event.")
_id = click.argument("experiment", metavar="ID", shell_complete=experiment_ids)


@click.command()
@_id
@_why
@json_option
@common
def start(app: Context, experiment: str, why: str, as_json: bool) -> None:
    """Freeze the plan as committed at HEAD; trials count from here."""
    from expci.flows.verbs import start as start_flow

    result = start_flow.start(app, experiment, why=why)
    for note in result.notes:
        click.echo(f"note: {note}", err=True)
    if as_json:
        return print_json(result.to_json())
    for line in started_lines(result):
        click.echo(line)
    return None


def started_lines(result: StartResult) -> Iterator[str]:
    """How it stands after the start, and the next step."""
    name, base = result.experiment, result.base_branch
    already = " already" if result.already else ""
    plan = f"(plan {result.plan[:12]})"
    if result.awaits_merge:
        yield f"{name} is started{already} and waits for {base} {plan}"
        yield f"jobs with the slot {result.slot} take part once it is on {base}"
        yield f"next: merge it into {base}, or push its commit there; then: expci auto"
        return
    yield f"{name} is running{already}, {result.mode} {plan}"
    if result.mode == "live":
        yield "next: jobs with its slot take part; `expci status` shows what arrives"
    else:
        yield f"next: {_lab_step(result)}   then: expci auto"
    if result.slot and result.mode == "lab":
        yield f"jobs with the slot {result.slot} take part once it is on {base}"


def _lab_step(result: StartResult) -> str:
    if result.runs_in_lab:
        return f"expci trial {result.experiment} --pairs 10"
    return f"expci record {result.experiment} --arm ARM --metric NAME=VALUE"


@click.command()
@_id
@_why
@json_option
@common
def pause(app: Context, experiment: str, why: str, as_json: bool) -> None:
    """Stop taking trials until `expci resume`."""
    from expci.flows.verbs import lifecycle

    _say(lifecycle.pause(app, experiment, why), as_json)


@click.command()
@_id
@_why
@json_option
@common
def resume(app: Context, experiment: str, why: str, as_json: bool) -> None:
    """Continue a paused experiment with the same plan."""
    from expci.flows.verbs import lifecycle

    _say(lifecycle.resume(app, experiment, why), as_json)


@click.command()
@_id
@_why
@click.option("--learned", metavar="TEXT", help="What you learned from it.")
@json_option
@common
def stop(app: Context, experiment: str, why: str, learned: str | None, as_json: bool) -> None:
    """End an experiment, or the watch of a promoted change, which stays."""
    from expci.flows.verbs import lifecycle

    _say(lifecycle.stop(app, experiment, why, learned), as_json)


@click.command()
@_id
@click.option("--days", type=click.FloatRange(min=0), default=0, help="More days.")
@click.option("--trials", type=click.IntRange(min=0), default=0, help="More trials per arm.")
@_why
@json_option
@common
def extend(
    app: Context, experiment: str, days: float, trials: int, why: str, as_json: bool
) -> None:
    """Give a live experiment more time or more trials."""
    from expci.flows.verbs import lifecycle

    _say(lifecycle.extend(app, experiment, days=days, trials=trials, why=why), as_json)


def _say(done: lifecycle.Transition, as_json: bool) -> None:
    if as_json:
        print_json(done.to_json())
    else:
        click.echo(_words(done))


def _words(done: lifecycle.Transition) -> str:
    from expci.core.model.events import Extended, Learned
    from expci.report.text import escape, numbers

    name, state = done.experiment, escape.words(done.after)
    match done.event:
        case None:
            return f"{name} is {state} already; nothing was changed"
        case Extended(days=days, trials=trials):
            more = [numbers.days(days)] if days else []
            more += [numbers.count(trials, "trial per arm", "trials per arm")] if trials else []
            return f"{name} ({state}) is extended by {' and '.join(more)}"
        case Learned():
            return f"{name} ({state}): what was learned is recorded"
    return f"{name}: {escape.words(done.before)} → {state}"

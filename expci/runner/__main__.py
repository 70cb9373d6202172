"""`python3 -m expci.runner`: assign, trial and record with nothing installed.

The same verbs as the `expci` command's, for a CI step that runs from expci's own
checkout. People read standard error, programs standard output.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from expci.errors import ExpciError
from expci.runner.ci.messages import plain
from expci.runner.ci.streams import flush_streams, prepare_streams
from expci.runner.measure.interrupts import Interrupted
from expci.runner.quick_exit import leave
from expci.store.git.job_token import stated_token

_PROGRAM = "python3 -m expci.runner"

# A verb imports its own part when it runs: no step waits for what another one needs.
if TYPE_CHECKING:
    from expci.runner.lab.session import TrialProgress
    from expci.runner.lab.trial import TrialResult
    from expci.runner.live.assign import AssignResult
    from expci.runner.record.record import RecordResult


def main(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    """Run one verb; the exit code."""
    prepare_streams()
    code = _run(arguments, environment)
    lost = flush_streams()
    if lost is not None and not isinstance(lost, BrokenPipeError) and code != 1:
        _say(f"error: the output could not be written: {lost.strerror}")
        code = code or 1
    return code


def _run(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    words, command = _split(list(arguments))
    options = _options(words)
    if command and options.verb != "trial":
        _say("only `trial` takes a command after --")
        return 2
    try:
        return {"assign": _assign_verb, "trial": _trial_verb, "record": _record_verb}[options.verb](
            options, command, environment
        )
    except ExpciError as error:
        _say(f"error: {error}")
        return error.exit_code
    except OSError as error:
        _say(f"error: {error}")
        return 1
    except Interrupted as stop:
        _say(str(stop))
        return stop.exit_code


def _split(arguments: list[str]) -> tuple[list[str], tuple[str, ...]]:
    """What stands before and after `--`."""
    if "--" not in arguments:
        return arguments, ()
    place = arguments.index("--")
    return arguments[:place], tuple(arguments[place + 1 :])


def _assign_verb(options: Any, _command: tuple[str, ...], environment: Mapping[str, str]) -> int:
    from expci.runner.live.assign import AssignOptions, assign_job

    result = assign_job(
        AssignOptions(
            directory=options.C,
            environment=environment,
            token=stated_token(environment),
            experiment=options.experiment,
            slot=options.slot,
            unit=options.unit,
            counter=options.counter,
            leg=options.leg,
            apply=options.apply,
            remote=options.remote,
            roots=_roots(options),
        )
    )
    _warn(result.warnings)
    for outcome in result.outcomes:
        arm = outcome.arm or "no arm"
        _say(f"{outcome.experiment}: {arm} ({outcome.reason})")
        if options.explain:
            _say(*(f"  {line}" for line in outcome.explanation))
    if not result.outcomes:
        _say(f"slot {options.slot}: no experiment is live")
    _say(*result.waiting)
    if not _print(result, options.json):
        _arms(result, options.slot)
    return result.exit_code


def _arms(result: AssignResult, slot: str | None) -> None:
    for outcome in result.outcomes:
        arm = outcome.arm or ""
        print(arm if slot is None else f"{outcome.experiment} {arm}".rstrip())


def _trial_verb(options: Any, command: tuple[str, ...], environment: Mapping[str, str]) -> int:
    from expci.runner.lab.trial import run_trials
    from expci.runner.lab.trial_settings import TrialOptions

    result = run_trials(
        TrialOptions(
            experiment=options.experiment,
            directory=options.C,
            environment=environment,
            token=stated_token(environment),
            pairs=options.pairs,
            arm=options.arm,
            cases=tuple(options.case),
            part=options.part,
            pilot=options.pilot,
            in_place=options.in_place,
            command=command,
            metrics=tuple(options.metric),
            unit=options.unit,
            counter=options.counter,
            leg=options.leg,
            to=options.to,
            remote=options.remote,
            roots=_roots(options),
            propagate=options.propagate,
            quiet_output=options.json,
        ),
        _show,
    )
    _warn(result.unread)
    if result.absent is not None:
        _say(f"no trial was run: {result.absent.reason}")
    _summary(result)
    _print(result, options.json)
    return result.exit_code


def _show(progress: TrialProgress) -> None:
    if progress.note:
        return _say(f"warning: {progress.note}")
    if progress.trial is None:
        return _say(f"{progress.stage} {progress.arm} ({progress.done + 1}/{progress.total})")
    trial = progress.trial
    duration = trial.metrics.get("duration_s")
    took = "" if duration is None else f" in {duration:.3f} s"
    return _say(f"{trial.arm}: {trial.status}{took}")


def _summary(result: TrialResult) -> None:
    if result.kept_in is not None:
        _say(f"{_trials(result)} kept in {result.kept_in}")
    elif result.trials:
        _say(f"{_trials(result)} recorded, {result.sent} sent")


def _trials(result: TrialResult) -> str:
    return "1 trial" if len(result.trials) == 1 else f"{len(result.trials)} trials"


def _record_verb(options: Any, _command: tuple[str, ...], environment: Mapping[str, str]) -> int:
    from expci.runner.record.by_arm import lines_by_arm
    from expci.runner.record.record import RecordOptions, record_trials

    result = record_trials(
        RecordOptions(
            directory=options.C,
            environment=environment,
            token=stated_token(environment),
            experiment=options.experiment,
            slot=options.slot,
            arm=options.arm,
            unit=options.unit,
            status=options.status,
            metrics=tuple(options.metric),
            metrics_file=options.metrics,
            source=options.source,
            format=options.format,
            trial=options.trial,
            flush=options.flush,
            leg=options.leg,
            to=options.to,
            remote=options.remote,
            roots=_roots(options),
        )
    )
    _warn(result.warnings)
    _say(f"{len(result.trials) + len(result.amendments)} recorded, {result.sent} sent")
    _say(*lines_by_arm(result.arms))
    _print(result, options.json)
    return result.exit_code


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    """What a verb was given; of its parser alone where it is named first."""
    verb = arguments[0] if arguments else ""
    if verb not in _VERBS:
        return _every_verb().parse_args(arguments)
    about, add = _VERBS[verb]
    # The width of a terminal is for who asks for help: to find it imports `shutil`.
    narrow = partial(argparse.HelpFormatter, width=80)
    one = argparse.ArgumentParser(f"{_PROGRAM} {verb}", description=about, formatter_class=narrow)
    add(one)
    one.formatter_class = argparse.HelpFormatter
    options, unknown = one.parse_known_args(arguments[1:], argparse.Namespace(verb=verb))
    return _every_verb().parse_args(arguments) if unknown else options


def _every_verb() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(_PROGRAM, description="Assign, run and record trials.")
    verbs = parser.add_subparsers(dest="verb", required=True)
    for name, (about, add) in _VERBS.items():
        add(verbs.add_parser(name, help=about, description=about))
    return parser


def _assign_options(parser: argparse.ArgumentParser) -> None:
    _shared_options(parser)
    parser.add_argument("experiment", nargs="?", metavar="ID")
    parser.add_argument("--slot", help="all live experiments of this slot")
    parser.add_argument("--apply", action="store_true", help="put the arm's files in place")
    parser.add_argument("--explain", action="store_true", help="say how the arm was drawn")
    parser.add_argument("--counter", type=int, metavar="N", help="the run's number")


def _trial_options(parser: argparse.ArgumentParser) -> None:
    _shared_options(parser)
    parser.add_argument("experiment", metavar="ID")
    parser.add_argument("--pairs", type=int, default=1, metavar="N", help="rounds to run")
    parser.add_argument("--arm", help="run this arm only")
    parser.add_argument(
        "--case", action="append", default=[], metavar="NAME", help="only this case"
    )
    parser.add_argument("--part", metavar="I/N", help="part i of n of the cases")
    parser.add_argument("--pilot", action="store_true", help="before the start; stays here")
    parser.add_argument("--in-place", action="store_true", help="in this checkout; restored after")
    parser.add_argument("--metric", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--no-propagate", dest="propagate", action="store_false")
    parser.add_argument("--to", metavar="FILE", help="write the records there, send nothing")
    parser.add_argument("--counter", type=int, metavar="N", help="the run's number")


def _record_options(parser: argparse.ArgumentParser) -> None:
    _shared_options(parser)
    parser.add_argument("experiment", nargs="?", metavar="ID")
    parser.add_argument("--slot", help="the slot of `assign --slot`")
    parser.add_argument("--arm", help="the arm of work that expci did not run")
    parser.add_argument("--status", help="how the work ended, in your CI's words")
    parser.add_argument("--metric", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--metrics", metavar="FILE", help="name=value lines, or one JSON object")
    parser.add_argument("--from", dest="source", metavar="FILE", help="import lines; - for stdin")
    parser.add_argument("--format", metavar="NAME", help="the tool that wrote it, e.g. hyperfine")
    parser.add_argument("--trial", help="the trial that gets late metrics")
    parser.add_argument("--to", metavar="FILE", help="write the records there, send nothing")
    parser.add_argument("--flush", action="store_true", help="send what is still unsent here")


_VERBS: Mapping[str, tuple[str, Callable[[argparse.ArgumentParser], None]]] = {
    "assign": ("print the arm that this job gets", _assign_options),
    "trial": ("put an arm in place, run, measure, record", _trial_options),
    "record": ("record results", _record_options),
}


def _shared_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-C", type=Path, default=Path(), metavar="DIR", help="the repository")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    parser.add_argument("--remote", help="default: origin, else this repository")
    parser.add_argument(
        "--root", action="append", help="where experiments lie [experiments/expci.yml]"
    )
    parser.add_argument("--unit", help="what is randomised")
    parser.add_argument("--leg", help="the matrix leg of this job")


def _roots(options: Any) -> tuple[str, ...]:
    return tuple(options.root or ())


def _print(result: AssignResult | TrialResult | RecordResult, as_json: bool) -> bool:
    if as_json:
        print(json.dumps(result.to_json(), indent=2))
    return as_json


def _warn(warnings: Sequence[str]) -> None:
    _say(*(f"warning: {warning}" for warning in warnings))


def _say(*lines: str) -> None:
    with contextlib.suppress(OSError):  # nobody can read it; the trials go on
        for line in lines:
            print(plain(line), file=sys.stderr, flush=True)


if __name__ == "__main__":
    # Searches for cycles among what is only imported take a tenth of the start.
    gc.set_threshold(200_000)
    leave(main(sys.argv[1:], dict(os.environ)))

"""init, create, validate, plan, doctor, demo."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from expci.cli import terminal
from expci.cli.completion import experiment_ids, slots
from expci.cli.lifecycle import started_lines
from expci.cli.options import common, json_option, located, open_here, print_json
from expci.runner.ci.messages import plain

if TYPE_CHECKING:
    from expci import settings
    from expci.core.model.experiment import Limit
    from expci.flows.context import Context
    from expci.flows.setup import init as init_flow
    from expci.flows.setup.workflows import Caller
    from expci.flows.verbs import validate as validate_flow


@click.command()
@click.option("--pin", metavar="SHA", help="The commit of expci that the workflows call.")
@click.option("--yes", is_flag=True, help="Overwrite workflows that somebody edited, too.")
@click.option(
    "--check", is_flag=True, help="Write nothing; exit 3 if the workflows are out of date."
)
@click.option(
    "--home", metavar="OWNER/REPO", help="Your copy of expci, whose actions the workflows use."
)
@click.option(
    "--site", is_flag=True, help="Also a workflow that publishes the page of `expci site`."
)
@click.option(
    "--lab-secrets",
    metavar="NAME,…",
    help="Secrets of the environment expci-lab that lab trials get; '' for none.",
)
@click.option("--no-workflows", is_flag=True, help="Only experiments/, for use without GitHub.")
@json_option
@located
def init(
    directory: Path,
    pin: str | None,
    yes: bool,
    check: bool,
    home: str | None,
    site: bool,
    lab_secrets: str | None,
    no_workflows: bool,
    as_json: bool,
) -> int:
    """Set up experiments/ and the workflows. Safe to run again; shows what it would change."""
    from expci.core.model.experiment import to_json
    from expci.flows.setup import init as init_flow
    from expci.flows.setup import pin as workflows_pin
    from expci.flows.setup import workflows
    from expci.store.git.git import Git

    root = Git.at(directory).root
    if check:
        return _check(root, workflows_pin.find_pin(pin), home, as_json)
    has_pin = pin is not None or workflows_pin.running() is not None
    commit = workflows_pin.find_pin(pin) if has_pin and not no_workflows else None

    def show(caller: Caller) -> None:
        click.echo(caller.diff, nl=False, err=as_json)

    def agree(caller: Caller) -> bool:
        question = f"{caller.path} was edited here. Overwrite it?"
        return yes or (sys.stdin.isatty() and not as_json and click.confirm(question))

    names = None if lab_secrets is None else workflows.secret_names(lab_secrets)
    if commit is not None:
        _ask_home(root, home, commit)
    result = init_flow.initialize(
        root, commit, home=home, lab_secrets=names, site=site, agree=agree, show=show
    )
    if as_json:
        print_json({"schema": "expci.init/1", **to_json(result), "pin": commit})
    else:
        place, secrets = workflows.home_of(root), workflows.secrets_of(root)
        _show_init(result, commit, place, secrets, site=site)
    if not has_pin and not no_workflows:
        click.echo(f"warning: no workflows were written: {workflows_pin.UNKNOWN}", err=True)
    return 1 if result.refused else 0


def _ask_home(root: Path, home: str | None, pin: str) -> None:
    """Refuse a commit that the actions' repository does not have; warn where nobody can tell."""
    from expci import settings
    from expci.flows.setup import pin as workflows_pin
    from expci.flows.setup import workflows

    workflows.require_home(home)
    around = settings.read()
    own = around.server_url or (f"https://{around.gh_host}" if home and around.gh_host else None)
    server, place = own or workflows.SERVER, home or workflows.home_of(root)
    if why := workflows_pin.why_unasked(pin, f"{server}/{place}"):
        why = why.splitlines()[-1]
        click.echo(
            f"warning: whether {place} has the commit {pin} could not be checked: {why}", err=True
        )


def _check(root: Path, pin: str, home: str | None, as_json: bool) -> int:
    from expci.flows.setup import workflows

    callers = workflows.outdated(root, pin, home)
    if as_json:
        outdated = {caller.path: caller.status for caller in callers}
        print_json({"schema": "expci.init-check/1", "pin": pin, "outdated": outdated})
    for caller in callers if not as_json else ():
        click.echo(f"{caller.path}: {caller.status}")
        click.echo(caller.diff, nl=False)
    if not callers and not as_json:
        click.echo(f"the workflows are those of expci {pin[:12]}")
    return 3 if callers else 0


def _show_init(
    result: init_flow.InitResult,
    pin: str | None,
    home: str,
    lab_secrets: Sequence[str],
    *,
    site: bool,
) -> None:
    from expci.flows.setup import init as init_flow

    for path in result.written:
        click.echo(f"wrote {path}")
    for path in result.updated:
        click.echo(f"updated {path}")
    for path in result.kept:
        click.echo(f"kept {path}")
    for path in result.changed:
        click.echo(f"kept {path}, which you changed")
    for path in result.refused:
        click.echo(f"left {path} alone: it was edited here. `expci init --yes` overwrites it")
    if pin is not None:
        click.echo(f"the workflows call {home} at {pin}")
        click.echo(f"\n{init_flow.left_to_do(pin, home, lab_secrets, site=site)}")
    click.echo("next: expci create --hypothesis '…' --primary-metric duration_s --run CMD")


@click.command()
@click.argument("experiment", metavar="[ID]", required=False, shell_complete=experiment_ids)
@click.option("--hypothesis", required=True, metavar="TEXT", help="What gets better, how much.")
@click.option(
    "--primary-metric", required=True, metavar="NAME", help="What decides, e.g. duration_s."
)
@click.option("--minimum-effect", metavar="SIZE", help="The smallest useful one: 15% or 0.3.")
@click.option(
    "--direction",
    type=click.Choice(["increase", "decrease"]),
    help="Which way is better [by the name].",
)
@click.option("--sample-size", type=click.IntRange(min=1), help="Per arm, at most.")
@click.option(
    "--file", "files", multiple=True, metavar="PATH", help="A file to copy into treatment/."
)
@click.option("--agent", metavar="PATH", help="An agent's prompt, tried on cases in evals/.")
@click.option("--run", metavar="CMD", help="The command of one lab trial.")
@click.option(
    "--slot", shell_complete=slots, metavar="NAME", help="Which workflow steps take part."
)
@click.option("--name", metavar="TEXT", help="A title [from the ID].")
@click.option("--owner", metavar="WHO", help="Who is responsible for it.")
@click.option("--auto", "start_too", is_flag=True, help="Commit and start it too.")
@json_option
@click.option("--remote", metavar="NAME", hidden=True)
@click.option("--forge", hidden=True)
@located
def create(
    directory: Path,
    experiment: str | None,
    start_too: bool,
    as_json: bool,
    remote: str | None,
    forge: str | None,
    **options: object,
) -> None:
    """Scaffold an experiment: a file that validates, and the files to vary."""
    from expci.core.model.experiment import to_json
    from expci.flows.verbs import create as create_flow
    from expci.flows.verbs import propose as propose_flow

    app = open_here(str(directory), remote, forge)
    draft = create_flow.NewExperiment(
        id=experiment,
        today=datetime.now(UTC).date(),
        taken=propose_flow.taken_ids(app),
        **options,  # type: ignore[arg-type]
    )
    result = create_flow.create(app.root, draft)
    started = propose_flow.commit_and_start(app, result) if start_too else None
    if as_json:
        began = started.to_json() if started else None
        document = {"schema": "expci.create/1", **to_json(result), "started": began}
        return print_json(document)
    for path in result.files:
        click.echo(f"wrote {path}")
    for note in result.notes if not started else ():
        click.echo(note)
    for line in started_lines(started) if started else ():
        click.echo(line)
    return None


@click.command()
@click.argument("experiments", metavar="[ID…]", nargs=-1, shell_complete=experiment_ids)
@click.option("--explain", is_flag=True, help="Every effective value and where it comes from.")
@click.option(
    "--pull-request",
    "--request",
    "number",
    type=click.IntRange(min=1),
    metavar="N",
    help="Report on pull request N: a check and a comment.",
)
@json_option
@located
def validate(
    directory: Path, experiments: tuple[str, ...], explain: bool, number: int | None, as_json: bool
) -> int:
    """Check experiments; all problems at once, each with its line and what to write."""
    from expci import settings
    from expci.flows.lookup import missing_passes
    from expci.flows.verbs import propose as propose_flow
    from expci.flows.verbs import validate as validate_flow
    from expci.forge import actions
    from expci.store.git.git import Git

    git, environment = Git.at(directory), settings.read()
    base = git.read_tree("HEAD") if git.resolve("HEAD") else None
    ended = propose_flow.ended_here(git)
    result = validate_flow.validate(git.root, experiments, explain, base=base, ended=ended, git=git)
    if as_json:
        print_json(result.to_json())
    else:
        _show_validity(result)
    if environment.actions:
        _annotate(result, err=as_json)
        if silence := missing_passes(git, datetime.now(UTC)):
            click.echo(actions.command("warning", silence, title="expci"), err=as_json)
    refused = number is not None and _tell(directory, number, environment)
    return 1 if result.problems or refused else 0


def _show_validity(result: validate_flow.ValidateResult) -> None:
    for problem in result.problems:
        terminal.show_item("", plain(str(problem)), "red", indent=2)
    for name in result.checked:
        for item in result.explained.get(name, ()):
            line = f"{name}: {item.key} = {item.value}   ({item.origin})"
            terminal.show_item("", plain(line), indent=4)
        for advice in result.advice.get(name, ()):
            terminal.show_item(f"{name}: advice: ", plain(advice), "yellow", indent=2)
        if name in result.advice and not result.problems:
            click.echo(plain(f"{name}: valid"))
    if not result.checked and not result.problems:
        click.echo(plain("there are no experiments here; `expci create` makes one"))


def _annotate(result: validate_flow.ValidateResult, err: bool) -> None:
    """Problems as remarks on their lines, as GitHub Actions shows them."""
    from expci.flows.pull_requests import review
    from expci.forge import actions

    for line in actions.annotated(map(review.annotation, result.problems)):
        click.echo(line, err=err)


def _tell(directory: Path, number: int, environment: settings.Settings) -> bool:
    """Review a pull request; whether what it proposes is not valid."""
    from expci.flows.pull_requests import review
    from expci.forge import actions

    outcome = review.review_numbered(open_here(str(directory)), number)
    if outcome.untold:
        click.echo(
            f"pull request {number} got no comment: this token may not write there. The next pass "
            f"(`expci auto`) does it. {outcome.untold}",
            err=True,
        )
    if environment.step_summary and outcome.proposals:
        actions.summarize(environment.step_summary, review.check_run(outcome).summary)
    return bool(outcome.problems)


def _effects(
    context: click.Context, parameter: click.Parameter, given: tuple[str, ...]
) -> tuple[Limit, ...]:
    from expci.flows.verbs import plan as plan_flow

    try:
        return tuple(plan_flow.parse_effect(text) for text in given)
    except ValueError as error:
        raise click.BadParameter(str(error), context, parameter) from None


@click.command()
@click.argument("experiment", metavar="ID", shell_complete=experiment_ids)
@click.option(
    "--pilot",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help='Past trials: lines of {"arm": …, "metrics": {…}}.',
)
@click.option(
    "--simulate",
    type=click.IntRange(100, 100_000),
    metavar="N",
    help="Simulate N experiments instead of 2,000.",
)
@click.option(
    "--effect",
    "effects",
    multiple=True,
    metavar="SIZE",
    callback=_effects,
    help="Also simulate this improvement: 10%, -5% (harm) or 0.3.",
)
@json_option
@common
def plan(
    app: Context,
    experiment: str,
    pilot: Path | None,
    simulate: int | None,
    effects: tuple[Limit, ...],
    as_json: bool,
) -> None:
    """Compute how many trials it takes, how long, and how often it would err."""
    from expci.core.model.experiment import to_json
    from expci.flows.verbs import plan as plan_flow
    from expci.report.documents import render
    from expci.report.sections.outlook import next_of_plan

    with ExitStack() as while_simulating:
        planned = plan_flow.plan(
            app,
            experiment,
            pilot_file=pilot,
            experiments=simulate,
            effects=effects,
            before_simulation=lambda: while_simulating.enter_context(
                terminal.busy("simulating the plan")
            ),
        )
    document = to_json(planned.report)
    if as_json:
        return print_json(document)
    terminal.fit()
    then = next_of_plan(
        planned.experiment,
        planned.life,
        planned.running,
        planned.look,
        is_current=planned.is_current,
    )
    return terminal.show(render.plan_text(document, planned.experiment, then))


_LEVELS = {"ok": "green", "warning": "yellow", "problem": "red"}


@click.command()
@json_option
@click.option("--remote", metavar="NAME", help="The remote with expci's refs [origin].")
@click.option(
    "--forge",
    type=click.Choice(["github", "local"]),
    help="Where pull requests live [by the remote].",
)
@located
def doctor(directory: Path, as_json: bool, remote: str | None, forge: str | None) -> int:
    """Check the set-up; print each problem with its fix."""
    from expci.core.model.experiment import to_json
    from expci.flows.setup import doctor as doctor_flow

    findings = doctor_flow.doctor(lambda: open_here(str(directory), remote, forge), directory)
    if as_json:
        print_json({"schema": "expci.doctor/1", "findings": [to_json(f) for f in findings]})
    else:
        for finding in findings:
            mark = {"ok": "ok     ", "warning": "warning", "problem": "problem"}[finding.level]
            terminal.show_item(f"{mark}  ", finding.what, _LEVELS[finding.level])
            if finding.fix:
                terminal.show_item("         fix: ", finding.fix)
    return 1 if any(finding.level == "problem" for finding in findings) else 0


@click.command()
@click.option("--directory", type=click.Path(file_okay=False, path_type=Path), help="Play it here.")
def demo(directory: Path | None) -> None:
    """Play the whole story in a temporary repository, in under a minute."""
    from expci.flows.setup import demo as demo_flow

    demo_flow.demo(click.echo, directory)

"""auto, promote, rollback, gc: what changes the world."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from expci.cli import terminal
from expci.cli.completion import arms, experiment_ids
from expci.cli.options import common, json_option, json_text, print_json
from expci.runner.ci.messages import plain

if TYPE_CHECKING:
    from expci.flows.context import Context
    from expci.flows.experiment.advance import Pass


@click.command()
@click.option("--dry-run", is_flag=True, help="Print what would be done; change nothing.")
@click.option("--part", metavar="I/N", help="Part i of n of the experiments; 0/n: all else.")
@json_option
@common
def auto(app: Context, dry_run: bool, part: str | None, as_json: bool) -> int:
    """Run the pass: fold trials in, analyse, decide, act, report."""
    from expci.flows.auto import auto as auto_flow
    from expci.flows.auto.part import Part

    done = auto_flow.auto(app, dry_run=dry_run, part=Part.of_text(part))
    if as_json:
        print_json(done.to_json())
    else:
        _say(done)
    _tell_ci(app, done, err=as_json)
    _keep_rest(app, done)
    return 1 if done.failed else 0


def _tell_ci(app: Context, done: Pass, *, err: bool) -> None:
    """Warnings and a job summary, where GitHub Actions shows them."""
    from expci import settings
    from expci.flows.auto import notify
    from expci.forge import actions
    from expci.forge.ports import Annotation
    from expci.runner.ci import outputs

    environment = settings.read()
    if environment.actions:
        annotations = [
            Annotation("", 0, what, "warning", f"expci {name}")
            for name, what in notify.warnings(done)
        ]
        for line in actions.annotated(annotations):
            click.echo(line, err=err)
        if names := notify.workflows_to_start(app, done):
            outputs.write(
                environment.environment, "GITHUB_OUTPUT", {"workflows": json.dumps(names)}
            )
    if environment.step_summary is not None and not done.dry_run:
        try:
            actions.summarize(environment.step_summary, notify.summary(app, done))
        except OSError as error:  # the pass is done: a page that cannot be written undoes nothing
            click.echo(f"warning: no job summary: {error}", err=True)


def _keep_rest(app: Context, done: Pass) -> None:
    """For the next pass of this clone, which ends at once where the remote lists the same."""
    from expci.store.local import resting_pass

    git = app.git
    # In a linked work tree another commit is checked out than in the main one.
    if (rest := done.rest) is None or not git.git_dir == git.common_dir == git.root / ".git":
        return
    with contextlib.suppress(OSError, ValueError):
        resting_pass.keep_answer(
            str(git.private_dir),
            arguments=sys.argv[1:],
            remote=app.store.remote.name,
            listing=rest.listing,
            at=app.clock().timestamp(),
            until=rest.until.timestamp(),
            text="".join(f"{plain(text)}\n" for text, _ in _lines(done)),
            document=json_text(done.to_json()),
        )


def _say(done: Pass) -> None:
    for text, is_error in _lines(done):
        if is_error:
            click.echo(plain(text), err=True)
        else:
            # The log's: what strangers wrote is text there, and no command to the runner.
            terminal.show_item("", plain(text), indent=2)


def _lines(done: Pass) -> Iterator[tuple[str, bool]]:
    """What a pass did, a line each, and whether it is a problem."""
    from expci.report.sections.headline import state_words
    from expci.report.sections.records import event_word

    lives, verdicts = done.lives, done.verdicts
    would = "would be " if done.dry_run else ""
    if done.sent:
        yield f"sent {done.sent} waiting batches", False
    for name, count in sorted(done.folded.items()):
        records = "record" if count == 1 else "records"
        yield f"{name}: {count} new {records} {would}put into the ledger", False
    for refused in done.refused:
        yield f"quarantined: {refused.subject}: {refused.reason}", False
    for name, why in done.started:
        yield f"{name}: started: {why}", False
    reasons: dict[str, str] = {}
    for name, event in done.events:
        repeated = event.why == reasons.get(name)
        reasons[name] = event.why
        word = event_word(event, lives.get(name))
        yield f"{name}: {would}{word}" + ("" if repeated else f": {event.why}"), False
        if page := getattr(event, "compare", ""):
            yield f"{name}: open the pull request by hand: {page}", False
    for name, what in done.actions:
        yield f"{name}: {what}", False
    for name, problem in done.problems:
        yield f"problem: {name}: {problem}", True
    for name, life in sorted(lives.items()):
        verdict = f" · {verdicts[name]}" if verdicts[name] else ""
        yield f"{name}: {state_words(life)}{verdict}", False
    if not done.experiments:
        yield "no experiment has started; `expci create` makes one", False


@click.command()
@click.argument("experiment", metavar="ID", shell_complete=experiment_ids)
@click.option(
    "--arm", shell_complete=arms, metavar="ARM", help="Which treatment, where there are several."
)
@click.option("--merge", is_flag=True, help="Merge the pull request too.")
@click.option("--force", is_flag=True, help="Even without evidence; recorded.")
@json_option
@common
def promote(
    app: Context, experiment: str, arm: str | None, merge: bool, force: bool, as_json: bool
) -> None:
    """Open the promote pull request by hand, or merge it."""
    from expci.flows.verbs import promote as promote_flow

    result = promote_flow.promote(app, experiment, arm=arm, merge=merge, force=force)
    if as_json:
        return print_json(result.to_json())
    if result.merge:
        click.echo(f"{experiment} is {result.state}: merged as {result.merge[:12]}")
    else:
        draft = " (a draft: it conflicts)" if result.draft else ""
        click.echo(
            f"{experiment} is {result.state}: pull request {result.pull}{draft}, {result.branch}"
        )
        click.echo(f"next: look at it, then `expci promote {experiment} --merge`")
    return None


@click.command()
@click.argument("experiment", metavar="ID", shell_complete=experiment_ids)
@click.option("--reason", required=True, metavar="TEXT", help="Recorded, and in the revert.")
@click.option("--learned", metavar="TEXT", help="What you learned from it.")
@click.option("--force", is_flag=True, help="Even without evidence; recorded.")
@json_option
@common
def rollback(
    app: Context, experiment: str, reason: str, learned: str | None, force: bool, as_json: bool
) -> None:
    """End an experiment as harmful; undo its promotion if there was one."""
    from expci.flows.verbs import rollback as rollback_flow

    result = rollback_flow.rollback(app, experiment, reason=reason, force=force, learned=learned)
    if as_json:
        return print_json(result.to_json())
    click.echo(f"{experiment} is {result.in_words}")
    if result.commit:
        click.echo(f"the promotion was reverted by {result.commit[:12]}")
    elif result.pull:
        click.echo(f"the revert waits in pull request {result.pull}")
    return None


@click.command()
@click.option(
    "--ended-before",
    metavar="DAY",
    help="What ended before this day may go [retention_days of expci.yml].",
)
@click.option("--dry-run", is_flag=True, help="List what would be removed; change nothing.")
@json_option
@common
def gc(app: Context, ended_before: str | None, dry_run: bool, as_json: bool) -> None:
    """Remove the trials of experiments that ended long ago; results stay."""
    from expci.flows.verbs import gc as gc_flow
    from expci.report.sections.removal import megabytes
    from expci.report.text.numbers import count

    day = None if ended_before is None else gc_flow.parse_day(ended_before)
    result = gc_flow.gc(app, ended_before=day, dry_run=dry_run)
    if as_json:
        return print_json(result.to_json())
    if not result.removed:
        return click.echo(gc_flow.nothing_to_remove(result))
    would = "would be removed" if dry_run else "removed"
    for item in result.removed:
        size = f"{count(item.trials, 'trial')}, {megabytes(item.bytes)}"
        click.echo(f"{item.experiment}: {size} {would} ({item.state} since {item.ended[:10]})")
    before = result.ledger[:12]
    return click.echo(f"the ledger commit before has them: expci export ID --at {before}")

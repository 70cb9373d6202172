"""The half of `expci doctor` that asks the forge: token, rules, workflows, the last pass.

Nothing is written to find out: what a token may write shows only when it does, and then the
refusal names the missing line.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta

from expci.core.model.experiment import DEFAULTS_FILE
from expci.errors import ExpciError, ForgeUnreachable, NotPermitted
from expci.flows.context import Context
from expci.flows.setup import pin, workflows
from expci.flows.setup.finding import Finding, ago, counted
from expci.forge.address import LOCAL
from expci.forge.ports import CIRecords, Forge
from expci.report.sections.review import WORKFLOW_BOT, rules_in_words

WORKFLOW = "expci-pass.yml"
SILENT = timedelta(days=2)  # without a pass; a schedule may be late by hours, not by days
LEDGER_BRANCH = "refs/heads/expci-ledger"
NO_PUSH = {
    "branch_protection",
    "code_scanning",
    "merge_queue",
    "pull_request",
    "required_deployments",
    "required_status_checks",
    "update",
    "workflows",
}
NO_CHECKS = (
    "GitHub holds the workflows of pull requests that GITHUB_TOKEN opens until a person presses "
    "“Approve workflows to run”, and starts none for what it pushes or merges: a promotion or a "
    "revert by it is neither tested nor deployed"
)
BY_AN_APP = (
    "pass the token of a GitHub App as EXPCI_TOKEN (docs/github.md), and name the workflows to "
    f"start after a revert: `after_revert: [deploy.yml]` in {DEFAULTS_FILE}"
)


def on_forge(app: Context) -> Iterator[Finding]:
    """The state of the place where pull requests live."""
    try:
        forge = app.forge
    except ExpciError as error:
        yield Finding("problem", str(error), "add that, then run doctor again")
        return
    if app.forge_name == LOCAL:
        why = "the remote is not on GitHub, or --forge local"
        yield Finding("ok", f"pull requests and reports are kept in git ({why})")
        return
    try:
        login = forge.comments.login()
    except ForgeUnreachable as error:
        yield Finding("problem", str(error), "check the network, then run doctor again")
        return
    except ExpciError as error:
        yield Finding("problem", str(error), "the token is wrong or has expired: make a new one")
    else:
        yield from _token(forge, login)
    yield from _reading(forge)
    yield from _rules(app, forge)
    yield from _workflows(app)
    if forge.ci is not None:
        yield from _last_pass(app, forge.ci)


def _token(forge: Forge, login: str) -> Iterator[Finding]:
    yield Finding("ok", f"{forge.name} answers; the token is {login}'s")
    if login == WORKFLOW_BOT:
        yield Finding("warning", NO_CHECKS, BY_AN_APP)
    elif not login.endswith("[bot]") and not forge.comments.can_write(login):
        yield Finding("problem", f"{login} may not push here", "use a token with write access")


def _reading(forge: Forge) -> Iterator[Finding]:
    """Each permission that can be tried by reading."""
    tries: dict[str, Callable[[], object]] = {
        "pull requests can be read": forge.pull_requests.listed
    }
    if (ci := forge.ci) is not None:
        tries["artifacts can be read"] = lambda: next(ci.artifacts("expci-", None), None)
    for what, attempt in tries.items():
        try:
            attempt()
        except NotPermitted as error:
            yield Finding("problem", str(error), "add that line to the workflow that runs the pass")
        except ExpciError as error:
            yield Finding("problem", str(error), "try again later")
        else:
            yield Finding("ok", what)


def _rules(app: Context, forge: Forge) -> Iterator[Finding]:
    base = app.store.remote.default_branch()
    try:
        rules = forge.pull_requests.branch_rules(base)
    except ExpciError as error:
        yield Finding("warning", f"the rules of {base} cannot be read: {error}", "see the message")
        return
    if NO_PUSH & set(rules):
        yield Finding(
            "warning",
            f"{base} takes no direct pushes ({', '.join(rules)}): the revert of a harmful change "
            "waits as a pull request until a person merges it",
            "that is the safe way. If reverts must not wait: protect the ledger first, and only "
            "then let the App whose token expci uses bypass that rule",
        )
        yield from _ledger_rules(app, forge)
    if conditions := rules_in_words(rules):
        yield Finding(
            "warning",
            f"what promotes or reverts waits on {base} for: {conditions}",
            "nothing, if people merge these pull requests; each says what it waits for",
        )
    else:
        yield Finding("ok", f"{base} takes direct pushes, so reverts do not wait")


def _ledger_rules(app: Context, forge: Forge) -> Iterator[Finding]:
    """Whoever may push can write into a ledger that no ruleset keeps for the App."""
    ref = app.store.ledger_ref
    branch = ref.removeprefix("refs/heads/")
    if branch == ref:
        yield Finding(
            "warning",
            f"the ledger {ref} can be written by everybody who may push: GitHub's rules are for "
            "branches and tags",
            f"git push {app.store.remote.name} {ref}:{LEDGER_BRANCH}, write `ledger: "
            f"{LEDGER_BRANCH}` into {DEFAULTS_FILE}, and add a ruleset for that branch that lets "
            "only the App push",
        )
    elif "update" not in forge.pull_requests.branch_rules(branch):
        yield Finding(
            "warning",
            f"no ruleset keeps the ledger's branch {branch} for the App",
            f"add a ruleset for {branch}: restrict updates and deletions, the App on its bypass "
            "list",
        )
    else:
        yield Finding("ok", f"a ruleset keeps the ledger's branch {branch}")


def _workflows(app: Context) -> Iterator[Finding]:
    if not workflows.is_set_up(app.root):
        yield Finding("problem", "no workflow of expci's is here: no pass runs", "expci init")
        return
    try:
        outdated = workflows.outdated(app.root, pin.find_pin(None))
    except ExpciError as error:
        yield Finding("warning", f"cannot tell whether the workflows are current: {error}")
        return
    for caller in outdated:
        yield Finding("warning", f"{caller.path} is {caller.status}", "expci init")
    if not outdated:
        yield Finding("ok", "the workflows are current")


def _last_pass(app: Context, ci: CIRecords) -> Iterator[Finding]:
    now = app.clock()
    try:
        runs = ci.runs(now - SILENT)
        last = next((run for run in runs if run.workflow.endswith(WORKFLOW)), None)
    except ExpciError as error:
        yield Finding("warning", f"cannot tell when the last pass ran: {error}")
        return
    if last is None:
        yield Finding(
            "problem",
            f"no pass has run for {counted(SILENT.days, 'day')}",
            f"start the workflow {WORKFLOW} by hand; GitHub runs schedules on the default branch "
            "only, and stops them after 60 days without activity",
        )
    elif last.conclusion not in (None, "success"):
        what = f"the last pass ({ago(now - last.created)} ago) ended as {last.conclusion}"
        yield Finding("problem", what, f"read the log of run {last.id}")
    else:
        yield Finding("ok", f"the last pass ran {ago(now - last.created)} ago")

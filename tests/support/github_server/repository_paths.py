"""Checks, permissions, rules and Actions on the small GitHub, as its REST paths."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from support.github_server import pages
from support.github_server.routes import Answer, Refusal, Request, named_page, route
from support.github_server.world import CheckRun, Run, ids
from support.openapi.document import filled

# --- checks -------------------------------------------------------------------------------


@route("checks/list-for-ref", checks="read")
def list_checks(request: Request) -> Answer:
    hub, name = request.hub, request.query.get("check_name")
    newest: dict[tuple[str, str], CheckRun] = {}
    for check in hub.checks:
        if check.commit == request.variables["ref"] and name in (None, check.name):
            newest[(check.app, check.name)] = check
    return named_page(request, "check_runs", [pages.check_run(hub, c) for c in newest.values()])


@route("checks/create", checks="write")
def create_check(request: Request) -> Answer:
    if not request.token.is_app:
        raise Refusal(403, "You must authenticate via a GitHub App.")
    body = request.body
    made = CheckRun(next(ids), body["name"], body["head_sha"], request.token.login)
    request.hub.checks.append(made)
    _take_check(made, body)
    return Answer(201, pages.check_run(request.hub, made))


@route("checks/update", checks="write")
def update_check(request: Request) -> Answer:
    wanted = int(request.variables["check_run_id"])
    found = next((c for c in request.hub.checks if c.id == wanted), None)
    if found is None:
        raise Refusal(404, "Not Found")
    if found.app != request.token.login:
        raise Refusal(403, "Invalid app_id `1` - check run can only be modified by its creator.")
    _take_check(found, request.body)
    return Answer(200, pages.check_run(request.hub, found))


def _take_check(check: CheckRun, body: Mapping[str, Any]) -> None:
    output = dict(body.get("output", {}))
    annotations = output.pop("annotations", [])
    if len(annotations) > 50:
        raise Refusal(422, "Invalid request. No more than 50 items are allowed.")
    check.annotations += annotations
    check.output |= output
    check.external_id = body.get("external_id", check.external_id)
    check.status = body.get("status", check.status)
    check.conclusion = body.get("conclusion", check.conclusion)


# --- the repository -----------------------------------------------------------------------


@route("repos/get-collaborator-permission-level")
def permission(request: Request) -> Answer:
    person = request.variables["username"]
    role = request.hub.people.get(person)
    if role is None:
        raise Refusal(404, f"{person} is not a user")
    # https://docs.github.com/rest/collaborators/collaborators: "the maintain role is mapped to
    # write and the triage role is mapped to read".
    old = {"maintain": "write", "triage": "read"}.get(role, role)
    return Answer(200, {"permission": old, "role_name": role, "user": None})


@route("repos/get-branch-rules")
def branch_rules(request: Request) -> Answer:
    rules = request.hub.rules.get(request.variables["branch"], [])
    return Answer(200, [filled("repository-rule-detailed", **_rule(r)) for r in rules])


def _rule(kind: str) -> dict[str, Any]:
    source = {"ruleset_source_type": "Repository", "ruleset_id": 1, "ruleset_source": "o/r"}
    return {"type": kind, **source}


@route("repos/get-branch", contents="read")
def branch(request: Request) -> Answer:
    name = request.variables["branch"]
    tip = request.hub.bare.tip(f"refs/heads/{name}")
    if tip is None:
        raise Refusal(404, "Branch not found")
    return Answer(200, filled("branch-with-protection", name=name, protected=False))


# --- Actions ------------------------------------------------------------------------------


@route("actions/list-artifacts-for-repo", actions="read")
def list_artifacts(request: Request) -> Answer:
    hub = request.hub
    newest = sorted(hub.artifacts, key=lambda artifact: (artifact.created, artifact.id))[::-1]
    return named_page(request, "artifacts", [pages.artifact(hub, a) for a in newest])


@route("actions/download-artifact", actions="read")
def download(request: Request) -> Answer:
    wanted = int(request.variables["artifact_id"])
    found = next((a for a in request.hub.artifacts if a.id == wanted), None)
    if found is None:
        raise Refusal(404, "Not Found")
    if found.expired:
        raise Refusal(410, "Artifact has expired")
    return Answer(302, None, {"Location": f"{request.hub.server}/_blobs/{found.id}?sig=once"})


@route("actions/list-workflow-runs-for-repo", actions="read")
def list_runs(request: Request) -> Answer:
    return _runs(request, list(request.hub.runs.values()))


@route("actions/list-workflow-runs", actions="read")
def list_runs_of_workflow(request: Request) -> Answer:
    path = f".github/workflows/{request.variables['workflow_id']}"
    own = [run for run in request.hub.runs.values() if run.path.partition("@")[0] == path]
    tip = request.hub.bare.tip("refs/heads/main")
    if not own and not (tip and request.hub.bare.git("ls-tree", tip, "--", path)):
        raise Refusal(404, "Not Found")
    return _runs(request, own)


def _runs(request: Request, runs: Sequence[Run]) -> Answer:
    hub, since = request.hub, request.query.get("created", ">=").removeprefix(">=")
    newest = [run for run in reversed(runs) if run.created >= since]
    return named_page(request, "workflow_runs", [pages.run(hub, run) for run in newest])


@route("actions/get-workflow-run", actions="read")
def get_run(request: Request) -> Answer:
    found = request.hub.runs.get(int(request.variables["run_id"]))
    if found is None:
        raise Refusal(404, "Not Found")
    return Answer(200, pages.run(request.hub, found))


@route("actions/list-jobs-for-workflow-run", actions="read")
def list_jobs(request: Request) -> Answer:
    found = request.hub.runs.get(int(request.variables["run_id"]))
    if found is None:
        raise Refusal(404, "Not Found")
    jobs = [pages.job(request.hub, found, name) for name in found.listed_jobs]
    return named_page(request, "jobs", jobs)


@route("actions/create-workflow-dispatch", actions="write")
def dispatch(request: Request) -> Answer:
    hub, workflow, ref = request.hub, request.variables["workflow_id"], request.body["ref"]
    tip = hub.bare.tip(f"refs/heads/{ref}")
    if tip is None:
        raise Refusal(422, f"No ref found for: {ref}")
    if not hub.bare.git("ls-tree", tip, "--", f".github/workflows/{workflow}"):
        raise Refusal(404, "Not Found")
    hub.dispatches.append((workflow, ref, request.body.get("inputs", {})))
    return Answer(204)

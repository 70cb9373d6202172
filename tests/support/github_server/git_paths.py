"""git objects and refs on the small GitHub, as its REST paths; the branches' rules hold here."""

from __future__ import annotations

import base64
from typing import Any

from support.github_server.bare import SIGNATURE
from support.github_server.routes import Answer, Refusal, Request, page, route
from support.github_server.world import Hub, now
from support.openapi.document import filled

UNSIGNED = "Commits must have verified signatures."


@route("git/create-blob", contents="write")
def create_blob(request: Request) -> Answer:
    body = request.body
    is_coded = body.get("encoding") == "base64"
    data = base64.b64decode(body["content"]) if is_coded else body["content"].encode()
    oid = request.hub.bare.write("blob", data)
    return Answer(201, filled("short-blob", sha=oid))


@route("git/create-tree", contents="write")
def create_tree(request: Request) -> Answer:
    bare, body = request.hub.bare, request.body
    rows: list[tuple[str, str | None, str]] = []
    for entry in body["tree"]:
        oid = entry.get("sha")
        if "content" in entry:
            oid = bare.write("blob", entry["content"].encode())
        elif oid is not None and not bare.has(oid):
            raise Refusal(422, f"tree.sha {oid} is not a valid blob")
        rows.append((entry["mode"], oid, entry["path"]))
    tree = bare.tree(body.get("base_tree"), rows)
    return Answer(201, filled("git-tree", sha=tree, tree=[], truncated=False))


@route("git/create-commit", contents="write")
def create_commit(request: Request) -> Answer:
    """What an App makes without naming an author or committer is signed; a person's is not."""
    bare, body = request.hub.bare, request.body
    if not all(bare.has(oid) for oid in (body["tree"], *body["parents"])):
        raise Refusal(422, "Tree SHA does not exist")
    is_signed = request.token.is_app and not {"author", "committer"} & set(body)
    oid = bare.commit(body["tree"], body["parents"], body["message"], is_signed=is_signed)
    verification = {
        "verified": is_signed,
        "reason": "valid" if is_signed else "unsigned",
        "signature": SIGNATURE if is_signed else None,
        "payload": "tree …" if is_signed else None,
        "verified_at": now() if is_signed else None,
    }
    return Answer(201, filled("git-commit", sha=oid, verification=verification))


@route("git/list-matching-refs", contents="read")
def matching_refs(request: Request) -> Answer:
    start = f"refs/{request.variables['ref']}"
    tips = request.hub.bare.tips()
    return page(request, [_ref(ref, tip) for ref, tip in tips.items() if ref.startswith(start)])


@route("git/create-ref", contents="write")
def create_ref(request: Request) -> Answer:
    ref, commit = request.body["ref"], request.body["sha"]
    if request.hub.bare.tip(ref) is not None:
        raise Refusal(422, "Reference already exists")
    _check_rules(request.hub, ref, commit)
    request.hub.bare.set(ref, commit)
    return Answer(201, _ref(ref, commit))


@route("git/update-ref", contents="write")
def update_ref(request: Request) -> Answer:
    bare = request.hub.bare
    ref, commit = f"refs/{request.variables['ref']}", request.body["sha"]
    old = bare.tip(ref)
    if old is None:
        raise Refusal(422, "Reference does not exist")
    if not request.body.get("force") and not bare.contains(commit, old):
        raise Refusal(422, "Update is not a fast forward")
    _check_rules(request.hub, ref, commit)
    bare.set(ref, commit)
    return Answer(200, _ref(ref, commit))


def _check_rules(hub: Hub, ref: str, commit: str) -> None:
    rules = hub.rules.get(ref.removeprefix("refs/heads/"), [])
    broken = []
    if "pull_request" in rules:
        broken.append("Changes must be made through a pull request.")
    signed_only = ref.removeprefix("refs/heads/") in hub.signed_only
    if signed_only and not hub.bare.is_signed(commit, hub.bare.tip(ref)):
        broken.append(UNSIGNED)
    if broken:
        raise Refusal(422, "Repository rule violations found\n\n" + "\n\n".join(broken))


def _ref(ref: str, commit: str) -> dict[str, Any]:
    target = {"type": "commit", "sha": commit, "url": "https://github.example/commit"}
    return filled("git-ref", ref=ref, object=target)

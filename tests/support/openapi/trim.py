"""Cut GitHub's OpenAPI document down to the paths in use.

    npm pack @octokit/openapi@23.0.2 && tar xzf octokit-openapi-*.tgz
    python tests/support/openapi/trim.py package/generated/api.github.com.json

writes `github.json` beside this file: the operations of `IN_USE` with the schemas they
reach, without prose and examples. `nullable` becomes the type "null" (OpenAPI 3.0 → 3.1),
so that every schema is plain JSON Schema.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

TARGET = Path(__file__).with_name("github.json")

IN_USE = """
get /repos/{owner}/{repo}/pulls
post /repos/{owner}/{repo}/pulls
get /repos/{owner}/{repo}/pulls/{pull_number}
patch /repos/{owner}/{repo}/pulls/{pull_number}
put /repos/{owner}/{repo}/pulls/{pull_number}/merge
post /repos/{owner}/{repo}/pulls/{pull_number}/requested_reviewers
get /repos/{owner}/{repo}/pulls/{pull_number}/reviews
get /repos/{owner}/{repo}/issues
post /repos/{owner}/{repo}/issues
patch /repos/{owner}/{repo}/issues/{issue_number}
get /repos/{owner}/{repo}/issues/comments
patch /repos/{owner}/{repo}/issues/comments/{comment_id}
delete /repos/{owner}/{repo}/issues/comments/{comment_id}
post /repos/{owner}/{repo}/issues/comments/{comment_id}/reactions
get /repos/{owner}/{repo}/issues/{issue_number}/comments
get /repos/{owner}/{repo}/issues/{issue_number}/events
post /repos/{owner}/{repo}/issues/{issue_number}/comments
post /repos/{owner}/{repo}/issues/{issue_number}/labels
delete /repos/{owner}/{repo}/issues/{issue_number}/labels/{name}
get /repos/{owner}/{repo}/commits/{ref}/check-runs
post /repos/{owner}/{repo}/check-runs
patch /repos/{owner}/{repo}/check-runs/{check_run_id}
get /repos/{owner}/{repo}/collaborators/{username}/permission
get /repos/{owner}/{repo}/rules/branches/{branch}
get /repos/{owner}/{repo}/branches/{branch}
post /repos/{owner}/{repo}/git/blobs
post /repos/{owner}/{repo}/git/trees
post /repos/{owner}/{repo}/git/commits
get /repos/{owner}/{repo}/git/matching-refs/{ref}
post /repos/{owner}/{repo}/git/refs
patch /repos/{owner}/{repo}/git/refs/{ref}
get /repos/{owner}/{repo}/actions/artifacts
get /repos/{owner}/{repo}/actions/artifacts/{artifact_id}/{archive_format}
get /repos/{owner}/{repo}/actions/runs
get /repos/{owner}/{repo}/actions/runs/{run_id}
get /repos/{owner}/{repo}/actions/runs/{run_id}/jobs
get /repos/{owner}/{repo}/actions/workflows/{workflow_id}/runs
post /repos/{owner}/{repo}/actions/workflows/{workflow_id}/dispatches
"""
# What these hold is nothing that expci sends or reads.
LEFT_OUT = frozenset(
    [
        "description",
        "example",
        "examples",
        "title",
        "externalDocs",
        "summary",
        "tags",
        "headers",
        "links",
        "deprecated",
        "default",
        "x-github",
        "x-githubCloudOnly",
        "x-github-breaking-changes",
        "x-multi-segment",
        "readOnly",
    ]
)


def trim(document: dict[str, Any]) -> dict[str, Any]:
    paths: dict[str, dict[str, Any]] = {}
    for line in IN_USE.split("\n"):
        if line:
            method, path = line.split()
            paths.setdefault(path, {})[method] = _operation(document["paths"][path][method])
    kept: dict[str, Any] = {"openapi": "3.1.0", "info": _info(document), "paths": paths}
    kept["components"] = _reached(document["components"], paths)
    _correct(kept["components"]["schemas"])
    return kept


def _correct(schemas: dict[str, Any]) -> None:
    """Where GitHub answers otherwise than its document says."""
    # https://github.com/github/rest-api-description/issues/1586, 1811 and 5562: a fork is gone.
    gone = [(schemas["workflow-run"]["properties"], "head_repository")]
    for name in ("pull-request", "pull-request-simple"):
        head = schemas[name]["properties"]["head"]["properties"]
        gone += [(head, part) for part in ("repo", "label", "user")]
    for properties, name in gone:
        properties[name] = {"anyOf": [properties[name], {"type": "null"}]}


def _info(document: dict[str, Any]) -> dict[str, Any]:
    info = document["info"]
    return {"title": info["title"], "version": info["version"], "license": info["license"]}


def _operation(operation: dict[str, Any]) -> dict[str, Any]:
    wanted = ("operationId", "parameters", "requestBody", "responses")
    kept: dict[str, Any] = _plain({key: operation[key] for key in wanted if key in operation})
    return kept


def _plain(node: Any, *, names: bool = False) -> Any:
    """The node without prose; `names` where its keys are the user's, not the format's."""
    if isinstance(node, list):
        return [_plain(item) for item in node]
    if not isinstance(node, dict):
        return node
    kept = {
        key: _plain(value, names=key == "properties" and not names)
        for key, value in node.items()
        if names or key not in LEFT_OUT
    }
    return kept if names else _nullable(kept)


def _nullable(schema: dict[str, Any]) -> dict[str, Any]:
    if not schema.pop("nullable", False):
        return schema
    if set(schema) & {"$ref", "allOf", "anyOf", "oneOf"}:
        return {"anyOf": [schema, {"type": "null"}]}
    if "enum" in schema:
        schema["enum"] = [*(item for item in schema["enum"] if item is not None), None]
    if "type" in schema:
        schema["type"] = [schema["type"], "null"]
    return schema


def _reached(components: dict[str, Any], paths: dict[str, Any]) -> dict[str, Any]:
    """The components that the paths name, and those that these name."""
    reached: dict[str, Any] = {}
    left = list(_references(paths))
    while left:
        _, _, kind, name = left.pop().split("/")
        if name not in reached.setdefault(kind, {}):
            reached[kind][name] = _plain(components[kind][name])
            left += _references(reached[kind][name])
    return {kind: dict(sorted(found.items())) for kind, found in sorted(reached.items())}


def _references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        for value in node.values():
            yield from _references(value)
    elif isinstance(node, list):
        for item in node:
            yield from _references(item)


if __name__ == "__main__":
    trimmed = trim(json.loads(Path(sys.argv[1]).read_text()))
    TARGET.write_text(json.dumps(trimmed, separators=(",", ":"), ensure_ascii=False) + "\n")
